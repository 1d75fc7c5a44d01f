//! The election against an API server in this process that keeps one Lease and checks resourceVersions.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use futures::stream;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::*;

const LEASE: Duration = Duration::from_secs(15);

/// What the API server does with requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Answers,
    AnswersNoWatches,
    Hangs,
    /// Writes are carried out but their answer never arrives.
    SwallowsAnswersToWrites,
}

struct State {
    told: watch::Sender<u64>,
    reads: usize,
    lease: Option<Value>,
    version: u64,
    mood: Mood,
    writes: usize,
}

#[derive(Clone)]
struct ApiServer(Arc<Mutex<State>>);

impl ApiServer {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            told: watch::Sender::new(0),
            reads: 0,
            lease: None,
            version: 0,
            mood: Mood::Answers,
            writes: 0,
        })))
    }

    fn client(&self) -> Client {
        let state = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let state = state.clone();
            async move { Ok::<_, Infallible>(state.answer(request).await) }
        });
        Client::new(service, "cafe-system")
    }

    async fn answer(&self, request: Request<kube::client::Body>) -> Response<Body> {
        let method = request.method().clone();
        let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let body = request.into_body().collect_bytes().await.unwrap();
        let mood = self.0.lock().unwrap().mood;
        if mood == Mood::Hangs {
            std::future::pending::<()>().await;
        }
        if watches {
            return Response::new(self.watch(mood));
        }
        let (status, answer) = if method == Method::GET { self.read() } else { self.write(&method, &body) };
        if mood == Mood::SwallowsAnswersToWrites && method != Method::GET {
            std::future::pending::<()>().await;
        }
        Response::builder().status(status).body(Body::from(answer.to_string())).unwrap()
    }

    /// Every version from now on, as the watch of a server whose clients are up to date.
    fn watch(&self, mood: Mood) -> Body {
        if mood == Mood::AnswersNoWatches {
            return Body::empty();
        }
        let (server, mut told) = (self.clone(), self.0.lock().unwrap().told.subscribe());
        told.borrow_and_update();
        let events = stream::unfold((server, told), |(server, mut told)| async move {
            told.changed().await.ok()?;
            let object = server.0.lock().unwrap().lease.clone();
            let line = format!("{}\n", json!({ "type": "MODIFIED", "object": object }));
            Some((Ok::<_, Infallible>(line), (server, told)))
        });
        Body::from_stream(events)
    }

    fn read(&self) -> (StatusCode, Value) {
        let mut state = self.0.lock().unwrap();
        state.reads += 1;
        match state.lease.clone() {
            Some(lease) => (StatusCode::OK, lease),
            None => refused(StatusCode::NOT_FOUND, "NotFound"),
        }
    }

    fn write(&self, method: &Method, body: &[u8]) -> (StatusCode, Value) {
        let mut state = self.0.lock().unwrap();
        let mut lease: Value = serde_json::from_slice(body).unwrap();
        let stored = state.lease.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone());
        let fits = match *method {
            Method::POST => stored.is_none(),
            _ => stored.as_ref() == Some(&lease["metadata"]["resourceVersion"]),
        };
        if !fits {
            return refused(StatusCode::CONFLICT, "Conflict");
        }
        state.version += 1;
        state.writes += 1;
        lease["metadata"]["resourceVersion"] = json!(state.version.to_string());
        state.lease = Some(lease.clone());
        let version = state.version;
        state.told.send_replace(version);
        (StatusCode::OK, lease)
    }

    fn mood(&self, mood: Mood) {
        self.0.lock().unwrap().mood = mood;
    }

    fn holder(&self) -> Option<String> {
        let state = self.0.lock().unwrap();
        state.lease.as_ref()?["spec"]["holderIdentity"].as_str().map(str::to_owned)
    }

    fn reads(&self) -> usize {
        self.0.lock().unwrap().reads
    }

    fn writes(&self) -> usize {
        self.0.lock().unwrap().writes
    }

    fn start(&self, identity: &str) -> Replica {
        let (election, claim) = Election::new(self.client(), "cafe-system", identity, LEASE);
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(election.run(async {
            stopped.await.ok();
        }));
        Replica { claim, stop, task }
    }
}

fn refused(status: StatusCode, reason: &str) -> (StatusCode, Value) {
    let body = json!({"kind": "Status", "status": "Failure", "code": status.as_u16(), "reason": reason, "message": reason});
    (status, body)
}

