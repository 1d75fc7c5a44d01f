//! Telling: events for people. Nothing decides by them, so nothing waits for them.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use cafe_crds::{
    names::{GROUP, VERSION},
    reason,
};
use cafe_planner::{
    Text,
    deployment::{Deployment, Event},
    identity::{Uid, mix},
    set::{Set, action::Notice},
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use kube::Client;
use serde_json::{Value, json};

use crate::{
    apply::Call,
    client::{self, Outcome, Refusal},
    world::{Owner, World},
};

/// Events on their way at once.
const AT_ONCE: usize = 4;
/// Events waiting to be told; what comes on top is dropped.
const WAITING: usize = 1000;
/// Longest note the API takes, in bytes.
const LONGEST_NOTE: usize = 1000;

/// What an event is about.
struct Subject {
    api: String,
    kind: &'static str,
    namespace: Text,
    name: Text,
    uid: Uid,
}

/// An event that waits to be told.
struct Waiting {
    request: http::Request<Vec<u8>>,
    reason: &'static str,
    once: String,
    uid: Uid,
}

/// What came of an event.
pub(crate) struct Told {
    /// Its reason.
    pub(crate) reason: &'static str,
    /// What tells it apart from others of its reason.
    pub(crate) once: String,
    /// The object it is about.
    pub(crate) uid: Uid,
    /// The API server took it: nobody had told it before.
    pub(crate) is_new: bool,
    /// The HTTP code, 0 when there was no answer.
    pub(crate) code: u16,
    /// How long that took.
    pub(crate) took: Duration,
}

/// Emits events in the background.
pub(crate) struct Reporter {
    client: Client,
    instance: String,
    waiting: VecDeque<Waiting>,
    telling: FuturesUnordered<BoxFuture<'static, Told>>,
    /// What has been told once and for all.
    told: HashSet<u64>,
}

impl Reporter {
    /// A reporter that signs as `instance`.
    pub(crate) fn new(client: Client, instance: String) -> Self {
        Self {
            client,
            instance,
            waiting: VecDeque::new(),
            telling: FuturesUnordered::new(),
            told: HashSet::new(),
        }
    }

    /// Drives the events on their way; pending for ever while there are none.
    pub(crate) async fn progress(&mut self) -> Told {
        let Some(told) = self.telling.next().await else { return std::future::pending().await };
        self.send();
        told
    }

    /// Tells what a successful call has earned.
    pub(crate) fn applied(&mut self, world: &World, call: &Call) {
        let Owner::Deployment(uid) = call.owner else { return };
        let Some(record) = world.deployments.get(&uid) else { return };
        for event in &call.events {
            tracing::info!(
                reason = event.reason,
                namespace = &*call.namespace,
                name = &*record.deployment.name,
                "{}",
                event.note
            );
            self.tell(&subject(&record.deployment), event);
        }
    }

    /// Tells what belongs to no write, once.
    pub(crate) fn notice(&mut self, deployment: &Deployment, notices: Vec<Event>) {
        for event in notices {
            let key = key(deployment.uid, &event);
            if self.told.insert(key) {
                tracing::warn!(
                    reason = event.reason,
                    namespace = &*deployment.namespace,
                    name = &*deployment.name,
                    "{}",
                    event.note
                );
                self.tell(&subject(deployment), &event);
            }
        }
    }

    /// Tells what belongs to no write about pods, once.
    pub(crate) fn pod_notices(&mut self, namespace: &Text, notices: Vec<Notice>) {
        for Notice { pod, uid, event } in notices {
            if self.told.insert(key(uid, &event)) {
                tracing::warn!(
                    reason = event.reason,
                    namespace = &**namespace,
                    name = &*pod,
                    "{}",
                    event.note
                );
                let subject = Subject {
                    api: "v1".to_owned(),
                    kind: "Pod",
                    namespace: namespace.clone(),
                    name: pod,
                    uid,
                };
                self.tell(&subject, &event);
            }
        }
    }

    /// Tells what belongs to no write about an InPlaceSet, once.
    pub(crate) fn set_notices(&mut self, namespace: &Text, set: &Set, events: Vec<Event>) {
        for event in events {
            if self.told.insert(key(set.uid, &event)) {
                tracing::info!(
                    reason = event.reason,
                    namespace = &**namespace,
                    name = &*set.name,
                    "{}",
                    event.note
                );
                self.tell(&set_subject(namespace, &set.name, set.uid), &event);
            }
        }
    }

    /// Tells that the API server refused a write: once per owner, decision and answer.
    pub(crate) fn refused(&mut self, world: &World, call: &Call, refusal: &Refusal) {
        let (subject, uid) = match call.owner {
            Owner::Deployment(uid) => (world.deployments.get(&uid).map(|r| subject(&r.deployment)), uid),
            Owner::Set(uid) => {
                (world.sets.get(&uid).map(|r| set_subject(&r.namespace, &r.set.name, uid)), uid)
            }
        };
        let Some(subject) = subject else { return };
        let note = format!("{} {}: {}", call.decision, call.name, refusal.message);
        let event = Event { once: refusal.message.clone(), ..Event::warning(reason::CREATE_FAILED, note) };
        if self.told.insert(key(uid, &event)) {
            self.tell(&subject, &event);
        }
    }

    fn tell(&mut self, subject: &Subject, event: &Event) {
        if self.waiting.len() >= WAITING {
            tracing::warn!(reason = event.reason, "too many events are waiting: this one is dropped");
            return;
        }
        let request = request(subject, event, &self.instance);
        let (reason, once, uid) = (event.reason, event.once.clone(), subject.uid);
        self.waiting.push_back(Waiting { request, reason, once, uid });
        self.send();
    }

    fn send(&mut self) {
        while self.telling.len() < AT_ONCE {
            let Some(Waiting { request, reason, once, uid }) = self.waiting.pop_front() else { return };
            let client = self.client.clone();
            let tell = async move {
                let started = Instant::now();
                let outcome: Outcome<Value> = client::call(client.request(request)).await.into();
                let (is_new, code) = (matches!(outcome, Outcome::Applied(_)), outcome.code());
                match outcome {
                    // An event that exists has been told before, perhaps by the process before this one.
                    Outcome::Applied(_) | Outcome::Conflict | Outcome::Gone => {}
                    other => tracing::debug!(reason = other.reason(), "an event was not told"),
                }
                Told { reason, once, uid, is_new, code, took: started.elapsed() }
            };
            self.telling.push(tell.boxed());
        }
    }
}

fn subject(d: &Deployment) -> Subject {
    Subject {
        api: format!("{GROUP}/{VERSION}"),
        kind: "CafeDeployment",
        namespace: d.namespace.clone(),
        name: d.name.clone(),
        uid: d.uid,
    }
}

fn set_subject(namespace: &Text, name: &Text, uid: Uid) -> Subject {
    Subject {
        api: format!("{GROUP}/{VERSION}"),
        kind: "InPlaceSet",
        namespace: namespace.clone(),
        name: name.clone(),
        uid,
    }
}

/// Identifies what is to be told once: the same for every process.
fn key(uid: Uid, event: &Event) -> u64 {
    let text = event.reason.bytes().chain(event.once.bytes());
    text.fold(mix((uid.0 ^ (uid.0 >> 64)) as u64), |hash, byte| mix(hash ^ u64::from(byte)))
}

#[allow(clippy::disallowed_methods, reason = "an event carries the moment it is told")]
fn request(subject: &Subject, event: &Event, instance: &str) -> http::Request<Vec<u8>> {
    let now = jiff::Timestamp::now();
    let suffix = if event.once.is_empty() {
        mix((now.as_nanosecond() as u64) ^ key(subject.uid, event))
    } else {
        key(subject.uid, event)
    };
    let body = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": format!("{}.{suffix:016x}", subject.name), "namespace": &*subject.namespace},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        "reportingController": format!("{GROUP}/controller"), "reportingInstance": instance,
        "action": event.reason, "reason": event.reason,
        "type": if event.warning { "Warning" } else { "Normal" },
        "note": shortened(&event.note),
        "regarding": {
            "apiVersion": subject.api, "kind": subject.kind,
            "namespace": &*subject.namespace, "name": &*subject.name, "uid": subject.uid.to_string(),
        },
    });
    let uri = format!("/apis/events.k8s.io/v1/namespaces/{}/events", subject.namespace);
    let mut request = http::Request::new(serde_json::to_vec(&body).unwrap_or_default());
    *request.method_mut() = http::Method::POST;
    if let Ok(uri) = uri.parse() {
        *request.uri_mut() = uri;
    }
    request
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    request
}

fn shortened(note: &str) -> &str {
    let mut end = note.len().min(LONGEST_NOTE);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    note.get(..end).unwrap_or_default()
}
