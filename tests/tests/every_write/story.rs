//! What a story is, and what is known when it has ended.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use cafe_tests::scenario::{Kind, Pod, Verdict, View, Workload};
use serde_json::Value;

/// What people do, and what must have come of it. None of it knows when a controller dies.
pub(crate) trait Story {
    /// Its name in reports and in `CAFE_CRASH`.
    const NAME: &'static str;
    /// Whether the story begins with the first write of all, instead of with an installed workload.
    const FROM_THE_START: bool = false;

    /// InPlaceSets that are made in all.
    const SETS: usize = 2;

    /// What is installed.
    fn manifest() -> Value;

    /// Brings what the workload needs of the cluster, before it is installed.
    async fn found(_web: &Workload) -> Result<()> {
        Ok(())
    }

    /// What has happened before the story begins: its deaths belong to another story.
    async fn prepare(_web: &Workload) -> Result<()> {
        Ok(())
    }

    /// Does what people do and waits for what they wait for.
    async fn play(web: &Workload) -> Result<()>;

    /// Goes on beside the controller from beginning to end.
    async fn beside(_web: &Workload) -> Result<()> {
        std::future::pending().await
    }

    /// What must have come of it.
    fn check(end: &End) -> Result<()>;
}

/// uid and address of pods, by name.
pub(crate) type Identities = BTreeMap<String, (String, String)>;

/// A story that has ended.
pub(crate) struct End {
    /// The pods that were there at the beginning.
    pub(crate) before: Identities,
    pub(crate) view: View,
    pub(crate) verdict: Verdict,
    /// uids of all pods that have ever been there.
    pub(crate) born: BTreeSet<String>,
    /// Numbers of the CafeDeployment's revisions.
    pub(crate) revisions: Vec<i64>,
}

impl End {
    /// So many pods, all of the image with this tag and in service, behind the Service and not one more ever born than
    /// `born`.
    pub(crate) fn serves(&self, tag: &str, pods: usize, born: usize) -> Result<()> {
        let serving = self.view.serving_in_all(tag);
        ensure!(serving == pods && self.view.pods.len() == pods, "{serving} pods serve {tag}, not {pods}");
        let endpoints = self.view.endpoints().len();
        ensure!(endpoints == pods, "{endpoints} endpoints serve, not {pods}");
        ensure!(self.born.len() == born, "{} pods were born, not {born}", self.born.len());
        Ok(())
    }

    /// The pods are those that were there, each container started again `restarts` times and each pod drained as often.
    pub(crate) fn same_pods(&self, restarts: usize) -> Result<()> {
        ensure!(self.view.identities() == self.before, "other pods than before: {:?}", self.before);
        for pod in self.view.pods() {
            self.pod_was_updated(pod, restarts, restarts)?;
        }
        Ok(())
    }

    /// The pod was drained and its image changed so often, and each change is one start of its container.
    pub(crate) fn pod_was_updated(&self, pod: Pod<'_>, drains: usize, updates: usize) -> Result<()> {
        let (drained, updated) = self.moves(pod);
        let restarts = usize::try_from(pod.restarts())?;
        ensure!(
            (drained, updated, restarts) == (drains, updates, updates),
            "{}: drained {drained} times, updated {updated} times, started again {restarts} times; expected {drains} \
             drains and {updates} updates",
            pod.name()
        );
        Ok(())
    }

    /// How often the pod was drained, and how often its image was changed.
    pub(crate) fn moves(&self, pod: Pod<'_>) -> (usize, usize) {
        let of = |all: &BTreeMap<String, usize>| all.get(pod.name()).copied().unwrap_or_default();
        (of(&self.verdict.drains), of(&self.verdict.updates))
    }

    /// The CafeDeployment has exactly these revisions.
    pub(crate) fn has_revisions(&self, numbers: &[i64]) -> Result<()> {
        ensure!(self.revisions == numbers, "revisions {:?}, expected {numbers:?}", self.revisions);
        Ok(())
    }
}

/// uids of all objects of a kind that were ever seen.
pub(crate) fn ever_seen(web: &Workload, kind: Kind) -> BTreeSet<String> {
    let history = web.watcher().history();
    history.iter().filter(|seen| seen.kind == kind).map(|seen| Pod(&seen.object).uid().to_owned()).collect()
}
