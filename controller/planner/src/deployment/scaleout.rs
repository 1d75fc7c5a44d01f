//! `groupScaleOut`: a pod that does not exist yet waits for its group, as one that is to be moved does.
//!
//! One rule gives the size that an InPlaceSet is told: what its unit was given before or what the groups that have begun let in,
//! whichever is more. What a unit was given is remembered in `status.release.quota`, and where that is lost, by the
//! InPlaceSet itself. A move between units is no scale-out: what all units were given together stays, so it waits at no gate.

use cafe_crds::deployment::{ReleaseState, ReleaseStatus, UnitQuota};

use crate::{
    apportion::largest_remainder,
    deployment::{
        Snapshot,
        allocation::Allocation,
        ceiling, groups,
        snapshot::unit_of,
        step::{Kind, Step},
    },
    revision::Revision,
};

/// Units and the pods each is to have.
type Sizes = Vec<(String, i32)>;

/// Whether new pods go in groups.
#[must_use]
pub fn is_wanted(s: &Snapshot<'_>) -> bool {
    s.deployment.spec.strategy.group_scale_out
}

/// Whether pods go group by group, with gates, in a release of this kind.
#[must_use]
pub fn in_groups(s: &Snapshot<'_>, kind: Kind) -> bool {
    match kind {
        Kind::Gated => true,
        Kind::Rollback => false,
        Kind::Install | Kind::ScaleOut => is_wanted(s),
    }
}

/// The revision that pods of a first creation stay at until their group: what the InPlaceSets were made with, when its
/// template has been corrected since. Nothing has completed yet, so they alone remember it.
#[must_use]
pub fn base<'a>(s: &Snapshot<'a>, target: &'a Revision) -> &'a Revision {
    let named = s.units.iter().filter_map(|u| u.set.spec.update_strategy.base_revision.as_deref());
    let known = named.filter_map(|name| s.revisions.iter().copied().find(|r| *r.name == *name));
    known.filter(|r| r.uid != target.uid).min_by_key(|r| r.number).unwrap_or(target)
}

/// The quota at the start of a release: the size each unit has, and no pod at the target.
#[must_use]
pub fn begin(
    s: &Snapshot<'_>,
    stored: Option<&ReleaseStatus>,
    kind: Kind,
    allocation: &Allocation,
) -> Vec<UnitQuota> {
    let sizes = if kind == Kind::Rollback { allocation.units.clone() } else { sizes(s, stored, allocation) };
    groups::rescale(&[], &sizes, &allocation.units)
}

/// Follows a change of the units' sizes in the middle of a release, or after it.
pub fn follow(
    s: &Snapshot<'_>,
    kind: Kind,
    is_at_base: bool,
    release: &mut ReleaseStatus,
    allocation: &Allocation,
) {
    let (completed, aborted) =
        (release.state == ReleaseState::Completed, release.state == ReleaseState::Aborted);
    if completed && !is_wanted(s) {
        release.quota = Vec::new();
        return;
    }
    // A rollback under way brings everything back at once.
    let at_once = kind == Kind::Rollback && !completed && !aborted;
    let sizes = if at_once { allocation.units.clone() } else { sizes(s, Some(release), allocation) };
    give_places_away(s, &mut release.quota, &sizes);
    release.quota = groups::rescale(&release.quota, &sizes, &allocation.units);
    let free = completed || (!in_groups(s, kind) && !aborted);
    for q in &mut release.quota {
        if free {
            q.updated = q.replicas;
        } else if is_at_base && (kind == Kind::ScaleOut || (kind == Kind::Install && !aborted)) {
            // There is no other revision that they could be born at.
            q.updated = q.updated.max(q.replicas);
        }
    }
    if !aborted {
        grow(s, &mut release.quota);
    }
}

/// A unit that is capped gives places away and keeps its updated pods as long as they fit: over all units no more pods are updated than
/// before, so no gate is passed, and its pods that find no node can go whichever revision they have.
fn give_places_away(s: &Snapshot<'_>, quota: &mut [UnitQuota], sizes: &Sizes) {
    for q in quota {
        let size = sizes.iter().find(|(unit, _)| *unit == q.name).map_or(0, |(_, n)| *n);
        let most = ceiling::of(s, &q.name).map(|ceiling| ceiling.max(size));
        if let Some(most) = most.filter(|most| *most < q.replicas) {
            (q.replicas, q.updated) = (most, q.updated.min(most));
        }
    }
}

/// Gives each unit what the groups that have begun let in. A pause holds it.
pub fn grow(s: &Snapshot<'_>, quota: &mut [UnitQuota]) {
    if !s.paused() {
        quota.iter_mut().for_each(|q| q.replicas = q.replicas.max(q.updated));
    }
}

/// An abort: nothing is created any more but what the InPlaceSets have been told already.
pub fn freeze(s: &Snapshot<'_>, quota: &mut [UnitQuota]) {
    let told = |q: &UnitQuota| s.unit(&q.name).map_or(q.replicas, |u| u.set.spec.replicas);
    let given = quota.iter().map(|q| q.replicas).sum::<i32>();
    if is_wanted(s) && s.units.iter().all(|u| !u.busy) && quota.iter().map(told).sum::<i32>() < given {
        quota.iter_mut().for_each(|q| q.replicas = q.replicas.min(told(q)));
    }
}

