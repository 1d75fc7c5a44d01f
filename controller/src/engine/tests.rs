use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use cafe_planner::{
    identity::Uid,
    set::{Action, action::On},
};
use futures::stream::{self, BoxStream, SelectAll};
use http::{Method, Request, Response};
use kube::{client::Body, core::DeserializeGuard, runtime::watcher::Event};
use serde_json::{Value, json};

use super::*;
use crate::{
    observe::{
        content::Content,
        slim::{PodObject, SetObject},
    },
    world::refusals::Refused,
};

pub(super) const UID: &str = "00000000-0000-0000-0000-0000000000aa";

/// An API server that takes note of what is written and answers every write with what it was sent.
#[derive(Clone, Default)]
pub(super) struct Api {
    written: Arc<Mutex<Vec<(Method, String)>>>,
    /// Ends of uris that are refused, and the code they are refused with.
    forbidden: Arc<Mutex<Option<(&'static str, u16)>>>,
}

impl Api {
    fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        Client::new(service, "shop")
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let body = request.into_body().collect_bytes().await.unwrap();
        let mut object: Value = serde_json::from_slice(&body).unwrap_or_default();
        let refused = self.forbidden.lock().unwrap().filter(|(uri, _)| path.ends_with(uri));
        self.written.lock().unwrap().push((method, path));
        if let Some((_, code)) = refused {
            let status = json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": "exceeded quota", "code": code});
            return Response::builder()
                .status(code)
                .body(Body::from(status.to_string().into_bytes()))
                .unwrap();
        }
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("uid".into(), "00000000-0000-0000-0000-0000000000bb".into());
            metadata.insert("resourceVersion".into(), "50".into());
        }
        Response::new(Body::from(object.to_string().into_bytes()))
    }

    async fn until(&self, what: impl Fn(&[(Method, String)]) -> bool) {
        while !what(&self.written.lock().unwrap()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn set(replicas: usize) -> SetObject {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": UID, "resourceVersion": "5", "generation": 1},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template()},
    }))
    .unwrap()
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": "a:1"}]}})
}

fn revision() -> Value {
    let content = Content { template: template(), claims: Vec::new() };
    let hash = cafe_planner::identity::RevisionHash::of(content.digest(), 0).to_string();
    let owner = json!([{"apiVersion": "cafe.dev/v1alpha1", "kind": "InPlaceSet", "name": "web", "uid": UID, "controller": true}]);
    json!({
        "metadata": {
            "name": format!("web-{hash}"), "namespace": "shop", "uid": "00000000-0000-0000-0000-0000000000cc",
            "resourceVersion": "6", "labels": {"cafe.dev/revision": hash}, "ownerReferences": owner,
        },
        "data": content.to_data(), "revision": 1,
    })
}

/// The first complete lists of all kinds: one set that stands alone, its revision, and pods of it, if not the one that it lacks.
pub(super) fn lists(pods: Vec<PodObject>) -> Vec<Observed> {
    let revision = serde_json::from_value(revision()).unwrap();
    let set = set(pods.len().max(1));
    let pods = pods.into_iter().map(|pod| Observed::Pod(Event::InitApply(pod)));
    let mut lists = vec![
        Observed::Deployment(Event::Init),
        Observed::Deployment(Event::InitDone),
        Observed::Set(Event::Init),
        Observed::Set(Event::InitApply(DeserializeGuard(Ok(set)))),
        Observed::Set(Event::InitDone),
        Observed::Release(Event::Init),
        Observed::Release(Event::InitDone),
        Observed::Revision(Event::Init),
        Observed::Revision(Event::InitApply(revision)),
        Observed::Revision(Event::InitDone),
        Observed::Slice(Event::Init),
        Observed::Slice(Event::InitDone),
        Observed::Node(Event::Init),
        Observed::Node(Event::InitDone),
        Observed::Claim(Event::Init),
        Observed::Claim(Event::InitDone),
        Observed::Pod(Event::Init),
    ];
    lists.extend(pods);
    lists.push(Observed::Pod(Event::InitDone));
    lists
}

pub(super) fn engine(api: &Api) -> Engine {
    engine_that_sees(api, Vec::new(), stream::pending().boxed())
}

/// An engine that sees the first lists with these pods, and then what happens.
fn engine_that_sees(api: &Api, pods: Vec<PodObject>, later: BoxStream<'static, Observed>) -> Engine {
    let all = stream::iter(lists(pods)).chain(later).chain(stream::pending());
    engine_of(api, all.map(|event| Frame { scope: None, event }).boxed(), Arc::default())
}

