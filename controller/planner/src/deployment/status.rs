//! The status: computed from what is there, written only when it says something new.

use cafe_crds::deployment::{CafeDeploymentStatus, Gate, ReleaseState, ReleaseStatus, UnitStatus};
use cafe_crds::reason;

use crate::{
    deployment::{
        Action, Chronicle, Event, Plan, Snapshot,
        action::Step as PlanStep,
        allocation::Allocation,
        conditions::{self, Totals},
        gate, message,
        snapshot::unit_of,
        step::Step,
    },
    set::census::Share,
    time::Millis,
};

/// How long figures may lag behind when nothing but figures has changed, in milliseconds.
const INTERVAL: u64 = 1000;

/// Writes the status if it differs: at once when a decision, the phase or a condition moves, else once a second.
pub fn write(s: &Snapshot<'_>, step: &Step<'_>, allocation: &Allocation, plan: &mut Plan) {
    plan.notices.extend(ignored_token(s, step));
    let before = &s.deployment.status;
    let status = status(s, step, allocation);
    if status == *before || s.busy {
        return;
    }
    let due = s.status_written.map_or(Millis(0), |at| Millis(at.0.saturating_add(INTERVAL)));
    if is_urgent(before, &status) || !step.events.is_empty() || s.now.mono >= due {
        let action = Action::WriteStatus { rv: s.deployment.rv, status: Box::new(status) };
        // First of all: the InPlaceSets wait for what it latches.
        plan.steps.insert(0, PlanStep { action, events: step.events.clone() });
    } else {
        plan.wake.at(due);
    }
}

fn is_urgent(before: &CafeDeploymentStatus, now: &CafeDeploymentStatus) -> bool {
    let flips = |s: &CafeDeploymentStatus| -> Vec<_> {
        s.conditions.iter().map(|c| (c.type_.clone(), c.status)).collect()
    };
    // The clock of the deadline follows the figures; it is no news by itself.
    let decided = |s: &CafeDeploymentStatus| s.release.clone().map(|r| ReleaseStatus { progress: None, ..r });
    decided(before) != decided(now)
        || before.phase != now.phase
        || before.observed_generation != now.observed_generation
        || flips(before) != flips(now)
}

fn status(s: &Snapshot<'_>, step: &Step<'_>, allocation: &Allocation) -> CafeDeploymentStatus {
    let sum = |figure: fn(&crate::set::Census) -> i32| s.units.iter().map(|u| figure(u.census)).sum::<i32>();
    // By the revision pods have: right after a change of template a unit's own figures still mean the target before it.
    let updated = |figure: fn(&Share) -> i32| {
        s.units.iter().map(|u| figure(&u.census.at(step.target.hash))).sum::<i32>()
    };
    let totals = Totals {
        replicas: sum(|c| c.replicas),
        available: sum(|c| c.available),
        updated_available: updated(|c| c.available),
        placed: allocation.is_met(s),
    };
    let current = if step.is_complete() { step.target } else { step.base };
    let message = message::message(s, step, totals.placed);
    CafeDeploymentStatus {
        observed_generation: Some(s.deployment.generation),
        replicas: totals.replicas,
        ready_replicas: sum(|c| c.ready),
        available_replicas: totals.available,
        updated_replicas: updated(|c| c.replicas),
        updated_ready_replicas: updated(|c| c.ready),
        updated_available_replicas: totals.updated_available,
        selector: s.deployment.spec.selector.as_query(),
        current_revision: Some(current.name.to_string()),
        update_revision: Some(step.target.name.to_string()),
        collision_count: step.target.collisions(),
        phase: Some(conditions::phase(s, step, totals)),
        units: units(s, step, allocation),
        conditions: conditions::all(s, step, allocation, totals, &message),
        message: Some(message),
        release: Some(step.release.clone()),
    }
}

/// The units in order of the topology, then those on their way out.
fn units(s: &Snapshot<'_>, step: &Step<'_>, allocation: &Allocation) -> Vec<UnitStatus> {
    let one = |name: &str| {
        let c = s.unit(name).map(|u| u.census);
        UnitStatus {
            name: name.to_owned(),
            replicas: c.map_or(0, |c| c.replicas),
            ready_replicas: c.map_or(0, |c| c.ready),
            available_replicas: c.map_or(0, |c| c.available),
            updated_replicas: c.map_or(0, |c| c.at(step.target.hash).replicas),
        }
    };
    let leaving = s.units.iter().map(|u| unit_of(u.set)).filter(|name| allocation.of(name).is_none());
    allocation.units.iter().map(|(name, _)| name.as_str()).chain(leaving).map(one).collect()
}

/// Whether the token has opened a gate of this release or of one on record: it was heeded, and is merely left behind.
fn has_opened(s: &Snapshot<'_>, release: &ReleaseStatus, token: &str) -> bool {
    let opened = |gate: &Option<Gate>| gate.as_ref().is_some_and(|gate| gate.token.as_deref() == Some(token));
    let on_record = |c: &&Chronicle| c.status.groups.iter().any(|group| opened(&group.gate));
    release.groups.iter().any(|group| opened(&group.gate)) || s.chronicles.iter().any(on_record)
}

/// A confirm token that opens nothing is told once, with the right one.
fn ignored_token(s: &Snapshot<'_>, step: &Step<'_>) -> Option<Event> {
    // An empty token is one that has been taken away.
    let token = s.deployment.spec.release.as_ref()?.confirm.as_ref().filter(|t| !t.is_empty())?;
    let r = &step.release;
    let served = r.last_action.as_ref().is_some_and(|a| a.token == *token) || has_opened(s, r, token);
    let (revision, gate) = token.split_once('/').unwrap_or((token, ""));
    let of_this = revision.parse() == Ok(r.revision);
    let passed = of_this && gate.parse::<i32>().is_ok_and(|g| g <= r.confirmed_through);
    // It opens its gate on arrival; but no gate comes any more when the release has ended.
    let arrives = match r.state {
        ReleaseState::Aborted => false,
        ReleaseState::Completed => of_this && gate == "all",
        _ => (of_this && gate == "all") || *token == gate::token(step),
    };
    if served || passed || arrives {
        return None;
    }
    let advice = match r.state {
        ReleaseState::Aborted => {
            format!("it was aborted; to take it up again set spec.release.retry to \"{}\"", r.revision)
        }
        ReleaseState::WaitingForConfirmation => {
            format!("the gate that waits opens by \"{}\"", gate::token(step))
        }
        _ => "no gate waits now".to_owned(),
    };
    let note = format!("spec.release.confirm \"{token}\" opens no gate of revision {}: {advice}", r.revision);
    Some(Event { once: token.clone(), ..Event::warning(reason::CONFIRM_IGNORED, note) })
}
