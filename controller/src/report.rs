//! Telling: events for people, figures for machines. Nothing decides by them, so nothing waits for them.

use std::collections::{BTreeMap, HashSet, VecDeque};

use cafe_crds::{
    deployment::CafeDeploymentStatus,
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
    metrics::{DeploymentFigures, Metrics, ReplicaFigures},
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

/// Emits events in the background.
pub(crate) struct Reporter {
    client: Client,
    instance: String,
    waiting: VecDeque<http::Request<Vec<u8>>>,
    telling: FuturesUnordered<BoxFuture<'static, ()>>,
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
    pub(crate) async fn progress(&mut self) {
        if self.telling.next().await.is_none() {
            std::future::pending::<()>().await;
        }
        self.send();
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

    /// Counts the answer to a write that moves a pod.
    pub(crate) fn counted(&self, metrics: &Metrics, call: &Call, result: &'static str) {
        let mode = match call.decision {
            "UpdateInPlace" => "in_place",
            "UpdateMetadata" => "metadata",
            "DeleteToRecreate" => "recreate",
            _ => return,
        };
        metrics.pod_updated(mode, result);
    }

    /// Brings the figures of a CafeDeployment up to date after its status was written.
    pub(crate) fn figures(&self, world: &World, metrics: &Metrics, call: &Call) {
        let (Owner::Deployment(uid), true) = (call.owner, call.is_status) else { return };
        let Some(record) = world.deployments.get(&uid) else { return };
        let d = &record.deployment;
        metrics.set_deployment(&d.namespace, &d.name, figures(d, &d.status));
        for outcome in call.events.iter().filter_map(|e| outcome(e.reason)) {
            metrics.release_ended(&d.namespace, &d.name, outcome);
        }
    }

    fn tell(&mut self, subject: &Subject, event: &Event) {
        if self.waiting.len() >= WAITING {
            tracing::warn!(reason = event.reason, "too many events are waiting: this one is dropped");
            return;
        }
        self.waiting.push_back(request(subject, event, &self.instance));
        self.send();
    }

    fn send(&mut self) {
        while self.telling.len() < AT_ONCE {
            let Some(request) = self.waiting.pop_front() else { return };
            let client = self.client.clone();
            let tell = async move {
                let outcome: Outcome<Value> = client::call(client.request(request)).await.into();
                match outcome {
                    // An event that exists has been told before, perhaps by the process before this one.
                    Outcome::Applied(_) | Outcome::Conflict | Outcome::Gone => {}
                    other => tracing::debug!(reason = other.reason(), "an event was not told"),
                }
            };
            self.telling.push(tell.boxed());
        }
    }
}

/// The outcome an event tells of, as a metric label.
fn outcome(reason: &str) -> Option<&'static str> {
    match reason {
        reason::RELEASE_COMPLETED => Some("completed"),
        reason::ROLLBACK_COMPLETED => Some("rolled_back"),
        reason::RELEASE_SUPERSEDED => Some("superseded"),
        _ => None,
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

fn figures(d: &Deployment, status: &CafeDeploymentStatus) -> DeploymentFigures {
    let count = |n: i32| u32::try_from(n).unwrap_or(0);
    let out = |replicas: i32, available: i32| count(replicas.saturating_sub(available));
    let release = status.release.as_ref();
    let unit = |u: &cafe_crds::deployment::UnitStatus| {
        let figures = ReplicaFigures {
            desired: count(u.replicas),
            current: count(u.replicas),
            updated: count(u.updated_replicas),
            ready: count(u.ready_replicas),
            available: count(u.available_replicas),
            out_of_traffic: out(u.replicas, u.available_replicas),
        };
        (u.name.as_str().into(), figures)
    };
    DeploymentFigures {
        upgrade_type: match d.spec.strategy.upgrade_type {
            cafe_crds::deployment::UpgradeType::Beta => "Beta",
            cafe_crds::deployment::UpgradeType::Batch => "Batch",
        },
        phase: phase(status),
        replicas: ReplicaFigures {
            desired: count(d.spec.replicas),
            current: count(status.replicas),
            updated: count(status.updated_replicas),
            ready: count(status.ready_replicas),
            available: count(status.available_replicas),
            out_of_traffic: out(status.replicas, status.available_replicas),
        },
        units: status.units.iter().map(unit).collect::<BTreeMap<_, _>>(),
        group: count(release.map_or(0, |r| r.group)),
        groups: count(release.map_or(0, |r| r.group_total)),
        waiting_since: release.and_then(|r| r.waiting_since).map(|s| s.0),
    }
}

fn phase(status: &CafeDeploymentStatus) -> &'static str {
    use cafe_crds::deployment::Phase;
    match status.phase {
        None => "Unknown",
        Some(Phase::Healthy) => "Healthy",
        Some(Phase::Progressing) => "Progressing",
        Some(Phase::Waiting) => "Waiting",
        Some(Phase::Paused) => "Paused",
        Some(Phase::RollingBack) => "RollingBack",
        Some(Phase::Aborted) => "Aborted",
        Some(Phase::Degraded) => "Degraded",
        Some(Phase::Invalid) => "Invalid",
    }
}
