//! The release in hand: which group runs, whether its gate may open, when it is complete.

use std::collections::BTreeMap;

use cafe_crds::{
    deployment::{
        Gate, GroupKind, GroupState, GroupStatus, LastAction, ReleaseState, ReleaseStatus, UnitQuota,
    },
    reason,
};

use crate::{
    deployment::{
        Event, Plan, Snapshot, UnitView,
        allocation::Allocation,
        children, groups, message,
        orders::{self, Goal},
        rebuild, stop, target,
    },
    revision::{Outcome, Revision},
};

/// How pods are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing has completed yet: no gates.
    Install,
    /// From a good revision to another, group by group.
    Gated,
    /// Back to the good revision: no gates.
    Rollback,
}

/// The release after this look.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// The revision pods move to.
    pub target: &'a Revision,
    /// The revision pods stay at until their group: the target itself when there is none.
    pub base: &'a Revision,
    /// How pods are moved.
    pub kind: Kind,
    /// The revision of the template, when `target` serves in its place.
    pub abandons: Option<&'a Revision>,
    /// The release as it is to be written.
    pub release: ReleaseStatus,
    /// What its change earns.
    pub events: Vec<Event>,
}

impl Step<'_> {
    /// Whether everything the InPlaceSets depend on is in the status already.
    #[must_use]
    pub fn is_latched(&self, s: &Snapshot<'_>) -> bool {
        s.stored().is_some_and(|stored| {
            let (a, b) = (stored, &self.release);
            a.revision == b.revision
                && a.from_revision == b.from_revision
                && a.rollback == b.rollback
                && a.group == b.group
                && a.confirmed_through == b.confirmed_through
                && a.quota == b.quota
                && [ReleaseState::Completed, ReleaseState::Aborted, ReleaseState::Failed]
                    .iter()
                    .all(|state| (a.state == *state) == (b.state == *state))
        })
    }

    /// Whether every pod has reached the target.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.release.state == ReleaseState::Completed
    }

    /// Whether pods move group by group.
    #[must_use]
    pub fn has_gates(&self) -> bool {
        self.kind == Kind::Gated && !self.is_complete()
    }

    /// Whether no further pod is to start: it was stopped, `spec.strategy.pause` holds it, a drain takes too long, or an
    /// updated pod has turned unavailable. Only people hold a rollback, by an abort: it is the way out.
    #[must_use]
    pub fn is_held(&self, s: &Snapshot<'_>) -> bool {
        let failed = self.release.state == ReleaseState::Failed || self.sick(s).is_some();
        let waits = s.paused() || s.held_drain().is_some() || failed;
        self.is_aborted() || (waits && self.kind != Kind::Rollback)
    }

    /// The first updated pod, by name and over all units, that is no longer ready while pods move group by group.
    #[must_use]
    pub fn sick<'s>(&self, s: &Snapshot<'s>) -> Option<&'s str> {
        // A unit that has not been told of this release speaks of the pods of another.
        let told = s.units.iter().filter(|u| u.set.spec.digest == self.target.digest);
        told.filter_map(|u| u.census.sick.as_deref()).min().filter(|_| self.has_gates())
    }

    /// Whether it was stopped where it was.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.release.state == ReleaseState::Aborted
    }

    /// Whether every InPlaceSet knows of the pause: from then on no further pod is started.
    #[must_use]
    pub fn is_paused(&self, s: &Snapshot<'_>) -> bool {
        let knows = |u: &UnitView<'_>| {
            let acknowledged = u.set.status.observed_generation == Some(u.set.generation);
            !u.busy && u.set.spec.update_strategy.paused && acknowledged
        };
        s.paused() && self.kind != Kind::Rollback && s.units.iter().all(knows)
    }

    /// Pods of a unit that may be at the target now.
    #[must_use]
    pub fn quota(&self, unit: &str, replicas: i32) -> i32 {
        if self.is_complete() || (self.kind != Kind::Gated && !self.is_aborted()) {
            return replicas;
        }
        self.release.quota.iter().find(|q| q.name == unit).map_or(0, |q| q.updated)
    }
}

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
        stored => start(s, goal, stored, allocation, plan)?,
    };
    let aborts = orders::aborts(s, goal, plan);
    if aborts || (goal.abandons.is_none() && step.is_aborted()) {
        stop::abort(s, &mut step, plan)?;
        describe(s, &mut step);
        return Some(step);
    }
    if step.is_complete() {
        if target.outcome.is_none() {
            // Its object was deleted by hand and made again: what it remembered is written again.
            target::mark(target, Outcome::Completed, plan);
        }
        return Some(step);
    }
    if is_group_done(s, &step) {
        finish_group(s, &mut step, plan)?;
    }
    pass_gate(s, &mut step);
    hold(s, &mut step);
    stop::watch(s, &mut step, plan);
    describe(s, &mut step);
    Some(step)
}

