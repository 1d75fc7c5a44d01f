//! The release in hand: which group runs, whether its gate may open, when it is complete.

use cafe_crds::{
    deployment::{GroupState, ReleaseState, ReleaseStatus},
    reason,
};

use crate::{
    deployment::{
        Event, Plan, Snapshot,
        allocation::Allocation,
        children, gate, groups, message,
        orders::{self, Goal},
        scaleout, start,
        step::{Kind, Step},
        stop, target,
    },
    revision::{Outcome, Revision},
};

/// Takes the release one step further: starts it, lets the next group in, holds it at its gate or completes it.
/// None when a revision, or what is on record of the release before, has to be written first.
pub fn advance<'a>(
    s: &Snapshot<'a>,
    goal: Goal<'a>,
    is_on_record: bool,
    allocation: &Allocation,
    plan: &mut Plan,
) -> Option<Step<'a>> {
    let target = goal.revision;
    let mut step = match s.stored() {
        Some(stored) if stored.revision == target.number => go_on(s, goal, stored, allocation),
        // What the status says of the release before it would be lost.
        Some(_) if !is_on_record => return None,
        stored => start::start(s, goal, stored, allocation, plan)?,
    };
    if scaleout::is_due(s, &step, allocation) {
        start::scale_out(s, &mut step);
    }
    let aborts = orders::aborts(s, goal, plan);
    // An aborted scale-out is over once every pod that is still wanted is there.
    let is_over =
        step.is_aborted() && step.kind == Kind::ScaleOut && step.left() == 0 && is_group_done(s, &step);
    let stands = step.is_aborted() && (goal.abandons.is_none() || step.kind == Kind::ScaleOut);
    if (aborts || stands) && !is_over {
        stop::abort(s, &mut step, plan)?;
        describe(s, &mut step);
        return Some(step);
    }
    if step.is_complete() {
        if target.outcome.is_none() {
            // Its object was deleted by hand and made again: what it remembered is written again.
            target::mark(target, Outcome::Completed, plan);
        }
        if is_on_record && goal.abandons.is_none() {
            end_overlay(&mut step.release);
        }
        return Some(step);
    }
    if is_group_done(s, &step) {
        finish_group(s, &mut step, plan)?;
    }
    gate::pass(s, &mut step);
    hold(s, &mut step);
    stop::watch(s, &mut step, plan);
    describe(s, &mut step);
    Some(step)
}

/// The template is that of the revision which served in place of another: the other is left for good, and is a release of its own
/// when it returns. A rollback by template has a number above the one that it leaves.
fn end_overlay(release: &mut ReleaseStatus) {
    if release.rollback && release.from_revision > Some(release.revision) {
        release.from_revision = None;
    }
}

/// The kind is latched when a release starts: revisions may change their outcome, or vanish, while it runs.
fn kind_of(release: &ReleaseStatus) -> Kind {
    match release.from_revision {
        _ if release.scale_out => Kind::ScaleOut,
        _ if release.rollback => Kind::Rollback,
        None => Kind::Install,
        Some(_) => Kind::Gated,
    }
}

/// The revision that pods stay at until their group.
#[must_use]
pub fn base_of<'a>(
    s: &Snapshot<'a>,
    kind: Kind,
    from: Option<&'a Revision>,
    target: &'a Revision,
) -> &'a Revision {
    match kind {
        Kind::Gated => from.unwrap_or(target),
        Kind::Install if scaleout::in_groups(s, kind) => scaleout::base(s, target),
        Kind::Install | Kind::Rollback | Kind::ScaleOut => target,
    }
}

fn go_on<'a>(s: &Snapshot<'a>, goal: Goal<'a>, stored: &ReleaseStatus, allocation: &Allocation) -> Step<'a> {
    let target = goal.revision;
    let from = stored.from_revision.and_then(|number| s.revision(number));
    let kind = kind_of(stored);
    let base = base_of(s, kind, from, target);
    let mut release = stored.clone();
    scaleout::follow(s, kind, base.uid == target.uid, &mut release, allocation);
    let grouped = scaleout::in_groups(s, kind);
    if !grouped && release.state != ReleaseState::Completed {
        // Groups that were planned when `groupScaleOut` was still on are no more.
        (release.waiting_since, release.group_total) = (None, release.group);
    }
    let wanted = allocation.units.iter().map(|(_, n)| *n).collect();
    Step { target, base, kind, abandons: goal.abandons, release, grouped, wanted, events: Vec::new() }
}

/// Every pod of the groups let in so far is updated, available and out of the journal, and each unit works on exactly
/// the plan that is latched.
fn is_group_done(s: &Snapshot<'_>, step: &Step<'_>) -> bool {
    if s.stored().is_none_or(|r| r.revision != step.release.revision || r.quota != step.release.quota) {
        return false;
    }
    step.release.quota.iter().all(|q| {
        s.unit(&q.name).is_some_and(|u| {
            let acknowledged = !u.busy && u.set.status.observed_generation == Some(u.set.generation);
            let works_on_it = children::follows(s, step, u.set, q.replicas);
            acknowledged
                && works_on_it
                && u.census.updated_in_flight == 0
                && u.census.updated_available >= q.updated
        })
    })
}

