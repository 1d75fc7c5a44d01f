//! The two ports: reviews over TLS for the API server, probes and metrics in the clear.

use std::{sync::Arc, time::Duration, time::Instant};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::{
    admit::{self, Ask},
    certificate::Served,
    metrics::Metrics,
};

/// The largest review read, in bytes: etcd holds objects of 1.5 MiB, and an update carries two.
const MOST_BYTES: usize = 3 * 1024 * 1024 + 512 * 1024;
/// How long a client may take to send its review.
const PATIENCE: Duration = Duration::from_secs(5);
/// Reviews in hand at once.
const MOST_AT_ONCE: usize = 128;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a request is answered from.
#[derive(Clone, Debug)]
struct Desk {
    controller: Arc<str>,
    metrics: Metrics,
    places: Arc<Semaphore>,
}

/// Where reviews are answered.
pub(crate) fn reviews(controller: &str, metrics: Metrics) -> Router {
    let desk =
        Desk { controller: controller.into(), metrics, places: Arc::new(Semaphore::new(MOST_AT_ONCE)) };
    let ask = |ask: Ask| post(move |State(desk): State<Desk>, request: Request| review(desk, ask, request));
    Router::new().route("/stamp", ask(Ask::Stamp)).route("/validate", ask(Ask::Validate)).with_state(desk)
}

async fn review(desk: Desk, ask: Ask, request: Request) -> Response {
    let start = Instant::now();
    let (result, response) = match answer(&desk, ask, request).await {
        Ok((allowed, body)) => (
            if allowed { "allowed" } else { "denied" },
            ([(CONTENT_TYPE, "application/json")], body).into_response(),
        ),
        Err((code, result, message)) => {
            tracing::warn!(
                webhook = ask.word(),
                code = code.as_u16(),
                message,
                "a request could not be answered"
            );
            (result, (code, format!("{message}\n")).into_response())
        }
    };
    desk.metrics.answered(ask.word(), result, start.elapsed());
    response
}

/// Code for the client, word for the metric, words for people.
type Refusal = (StatusCode, &'static str, String);

async fn answer(desk: &Desk, ask: Ask, request: Request) -> Result<(bool, Vec<u8>), Refusal> {
    let _place = desk.places.try_acquire().map_err(|_| {
        (StatusCode::TOO_MANY_REQUESTS, "busy", format!("{MOST_AT_ONCE} reviews are in hand: try again"))
    })?;
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        let message = format!("Content-Type is {kind:?}: send application/json");
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "unreadable", message));
    }
    let body = read(request.into_body()).await?;
    let bad = |message: String| (StatusCode::BAD_REQUEST, "unreadable", message);
    let review =
        admit::answer(ask, &body, &desk.controller, Timestamp::now()).map_err(|e| bad(e.to_string()))?;
    let allowed = review.response.as_ref().is_some_and(|response| response.allowed);
    let body = serde_json::to_vec(&review).map_err(|e| bad(e.to_string()))?;
    Ok((allowed, body))
}

async fn read(body: Body) -> Result<axum::body::Bytes, Refusal> {
    let read = axum::body::to_bytes(body, MOST_BYTES);
    match tokio::time::timeout(PATIENCE, read).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => {
            let message = format!("the body is broken off or larger than {MOST_BYTES} bytes");
            Err((StatusCode::PAYLOAD_TOO_LARGE, "unreadable", message))
        }
        Err(_) => {
            let message = format!("the body was not there within {} s", PATIENCE.as_secs());
            Err((StatusCode::REQUEST_TIMEOUT, "unreadable", message))
        }
    }
}

/// Where probes and metrics are answered.
pub(crate) fn admin(served: Served, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state((served, metrics))
}

async fn readyz(State((served, _)): State<(Served, Metrics)>) -> Response {
    if served.is_there() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "waiting for a certificate\n").into_response()
}

async fn scrape(State((_, metrics)): State<(Served, Metrics)>) -> Response {
    match metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