/// The kind is latched when a release starts: revisions may change their outcome, or vanish, while it runs.
fn kind_of(release: &ReleaseStatus) -> Kind {
    match release.from_revision {
        _ if release.rollback => Kind::Rollback,
        None => Kind::Install,
        Some(_) => Kind::Gated,
    }
}

fn go_on<'a>(s: &Snapshot<'a>, goal: Goal<'a>, stored: &ReleaseStatus, allocation: &Allocation) -> Step<'a> {
    let target = goal.revision;
    let from = stored.from_revision.and_then(|number| s.revision(number));
    let kind = kind_of(stored);
    let base = if kind == Kind::Gated { from.unwrap_or(target) } else { target };
    let mut release = stored.clone();
    if release.state != ReleaseState::Completed {
        release.quota = groups::rescale(&stored.quota, &allocation.units);
        if kind != Kind::Gated && release.state != ReleaseState::Aborted {
            release.quota.iter_mut().for_each(|q| q.updated = q.replicas);
        }
    }
    Step { target, base, kind, abandons: goal.abandons, release, events: Vec::new() }
}

fn start<'a>(
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
    let from = match goal.abandons {
        Some(template) => Some(template),
        None if rollback => previous,
        None => target::base(s, target),
    };
    let kind = match from {
        _ if rollback => Kind::Rollback,
        None => Kind::Install,
        Some(_) => Kind::Gated,
    };
    let base = if kind == Kind::Gated { from.unwrap_or(target) } else { target };
    let step = |release| Step { target, base, kind, abandons: goal.abandons, release, events: Vec::new() };
    if let Some(release) = rebuild::release(s, target, kind, from, allocation).filter(|_| !rollback) {
        return Some(step(release));
    }
    let mut quota = groups::rescale(&[], &allocation.units);
    let strategy = &s.deployment.spec.strategy;
    let units = open_first(s, kind, target, &mut quota);
    let first_kind = if kind == Kind::Gated { groups::kind(strategy, 1) } else { GroupKind::Batch };
    let (started_by, order) = orders::behind(s, goal, rollback);
    let first = GroupStatus {
        number: 1,
        kind: first_kind,
        units,
        state: GroupState::Executing,
        started_at: Some(s.now.wall),
        ..GroupStatus::default()
    };
    let release = ReleaseStatus {
        revision: target.number,
        from_revision: from.map(|r| r.number),
        rollback,
        state: ReleaseState::Executing,
        started_at: Some(s.now.wall),
        started_by,
        group: 1,
        group_total: 1,
        groups: vec![first],
        last_action: order.or_else(|| stored.and_then(|r| r.last_action.clone())),
        quota,
        ..ReleaseStatus::default()
    };
    let mut step = step(release);
    tell_start(s, &mut step, stored.filter(|_| unfinished));
    Some(step)
}

fn open_first(
    s: &Snapshot<'_>,
    kind: Kind,
    target: &Revision,
    quota: &mut [UnitQuota],
) -> BTreeMap<String, i32> {
    let spec = &s.deployment.spec;
    if kind == Kind::Gated {
        return groups::open(&spec.strategy, spec.replicas, 1, quota);
    }
    quota.iter_mut().for_each(|q| q.updated = q.replicas);
    // A rollback moves only the pods that are not there.
    let there = |q: &UnitQuota| s.unit(&q.name).map_or(0, |u| u.census.at(target.hash).replicas);
    let moved = quota.iter().map(|q| (q.name.clone(), q.replicas - there(q)));
    moved.filter(|(_, n)| *n > 0).collect()
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
    let note = match from {
        Some(from) => {
            format!("from revision {from} to revision {new} over {} pods", s.deployment.spec.replicas)
        }
        None => format!(
            "revision {new} over {} pods, without gates: nothing has completed yet",
            s.deployment.spec.replicas
        ),
    };
    step.events.push(Event::normal(reason::RELEASE_STARTED, note));
    tell_group(step);
}

