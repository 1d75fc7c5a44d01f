//! When what happened to which pod, as a watch shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::runtime::watcher::{self, Event};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::micros;
use crate::scenario::{Container, Kind, Pod, serving};

/// From W1 to W2 (or to the deletion) of one pod, in microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// The pod's name.
    pub pod: String,
    /// W1 was seen.
    pub begun: u64,
    /// W2 or the deletion was seen.
    pub ended: u64,
}

/// Durations in microseconds, and counts.
#[derive(Clone, Debug, Default)]
pub struct Timings {
    /// Updates in place that are finished: the new container is ready and the pod serves again.
    pub updates: usize,
    /// The most pods that were out of service at once, of those that had served before.
    pub max_unavailable: usize,
    /// W1 until no endpoint serves the pod.
    pub endpoints: Vec<u64>,
    /// W1 until W2.
    pub drain: Vec<u64>,
    /// W2 until the new containers are ready.
    pub swap: Vec<u64>,
    /// W1 until an endpoint serves the pod again.
    pub total: Vec<u64>,
    /// Every drain.
    pub drains: Vec<Drain>,
}

/// Watches the pods and endpoints of a namespace.
#[derive(Debug)]
pub struct Stopwatch {
    record: Arc<Mutex<Clock>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Stopwatch {
    /// Begins to watch.
    #[must_use]
    pub fn start(client: &Client, namespace: &str) -> Self {
        let record = Arc::new(Mutex::new(Clock::default()));
        let follow = |kind: Kind| {
            let api = Api::namespaced_with(client.clone(), namespace, &kind.resource());
            tokio::spawn(follow(kind, api, Arc::clone(&record)))
        };
        Self { tasks: [Kind::Pod, Kind::Slice].map(follow).into(), record }
    }

    /// What has been seen so far.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).timings.clone()
    }
}

async fn follow(kind: Kind, api: Api<DynamicObject>, record: Arc<Mutex<Clock>>) {
    let mut events = watcher::watcher(api, watcher::Config::default()).boxed();
    while let Some(event) = events.next().await {
        let now = micros();
        let (object, gone) = match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => (object, false),
            Ok(Event::Delete(object)) => (object, true),
            Ok(Event::Init | Event::InitDone) => continue,
            Err(_) => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(value) = serde_json::to_value(object) else { continue };
        let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
        match kind {
            Kind::Slice => record.slice(&value, gone, now),
            _ => record.pod(&value, gone, now),
        }
    }
}

/// One pod's way, as far as it has come.
#[derive(Debug, Default)]
struct Course {
    name: String,
    /// The drain in hand, by the gate's reason, and when it was first seen.
    drain: Option<(String, u64)>,
    /// No endpoint has served it since.
    unlisted: bool,
    /// The images that the spec asked for, and the containers that ran, when the drain began.
    images: Vec<String>,
    containers: Vec<String>,
    /// When the spec's images changed.
    patched: Option<u64>,
    /// When the new containers were ready.
    ready: Option<u64>,
    /// When the update was finished, and when it had begun: open until an endpoint serves it.
    returning: Option<u64>,
    has_served: bool,
    is_out: bool,
}

#[derive(Debug, Default)]
struct Clock {
    courses: BTreeMap<String, Course>,
    /// uids that an endpoint serves, by slice.
    listed: BTreeMap<String, BTreeSet<String>>,
    timings: Timings,
}

impl Clock {
    fn pod(&mut self, object: &Value, gone: bool, now: u64) {
        let pod = Pod(object);
        let course = self.courses.entry(pod.uid().to_owned()).or_default();
        pod.name().clone_into(&mut course.name);
        course.step(pod, gone || pod.is_terminating(), now, &mut self.timings);
        if gone {
            self.courses.remove(pod.uid());
        }
        let out = self.courses.values().filter(|course| course.is_out).count();
        self.timings.max_unavailable = self.timings.max_unavailable.max(out);
    }

    fn slice(&mut self, object: &Value, gone: bool, now: u64) {
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let uids = if gone { BTreeSet::new() } else { serving(object).map(ToOwned::to_owned).collect() };
        self.listed.insert(name, uids);
        for (uid, course) in &mut self.courses {
            let listed = self.listed.values().any(|uids| uids.contains(uid));
            course.endpoints(listed, now, &mut self.timings);
        }
    }
}

impl Course {
    fn step(&mut self, pod: Pod<'_>, leaves: bool, now: u64, timings: &mut Timings) {
        let of = |field: fn(Container) -> String| pod.containers().into_iter().map(field).collect();
        let (images, containers): (Vec<String>, Vec<String>) = (of(|c| c.wants), of(|c| c.id));
        match (&self.drain, pod.drain()) {
            (None, Some(reason)) => {
                self.drain = Some((reason, now));
                self.unlisted = false;
                self.images.clone_from(&images);
                self.containers.clone_from(&containers);
                (self.patched, self.ready) = (None, None);
            }
            (Some((_, begun)), None) if !leaves => {
                if self.ready.is_some() {
                    timings.updates += 1;
                    self.returning = Some(*begun);
                }
                self.drain = None;
            }
            _ => {}
        }
        let Some((_, begun)) = self.drain else {
            self.note_service(pod, leaves);
            return;
        };
        if self.patched.is_none() && (leaves || images != self.images) {
            self.patched = Some(now);
            timings.drain.push(now - begun);
            timings.drains.push(Drain { pod: self.name.clone(), begun, ended: now });
        }
        if let Some(patched) = self.patched
            && self.ready.is_none()
            && !leaves
            && containers != self.containers
            && pod.has("ContainersReady")
        {
            self.ready = Some(now);
            timings.swap.push(now - patched);
        }
        self.note_service(pod, leaves);
    }

    /// A pod that leaves for good is replaced or not needed any more; it is out only until then.
    fn note_service(&mut self, pod: Pod<'_>, leaves: bool) {
        self.has_served |= pod.in_service();
        self.is_out = self.has_served && !leaves && !pod.in_service();
    }

    fn endpoints(&mut self, listed: bool, now: u64, timings: &mut Timings) {
        if let Some((_, begun)) = self.drain
            && !listed
            && !self.unlisted
        {
            self.unlisted = true;
            timings.endpoints.push(now - begun);
        }
        if listed && let Some(begun) = self.returning.take() {
            timings.total.push(now - begun);
        }
    }
}