/// What is to be remembered of the sizes once the release has completed.
pub fn close(s: &Snapshot<'_>, release: &mut ReleaseStatus) {
    if is_wanted(s) {
        release.quota.iter_mut().for_each(|q| q.updated = q.replicas);
    } else {
        release.quota = Vec::new();
    }
}

/// Whether pods wait for a group although the release has completed: it is to be taken up again.
#[must_use]
pub fn is_due(s: &Snapshot<'_>, step: &Step<'_>, allocation: &Allocation) -> bool {
    step.is_complete() && is_wanted(s) && given_in_all(&step.release) < allocation.total()
}

/// Pods that have been let in, over all units; none when nothing holds any back.
#[must_use]
pub fn let_in(s: &Snapshot<'_>, step: &Step<'_>) -> Option<i32> {
    let given = given_in_all(&step.release);
    (is_wanted(s) && !step.release.quota.is_empty() && given < s.deployment.spec.replicas).then_some(given)
}

/// The number that the first group of a release gets: above what a standing token names, so that none of an earlier life of the
/// revision opens a gate.
#[must_use]
pub fn first_group(s: &Snapshot<'_>, target: &Revision) -> i32 {
    let token = s.deployment.spec.release.as_ref().and_then(|r| r.confirm.as_deref());
    let named = token.and_then(|t| t.split_once('/')).filter(|(r, _)| r.parse() == Ok(target.number));
    let gate: Option<i32> = named.and_then(|(_, gate)| gate.parse().ok());
    gate.filter(|gate| is_wanted(s) && (1..i32::MAX / 2).contains(gate)).map_or(1, |gate| gate + 1)
}

fn given_in_all(release: &ReleaseStatus) -> i32 {
    release.quota.iter().map(|q| q.replicas).sum()
}

/// The size of each unit: its share of `spec.replicas` or, with `groupScaleOut`, of what has been given already.
fn sizes(s: &Snapshot<'_>, stored: Option<&ReleaseStatus>, allocation: &Allocation) -> Sizes {
    if !is_wanted(s) {
        return allocation.units.clone();
    }
    let parts = rebalance(&given(s, stored), &allocation.units);
    allocation.units.iter().map(|(unit, _)| unit.clone()).zip(parts).collect()
}

/// What each unit has been given so far, as the status remembers it or else the InPlaceSets.
fn given(s: &Snapshot<'_>, stored: Option<&ReleaseStatus>) -> Sizes {
    match stored.map(|r| &r.quota).filter(|quota| !quota.is_empty()) {
        Some(quota) => quota.iter().map(|q| (q.name.clone(), q.replicas)).collect(),
        None => s.units.iter().map(|u| (unit_of(u.set).to_owned(), u.set.spec.replicas)).collect(),
    }
}

/// Keeps what was `given` within what is `wanted` of each unit; what no longer fits into one goes to those that want more.
#[must_use]
pub fn rebalance(given: &[(String, i32)], wanted: &[(String, i32)]) -> Vec<i32> {
    let of = |unit: &str| given.iter().find(|(name, _)| name == unit).map_or(0, |(_, n)| *n);
    let kept: Vec<i32> = wanted.iter().map(|(unit, most)| of(unit).min(*most)).collect();
    let lacking: Vec<i32> = wanted.iter().zip(&kept).map(|((_, most), kept)| most - kept).collect();
    let surplus = given.iter().map(|(_, n)| n).sum::<i32>() - kept.iter().sum::<i32>();
    let moved = largest_remainder(surplus.min(lacking.iter().sum()), &lacking);
    kept.iter().zip(moved).map(|(kept, moved)| kept + moved).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(sizes: &[i32]) -> Sizes {
        sizes.iter().enumerate().map(|(i, n)| (format!("Cell{i}"), *n)).collect()
    }

    #[test]
    fn pods_that_move_to_another_unit_are_no_scale_out_and_new_ones_are() {
        assert_eq!(rebalance(&units(&[5, 5]), &units(&[5, 5])), [5, 5]);
        assert_eq!(rebalance(&units(&[5, 5]), &units(&[7, 7])), [5, 5]);
        assert_eq!(rebalance(&units(&[5, 5]), &units(&[9, 1])), [9, 1]);
        assert_eq!(rebalance(&units(&[5, 5]), &units(&[10, 4])), [6, 4]);
        assert_eq!(rebalance(&units(&[5, 5]), &units(&[4, 3, 3])), [4, 3, 3]);
        assert_eq!(rebalance(&units(&[1, 1, 1]), &units(&[5, 5])), [2, 1]);
        assert_eq!(rebalance(&units(&[5, 5]), &units(&[2, 2])), [2, 2]);
        assert_eq!(rebalance(&units(&[]), &units(&[5, 5])), [0, 0]);
    }

    #[test]
    fn what_has_been_rebalanced_stays() {
        for (a, b) in (0..49).map(|n| (n / 7, n % 7)) {
            for wanted in (0..343).map(|n| units(&[n % 7, n / 7 % 7, n / 49])) {
                let once = rebalance(&units(&[a, b]), &wanted);
                assert_eq!(rebalance(&units(&once), &wanted), once, "{a} {b} {wanted:?}");
                let most: i32 = wanted.iter().map(|(_, n)| n).sum();
                assert_eq!(once.iter().sum::<i32>(), most.min(a + b));
            }
        }
    }
}
