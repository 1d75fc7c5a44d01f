//! A status that was lost (restored from a backup, wiped by hand) is rebuilt from what pods and revisions remember, and no pod
//! moves for it.

use cafe_crds::deployment::{GroupState, GroupStatus, ReleaseState, ReleaseStatus, UnitQuota};

use crate::{
    deployment::{Snapshot, allocation::Allocation, groups, release::Kind},
    revision::{Outcome, Revision},
};

/// The release of `target` as it must have been; none when nothing shows that it had begun.
#[must_use]
pub fn release(
    s: &Snapshot<'_>,
    target: &Revision,
    kind: Kind,
    from: Option<&Revision>,
    allocation: &Allocation,
) -> Option<ReleaseStatus> {
    if s.stored().is_some() {
        return None;
    }
    let release = ReleaseStatus {
        revision: target.number,
        from_revision: from.map(|r| r.number),
        group: 1,
        group_total: 1,
        ..ReleaseStatus::default()
    };
    let group = highest_group(s, target);
    match target.outcome {
        Some(Outcome::Completed) => Some(ReleaseStatus { state: ReleaseState::Completed, ..release }),
        Some(Outcome::Aborted) => Some(ReleaseStatus {
            state: ReleaseState::Aborted,
            group: group.unwrap_or(1),
            quota: as_it_is(s, target, allocation),
            ..release
        }),
        _ => group
            .filter(|_| kind == Kind::Gated)
            .map(|group| at_the_gate(s, target, group, allocation, release)),
    }
}

/// Whether group `group` had ended nobody can tell: it counts as done as far as it came, and what follows waits for people.
fn at_the_gate(
    s: &Snapshot<'_>,
    target: &Revision,
    group: i32,
    allocation: &Allocation,
    release: ReleaseStatus,
) -> ReleaseStatus {
    let kind = groups::kind(&s.deployment.spec.strategy, group);
    ReleaseStatus {
        state: ReleaseState::WaitingForConfirmation,
        group,
        groups: vec![GroupStatus { number: group, kind, state: GroupState::Done, ..GroupStatus::default() }],
        confirmed_through: group - 1,
        waiting_since: Some(s.now.wall),
        quota: as_it_is(s, target, allocation),
        ..release
    }
}

/// As many pods may be at the revision as are.
fn as_it_is(s: &Snapshot<'_>, target: &Revision, allocation: &Allocation) -> Vec<UnitQuota> {
    let mut quota = groups::rescale(&[], &allocation.units);
    for q in &mut quota {
        q.updated = s.unit(&q.name).map_or(0, |u| u.census.at(target.hash).replicas).min(q.replicas);
    }
    quota
}

fn highest_group(s: &Snapshot<'_>, target: &Revision) -> Option<i32> {
    let of_target =
        s.units.iter().filter_map(|u| u.census.highest_group).filter(|(n, _)| *n == target.number);
    of_target.map(|(_, group)| group).max()
}
