//! Who shall go where: one intent per pod, from the partition, the replicas and the order of pods.

use std::cmp::Reverse;

use cafe_crds::deployment::PodUpdatePolicy;

use crate::{
    identity::RevisionHash,
    pod::{Pod, PodView},
    revision::Revision,
    set::{Snapshot, ownership, scale_in},
    template::{self, Change},
};

/// What shall become of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Intent {
    /// Serve at the revision it has.
    Keep,
    /// Follow the target's labels and annotations, without a drain.
    Relabel,
    /// Move to the target in place.
    Update,
    /// Make room for a new pod at the target.
    Recreate,
    /// Surplus: go.
    Remove,
    /// Has finished: go at once.
    Bury,
    /// Belongs here no more: let go as it is, back in traffic if it can be.
    Release,
    /// Already going, or nothing to decide about.
    Gone,
}

impl Intent {
    /// Whether the pod must be out of traffic for it.
    #[must_use]
    pub fn drains(self) -> bool {
        matches!(self, Self::Update | Self::Recreate | Self::Remove)
    }
}

/// A pod and its intent.
#[derive(Clone, Copy, Debug)]
pub struct Intended<'a> {
    /// The pod.
    pub view: PodView<'a>,
    /// What shall become of it.
    pub intent: Intent,
}

impl Intended<'_> {
    /// The journal holds it.
    #[must_use]
    pub fn reserved(&self) -> bool {
        self.view.entry.is_some()
    }
}

/// Assigns intents. The result is in the order in which pods are updated: broken, superseded, newest, name.
#[must_use]
pub fn assign<'a>(s: &Snapshot<'a>, target: &Revision) -> Vec<Intended<'a>> {
    let base = s.base(target).hash;
    let mut pods: Vec<Intended<'a>> = s.pods.iter().copied().map(first_look).collect();
    // The sort is stable, so names decide last.
    debug_assert!(s.pods.is_sorted_by(|a, b| a.pod.name <= b.pod.name), "pods by name");
    pods.sort_by_cached_key(|p| update_order(p.view.pod, target.hash, base));
    scale_in::remove_surplus(s, target.hash, &mut pods);
    move_to_target(s, target, &mut pods);
    restart(s, &mut pods);
    pods
}

/// Pods that are older than the moment asked for make room for new ones.
fn restart(s: &Snapshot<'_>, pods: &mut [Intended<'_>]) {
    let stays = |p: &&mut Intended<'_>| p.intent == Intent::Keep && is_to_restart(s, p.view.pod);
    pods.iter_mut().filter(stays).for_each(|p| p.intent = Intent::Recreate);
}

/// Whether `restartAt` has come and the pod was created before it.
#[must_use]
pub fn is_to_restart(s: &Snapshot<'_>, pod: &Pod) -> bool {
    s.set.spec.restart_at.is_some_and(|at| at <= s.now.wall && pod.created < at)
}

fn first_look(view: PodView<'_>) -> Intended<'_> {
    let intent = match view.pod {
        pod if pod.terminating => Intent::Gone,
        pod if !pod.is_live() => Intent::Bury,
        _ if view.stray => Intent::Release,
        _ => Intent::Keep,
    };
    Intended { view, intent }
}

type Order = (bool, bool, Reverse<i64>);

/// Broken first (they cost nobody anything), then superseded ones, then the newest.
fn update_order(pod: &Pod, target: RevisionHash, base: RevisionHash) -> Order {
    let superseded = pod.revision.is_none_or(|r| r != target && r != base);
    (pod.in_service(), !superseded, Reverse(pod.created.0))
}

/// Lets as many pods move as the partition allows: those in flight first, then the pods that are missing, which are born
/// at the target rather than moved there later, then the others in order.
fn move_to_target(s: &Snapshot<'_>, target: &Revision, pods: &mut [Intended<'_>]) {
    let allowed = usize::try_from(s.set.spec.replicas - s.partition()).unwrap_or(0);
    let at_target =
        pods.iter().filter(|p| p.intent == Intent::Keep && p.view.pod.revision == Some(target.hash));
    let born = s.creating.iter().filter(|(_, hash)| *hash == target.hash);
    let mut room = allowed.saturating_sub(at_target.count() + born.count());
    let vacant = vacancies(s);
    for in_flight in [true, false] {
        if !in_flight {
            room = room.saturating_sub(vacant);
        }
        // A write that is on its way may be the one that moves the pod, without a reservation when labels alone change.
        let is_due = |p: &&mut Intended<'_>| (p.reserved() || p.view.busy) == in_flight;
        for p in pods.iter_mut().filter(|p| p.intent == Intent::Keep).filter(is_due) {
            if room == 0 {
                return;
            }
            if p.view.pod.revision == Some(target.hash) {
                continue;
            }
            p.intent = how_to_move(s, p.view.pod, target);
            room -= usize::from(p.intent != Intent::Keep);
        }
    }
}

/// Pods that are missing and whose creation is not on its way.
fn vacancies(s: &Snapshot<'_>) -> usize {
    let live = s.pods.iter().filter(|view| view.pod.is_live()).count();
    usize::try_from(s.set.spec.replicas)
        .unwrap_or(0)
        .saturating_sub(live + s.creating.len() + ownership::arriving(s))
}

/// How a pod reaches the target; Keep when the policy forbids the only way.
fn how_to_move(s: &Snapshot<'_>, pod: &Pod, target: &Revision) -> Intent {
    let policy = s.set.spec.update_strategy.pod_update_policy;
    let from = pod.revision.and_then(|hash| s.revision(hash));
    // A pod in the middle of an update is no longer what its label says; what it needs is decided by its containers.
    let change = from.map_or(Change::Recreate, |from| template::change(&from.facts, &target.facts));
    match (policy, change) {
        (PodUpdatePolicy::Recreate, Change::Images | Change::Recreate)
        | (PodUpdatePolicy::InPlaceIfPossible, Change::Recreate) => Intent::Recreate,
        (PodUpdatePolicy::InPlaceOnly, Change::Recreate) => Intent::Keep,
        (_, Change::Images) => Intent::Update,
        // A pod that is drained for an update takes the new labels along when it comes back in place.
        (_, Change::Metadata | Change::Nothing) => Intent::Relabel,
    }
}

/// Pods whose turn it is but that the policy forbids to move: the change cannot go in place.
#[must_use]
pub fn blocked(s: &Snapshot<'_>, target: &Revision, pods: &[Intended<'_>]) -> i32 {
    if s.set.spec.update_strategy.pod_update_policy != PodUpdatePolicy::InPlaceOnly {
        return 0;
    }
    let stays = |p: &&Intended<'_>| p.intent == Intent::Keep && p.view.pod.revision != Some(target.hash);
    let staying = i32::try_from(pods.iter().filter(stays).count()).unwrap_or(i32::MAX);
    (staying - s.partition()).max(0)
}