fn tell_group(step: &mut Step<'_>) {
    let number = step.release.group;
    let units = step.release.groups.iter().find(|g| g.number == number).map(|g| message::units(&g.units));
    let note = format!("group {number} of revision {}: {}", step.release.revision, units.unwrap_or_default());
    step.events.push(Event::normal(reason::GROUP_STARTED, note));
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
            let works_on_it = children::follows(step, u.set, q.replicas);
            acknowledged
                && works_on_it
                && u.census.updated_in_flight == 0
                && u.census.updated_available >= q.updated
        })
    })
}

fn finish_group(s: &Snapshot<'_>, step: &mut Step<'_>, plan: &mut Plan) -> Option<()> {
    let number = step.release.group;
    let left: i32 = groups::left(&step.release.quota).iter().sum();
    // A gate that was announced stands, even when scaling has left nothing behind it.
    let last = left == 0 && (number >= step.release.group_total || step.kind != Kind::Gated);
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
    if step.release.waiting_since.is_none() && !gate_may_open(s, step) {
        step.release.waiting_since = Some(s.now.wall);
        if needs_confirmation(s) {
            let token = token(step);
            let note =
                format!("gate {token} waits for confirmation: set spec.release.confirm to \"{token}\"");
            step.events.push(Event::normal(reason::WAITING_FOR_CONFIRMATION, note));
        }
    } else if step.release.waiting_since.is_none() {
        open_next(s, step);
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
    step.release.quota = Vec::new();
    step.release.group_total = step.release.group;
    let reason =
        if step.kind == Kind::Rollback { reason::ROLLBACK_COMPLETED } else { reason::RELEASE_COMPLETED };
    step.events.push(Event::normal(reason, format!("every pod runs revision {revision}")));
    Some(())
}

fn needs_confirmation(s: &Snapshot<'_>) -> bool {
    s.deployment.spec.strategy.need_waiting_for_confirm
}

/// The token that opens the gate after the group in hand.
#[must_use]
pub fn token(step: &Step<'_>) -> String {
    format!("{}/{}", step.release.revision, step.release.group)
}

/// The confirm token in the spec, if it opens the gate after the group in hand.
fn confirmation(s: &Snapshot<'_>, step: &Step<'_>) -> Option<String> {
    let given = s.deployment.spec.release.as_ref()?.confirm.clone()?;
    let opens = given == token(step) || given == format!("{}/all", step.release.revision);
    opens.then_some(given)
}

fn gate_may_open(s: &Snapshot<'_>, step: &Step<'_>) -> bool {
    !s.paused() && (!needs_confirmation(s) || confirmation(s, step).is_some())
}

/// Confirm is a level: the gate opens whenever it waits and the token is there.
fn pass_gate(s: &Snapshot<'_>, step: &mut Step<'_>) {
    if step.release.waiting_since.is_some() && !step.is_complete() && gate_may_open(s, step) {
        open_next(s, step);
    }
}

fn open_next(s: &Snapshot<'_>, step: &mut Step<'_>) {
    let spec = &s.deployment.spec;
    let passed = step.release.group;
    let token = confirmation(s, step).filter(|_| needs_confirmation(s));
    let by = s.deployment.authors.confirm.as_ref().filter(|_| token.is_some()).map(ToString::to_string);
    if let Some(token) = token.clone() {
        step.events.push(Event::normal(
            reason::CONFIRMED,
            format!("gate {} opens by \"{token}\"", self::token(step)),
        ));
        step.release.last_action = Some(LastAction { token, by: by.clone(), at: s.now.wall });
    }
    if let Some(group) = step.release.groups.iter_mut().find(|g| g.number == passed) {
        group.gate = Some(Gate { opened_at: s.now.wall, token, by });
    }
    step.release.confirmed_through = passed;
    step.release.waiting_since = None;
    step.release.group = passed + 1;
    let units = groups::open(&spec.strategy, spec.replicas, passed + 1, &mut step.release.quota);
    let kind = groups::kind(&spec.strategy, passed + 1);
    step.release.groups.retain(|g| g.number <= passed);
    step.release.groups.push(GroupStatus {
        number: passed + 1,
        kind,
        units,
        state: GroupState::Executing,
        started_at: Some(s.now.wall),
        ..GroupStatus::default()
    });
    tell_group(step);
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
        Kind::Gated | Kind::Install => ReleaseState::Executing,
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
    step.release.confirm_token = waits.then(|| token(step));
    if step.is_complete() {
        step.release.waiting_since = None;
    }
    let release = &mut step.release;
    if release.state != ReleaseState::Completed {
        let (ahead, total) = groups::ahead(&spec.strategy, spec.replicas, release.group, &release.quota);
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
