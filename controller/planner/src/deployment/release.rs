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
        rebuild, scaleout, stop, target,
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
    /// More pods of a revision that had completed, group by group.
    ScaleOut,
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
    /// Pods move or are created group by group, with gates.
    pub grouped: bool,
    /// Pods wanted of each unit in the end, in the order of the quota.
    pub wanted: Vec<i32>,
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
                && a.scale_out == b.scale_out
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
        (self.kind == Kind::Gated || self.base.uid != self.target.uid) && !self.is_complete()
    }

    /// The size of each unit for now: what it has been given, or its share of `spec.replicas` where nothing holds pods back.
    #[must_use]
    pub fn sizes(&self, allocation: &Allocation) -> Allocation {
        let given = |unit: &str| self.release.quota.iter().find(|q| q.name == unit).map(|q| q.replicas);
        let size = |(unit, share): &(String, i32)| (unit.clone(), given(unit).unwrap_or(*share));
        Allocation { units: allocation.units.iter().map(size).collect(), ..*allocation }
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
        if self.is_complete() || !(self.grouped || self.is_aborted()) {
            return replicas;
        }
        self.release.quota.iter().find(|q| q.name == unit).map_or(0, |q| q.updated)
    }

    /// Pods of each unit that are left to move or to create.
    fn left(&self) -> i32 {
        groups::left(&self.release.quota, &self.wanted).iter().sum()
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
    if scaleout::is_due(s, &step, allocation) {
        scale_out(s, &mut step);
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
    pass_gate(s, &mut step);
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
fn base_of<'a>(
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
    let base = base_of(s, kind, from, target);
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
    step.release.groups = vec![opened(s, number, kind, units)];
}

/// Takes a release that had completed up again: the pods that are wanted in addition go in groups of their own, whose numbers
/// continue those of the revision. No gate stands before the first of them.
fn scale_out(s: &Snapshot<'_>, step: &mut Step<'_>) {
    step.release.scale_out = true;
    (step.kind, step.base, step.grouped) = (Kind::ScaleOut, step.target, true);
    step.release.state = ReleaseState::Executing;
    step.release.ended_at = None;
    open_group(s, step);
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

/// Whether the gate after the group in hand is confirmed before it waits.
#[must_use]
pub fn is_confirmed_early(s: &Snapshot<'_>, step: &Step<'_>) -> bool {
    let has_gate = step.has_gates() && step.release.group < step.release.group_total;
    has_gate && needs_confirmation(s) && confirmation(s, step).is_some()
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
    open_group(s, step);
}

/// Lets the next group in.
fn open_group(s: &Snapshot<'_>, step: &mut Step<'_>) {
    let strategy = &s.deployment.spec.strategy;
    let passed = step.release.group;
    let release = &mut step.release;
    release.confirmed_through = passed;
    release.waiting_since = None;
    release.group = passed + 1;
    let replicas = s.deployment.spec.replicas;
    let units = groups::open(strategy, replicas, passed + 1, &mut release.quota, &step.wanted);
    scaleout::grow(s, &mut release.quota);
    let kind = groups::kind(strategy, passed + 1);
    release.groups.retain(|g| g.number <= passed);
    release.groups.push(opened(s, passed + 1, kind, units));
    tell_group(step);
}

fn opened(s: &Snapshot<'_>, number: i32, kind: GroupKind, units: BTreeMap<String, i32>) -> GroupStatus {
    let (state, started_at) = (GroupState::Executing, Some(s.now.wall));
    GroupStatus { number, kind, units, state, started_at, ..GroupStatus::default() }
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
    step.release.confirm_token = waits.then(|| token(step));
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
