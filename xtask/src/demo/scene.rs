//! What can be seen of the cluster: every change of a pod and of the CafeDeployment, told as it happens.

mod actor;
mod release;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use cafe_crds::deployment::{CafeDeployment, ReleaseState, ReleaseStatus};
use futures::stream::{BoxStream, StreamExt, select};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::time::{Instant, timeout_at};

use super::narration::{Narrator, Tone};
pub(super) use actor::Actor;

/// Two watches bring what belongs together a moment apart; resource versions put it into order.
const SETTLE: Duration = Duration::from_millis(40);

enum Seen {
    Pod(Box<Pod>),
    Gone(Box<Pod>),
    Deployment(Box<CafeDeployment>),
    Broken(String),
}

impl Seen {
    fn version(&self) -> u64 {
        let version = match self {
            Self::Pod(pod) | Self::Gone(pod) => pod.resource_version(),
            Self::Deployment(deployment) => deployment.resource_version(),
            Self::Broken(_) => None,
        };
        version.and_then(|version| version.parse().ok()).unwrap_or(0)
    }
}

/// A pod got a new image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    /// The pod.
    pub(super) pod: String,
    /// Its unit.
    pub(super) unit: String,
    /// The label `cafe.dev/group` it got.
    pub(super) group: String,
}

/// The pods and the CafeDeployment as last seen, and what was seen since the cast was complete.
pub(super) struct Scene<'a> {
    narrator: &'a Narrator,
    seen: BoxStream<'static, Seen>,
    /// By name.
    pub(super) pods: BTreeMap<String, Actor>,
    release: ReleaseStatus,
    message: String,
    /// The pods that must stay what they are, with uid and IP; empty until [`Scene::fix_cast`].
    cast: BTreeMap<String, Actor>,
    /// The plan of the newest release as it was first seen, and how many pods had left the traffic by then.
    pub(super) opening: (Vec<String>, usize),
    /// Every in-place update.
    pub(super) moves: Vec<Move>,
    /// How often a pod left the traffic.
    pub(super) exits: usize,
    /// Most pods out of the traffic at once.
    pub(super) most_out: usize,
    /// What should never have been seen.
    pub(super) surprises: Vec<String>,
}

impl<'a> Scene<'a> {
    /// Opens the watches on a namespace.
    pub(super) fn open(narrator: &'a Narrator, client: &Client, namespace: &str) -> Self {
        let pods = watcher(Api::<Pod>::namespaced(client.clone(), namespace), watcher::Config::default());
        let deployments =
            watcher(Api::<CafeDeployment>::namespaced(client.clone(), namespace), watcher::Config::default());
        let pods = pods.default_backoff().filter_map(async |event| match event {
            Ok(Event::Apply(pod) | Event::InitApply(pod)) => Some(Seen::Pod(Box::new(pod))),
            Ok(Event::Delete(pod)) => Some(Seen::Gone(Box::new(pod))),
            Ok(_) => None,
            Err(error) => Some(Seen::Broken(error.to_string())),
        });
        let deployments = deployments.default_backoff().filter_map(async |event| match event {
            Ok(Event::Apply(d) | Event::InitApply(d)) => Some(Seen::Deployment(Box::new(d))),
            Ok(_) => None,
            Err(error) => Some(Seen::Broken(error.to_string())),
        });
        Self {
            narrator,
            seen: select(pods.boxed(), deployments.boxed()).boxed(),
            pods: BTreeMap::new(),
            release: ReleaseStatus::default(),
            message: String::new(),
            cast: BTreeMap::new(),
            opening: (Vec::new(), 0),
            moves: Vec::new(),
            exits: 0,
            most_out: 0,
            surprises: Vec::new(),
        }
    }

    /// The release as the status has it.
    pub(super) fn release(&self) -> &ReleaseStatus {
        &self.release
    }

    /// `status.message`.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Pods that are out of the traffic.
    pub(super) fn out(&self) -> usize {
        self.pods.values().filter(|pod| !pod.serves).count()
    }

    /// From now on the pods must keep their names, uids and addresses, and the budget counts.
    pub(super) fn fix_cast(&mut self) {
        self.cast = self.pods.clone();
        (self.exits, self.most_out) = (0, 0);
        self.moves.clear();
    }