struct Replica {
    claim: Claim,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Replica {
    async fn changes_to(&mut self, held: bool) -> Duration {
        let start = Instant::now();
        let got = tokio::time::timeout(Duration::from_secs(60), self.claim.changed()).await;
        assert_eq!(got.ok(), Some(held));
        start.elapsed()
    }

    async fn shut_down(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }

    async fn crash(self) {
        self.task.abort();
        self.task.await.unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_replica_creates_the_lease_and_keeps_it() {
    let server = ApiServer::new();
    let mut a = server.start("a");
    a.changes_to(true).await;
    let mut b = server.start("b");
    let kept = tokio::time::timeout(Duration::from_secs(600), a.claim.changed()).await;
    assert!(kept.is_err() && a.claim.is_held() && !b.claim.is_held());
    assert!(tokio::time::timeout(Duration::from_millis(1), b.claim.changed()).await.is_err());
    assert_eq!(server.holder().as_deref(), Some("a"));
    assert_eq!(server.writes(), 121, "one write to acquire, then one renewal every 5 s");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_shuts_down_hands_over_at_once() {
    let server = ApiServer::new();
    let mut a = server.start("a");
    a.changes_to(true).await;
    let mut b = server.start("b");
    let claim = a.claim.clone();
    a.shut_down().await;
    assert!(!claim.is_held());
    assert_ne!(server.holder().as_deref(), Some("a"));
    assert!(b.changes_to(true).await < Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_crashed_replica_is_replaced_only_after_its_lease_ran_out() {
    let server = ApiServer::new();
    let mut a = server.start("a");
    a.changes_to(true).await;
    let mut b = server.start("b");
    tokio::time::sleep(Duration::from_secs(4)).await;
    a.crash().await;
    let waited = b.changes_to(true).await;
    assert!((11..=18).contains(&waited.as_secs()), "{waited:?}");
    assert_eq!(server.holder().as_deref(), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_replica_takes_its_own_claim_back_at_once() {
    let server = ApiServer::new();
    let mut a = server.start("a");
    a.changes_to(true).await;
    a.crash().await;
    let mut again = server.start("a");
    assert!(again.changes_to(true).await < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn without_an_api_server_the_claim_ends_before_others_may_take_the_lease() {
    let server = ApiServer::new();
    let mut a = server.start("a");
    a.changes_to(true).await;
    server.mood(Mood::Hangs);
    let held_for = a.changes_to(false).await;
    assert!(held_for <= LEASE - Duration::from_secs(3), "{held_for:?}");
    server.mood(Mood::Answers);
    assert!(a.changes_to(true).await < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answer_is_lost_is_looked_up_and_repeated() {
    let server = ApiServer::new();
    let mut a = server.start("a");
    a.changes_to(true).await;
    server.mood(Mood::SwallowsAnswersToWrites);
    tokio::time::sleep(Duration::from_secs(6)).await;
    server.mood(Mood::Answers);
    let lost = tokio::time::timeout(Duration::from_secs(60), a.claim.changed()).await;
    assert!(lost.is_err() && a.claim.is_held());
}

#[tokio::test(start_paused = true)]
async fn replicas_that_start_together_never_hold_the_claim_together() {
    let server = ApiServer::new();
    let replicas = ["a", "b", "c"].map(|identity| server.start(identity));
    for _ in 0..300 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(replicas.iter().filter(|replica| replica.claim.is_held()).count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_lease_is_not_given_back() {
    let server = ApiServer::new();
    let mut a = server.start("a");
    a.changes_to(true).await;
    let b = server.start("b");
    b.shut_down().await;
    assert_eq!(server.holder().as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_stands_by_hears_at_once_that_the_lease_was_given_back_and_does_not_ask_for_it() {
    let server = ApiServer::new();
    let mut a = server.start("a");
    a.changes_to(true).await;
    let mut b = server.start("b");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(server.reads(), 2, "each looks once, at its start");
    a.shut_down().await;
    assert!(b.changes_to(true).await < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn without_watches_a_replica_that_stands_by_looks_now_and_then() {
    let server = ApiServer::new();
    server.mood(Mood::AnswersNoWatches);
    let mut a = server.start("a");
    a.changes_to(true).await;
    let mut b = server.start("b");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!((100..=400).contains(&server.reads()), "{}", server.reads());
    a.shut_down().await;
    assert!(b.changes_to(true).await < Duration::from_secs(3));
    let mut c = server.start("c");
    b.crash().await;
    assert!((11..=18).contains(&c.changes_to(true).await.as_secs()));
}

/// However wrong the clocks of the replicas are: the timestamps of the record are for people.
#[tokio::test(start_paused = true)]
async fn a_lease_whose_times_are_days_off_is_neither_taken_early_nor_late() {
    for times in ["1999-12-31T23:59:59.000000Z", "2199-12-31T23:59:59.000000Z"] {
        let server = ApiServer::new();
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": LEASE_NAME, "namespace": "cafe-system", "resourceVersion": "0" },
            "spec": {
                "holderIdentity": "gone", "leaseDurationSeconds": 15, "acquireTime": times, "renewTime": times,
                "leaseTransitions": 1,
            },
        });
        server.0.lock().unwrap().lease = Some(lease);
        let mut a = server.start("a");
        let waited = a.changes_to(true).await;
        assert!(waited > LEASE && waited < LEASE + Duration::from_secs(1), "{times}: {waited:?}");
    }
}
