//! HTTP/1.1 with keep-alive.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use crate::journal::Journal;

/// What an image says about itself, and what its pod adds.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the answers say.
    #[arg(long)]
    version: String,
    /// Where to listen.
    #[arg(long, default_value_t = 8080, env = "PORT")]
    port: u16,
    /// How long a request takes that does not say so itself (`/?ms=50`), in milliseconds.
    #[arg(long, default_value_t = 20)]
    service_ms: u64,
    /// Become ready this long after the start, in milliseconds.
    #[arg(long, default_value_t = 0)]
    ready_after_ms: u64,
    /// Go on serving for this long after SIGTERM, in milliseconds; 0 exits at once and drops what is open.
    #[arg(long, default_value_t = 0)]
    stop_after_ms: u64,
    /// Answer the last request of a connection of this age with `Connection: close`, in milliseconds: a connection that
    /// lived for ever would bind its client to this pod beyond any drain.
    #[arg(long, default_value_t = 500)]
    connection_ms: u64,
    /// The pod's name, in every answer.
    #[arg(long, env = "POD_NAME", default_value = "unknown")]
    pod: String,
    /// Folder of the journal; without it none is kept.
    #[arg(long, env = "JOURNAL")]
    journal: Option<PathBuf>,
}

struct App {
    args: Args,
    journal: Journal,
    started: Instant,
}

/// Serves until SIGTERM.
pub(crate) async fn run(args: Args) -> Result<()> {
    let mut stop = signal(SignalKind::terminate())?;
    let journal = Journal::open(args.journal.as_deref(), &args.pod)?;
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, args.port))).await?;
    let patience = Duration::from_millis(args.stop_after_ms);
    let app = Rc::new(App { args, journal, started: Instant::now() });
    LocalSet::new()
        .run_until(async {
            tokio::select! {
                ended = accept(&listener, &app) => ended,
                () = async { stop.recv().await; tokio::time::sleep(patience).await; } => Ok(()),
            }
        })
        .await
}

async fn accept(listener: &TcpListener, app: &Rc<App>) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await.context("cannot accept connections")?;
        tokio::task::spawn_local(connection(stream, Rc::clone(app)));
    }
}

async fn connection(stream: TcpStream, app: Rc<App>) {
    let opened = Instant::now();
    let answers = service_fn(|request| {
        let app = Rc::clone(&app);
        async move { Ok::<_, Infallible>(app.answer(&request, opened).await) }
    });
    // A client that goes away is its own affair.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answers).await;
}

impl App {
    async fn answer(&self, request: &Request<Incoming>, opened: Instant) -> Response<Full<Bytes>> {
        if request.uri().path() == "/ready" {
            return self.readiness();
        }
        let arrived = micros();
        // A health check of a load balancer has no id, and is nobody's request.
        let id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        self.journal.note("begin", id, &self.args.version);
        tokio::time::sleep(self.service_time(request)).await;
        let mut response = Response::new(Full::new(Bytes::from(self.args.version.clone())));
        let headers = response.headers_mut();
        insert(headers, "x-request-id", id);
        insert(headers, "x-pod", &self.args.pod);
        insert(headers, "x-version", &self.args.version);
        insert(headers, "x-arrived-us", &arrived.to_string());
        if opened.elapsed() >= Duration::from_millis(self.args.connection_ms) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.journal.note("end", id, &self.args.version);
        response
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        if self.started.elapsed() < Duration::from_millis(self.args.ready_after_ms) {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    }

    fn service_time(&self, request: &Request<Incoming>) -> Duration {
        let asked = request.uri().query().and_then(|query| query.strip_prefix("ms=")?.parse().ok());
        Duration::from_millis(asked.unwrap_or(self.args.service_ms))
    }
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Microseconds of the clock that all processes of the machine share.
fn micros() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros()
}
