//! What stands before the API server: watches of pods and EndpointSlices it answers itself, with those that are made up; everything else it
//! passes on.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryFutureExt, stream};
use kube::Client;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::herd::{Herd, Kind, Pieces};
use crate::bed::Bed;
use crate::bed::tls::Tls;
use crate::relay;

/// Serves until it is dropped.
pub(super) struct Server {
    counts: Arc<Counts>,
    /// For a client with the controller's account.
    pub(super) kubeconfig: PathBuf,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, Default)]
struct Counts {
    streamed: AtomicU64,
    writes: Mutex<Vec<String>>,
    faults: Mutex<Vec<String>>,
}

struct Post {
    upstream: Client,
    herds: Arc<[Herd]>,
    counts: Arc<Counts>,
}

fn taken(list: &Mutex<Vec<String>>) -> Vec<String> {
    std::mem::take(&mut list.lock().unwrap_or_else(PoisonError::into_inner))
}

fn note(list: &Mutex<Vec<String>>, what: String) {
    list.lock().unwrap_or_else(PoisonError::into_inner).push(what);
}

impl Server {
    /// Serves under TLS on a free port, in the name of the bed's controller.
    pub(super) async fn start(bed: &Bed, herds: Arc<[Herd]>) -> Result<Self> {
        let key = rcgen::generate_simple_self_signed(vec![Ipv4Addr::LOCALHOST.to_string()])?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let kubeconfig = kubeconfig(bed.dir(), listener.local_addr()?.port(), &key.cert.pem())?;
        let counts = Arc::<Counts>::default();
        let post = Post { upstream: bed.controller_client().await?, herds, counts: Arc::clone(&counts) };
        let router = Router::new().fallback(answer).with_state(Arc::new(post));
        let serve = axum::serve(Tls::new(listener, &key)?, router).into_future().unwrap_or_else(|_| ());
        Ok(Self { counts, kubeconfig, task: tokio::spawn(serve) })
    }

    /// Bytes of made-up objects that were sent so far.
    pub(super) fn streamed(&self) -> u64 {
        self.counts.streamed.load(Ordering::Relaxed)
    }

    /// What was written since the last look, the lease left out.
    pub(super) fn writes(&self) -> Vec<String> {
        taken(&self.counts.writes)
    }

    /// An error when something was asked that is not answered here: what came of it would be worth nothing.
    pub(super) fn check(&self) -> Result<()> {
        let faults = taken(&self.counts.faults);
        anyhow::ensure!(faults.is_empty(), "the replay cannot answer this: {faults:#?}");
        Ok(())
    }
}

/// The controller's own kubeconfig with another server in it.
fn kubeconfig(dir: &Path, port: u16, certificate: &str) -> Result<PathBuf> {
    let (authority, file) = (dir.join("replay.crt"), dir.join("replay.kubeconfig"));
    std::fs::write(&authority, certificate)?;
    let mut config: Value = serde_json::from_slice(&std::fs::read(dir.join("controller.kubeconfig"))?)?;
    let cluster = config.pointer_mut("/clusters/0/cluster").and_then(Value::as_object_mut);
    let cluster = cluster.context("a kubeconfig without a cluster")?;
    cluster.insert("server".to_owned(), format!("https://{}:{port}", Ipv4Addr::LOCALHOST).into());
    cluster.insert("certificate-authority".to_owned(), serde_json::to_value(&authority)?);
    std::fs::write(&file, serde_json::to_vec_pretty(&config)?)?;
    Ok(file)
}

async fn answer(State(post): State<Arc<Post>>, request: Request) -> Response {
    let what = format!("{} {}", request.method(), request.uri());
    let path = request.uri().path();
    if let Some(kind) = Kind::ALL.into_iter().find(|kind| path == kind.path())
        && let Some(watch) = Watch::of(&request)
    {
        return post.stream(kind, watch);
    }
    // Of these there are none where everything else is.
    let is_made_up = path.split('/').any(|part| part == "pods" || part == "endpointslices");
    if is_made_up {
        note(&post.counts.faults, what);
        return StatusCode::NOT_IMPLEMENTED.into_response();
    }
    if relay::is_write(&request) {
        note(&post.counts.writes, what.clone());
    }
    relay::pass_on(&post.upstream, request).await.unwrap_or_else(|error| {
        note(&post.counts.faults, format!("{what}: {error:#}"));
        StatusCode::BAD_GATEWAY.into_response()
    })
}

/// What a watch asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Watch {
    /// Everything there is first; else only what is new, which is nothing.
    initial: bool,
    lasts: Duration,
}

impl Watch {
    /// None for a request that is none, or asks for a part.
    fn of(request: &Request) -> Option<Self> {
        let mut watch = Self { initial: false, lasts: Duration::from_secs(300) };
        let mut watches = false;
        for (key, value) in request.uri().query()?.split('&').filter_map(|pair| pair.split_once('=')) {
            match (key, value) {
                ("watch", value) => watches = value == "true" || value == "1",
                ("sendInitialEvents", value) => watch.initial = value == "true",
                ("timeoutSeconds", value) => watch.lasts = Duration::from_secs(value.parse().ok()?),
                ("labelSelector" | "fieldSelector", _) => return None,
                _ => {}
            }
        }
        (watches && request.method() == Method::GET).then_some(watch)
    }
}

impl Post {
    fn stream(&self, kind: Kind, watch: Watch) -> Response {
        let counts = Arc::clone(&self.counts);
        let all = watch.initial.then(|| Pieces::new(Arc::clone(&self.herds), kind));
        let pieces = stream::iter(all.into_iter().flatten()).map(move |piece| {
            counts.streamed.fetch_add(piece.len() as u64, Ordering::Relaxed);
            Ok::<_, Infallible>(piece)
        });
        // Then nothing happens, until the watch ends as it was asked to.
        let silence = stream::once(tokio::time::sleep(watch.lasts)).filter_map(|()| async { None });
        let headers = [(header::CONTENT_TYPE, "application/json")];
        (headers, Body::from_stream(pieces.chain(silence))).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(uri: &str) -> Option<Watch> {
        Watch::of(&Request::get(uri).body(Body::empty()).unwrap())
    }

    #[test]
    fn a_watch_begins_with_everything_only_where_that_is_asked_for_and_a_part_is_not_answered() {
        let lasts = Duration::from_secs(60);
        let streamed = "/api/v1/pods?&watch=true&timeoutSeconds=60&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        assert_eq!(watch(streamed), Some(Watch { initial: true, lasts }));
        let resumed = "/api/v1/pods?watch=true&timeoutSeconds=60&resourceVersion=7";
        assert_eq!(watch(resumed), Some(Watch { initial: false, lasts }));
        for other in ["/api/v1/pods", "/api/v1/pods?limit=500", "/api/v1/pods?watch=true&labelSelector=a"] {
            assert_eq!(watch(other), None, "{other}");
        }
    }
}