    /// Tells what happens until `done` holds.
    pub(super) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<()> {
        const PATIENCE: Duration = Duration::from_secs(60);
        let end = Instant::now() + PATIENCE;
        while !done(self) {
            if !self.look(end).await {
                bail!(
                    "waited {} s for this and it did not come: {what}; the CafeDeployment says: {}",
                    PATIENCE.as_secs(),
                    self.message
                );
            }
        }
        Ok(())
    }

    /// Tells what happens while `work` goes on.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return result,
                first = self.seen.next() => self.take(first).await,
            }
        }
    }

    /// Tells what happens for a while.
    pub(super) async fn linger(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while self.look(end).await {}
    }

    /// Takes the next change, if one comes before `end`. Only the wait for it is cut short: what has come is taken.
    async fn look(&mut self, end: Instant) -> bool {
        let Ok(first) = timeout_at(end, self.seen.next()).await else { return false };
        self.take(first).await;
        true
    }

    /// Takes what has come, and what comes at the same moment, in the order in which it happened.
    async fn take(&mut self, first: Option<Seen>) {
        let mut batch: Vec<Seen> = first.into_iter().collect();
        let end = Instant::now() + SETTLE;
        while let Ok(Some(seen)) = timeout_at(end, self.seen.next()).await {
            batch.push(seen);
        }
        batch.sort_by_key(Seen::version);
        batch.into_iter().for_each(|seen| self.tell(seen));
    }

    fn tell(&mut self, seen: Seen) {
        match seen {
            Seen::Pod(pod) => self.pod(&pod),
            Seen::Gone(pod) => self.gone(&pod.name_any()),
            Seen::Deployment(deployment) => self.deployment(*deployment),
            Seen::Broken(error) => {
                self.narrator.line("watch", &format!("broke and starts again: {error}"), Tone::Bad);
            }
        }
    }

    fn pod(&mut self, pod: &Pod) {
        let (name, now) = (pod.name_any(), Actor::of(pod));
        let before = self.pods.insert(name.clone(), now.clone());
        self.narrate(&name, before.as_ref(), &now);
        if let Some(before) = before {
            self.exits += usize::from(before.serves && !now.serves);
            if before.image != now.image {
                self.moves.push(Move { pod: name.clone(), unit: now.unit.clone(), group: now.group.clone() });
            }
        }
        if self.cast.is_empty() {
            return;
        }
        self.most_out = self.most_out.max(self.out());
        let surprise = match self.cast.get(&name) {
            None => Some("was created in the middle".to_owned()),
            Some(first) if first.uid != now.uid => Some("was replaced".to_owned()),
            Some(first) if first.ip != now.ip => {
                Some(format!("had the address {} and got {}", first.ip, now.ip))
            }
            Some(_) => None,
        };
        self.surprises.extend(surprise.map(|what| format!("pod {name} {what}")));
    }

    fn narrate(&self, name: &str, before: Option<&Actor>, now: &Actor) {
        for (what, tone) in actor::changes(before, now) {
            self.narrator.line(name, &what, tone);
        }
    }

    fn gone(&mut self, name: &str) {
        self.pods.remove(name);
        self.narrator.line(name, "is gone", Tone::Bad);
        self.surprises.push(format!("pod {name} was deleted"));
    }

    fn deployment(&mut self, deployment: CafeDeployment) {
        let name = deployment.name_any();
        let Some(status) = deployment.status else { return };
        self.message = status.message.unwrap_or_default();
        let now = status.release.unwrap_or_default();
        let before = std::mem::replace(&mut self.release, now);
        if before.revision != self.release.revision {
            self.opening = (release::plan(&self.release), self.exits);
        }
        for (what, tone) in release::changes(&before, &self.release) {
            self.narrator.line(&name, &what, tone);
        }
    }

    /// Whether the release of `revision` has ended well.
    pub(super) fn is_complete(&self, revision: i64) -> bool {
        self.release.revision == revision && self.release.state == ReleaseState::Completed
    }

    /// Whether the gate of this token waits.
    pub(super) fn waits_at(&self, token: &str) -> bool {
        self.release.confirm_token.as_deref() == Some(token)
    }
}