fn finish_group(s: &Snapshot<'_>, step: &mut Step<'_>, plan: &mut Plan) -> Option<()> {
    let number = step.release.group;
    // A gate that was announced stands, even when scaling has left nothing behind it.
    // One of a scale-out that was taken back guards nothing.
    let guarded = step.grouped && step.kind != Kind::ScaleOut;
    let last = step.left() == 0 && (number >= step.release.group_total || !guarded);
    if let Some(group) =
        step.release.groups.iter_mut().find(|g| g.number == number && g.state != GroupState::Done)
    {
        group.state = GroupState::Done;
        group.finished_at = Some(s.now.wall);
        let note =
            format!("group {number} of revision {}: {}", step.release.revision, message::units(&group.units));
        step.events.push(Event::normal(reason::GROUP_COMPLETED, note));
    }
    if last {
        return complete(s, step, plan);
    }
    if step.release.waiting_since.is_none() && !gate::may_open(s, step) {
        step.release.waiting_since = Some(s.now.wall);
        if gate::needs_confirmation(s) {
            let token = gate::token(step);
            let note =
                format!("gate {token} waits for confirmation: set spec.release.confirm to \"{token}\"");
            step.events.push(Event::normal(reason::WAITING_FOR_CONFIRMATION, note));
        }
    } else if step.release.waiting_since.is_none() {
        gate::open(s, step);
    }
    Some(())
}

/// The outcome is on record before the status says so: a status that is lost then finds it.
fn complete(s: &Snapshot<'_>, step: &mut Step<'_>, plan: &mut Plan) -> Option<()> {
    if !target::mark(step.target, Outcome::Completed, plan) {
        return None;
    }
    let revision = step.release.revision;
    step.release.state = ReleaseState::Completed;
    step.release.ended_at = Some(s.now.wall);
    scaleout::close(s, &mut step.release);
    step.release.group_total = step.release.group;
    let reason =
        if step.kind == Kind::Rollback { reason::ROLLBACK_COMPLETED } else { reason::RELEASE_COMPLETED };
    let over = message::pods(s.deployment.spec.replicas);
    let note = match step.kind {
        Kind::ScaleOut => format!("revision {revision} is scaled out to {over}"),
        Kind::Install | Kind::Gated | Kind::Rollback => format!("every pod runs revision {revision}"),
    };
    step.events.push(Event::normal(reason, note));
    Some(())
}

/// The state as people read it. Nothing decides by it but Completed.
fn hold(s: &Snapshot<'_>, step: &mut Step<'_>) {
    if step.is_complete() {
        return;
    }
    let state = match step.kind {
        _ if step.is_paused(s) => ReleaseState::Paused,
        _ if step.release.waiting_since.is_some() => ReleaseState::WaitingForConfirmation,
        Kind::Rollback => ReleaseState::RollingBack,
        Kind::Gated | Kind::Install | Kind::ScaleOut => ReleaseState::Executing,
    };
    let before = s.stored().filter(|r| r.revision == step.release.revision).map(|r| r.state);
    let paused = before == Some(ReleaseState::Paused);
    if state == ReleaseState::Paused && !paused {
        let note = format!("the release of revision {} starts no further pod", step.release.revision);
        step.events.push(Event::normal(reason::RELEASE_PAUSED, note));
    } else if paused && state != ReleaseState::Paused {
        step.events
            .push(Event::normal(reason::RELEASE_RESUMED, format!("revision {}", step.release.revision)));
    }
    step.release.state = state;
}

/// Fills in what follows from the decision: the groups ahead, their number, the token, the summary.
fn describe(s: &Snapshot<'_>, step: &mut Step<'_>) {
    let spec = &s.deployment.spec;
    let waits = step.release.state == ReleaseState::WaitingForConfirmation;
    step.release.confirm_token = waits.then(|| gate::token(step));
    if step.is_complete() {
        step.release.waiting_since = None;
    }
    let release = &mut step.release;
    if release.state != ReleaseState::Completed {
        let (ahead, total) =
            groups::ahead(&spec.strategy, spec.replicas, release.group, &release.quota, &step.wanted);
        // A gate that has been announced stays: see `finish_group`.
        let announced = release.group_total > release.group || release.waiting_since.is_some();
        release.group_total = total.max(release.group + i32::from(announced));
        release.groups.retain(|g| g.number <= release.group);
        let done = release.groups.len().saturating_sub(groups::SHOWN_DONE + 1);
        release.groups.drain(..done);
        release.groups.extend(ahead);
    }
    release.summary = Some(format!("{}/{}", release.group, release.group_total));
}
