//! The admin port: `/livez`, `/readyz`, `/metrics` and `/loglevel`, on a thread of its own.
//!
//! It has its own runtime, so that a busy event loop still answers, and one that hangs is noticed. It never talks to
//! the API server.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cafe_process::log::{self, Level};
use tokio::sync::oneshot;

use crate::metrics::Metrics;

/// An event loop that has not turned for this long is taken for dead.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(60);

/// How long open connections may keep the process from ending.
const GRACE: Duration = Duration::from_secs(2);

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the probes are answered from. Shared between the event loop, which writes, and the admin port, which reads.
#[derive(Debug)]
pub(crate) struct Health {
    started: Instant,
    /// Milliseconds after `started`.
    beat: AtomicU64,
    synced: AtomicBool,
    limit: Duration,
}

impl Default for Health {
    fn default() -> Self {
        Self::patient(HEARTBEAT_LIMIT)
    }
}

impl Health {
    /// With another limit for the silence of the event loop.
    pub(crate) fn patient(limit: Duration) -> Self {
        Self { started: Instant::now(), beat: AtomicU64::new(0), synced: AtomicBool::new(false), limit }
    }

    /// The event loop has turned. Call it at least every 30 s, also when there is nothing to do.
    pub(crate) fn beat(&self) {
        let since_start = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat.store(since_start, Ordering::Relaxed);
    }

    /// Whether every watched kind has been listed completely.
    pub(crate) fn set_synced(&self, synced: bool) {
        self.synced.store(synced, Ordering::Relaxed);
    }

    /// True once every watched kind has been listed completely.
    fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Relaxed)
    }

    /// How long ago the event loop turned.
    fn silence(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.beat.load(Ordering::Relaxed)))
    }
}

/// Why the admin port is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: choose another with --admin-address")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No thread or no runtime.
    #[error("cannot start the thread of the admin port")]
    Start(#[source] io::Error),
}

/// The running admin port. Dropping it stops it without waiting.
#[derive(Debug)]
pub(crate) struct Admin {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Listens at once and serves on a thread of its own.
///
/// # Errors
/// The address is taken or not ours, or no thread can be had.
pub(crate) fn start(
    address: SocketAddr,
    metrics: Metrics,
    health: Arc<Health>,
    level: Level,
) -> Result<Admin, AdminError> {
    let bind = |source| AdminError::Bind { address, source };
    let listener = TcpListener::bind(address).map_err(bind)?;
    listener.set_nonblocking(true).map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AdminError::Start)?;
    let (stop, stopped) = oneshot::channel();
    let serve = move || {
        if let Err(error) = runtime.block_on(serve(listener, router(metrics, health, level), stopped)) {
            tracing::error!(error = &error as &dyn std::error::Error, "the admin port is no longer served");
        }
    };
    let thread = std::thread::Builder::new().name("admin".into()).spawn(serve).map_err(AdminError::Start)?;
    Ok(Admin { address, stop, thread })
}

impl Admin {
    /// Where it listens: with port 0 asked for, the port that was found.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers what has been asked, then ends, within about two seconds.
    pub(crate) fn stop(self) {
        // Fails if the thread has ended already, which is what is wanted.
        self.stop.send(()).ok();
        if self.thread.join().is_err() {
            tracing::error!("the thread of the admin port had panicked");
        }
    }
}

async fn serve(listener: TcpListener, router: Router, stopped: oneshot::Receiver<()>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (ending, ended) = oneshot::channel();
    let graceful = async {
        stopped.await.ok();
        ending.send(()).ok();
    };
    let grace_over = async {
        ended.await.ok();
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).with_graceful_shutdown(graceful) => served,
        () = grace_over => Ok(()),
    }
}

#[derive(Clone)]
struct Sources {
    metrics: Metrics,
    health: Arc<Health>,
}

fn router(metrics: Metrics, health: Arc<Health>, level: Level) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state(Sources { metrics, health })
        .merge(log::routes(level))
}

async fn livez(State(sources): State<Sources>) -> Response {
    let silence = sources.health.silence();
    if silence < sources.health.limit {
        return "ok\n".into_response();
    }
    let seconds = silence.as_secs();
    (StatusCode::SERVICE_UNAVAILABLE, format!("the event loop has not turned for {seconds} s\n"))
        .into_response()
}

async fn readyz(State(sources): State<Sources>) -> Response {
    if sources.health.is_synced() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "waiting for the first complete list of every watched kind\n")
        .into_response()
}

async fn scrape(State(sources): State<Sources>) -> Response {
    match sources.metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    fn started() -> (Admin, Arc<Health>) {
        let health = Arc::new(Health::default());
        let admin =
            start("127.0.0.1:0".parse().unwrap(), Metrics::default(), Arc::clone(&health), Level::default())
                .unwrap();
        (admin, health)
    }

    fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: cafe\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn readiness_follows_the_first_complete_lists() {
        let (admin, health) = started();
        let answer = ask(admin.address(), "/readyz");
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("waiting for the first complete list"));
        health.set_synced(true);
        assert!(ask(admin.address(), "/readyz").starts_with("HTTP/1.1 200"));
        admin.stop();
    }

    #[test]
    fn metrics_are_served_as_openmetrics() {
        let (admin, _) = started();
        let answer = ask(admin.address(), "/metrics");
        assert!(answer.contains(OPENMETRICS) && answer.ends_with("# EOF\n"), "{answer}");
        admin.stop();
    }

    #[test]
    fn liveness_ends_when_the_event_loop_is_silent() {
        let (admin, health) = started();
        health.beat();
        assert!(ask(admin.address(), "/livez").starts_with("HTTP/1.1 200"));
        admin.stop();
        let minutes_ago = Instant::now().checked_sub(Duration::from_secs(61)).unwrap();
        let health = Health { started: minutes_ago, ..Health::default() };
        assert!(health.silence() >= HEARTBEAT_LIMIT);
        health.beat();
        assert!(health.silence() < HEARTBEAT_LIMIT);
    }

    #[test]
    fn a_taken_address_is_named() {
        let (admin, health) = started();
        let error = start(admin.address(), Metrics::default(), health, Level::default()).unwrap_err();
        assert!(error.to_string().contains(&admin.address().to_string()), "{error}");
        admin.stop();
    }

    #[test]
    fn an_open_connection_does_not_keep_the_process_from_ending() {
        let (admin, _) = started();
        let idle = TcpStream::connect(admin.address()).unwrap();
        let start = Instant::now();
        admin.stop();
        assert!(start.elapsed() < Duration::from_secs(10));
        drop(idle);
    }
}
