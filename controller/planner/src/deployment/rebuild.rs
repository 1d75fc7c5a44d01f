//! A status that was lost (restored from a backup, wiped by hand) is rebuilt from what pods and revisions remember, and no pod
//! moves for it.

use cafe_crds::deployment::{GroupState, GroupStatus, ReleaseState};

use crate::{
    deployment::{
        Snapshot, groups, scaleout,
        step::{Kind, Step},
    },
    identity::RevisionHash,
    revision::{Outcome, Revision},
};

/// Makes of `step`, whose quota says what sizes the units have, the release as it must have been. False when nothing shows that
/// it had begun.
pub fn release(s: &Snapshot<'_>, step: &mut Step<'_>) -> bool {
    let target = step.target;
    let group = highest_group(s, target);
    let (release, hash) = (&mut step.release, target.hash);
    (release.group, release.group_total) = (group.unwrap_or(1), 1);
    match target.outcome {
        Some(Outcome::Completed) => {
            let given: i32 = release.quota.iter().map(|q| q.replicas).sum();
            scaleout::close(s, release);
            if given < step.wanted.iter().sum() && scaleout::is_wanted(s) {
                release.scale_out = true;
                (step.kind, step.base, step.grouped) = (Kind::ScaleOut, target, true);
                wait_at_the_gate(s, step);
            } else {
                // Whatever a token names is behind it: none opens a gate to come.
                release.group = release.group.max(scaleout::first_group(s, target));
                release.group_total = release.group;
                release.state = ReleaseState::Completed;
            }
        }
        Some(Outcome::Aborted) => {
            release.state = ReleaseState::Aborted;
            as_it_is(s, step, hash);
        }
        _ if group.is_some() && step.grouped => {
            as_it_is(s, step, hash);
            wait_at_the_gate(s, step);
        }
        _ => return false,
    }
    true
}

/// Whether the group had ended nobody can tell: it counts as done as far as it came, and what follows waits for people.
fn wait_at_the_gate(s: &Snapshot<'_>, step: &mut Step<'_>) {
    let number = step.release.group;
    let release = &mut step.release;
    let kind = groups::kind(&s.deployment.spec.strategy, number);
    release.state = ReleaseState::WaitingForConfirmation;
    release.groups = vec![GroupStatus { number, kind, state: GroupState::Done, ..GroupStatus::default() }];
    release.confirmed_through = number - 1;
    release.waiting_since = Some(s.now.wall);
}

/// As many pods may be at the revision as are.
fn as_it_is(s: &Snapshot<'_>, step: &mut Step<'_>, hash: RevisionHash) {
    for q in &mut step.release.quota {
        q.updated = s.unit(&q.name).map_or(0, |u| u.census.at(hash).replicas).min(q.replicas);
    }
}

fn highest_group(s: &Snapshot<'_>, target: &Revision) -> Option<i32> {
    let of_target =
        s.units.iter().filter_map(|u| u.census.highest_group).filter(|(n, _)| *n == target.number);
    of_target.map(|(_, group)| group).max()
}
