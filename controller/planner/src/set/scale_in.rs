//! Which pods go when there are more than are wanted.

use std::cmp::Reverse;

use crate::{
    apportion::kept_share,
    identity::RevisionHash,
    pod::Gate,
    set::{
        Snapshot,
        intent::{Intended, Intent},
    },
};

/// Pods that may go: those that are not at the target, and those that are.
#[derive(Clone, Copy, Debug)]
struct Spare {
    old: usize,
    new: usize,
}

/// Takes the surplus out. Never so many old pods that fewer than `partition` are left: scaling in passes no gate.
pub(super) fn remove_surplus(s: &Snapshot<'_>, target: RevisionHash, pods: &mut [Intended<'_>]) {
    let is_new = |p: &Intended<'_>| p.view.pod.revision == Some(target);
    let replicas = usize::try_from(s.set.spec.replicas).unwrap_or(0);
    let stays = |p: &Intended<'_>| p.intent == Intent::Keep;
    let mut surplus = pods.iter().filter(|p| stays(p)).count().saturating_sub(replicas);
    if surplus == 0 {
        return;
    }
    let mut live: Vec<&mut Intended<'_>> = pods.iter_mut().filter(|p| stays(p)).collect();
    let mut spare = match s.set.owner {
        Some(_) => told(s, replicas, &live, is_new),
        None => alone(s, replicas, &live, is_new),
    };
    live.sort_by_cached_key(|p| order(p, is_new(p)));
    for p in live {
        let left = if is_new(p) { &mut spare.new } else { &mut spare.old };
        if surplus > 0 && *left > 0 {
            (*left, surplus) = (*left - 1, surplus - 1);
            p.intent = Intent::Remove;
        }
    }
}

/// Old pods that stay whatever else: as many as the partition holds back.
fn held_back(s: &Snapshot<'_>, replicas: usize, old: usize) -> usize {
    usize::try_from(s.partition()).unwrap_or(0).min(old).min(replicas)
}

/// The owner has shared the units' sizes and the gates out, so its partition is exact: of the updated pods all that it lets
/// through stay, broken ones too, for they are what a release is stopped for.
fn told(
    s: &Snapshot<'_>,
    replicas: usize,
    live: &[&mut Intended<'_>],
    is_new: impl Fn(&Intended<'_>) -> bool,
) -> Spare {
    let new = live.iter().filter(|p| is_new(p)).count();
    let old = live.len() - new;
    let keep_new = new.min(replicas - held_back(s, replicas, old));
    let keep_old = (replicas - keep_new).min(old);
    let spare = Spare { old: old - keep_old, new: new - keep_new };
    let nodeless_new = live.iter().filter(|p| !p.view.pod.scheduled && is_new(p)).count();
    let nodeless_old = live.iter().filter(|p| !p.view.pod.scheduled && !is_new(p)).count();
    // Updated pods without a node go in place of old ones that have one: fewer updated pods pass no gate. Not the other way round.
    let instead = spare.old.saturating_sub(nodeless_old).min(nodeless_new.saturating_sub(spare.new));
    Spare { old: spare.old - instead, new: spare.new + instead }
}

/// A set that stands alone keeps what its partition holds back; while it stands still, both sides shrink alike, for the share of
/// the new revision is what its user has settled on. Pods that are leaving already have been decided on.
fn alone(
    s: &Snapshot<'_>,
    replicas: usize,
    live: &[&mut Intended<'_>],
    is_new: impl Fn(&Intended<'_>) -> bool,
) -> Spare {
    let new = live.iter().filter(|p| is_new(p)).count();
    let old = live.len() - new;
    let mut stay = held_back(s, replicas, old);
    let staying: Vec<bool> = live.iter().filter(|p| !is_leaving(p)).map(|p| is_new(p)).collect();
    let stands_still = s.set.spec.update_strategy.paused || s.grant() == 0;
    if stands_still && staying.len() > replicas {
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let updated = staying.iter().filter(|is_new| **is_new).count();
        let share = kept_share(count(updated), count(staying.len()), count(replicas));
        stay = stay.max(replicas.saturating_sub(usize::try_from(share).unwrap_or(0)));
    }
    Spare { old: old.saturating_sub(stay), new }
}

/// Whether the journal holds it for its removal.
fn is_leaving(p: &Intended<'_>) -> bool {
    p.view.entry.is_some_and(|entry| entry.to.is_none())
}

type Order = (bool, bool, bool, bool, i32, bool, Reverse<i64>, String);

/// Leaving already, without a node, on its way out for something else, out of service; then the cheapest to delete, those that
/// would have to move anyway, the newest, the name.
fn order(p: &Intended<'_>, is_new: bool) -> Order {
    let pod = p.view.pod;
    (
        !is_leaving(p),
        pod.scheduled,
        !(p.reserved() || matches!(pod.gate, Gate::Draining(_))),
        pod.in_service(),
        pod.deletion_cost,
        is_new,
        Reverse(pod.created.0),
        pod.name.to_string(),
    )
}
