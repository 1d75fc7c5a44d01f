//! Death at a chosen write: what stands between a controller and the API server, and knows when its time has come.
//!
//! The controller is the shipped binary and knows nothing of this. A [`Proxy`] passes everything on, watches included,
//! and counts the writes. At the write it was told of it says so, and from then on lets no write through: whoever runs
//! the controller kills it then. The next life of the controller gets a proxy of its own, so nothing that the dead one
//! had already put on the wire to this one can be taken for a request of its successor.

use std::fmt;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use futures::TryFutureExt;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::relay;

/// On which side of a write the controller dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// The write never leaves.
    Before,
    /// The API server has carried the write out, and its answer never arrives.
    After,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::After => "after",
        })
    }
}

/// Where a controller dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Which write, from 1 on. Earlier ones go through, later ones do not.
    pub write: usize,
    /// On which side of it.
    pub moment: Moment,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.write, self.moment)
    }
}

/// One write of the controller: verb and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write(String);

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Stands before the API server for one life of one controller.
pub struct Proxy {
    address: SocketAddr,
    tap: Arc<Tap>,
    server: JoinHandle<()>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proxy on {}", self.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Proxy {
    /// Starts to serve on a free port, in the name of `upstream`. Counting begins with [`Proxy::arm`].
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(upstream: Client, point: Option<Point>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let tap = Arc::new(Tap {
            upstream,
            point,
            begin: Instant::now(),
            count: Mutex::default(),
            reached: watch::Sender::new(None),
        });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&tap));
        let serve = axum::serve(listener, router).into_future().unwrap_or_else(|_| ());
        Ok(Self { address, tap, server: tokio::spawn(serve) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on writes are counted.
    pub fn arm(&self) {
        self.tap.count().armed = true;
    }

    /// The writes counted so far, in the order in which they came.
    #[must_use]
    pub fn writes(&self) -> Vec<Write> {
        self.tap.count().writes.clone()
    }

    /// Requests that could not be passed on: never the controller's fault.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        self.tap.count().faults.clone()
    }

    /// Every request and what was answered, watches included, with the milliseconds since this proxy began.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.tap.count().requests.clone()
    }

    /// Returns when the time of the controller has come, with the write at which it dies.
    pub async fn reached(&self) -> Write {
        let mut reached = self.tap.reached.subscribe();
        match reached.wait_for(Option::is_some).await.map(|write| write.clone()) {
            Ok(Some(write)) => write,
            _ => pending().await,
        }
    }
}

#[derive(Debug, Default)]
struct Count {
    armed: bool,
    writes: Vec<Write>,
    faults: Vec<String>,
    requests: Vec<String>,
}

struct Tap {
    upstream: Client,
    point: Option<Point>,
    begin: Instant,
    count: Mutex<Count>,
    reached: watch::Sender<Option<Write>>,
}

/// What becomes of a request.
enum Fate {
    Passes,
    /// The controller dies at this one.
    Last(Moment, Write),
    /// The controller is dead or dying.
    Lost,
}

impl Tap {
    fn count(&self) -> std::sync::MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate(&self, write: Write) -> Fate {
        let mut count = self.count();
        if !count.armed {
            return Fate::Passes;
        }
        let Some(point) = self.point else {
            count.writes.push(write);
            return Fate::Passes;
        };
        if count.writes.len() >= point.write {
            return Fate::Lost;
        }
        count.writes.push(write.clone());
        if count.writes.len() < point.write { Fate::Passes } else { Fate::Last(point.moment, write) }
    }

    /// Sends a request on; the body of the answer may go on for ever.
    async fn send(&self, request: Request) -> Response {
        let what = format!("{} {}", request.method(), request.uri());
        let begin = self.begin.elapsed().as_millis();
        let answer = relay::pass_on(&self.upstream, request).await;
        let code = answer.as_ref().map_or(StatusCode::BAD_GATEWAY, Response::status).as_u16();
        self.count().requests.push(format!("{begin}-{} {code} {what}", self.begin.elapsed().as_millis()));
        match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.count().faults.push(format!("{what}: {error:#}"));
                StatusCode::BAD_GATEWAY.into_response()
            }
        }
    }

    /// Sends a write on and waits for the whole answer, also when nobody waits for it any more: what has left cannot be
    /// called back.
    async fn send_to_the_end(self: Arc<Self>, request: Request) -> Response {
        let send = async move {
            let (parts, body) = self.send(request).await.into_parts();
            match axum::body::to_bytes(body, usize::MAX).await {
                Ok(body) => Response::from_parts(parts, Body::from(body)),
                Err(_) => StatusCode::BAD_GATEWAY.into_response(),
            }
        };
        tokio::spawn(send).await.unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
    }
}

async fn pass(State(tap): State<Arc<Tap>>, request: Request) -> Response {
    let Some(write) = write(&request) else { return tap.send(request).await };
    match tap.fate(write) {
        Fate::Passes => tap.send_to_the_end(request).await,
        Fate::Last(Moment::Before, write) => {
            tap.reached.send_replace(Some(write));
            pending().await
        }
        Fate::Last(Moment::After, write) => {
            Arc::clone(&tap).send_to_the_end(request).await;
            tap.reached.send_replace(Some(write));
            pending().await
        }
        Fate::Lost => pending().await,
    }
}

fn write(request: &Request) -> Option<Write> {
    relay::is_write(request).then(|| Write(format!("{} {}", request.method(), request.uri().path())))
}