fn engine_of(api: &Api, lists: BoxStream<'static, Frame>, health: Arc<Health>) -> Engine {
    let client = api.client();
    let mut frames = SelectAll::new();
    frames.push(lists);
    Engine::new(Parts {
        trusts_stamps: false,
        sees_nodes: true,
        reporter: Reporter::new(client.clone(), "test".into()),
        client,
        claim: Claim::always(),
        metrics: Metrics::default(),
        health,
        frames,
        watches: crate::watch::count(&crate::watch::Scope { namespaces: Vec::new(), nodes: true }),
        window: 64,
    })
}

fn creates_a_pod((method, path): &(Method, String)) -> bool {
    *method == Method::POST && path.ends_with("/pods")
}

#[tokio::test]
async fn an_owner_that_comes_due_is_planned_though_nothing_else_happens() {
    let api = Api::default();
    let mut engine = engine(&api);
    let now = engine.clock.now().mono.0;
    // Neither a frame nor the loop's own turn comes in time to help.
    engine.next_tick = Millis(now + TICK);
    let rest = Millis(now + 100);
    engine.world.memory(Owner::Set(UID.parse().unwrap())).resting_until = Some(rest);
    let created = api.until(|written| written.iter().any(creates_a_pod));
    // Well before the loop turns by itself.
    tokio::time::timeout(Duration::from_millis(TICK / 2), engine.run(created))
        .await
        .expect("planned in time")
        .unwrap();
}

#[tokio::test]
async fn a_refused_pod_does_not_keep_the_status_from_being_written() {
    let api = Api::default();
    *api.forbidden.lock().unwrap() = Some(("/pods", 403));
    let status = |(method, path): &(Method, String)| {
        *method == Method::PATCH && path.ends_with("/inplacesets/web/status")
    };
    let written = api.until(|w| {
        let refused = w.iter().position(creates_a_pod);
        refused.is_some() && w.iter().any(status)
    });
    tokio::time::timeout(Duration::from_millis(TICK / 2), engine(&api).run(written))
        .await
        .expect("written")
        .unwrap();
    let tries = api.written.lock().unwrap().iter().filter(|w| creates_a_pod(w)).count();
    assert!(tries < 10, "a refused pod is not tried again at once: {tries}");
}

/// A pod of the set that has not served yet.
pub(super) fn pod(number: u32, is_ready: bool) -> PodObject {
    let owner = json!([{"apiVersion": "cafe.dev/v1alpha1", "kind": "InPlaceSet", "name": "web", "uid": UID, "controller": true}]);
    let revision = revision()["metadata"]["labels"]["cafe.dev/revision"].clone();
    let state = json!({"name": "app", "image": "a:1", "ready": is_ready, "containerID": "c", "state": {"running": {}}});
    let ready = json!({"type": "ContainersReady", "status": if is_ready { "True" } else { "False" }});
    let metadata = json!({
        "name": format!("web-{number}"), "namespace": "shop", "uid": format!("00000000-0000-0000-0000-{number:012x}"),
        "resourceVersion": if is_ready { "20" } else { "10" }, "labels": {"app": "web", "cafe.dev/revision": revision},
        "ownerReferences": owner,
    });
    let spec = json!({"nodeName": "node", "containers": [{"name": "app", "image": "a:1"}]});
    let status = json!({"phase": "Running", "conditions": [ready], "containerStatuses": [state]});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
}

#[tokio::test]
async fn a_write_that_is_refused_holds_no_other_pod_back() {
    let api = Api::default();
    *api.forbidden.lock().unwrap() = Some(("/pods/web-1/status", 422));
    let to = |pod: &'static str| {
        let path = format!("/pods/{pod}/status");
        move |written: &(Method, String)| written.0 == Method::PATCH && written.1.ends_with(&path)
    };
    let second = {
        let api = api.clone();
        // Not before it is known that the first one was refused: an event tells.
        async move {
            api.until(|written| written.iter().any(|(_, path)| path.ends_with("/events"))).await;
            Observed::Pod(Event::Apply(pod(2, true)))
        }
    };
    let engine = engine_that_sees(&api, vec![pod(1, true), pod(2, false)], stream::once(second).boxed());
    let let_in = api.until(|written| written.iter().any(to("web-2")));
    tokio::time::timeout(Duration::from_millis(TICK / 2), engine.run(let_in))
        .await
        .expect("the other pod is let in")
        .unwrap();
    let tries = api.written.lock().unwrap().iter().filter(|written| to("web-1")(written)).count();
    assert_eq!(tries, 1, "what was refused is left alone for a while");
}

