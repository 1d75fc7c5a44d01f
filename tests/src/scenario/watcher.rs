//! Every version of every object of a namespace, in the order in which the API server made them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::StreamExt;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::object::text;
use super::view::View;

/// A kind that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// CafeDeployments.
    Deployment,
    /// InPlaceSets.
    Set,
    /// ControllerRevisions.
    Revision,
    /// Pods.
    Pod,
    /// EndpointSlices.
    Slice,
    /// Events.
    Event,
    /// Nodes, which are of no namespace.
    Node,
}

const KINDS: [Kind; 7] =
    [Kind::Deployment, Kind::Set, Kind::Revision, Kind::Pod, Kind::Slice, Kind::Event, Kind::Node];

impl Kind {
    /// Where objects of this kind are found.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::Deployment => ("cafe.dev", "v1alpha1", "CafeDeployment", "cafedeployments"),
            Self::Set => ("cafe.dev", "v1alpha1", "InPlaceSet", "inplacesets"),
            Self::Revision => ("apps", "v1", "ControllerRevision", "controllerrevisions"),
            Self::Pod => ("", "v1", "Pod", "pods"),
            Self::Slice => ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
            Self::Event => ("events.k8s.io", "v1", "Event", "events"),
            Self::Node => ("", "v1", "Node", "nodes"),
        };
        ApiResource::from_gvk_with_plural(&kube::api::GroupVersionKind::gvk(group, version, kind), plural)
    }
}

/// One version of one object.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its resource version: all kinds count up together.
    pub version: u64,
    /// When the watch showed it, in milliseconds since it began.
    pub at: i64,
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The object.
    pub object: Arc<Value>,
    /// It is gone.
    pub gone: bool,
}

#[derive(Debug)]
struct Record {
    begun_at: Instant,
    history: Vec<Seen>,
    live: BTreeMap<(Kind, String), Arc<Value>>,
    /// Kinds whose first list is complete.
    begun: BTreeSet<Kind>,
}

const BEGIN: Duration = Duration::from_secs(30);

/// Watches a namespace from its first object on.
#[derive(Debug)]
pub struct Watcher {
    record: Arc<Mutex<Record>>,
    changed: watch::Receiver<u64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Watcher {
    /// Starts to watch and returns when every watch runs: nothing that is created from now on is missed.
    ///
    /// # Errors
    /// When a watch does not begin within half a minute.
    pub async fn start(client: &Client, namespace: &str) -> Result<Self> {
        let record = Arc::new(Mutex::new(Record::new()));
        let (told, mut changed) = watch::channel(0);
        let told = Arc::new(told);
        let task = |kind: Kind| {
            let api = match kind {
                Kind::Node => Api::all_with(client.clone(), &kind.resource()),
                _ => Api::namespaced_with(client.clone(), namespace, &kind.resource()),
            };
            tokio::spawn(follow(kind, api, Arc::clone(&record), Arc::clone(&told)))
        };
        let tasks = KINDS.into_iter().map(task).collect();
        let begun = || record.lock().unwrap_or_else(PoisonError::into_inner).begun.len() == KINDS.len();
        let all = async {
            while !begun() {
                changed.changed().await?;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(BEGIN, all).await.context("the watches of the scenario do not begin")??;
        Ok(Self { record, changed, tasks })
    }

    /// A receiver that is told of every change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }

    /// What is there now.
    #[must_use]
    pub fn view(&self) -> View {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |kind| {
            let live = record.live.iter().filter(move |((k, _), _)| *k == kind);
            live.map(|(_, object)| Arc::clone(object)).collect::<Vec<_>>()
        };
        View {
            deployment: of(Kind::Deployment).into_iter().next().unwrap_or_default(),
            sets: of(Kind::Set),
            revisions: of(Kind::Revision),
            pods: of(Kind::Pod),
            slices: of(Kind::Slice),
        }
    }

    /// Every version so far, in order.
    #[must_use]
    pub fn history(&self) -> Vec<Seen> {
        let mut history = self.record.lock().unwrap_or_else(PoisonError::into_inner).history.clone();
        history.sort_by_key(|seen| (seen.version, seen.gone));
        // A watch that had to begin anew lists what it has shown before.
        history.dedup_by(|a, b| (a.version, a.kind, &a.name, a.gone) == (b.version, b.kind, &b.name, b.gone));
        history
    }

    /// The resource version of the newest version seen of an object.
    #[must_use]
    pub fn version_of(&self, kind: Kind, name: &str) -> Option<u64> {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.live.get(&(kind, name.to_owned())).map(|object| version(object))
    }

    /// Reason and note of the events about CafeDeployments and InPlaceSets, in the order in which they were told.
    #[must_use]
    pub fn events(&self) -> Vec<(String, String)> {
        self.events_about(|regarding| text(regarding, "/apiVersion").starts_with("cafe.dev/"))
    }

    /// Reason and note of the events that Cafe told about the pod of this name, in their order.
    #[must_use]
    pub fn pod_events(&self, pod: &str) -> Vec<(String, String)> {
        self.events_about(|regarding| text(regarding, "/kind") == "Pod" && text(regarding, "/name") == pod)
    }

    fn events_about(&self, about: impl Fn(&Value) -> bool) -> Vec<(String, String)> {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events: Vec<_> = record
            .live
            .iter()
            .filter(|((kind, _), event)| {
                let ours = text(event, "/reportingController").starts_with("cafe.dev/");
                *kind == Kind::Event && ours && event.get("regarding").is_some_and(&about)
            })
            .map(|(_, event)| {
                let of = |pointer| text(event, pointer).to_owned();
                (of("/eventTime"), of("/reason"), of("/note"))
            })
            .collect();
        events.sort();
        events.into_iter().map(|(_, reason, note)| (reason, note)).collect()
    }
}

/// The resource version of an object as a number.
pub(in crate::scenario) fn version(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion").parse().unwrap_or_default()
}

async fn follow(
    kind: Kind,
    api: Api<DynamicObject>,
    record: Arc<Mutex<Record>>,
    told: Arc<watch::Sender<u64>>,
) {
    let mut events = watcher::watcher(api, watcher::Config::default()).boxed();
    let mut listed = BTreeSet::new();
    while let Some(event) = events.next().await {
        // The watcher goes on by itself after an error.
        let Ok(event) = event else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        {
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = record.fold(kind, event, &mut listed);
        }
        told.send_modify(|changes| *changes += 1);
    }
}

impl Record {
    fn new() -> Self {
        let (history, live, begun) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        Self { begun_at: Instant::now(), history, live, begun }
    }

    fn fold(&mut self, kind: Kind, event: Event<DynamicObject>, listed: &mut BTreeSet<String>) -> Result<()> {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                listed.insert(object.name_any());
                self.see(kind, &object, false)?;
            }
            Event::InitDone => {
                self.live.retain(|(k, name), _| *k != kind || listed.contains(name));
                self.begun.insert(kind);
            }
            Event::Apply(object) => self.see(kind, &object, false)?,
            Event::Delete(object) => self.see(kind, &object, true)?,
        }
        Ok(())
    }

    fn see(&mut self, kind: Kind, object: &DynamicObject, gone: bool) -> Result<()> {
        let name = object.name_any();
        let object = Arc::new(serde_json::to_value(object)?);
        self.history.push(Seen {
            version: version(&object),
            at: self.begun_at.elapsed().as_millis().try_into()?,
            kind,
            name: name.clone(),
            object: Arc::clone(&object),
            gone,
        });
        if gone {
            self.live.remove(&(kind, name));
        } else {
            self.live.insert((kind, name), object);
        }
        Ok(())
    }
}
