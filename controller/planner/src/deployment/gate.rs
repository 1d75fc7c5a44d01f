//! The gate after a group: which token opens it, whether it may open, and the group behind it.

use std::collections::BTreeMap;

use cafe_crds::{
    deployment::{Gate, GroupKind, GroupState, GroupStatus, LastAction},
    reason,
};

use crate::deployment::{Event, Snapshot, groups, message, scaleout, step::Step};

/// Whether gates wait for people at all.
#[must_use]
pub fn needs_confirmation(s: &Snapshot<'_>) -> bool {
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

/// Whether the gate after the group in hand may open now.
#[must_use]
pub fn may_open(s: &Snapshot<'_>, step: &Step<'_>) -> bool {
    !s.paused() && (!needs_confirmation(s) || confirmation(s, step).is_some())
}

/// Confirm is a level: the gate opens whenever it waits and the token is there.
pub fn pass(s: &Snapshot<'_>, step: &mut Step<'_>) {
    if step.release.waiting_since.is_some() && !step.is_complete() && may_open(s, step) {
        open(s, step);
    }
}

/// Opens the gate after the group in hand, and lets the next one in.
pub fn open(s: &Snapshot<'_>, step: &mut Step<'_>) {
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
pub fn open_group(s: &Snapshot<'_>, step: &mut Step<'_>) {
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

/// A group that has just been let in.
#[must_use]
pub fn opened(s: &Snapshot<'_>, number: i32, kind: GroupKind, units: BTreeMap<String, i32>) -> GroupStatus {
    let (state, started_at) = (GroupState::Executing, Some(s.now.wall));
    GroupStatus { number, kind, units, state, started_at, ..GroupStatus::default() }
}

/// Tells that the group in hand was let in.
pub fn tell_group(step: &mut Step<'_>) {
    let number = step.release.group;
    let units = step.release.groups.iter().find(|g| g.number == number).map(|g| message::units(&g.units));
    let note = format!("group {number} of revision {}: {}", step.release.revision, units.unwrap_or_default());
    step.events.push(Event::normal(reason::GROUP_STARTED, note));
}