/// The same pod, seen later and no further.
fn later(pod: PodObject, version: u64) -> Observed {
    let mut pod = pod;
    pod.metadata.0.resource_version = Some(version.to_string());
    Observed::Pod(Event::Apply(pod))
}

fn writes_to(written: &[(Method, String)], pod: &str) -> usize {
    let path = format!("/pods/{pod}/status");
    written.iter().filter(|(method, uri)| *method == Method::PATCH && uri.ends_with(&path)).count()
}

#[tokio::test]
async fn a_pod_that_was_written_to_is_left_alone_until_its_watch_shows_that() {
    let api = Api::default();
    let first = {
        let api = api.clone();
        async move {
            api.until(|written| writes_to(written, "web-1") == 1).await;
            // Has the set planned once more, while what became of the first pod is not known.
            Observed::Pod(Event::Apply(pod(2, true)))
        }
    };
    let second = {
        let api = api.clone();
        async move {
            api.until(|written| writes_to(written, "web-2") == 1).await;
            assert_eq!(writes_to(&api.written.lock().unwrap(), "web-1"), 1, "not known to be necessary");
            later(pod(1, true), 51)
        }
    };
    let shown = stream::once(first).chain(stream::once(second)).boxed();
    let engine = engine_that_sees(&api, vec![pod(1, true), pod(2, false)], shown);
    let again = api.until(|written| writes_to(written, "web-1") == 2);
    tokio::time::timeout(Duration::from_millis(TICK / 2), engine.run(again))
        .await
        .expect("written to again")
        .unwrap();
}

#[tokio::test]
async fn a_write_that_changed_nothing_is_not_repeated_at_once() {
    let (set, pod_of_it): (Uid, Uid) = (UID.parse().unwrap(), Uid(1));
    let on = On { pod: "web-1".into(), uid: pod_of_it, rv: 20 };
    let mut engine = engine_that_sees(&Api::default(), vec![pod(1, true)], stream::pending().boxed());
    engine.drain_frames();
    let now = engine.clock.now();
    for (version, is_left_alone) in [(21, false), (20, true)] {
        let call = apply::set_call(&engine.world, set, Action::PutBack { on: on.clone() }, now).unwrap();
        let answer = Outcome::Applied(Answer::Changed(version));
        engine.settle(Done::Call(Box::new(call), answer, Duration::ZERO));
        let refusals = &engine.world.memory(Owner::Set(set)).refusals;
        let until = refusals.until(Refused::Object(pod_of_it), now.mono);
        assert_eq!(until.is_some(), is_left_alone, "{version}");
    }
}

/// What the admin port says of the event loop.
fn livez(address: std::net::SocketAddr) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET /livez HTTP/1.1\r\nhost: cafe\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn until_livez(address: std::net::SocketAddr, says: &str) {
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !livez(address).contains(says) {
        assert!(std::time::Instant::now() < end, "never {says}: {}", livez(address));
    }
}

#[test]
fn liveness_ends_while_the_loop_is_blocked_and_comes_back_with_it() {
    let health = Arc::new(Health::patient(Duration::from_secs(1)));
    let admin = crate::admin::start(
        "127.0.0.1:0".parse().unwrap(),
        Metrics::default(),
        health.clone(),
        Default::default(),
    )
    .unwrap();
    let turns = Arc::new(Mutex::new(()));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let held = turns.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            // Frames without end; while the test holds the lock the thread of the loop stands still.
            let frames = stream::unfold(held, |held| async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                drop(held.lock().unwrap());
                Some((Frame { scope: None, event: Observed::Node(Event::Init) }, held))
            });
            let stop = async { stopped.await.unwrap() };
            engine_of(&Api::default(), frames.boxed(), health).run(stop).await.unwrap();
        });
    });
    let address = admin.address();
    until_livez(address, "200 OK");
    let blocked = turns.lock().unwrap();
    until_livez(address, "the event loop has not turned for");
    drop(blocked);
    until_livez(address, "200 OK");
    stop.send(()).unwrap();
    thread.join().unwrap();
    admin.stop();
}
