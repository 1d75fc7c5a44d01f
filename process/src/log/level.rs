//! `GET /loglevel` and `PUT /loglevel`: what is logged, changed while the process runs.
//!
//! Only from the process's own host: `kubectl port-forward` comes from there, so who may change the level is a matter of the right to forward
//! ports of the pod. An image without a shell has no other way in, and a signal could not be sent to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    extract::{ConnectInfo, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use tracing_subscriber::EnvFilter;

/// The longest filter taken, in bytes.
const LONGEST: usize = 1000;

/// What is logged now. Clones share it.
#[derive(Clone)]
pub struct Level {
    filter: Arc<Mutex<String>>,
    replace: Arc<dyn Fn(EnvFilter) -> bool + Send + Sync>,
}

impl std::fmt::Debug for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.now())
    }
}

impl Default for Level {
    /// That of a process without a log: it is kept and changes nothing.
    fn default() -> Self {
        Self::new("info", |_| true)
    }
}

impl Level {
    pub(super) fn new(filter: &str, replace: impl Fn(EnvFilter) -> bool + Send + Sync + 'static) -> Self {
        Self { filter: Arc::new(Mutex::new(filter.to_owned())), replace: Arc::new(replace) }
    }

    /// The filter in force.
    #[must_use]
    pub fn now(&self) -> String {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another filter in force.
    ///
    /// # Errors
    /// It cannot be read; the one before stays.
    pub fn set(&self, filter: &str) -> Result<(), super::LogError> {
        let read = super::read(filter)?;
        let mut now = self.filter.lock().unwrap_or_else(PoisonError::into_inner);
        if (self.replace)(read) {
            filter.clone_into(&mut now);
        }
        Ok(())
    }
}

/// The route, to be merged into that of an admin port. It must be served with connection info (`SocketAddr`).
pub fn routes<S: Clone + Send + Sync + 'static>(level: Level) -> Router<S> {
    Router::new().route("/loglevel", get(tell).put(change)).with_state(level)
}

async fn tell(State(level): State<Level>, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Response {
    if is_here(peer) { format!("{}\n", level.now()).into_response() } else { refused() }
}

async fn change(
    State(level): State<Level>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    body: String,
) -> Response {
    if !is_here(peer) {
        return refused();
    }
    let filter = body.trim();
    if filter.len() > LONGEST {
        return (StatusCode::PAYLOAD_TOO_LARGE, format!("a filter has at most {LONGEST} bytes\n"))
            .into_response();
    }
    let before = level.now();
    match level.set(filter) {
        Ok(()) => {
            tracing::warn!(
                before,
                now = filter,
                "the log level was changed; it lasts until this process ends"
            );
            format!("{filter}\n").into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

/// Exactly these addresses: the sidecar of a service mesh passes requests of others on from 127.0.0.6.
fn is_here(peer: SocketAddr) -> bool {
    let here = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    here.contains(&peer.ip().to_canonical())
}

fn refused() -> Response {
    let advice = "only from the pod itself: kubectl port-forward POD 8080, then curl -X PUT -d debug localhost:8080/loglevel\n";
    (StatusCode::FORBIDDEN, advice).into_response()
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(level: &Level, peer: &str, method: &str, body: &'static str) -> u16 {
        let mut request = Request::builder().method(method).uri("/loglevel").body(Body::from(body)).unwrap();
        request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        routes::<()>(level.clone()).oneshot(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn the_level_is_changed_from_the_pod_itself_and_by_nobody_else() {
        let level = Level::default();
        assert_eq!(ask(&level, "10.1.2.3:999", "PUT", "debug").await, 403);
        assert_eq!(ask(&level, "127.0.0.6:999", "PUT", "debug").await, 403);
        assert_eq!(level.now(), "info");
        assert_eq!(ask(&level, "127.0.0.1:999", "PUT", "info,cafe_controller=debug\n").await, 200);
        assert_eq!(ask(&level, "[::1]:999", "GET", "").await, 200);
        assert_eq!(level.now(), "info,cafe_controller=debug");
    }

    #[tokio::test]
    async fn what_is_no_filter_changes_nothing() {
        let level = Level::default();
        for bad in ["verbose", "", "a=b=c", "info,cafe_controller=loud"] {
            assert_eq!(ask(&level, "127.0.0.1:999", "PUT", bad).await, 400, "{bad}");
        }
        assert_eq!(level.now(), "info");
    }
}
