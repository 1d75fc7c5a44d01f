//! The two ports: reviews over TLS for the API server, probes and metrics in the clear.

use std::{sync::Arc, time::Duration, time::Instant};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{
        StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    admit::{self, Ask},
    certificate::Served,
    clock,
    metrics::Metrics,
};

/// The largest review read, in bytes: etcd holds objects of 1.5 MiB, and an update carries two.
const MOST_BYTES: usize = 3 * 1024 * 1024 + 512 * 1024;
/// How long a client may take to send its review.
const PATIENCE: Duration = Duration::from_secs(5);
/// Reviews in hand at once.
const MOST_AT_ONCE: usize = 128;
/// Bytes of bodies in hand at once. They are judged one after the other; the one in hand may take some fifty times its bytes while it
/// is taken apart (a list of single digits), which the limit of the pod's memory allows for.
const MOST_BYTES_AT_ONCE: usize = 16 * 1024 * 1024;
/// Bytes are counted in such portions.
const PORTION: usize = 1024;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a request is answered from.
#[derive(Clone, Debug)]
struct Desk {
    controller: Arc<str>,
    metrics: Metrics,
    places: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

/// Where reviews are answered.
pub(crate) fn reviews(controller: &str, metrics: Metrics) -> Router {
    let desk = Desk {
        controller: controller.into(),
        metrics,
        places: Arc::new(Semaphore::new(MOST_AT_ONCE)),
        room: Arc::new(Semaphore::new(MOST_BYTES_AT_ONCE / PORTION)),
    };
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
    let _room = room(desk, &request)?;
    let body = read(request.into_body()).await?;
    let bad = |message: String| (StatusCode::BAD_REQUEST, "unreadable", message);
    let review = admit::answer(ask, &body, &desk.controller, clock::now()).map_err(|e| bad(e.to_string()))?;
    let allowed = review.response.as_ref().is_some_and(|response| response.allowed);
    let body = serde_json::to_vec(&review).map_err(|e| bad(e.to_string()))?;
    Ok((allowed, body))
}

/// Room for the body, by the length that the client announces; one that announces none gets that of the largest.
fn room(desk: &Desk, request: &Request) -> Result<OwnedSemaphorePermit, Refusal> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let bytes: usize = announced.unwrap_or(MOST_BYTES).min(MOST_BYTES);
    let portions = u32::try_from(bytes.div_ceil(PORTION)).unwrap_or(u32::MAX);
    let busy = |_| {
        let message = format!("{MOST_BYTES_AT_ONCE} bytes of reviews are in hand: try again");
        (StatusCode::TOO_MANY_REQUESTS, "busy", message)
    };
    Arc::clone(&desk.room).try_acquire_many_owned(portions).map_err(busy)
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

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(method: Method, path: &str, kind: &str, body: Body) -> (StatusCode, String) {
        let request =
            Request::builder().method(method).uri(path).header(CONTENT_TYPE, kind).body(body).unwrap();
        let response = reviews("controller", Metrics::default()).oneshot(request).await.unwrap();
        let code = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (code, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn code(kind: &str, body: impl Into<Body>) -> u16 {
        ask(Method::POST, "/validate", kind, body.into()).await.0.as_u16()
    }

    fn review(object: &Value, old: &Value) -> String {
        cafe_tests::reviews::review(object, old).to_string()
    }

    #[tokio::test]
    async fn what_is_no_review_gets_the_code_that_says_why() {
        assert_eq!(code("application/json", "{").await, 400);
        assert_eq!(code("application/json", "{}").await, 400);
        assert_eq!(code("text/plain", "{}").await, 415);
        assert_eq!(code("application/json; charset=utf-8", "[]").await, 400);
        assert_eq!(code("application/json", vec![b' '; MOST_BYTES + 1]).await, 413);
        assert_eq!(ask(Method::GET, "/validate", "application/json", Body::empty()).await.0, 405);
        assert_eq!(ask(Method::POST, "/other", "application/json", Body::empty()).await.0, 404);
    }

    #[tokio::test]
    async fn an_object_as_large_as_etcd_takes_is_judged() {
        let mut object = json!({
            "apiVersion": "cafe.dev/v1alpha1", "kind": "CafeDeployment", "metadata": { "name": "web" },
            "spec": { "selector": {}, "template": { "spec": { "containers": [{ "name": "app", "image": "a:1" }] } } },
        });
        object["spec"]["template"]["metadata"]["annotations"]["notes"] = json!("x".repeat(1024 * 1024));
        let (code, answer) =
            ask(Method::POST, "/validate", "application/json", review(&object, &object).into()).await;
        assert_eq!((code.as_u16(), answer.contains("\"allowed\":true")), (200, true), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
        let never =
            Body::from_stream(futures::stream::pending::<Result<axum::body::Bytes, std::io::Error>>());
        assert_eq!(code("application/json", never).await, 408);
    }

    #[tokio::test]
    async fn bodies_in_hand_are_bounded_together_and_small_ones_pass() {
        let router = reviews("controller", Metrics::default());
        let send = |length: usize, body: Body| {
            let request = Request::post("/validate").header(CONTENT_TYPE, "application/json");
            let request = request.header(CONTENT_LENGTH, length).body(body).unwrap();
            router.clone().oneshot(request)
        };
        let never =
            || Body::from_stream(futures::stream::pending::<Result<axum::body::Bytes, std::io::Error>>());
        let slow: Vec<_> = (0..4).map(|_| tokio::spawn(send(MOST_BYTES, never()))).collect();
        tokio::task::yield_now().await;
        assert_eq!(send(MOST_BYTES, never()).await.unwrap().status(), 429, "the fifth of the largest");
        assert_eq!(send(2, "{}".into()).await.unwrap().status(), 400, "a small one is read and judged");
        slow.iter().for_each(tokio::task::JoinHandle::abort);
        for task in slow {
            task.await.unwrap_err();
        }
        assert_eq!(send(MOST_BYTES, "{}".into()).await.unwrap().status(), 400, "there is room again");
    }

    const NAMES: &[&str] = &[
        "spec",
        "release",
        "confirm",
        "template",
        "containers",
        "metadata",
        "annotations",
        "status",
        "name",
        "cafe.dev/authors",
    ];

    /// Values as a client may make them up, here and there with a name that means something.
    fn anything() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[0-9]{1,3}/([0-9]{1,3}|all)".prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            let name = prop_oneof![proptest::sample::select(NAMES).prop_map(str::to_owned), "[a-z]{1,6}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(name, inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn random_object() -> impl Strategy<Value = Value> {
        (anything(), anything(), anything(), any::<bool>()).prop_map(|(spec, status, metadata, plain)| {
            let metadata = if plain { json!({ "name": "web" }) } else { metadata };
            json!({ "apiVersion": "cafe.dev/v1alpha1", "kind": "CafeDeployment", "metadata": metadata, "spec": spec, "status": status })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_500))]
        #[test]
        fn ten_thousand_made_up_reviews_are_all_answered(object in random_object(), old in random_object()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            for path in ["/validate", "/stamp"] {
                for old in [&old, &Value::Null] {
                    let body = review(&object, old).into();
                    let (code, answer) = runtime.block_on(ask(Method::POST, path, "application/json", body));
                    prop_assert!(code == 200 || code == 400, "{code} {answer}");
                    if code == 200 {
                        let answer: Value = serde_json::from_str(&answer).unwrap();
                        prop_assert_eq!(&answer["response"]["uid"], "u1");
                    }
                }
            }
        }
    }
}
