//! How a release stops before it has completed: people abort it, or a group makes no progress in time.

use cafe_crds::{
    deployment::{LastAction, PodUpdatePolicy, Progress, ReleaseState, ReleaseStatus, UnitQuota},
    reason,
    time::Seconds,
};

use crate::{
    deployment::{
        Event, Plan, Snapshot, UnitView, message, scaleout,
        step::{Kind, Step},
        target,
    },
    revision::{Outcome, Revision},
    set::census::{Census, Share},
    template::{self, Change},
};

/// Stops the release where it is. None when its outcome has to be written first.
pub fn abort(s: &Snapshot<'_>, step: &mut Step<'_>, plan: &mut Plan) -> Option<()> {
    if step.is_aborted() {
        return Some(());
    }
    // What has completed once stays good, also when the way back to it is aborted.
    if step.target.outcome != Some(Outcome::Completed) && !target::mark(step.target, Outcome::Aborted, plan) {
        return None;
    }
    scaleout::freeze(s, &mut step.release.quota);
    freeze(s, step);
    step.release.state = ReleaseState::Aborted;
    step.release.waiting_since = None;
    step.release.ended_at = Some(s.now.wall);
    let by = s.deployment.authors.abort.as_ref().map(ToString::to_string);
    let token = format!("abort {}", step.release.revision);
    step.release.last_action = Some(LastAction { token, by, at: s.now.wall });
    let note = format!(
        "revision {} stays on {} of {}; no further pod is moved",
        step.release.revision,
        step.release.quota.iter().map(|q| q.updated).sum::<i32>(),
        message::pods(s.deployment.spec.replicas)
    );
    step.events.push(Event::warning(reason::RELEASE_ABORTED, note));
    Some(())
}

fn before<'a>(s: &Snapshot<'a>, step: &Step<'_>) -> Option<&'a ReleaseStatus> {
    s.stored().filter(|r| r.revision == step.release.revision)
}

/// From now on no more pods may be at the revision than are, or are on their way.
fn freeze(s: &Snapshot<'_>, step: &mut Step<'_>) {
    let reached: Vec<i32> = step.release.quota.iter().map(|q| reached(s, step, q)).collect();
    for (q, reached) in step.release.quota.iter_mut().zip(reached) {
        q.updated = reached;
    }
}

/// Pods of a unit that are at the revision or on their way to it: what is left of its quota when no further pod is to start, also
/// as a new one.
#[must_use]
pub fn reached(s: &Snapshot<'_>, step: &Step<'_>, q: &UnitQuota) -> i32 {
    let Some(unit) = s.unit(&q.name) else {
        return q.updated;
    };
    let on_the_way = (unit.census.in_flight - unit.census.updated_in_flight).max(0);
    // Pods that are missing come back at the target where there is nothing else.
    let at_base = step.base.uid == step.target.uid && scaleout::is_wanted(s);
    let born = if at_base { (q.replicas - unit.census.replicas).max(0) } else { 0 };
    let there = unit.census.at(step.target.hash).replicas.max(said_of(unit, step.target));
    q.updated.min(there.saturating_add(on_the_way + born))
}

/// What the status of the unit says, in case its figures have not been taken yet.
fn said_of(unit: &UnitView<'_>, target: &Revision) -> i32 {
    let status = &unit.set.status;
    let of_target = status.update_revision.as_deref() == Some(&*target.name);
    if of_target { status.updated_replicas } else { 0 }
}

/// Takes note of progress, and finds that there was none for too long.
pub fn watch(s: &Snapshot<'_>, step: &mut Step<'_>, plan: &mut Plan) {
    let running = matches!(step.release.state, ReleaseState::Executing | ReleaseState::RollingBack);
    if !running {
        return;
    }
    let now = here(s, step);
    let known = before(s, step).filter(|r| r.group == step.release.group && is_running(r.state));
    let Some(known) = known.and_then(|r| Some((r.progress?, r.state))) else {
        step.release.progress = Some(now);
        return;
    };
    let (best, state) = known;
    let further = now.updated > best.updated || now.available > best.available;
    let failed = state == ReleaseState::Failed;
    let healed = failed && now.available >= now.updated && is_well(s, step);
    if further || healed {
        let at = s.now.wall;
        step.release.progress = Some(Progress {
            updated: now.updated.max(best.updated),
            available: now.available.max(best.available),
            at,
        });
        return;
    }
    step.release.progress = Some(best);
    let deadline = i64::from(s.deployment.spec.strategy.progress_deadline_seconds);
    let end = Seconds(best.at.0.saturating_add(deadline));
    // Nothing holds a rollback: it is the way out, however long it takes.
    if step.kind == Kind::Rollback {
        return;
    }
    if !failed && s.now.wall < end {
        plan.wake.at_wall(s.now, end);
        return;
    }
    step.release.state = ReleaseState::Failed;
    if !failed {
        let why = message::cause(s, step).map(|cause| format!(": {cause}"));
        let note = format!(
            "group {} of revision {} made no progress for {deadline} s{}",
            step.release.group,
            step.release.revision,
            why.unwrap_or_default()
        );
        step.events.push(Event::warning(reason::PROGRESS_DEADLINE_EXCEEDED, note));
    }
}

/// The clock runs only while pods move: after a pause or a gate it starts anew.
fn is_running(state: ReleaseState) -> bool {
    matches!(state, ReleaseState::Executing | ReleaseState::RollingBack | ReleaseState::Failed)
}

fn here(s: &Snapshot<'_>, step: &Step<'_>) -> Progress {
    let sum = |figure: fn(&Share) -> i32| {
        s.units.iter().map(|u| figure(&u.census.at(step.target.hash))).sum::<i32>()
    };
    Progress { updated: sum(|c| c.replicas), available: sum(|c| c.available), at: s.now.wall }
}

/// Whether nothing stands in the way of the next pod: all are there and serve, none is on its way, and it may move. The pods of a unit
/// whose InPlaceSet is being deleted may not.
fn is_well(s: &Snapshot<'_>, step: &Step<'_>) -> bool {
    let sum = |figure: fn(&Census) -> i32| s.units.iter().map(|u| figure(u.census)).sum::<i32>();
    let wanted: i32 = step.release.quota.iter().map(|q| q.replicas).sum();
    let is_forbidden = s.deployment.spec.strategy.pod_update_policy == PodUpdatePolicy::InPlaceOnly
        && template::change(&step.base.facts, &step.target.facts) == Change::Recreate;
    let is_whole = sum(|c| c.replicas) >= wanted && sum(|c| c.broken) == 0;
    let goes = |q: &UnitQuota| s.unit(&q.name).is_some_and(|u| u.set.deleting);
    let is_stuck = is_forbidden || step.release.quota.iter().any(goes);
    is_whole && sum(|c| c.in_flight) == 0 && !is_stuck
}
