//! How a release starts: from which revision, of which kind, with which first group.

use cafe_crds::{
    deployment::{GroupKind, ReleaseState, ReleaseStatus, UnitQuota},
    reason,
};

use crate::{
    deployment::{
        Event, Plan, Snapshot,
        allocation::Allocation,
        gate, groups, message,
        orders::{self, Goal},
        rebuild, release, scaleout,
        step::{Kind, Step},
        target,
    },
    revision::{Outcome, Revision},
};

/// Starts the release of `goal`. None when the outcome of the one before has to be written first.
pub fn start<'a>(
    s: &Snapshot<'a>,
    goal: Goal<'a>,
    stored: Option<&ReleaseStatus>,
    allocation: &Allocation,
    plan: &mut Plan,
) -> Option<Step<'a>> {
    let target = goal.revision;
    let rollback = goal.abandons.is_some() || target::is_return_to_base(s, target);
    let previous = stored.and_then(|r| s.revision(r.revision)).filter(|r| r.uid != target.uid);
    let unfinished = stored.is_some_and(|r| r.state != ReleaseState::Completed);
    // What an unfinished rollback went back to is as good as it was: it stays the base of whatever comes. What was aborted
    // has its outcome.
    let ended = |r: &Revision| matches!(r.outcome, Some(Outcome::Completed | Outcome::Aborted));
    let left = goal.abandons.or_else(|| previous.filter(|r| rollback || (unfinished && !ended(r))));
    if let Some(left) = left
        && !target::mark(left, Outcome::Abandoned, plan)
    {
        return None;
    }
    // A scale-out that is taken up again by a retry: everything that is there has completed.
    let again = stored.filter(|r| r.scale_out && target.answers_to(r.revision) && !rollback);
    let from = match goal.abandons {
        Some(template) => Some(template),
        None if rollback => previous,
        None if again.is_some() => again.and_then(|r| s.revision(r.from_revision?)),
        None => target::base(s, target),
    };
    let kind = match from {
        _ if rollback => Kind::Rollback,
        _ if again.is_some() => Kind::ScaleOut,
        None => Kind::Install,
        Some(_) => Kind::Gated,
    };
    let release = ReleaseStatus {
        revision: target.number,
        from_revision: from.map(|r| r.number),
        rollback,
        scale_out: kind == Kind::ScaleOut,
        quota: scaleout::begin(s, stored, kind, allocation),
        ..ReleaseStatus::default()
    };
    let wanted = allocation.units.iter().map(|(_, n)| *n).collect();
    let base = release::base_of(s, kind, from, target);
    let grouped = scaleout::in_groups(s, kind);
    let mut step =
        Step { target, base, kind, abandons: goal.abandons, release, grouped, wanted, events: Vec::new() };
    if stored.is_none() && !rollback && rebuild::release(s, &mut step) {
        return Some(step);
    }
    let (started_by, order) = orders::behind(s, goal, rollback);
    step.release.started_by = started_by;
    step.release.last_action = order.or_else(|| stored.and_then(|r| r.last_action.clone()));
    open_first(s, &mut step);
    tell_start(s, &mut step, stored.filter(|_| unfinished));
    Some(step)
}

/// Lets the first group in. Where no gate stands it is everything at once.
fn open_first(s: &Snapshot<'_>, step: &mut Step<'_>) {
    let strategy = &s.deployment.spec.strategy;
    let grouped = step.grouped;
    let number = if step.kind == Kind::Rollback { scaleout::first_group(s, step.target) } else { 1 };
    let there = |q: &UnitQuota| s.unit(&q.name).map_or(0, |u| u.census.at(step.target.hash).replicas);
    let quota = &mut step.release.quota;
    let given: i32 = quota.iter().map(|q| q.replicas).sum();
    // What a first creation finds there, with nothing else to be born as, is its first group.
    let found = step.kind == Kind::Install && step.base.uid == step.target.uid && given > 0;
    if !grouped || found || step.kind == Kind::ScaleOut {
        quota.iter_mut().for_each(|q| q.updated = q.replicas);
    }
    let units = if grouped && !found {
        groups::open(strategy, s.deployment.spec.replicas, number, quota, &step.wanted)
    } else {
        // A rollback moves only the pods that are not there.
        let moved = quota.iter().map(|q| (q.name.clone(), q.replicas - there(q)));
        moved.filter(|(_, n)| *n > 0).collect()
    };
    scaleout::grow(s, quota);
    let kind = if grouped { groups::kind(strategy, number) } else { GroupKind::Batch };
    step.release.state = ReleaseState::Executing;
    (step.release.group, step.release.group_total) = (number, number);
    step.release.confirmed_through = number - 1;
    step.release.started_at = Some(s.now.wall);
    step.release.groups = vec![gate::opened(s, number, kind, units)];
}

/// Takes a release that had completed up again: the pods that are wanted in addition go in groups of their own, whose numbers
/// continue those of the revision. No gate stands before the first of them.
pub fn scale_out(s: &Snapshot<'_>, step: &mut Step<'_>) {
    step.release.scale_out = true;
    (step.kind, step.base, step.grouped) = (Kind::ScaleOut, step.target, true);
    step.release.state = ReleaseState::Executing;
    step.release.ended_at = None;
    gate::open_group(s, step);
}

fn tell_start(s: &Snapshot<'_>, step: &mut Step<'_>, superseded: Option<&ReleaseStatus>) {
    let (new, from) = (step.target.number, step.release.from_revision);
    if step.kind == Kind::Rollback {
        let note =
            format!("back from revision {} to revision {new}, without gates", from.unwrap_or_default());
        step.events.push(Event::warning(reason::ROLLBACK_STARTED, note));
        return;
    }
    if let Some(old) = superseded {
        step.events.push(target::superseded(old.revision, new));
    }
    let over = message::pods(s.deployment.spec.replicas);
    let note = match from {
        _ if step.kind == Kind::ScaleOut => format!("revision {new} is scaled out to {over}"),
        Some(from) => format!("from revision {from} to revision {new} over {over}"),
        None if scaleout::is_wanted(s) => {
            format!("revision {new} over {over}, created in groups as spec.strategy.groupScaleOut asks")
        }
        None => format!("revision {new} over {over}, without gates: nothing has completed yet"),
    };
    step.events.push(Event::normal(reason::RELEASE_STARTED, note));
    gate::tell_group(step);
}
