//! Conditions as kstatus reads them: Ready always, Reconciling and Stalled only while they hold.

use cafe_crds::{
    condition::{Condition, ConditionStatus, types},
    deployment::{Phase, ReleaseState},
    reason,
};

use crate::deployment::{
    Snapshot, allocation::Allocation, message, overlap, scaleout, step::Step, unit_health,
};

/// One condition before it is compared with the one in the status.
struct Now {
    kind: &'static str,
    status: ConditionStatus,
    reason: &'static str,
    message: String,
}

/// The pods of all units in figures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Live pods.
    pub replicas: i32,
    /// Available pods.
    pub available: i32,
    /// Available pods at the target.
    pub updated_available: i32,
    /// Every unit has its pods.
    pub placed: bool,
}

/// All conditions, each with the time of its last flip. `message` is that of the status.
#[must_use]
pub fn all(
    s: &Snapshot<'_>,
    step: &Step<'_>,
    allocation: &Allocation,
    totals: Totals,
    message: &str,
) -> Vec<Condition> {
    let mut now =
        vec![ready(s, step, totals, message), available(s, step, totals), progressing(step, message)];
    now.extend(stalled_or_reconciling(s, step, totals, message));
    now.push(waiting(step, message));
    now.push(paused(s, step));
    now.push(units_healthy(s, allocation));
    now.into_iter().map(|c| dated(s, c.kind, c.status, c.reason, c.message)).collect()
}

/// A condition with the time of its last flip.
#[must_use]
pub fn dated(
    s: &Snapshot<'_>,
    kind: &str,
    status: ConditionStatus,
    reason: &str,
    message: String,
) -> Condition {
    let before = s.deployment.status.conditions.iter().find(|c| c.type_ == kind);
    let since = before.filter(|c| c.status == status).map_or(s.now.wall, |c| c.last_transition_time);
    Condition {
        type_: kind.to_owned(),
        status,
        observed_generation: Some(s.deployment.generation),
        last_transition_time: since,
        reason: reason.to_owned(),
        message,
    }
}

fn is_settled(s: &Snapshot<'_>, step: &Step<'_>, totals: Totals) -> bool {
    let replicas = s.deployment.spec.replicas;
    let stays = s.others.overlaps.is_none() && !s.awaits_restart();
    let done = step.is_complete() && step.abandons.is_none() && stays;
    done && totals.placed && totals.replicas == replicas && totals.updated_available == replicas
}

fn ready(s: &Snapshot<'_>, step: &Step<'_>, totals: Totals, message: &str) -> Now {
    let settled = is_settled(s, step, totals);
    let reason = if settled { reason::ALL_REPLICAS_READY } else { unready_reason(s, step) };
    Now { kind: types::READY, status: settled.into(), reason, message: message.to_owned() }
}

fn unready_reason(s: &Snapshot<'_>, step: &Step<'_>) -> &'static str {
    match step.release.state {
        _ if s.others.overlaps.is_some() => reason::SELECTOR_OVERLAPS,
        ReleaseState::Aborted => reason::RELEASE_ABORTED,
        ReleaseState::Failed => reason::PROGRESS_DEADLINE_EXCEEDED,
        ReleaseState::Completed if s.awaits_restart() => reason::RESTARTING,
        ReleaseState::Completed if step.abandons.is_some() => reason::ROLLED_BACK,
        ReleaseState::WaitingForConfirmation => reason::WAITING_FOR_CONFIRMATION,
        ReleaseState::Paused => reason::PAUSED,
        ReleaseState::Completed => reason::REPLICAS_NOT_READY,
        _ => reason::RELEASE_PROGRESSING,
    }
}

/// One of the two while the release is not where it is to be: Stalled when only people can help.
fn stalled_or_reconciling(s: &Snapshot<'_>, step: &Step<'_>, totals: Totals, message: &str) -> Option<Now> {
    if is_settled(s, step, totals) {
        return None;
    }
    let overlaps = s.others.overlaps.map(|_| reason::SELECTOR_OVERLAPS);
    let (kind, reason) = match overlaps.or_else(|| stall(s)).or_else(|| stopped(s, step)) {
        Some(reason) => (types::STALLED, reason),
        None => (types::RECONCILING, unready_reason(s, step)),
    };
    Some(Now { kind, status: ConditionStatus::True, reason, message: message.to_owned() })
}

/// Whether the release has come to an end that only people can go on from.
fn stopped(s: &Snapshot<'_>, step: &Step<'_>) -> Option<&'static str> {
    let ended = match step.release.state {
        ReleaseState::Aborted | ReleaseState::Failed => true,
        ReleaseState::Completed => step.abandons.is_some() && !s.awaits_restart(),
        _ => false,
    };
    ended.then(|| unready_reason(s, step))
}

/// Why nothing moves by itself any more.
fn stall(s: &Snapshot<'_>) -> Option<&'static str> {
    let any = |what: fn(&crate::set::Census) -> bool| s.units.iter().any(|u| what(u.census));
    match message::obstacle(s) {
        Some(_) if any(|c| c.refused.is_some()) => Some(reason::CREATE_FAILED),
        Some(_) => Some(reason::NAME_TAKEN),
        None if any(|c| c.held.is_some()) => Some(reason::DRAIN_TIMED_OUT),
        None if any(|c| c.blocked > 0) => Some(reason::IN_PLACE_ONLY),
        None => None,
    }
}

/// Whether groups that are ahead wait for somebody.
fn is_held_back(step: &Step<'_>) -> bool {
    use ReleaseState as State;
    matches!(step.release.state, State::WaitingForConfirmation | State::Paused | State::Aborted)
}

fn available(s: &Snapshot<'_>, step: &Step<'_>, totals: Totals) -> Now {
    let floor = (s.deployment.spec.replicas - s.budget()).max(0);
    let enough = is_available(s, totals);
    let given = scaleout::let_in(s, step).filter(|given| totals.available >= given - s.budget_of(*given));
    let reason = match given {
        _ if enough => reason::MINIMUM_REPLICAS_AVAILABLE,
        // Those that were let in do serve: what is missing is not created before its group.
        Some(_) if is_held_back(step) => unready_reason(s, step),
        _ => reason::MINIMUM_REPLICAS_UNAVAILABLE,
    };
    let held = given.map_or_else(String::new, |n| format!("; spec.strategy.groupScaleOut has let {n} in"));
    let message = format!(
        "{} of {} available; at least {floor} must be{held}",
        totals.available,
        message::pods(s.deployment.spec.replicas)
    );
    Now { kind: types::AVAILABLE, status: enough.into(), reason, message }
}

fn is_available(s: &Snapshot<'_>, totals: Totals) -> bool {
    totals.available >= (s.deployment.spec.replicas - s.budget()).max(0)
}

fn progressing(step: &Step<'_>, message: &str) -> Now {
    let (status, reason) = match step.release.state {
        ReleaseState::Completed => (ConditionStatus::True, reason::NEW_REVISION_AVAILABLE),
        ReleaseState::WaitingForConfirmation => (ConditionStatus::Unknown, reason::WAITING_FOR_CONFIRMATION),
        ReleaseState::Paused => (ConditionStatus::Unknown, reason::PAUSED),
        ReleaseState::Aborted => (ConditionStatus::False, reason::RELEASE_ABORTED),
        ReleaseState::Failed => (ConditionStatus::False, reason::PROGRESS_DEADLINE_EXCEEDED),
        _ => (ConditionStatus::True, reason::RELEASE_PROGRESSING),
    };
    Now { kind: types::PROGRESSING, status, reason, message: message.to_owned() }
}

fn waiting(step: &Step<'_>, message: &str) -> Now {
    let waits = step.release.confirm_token.is_some();
    let (reason, message) = if waits {
        (reason::WAITING_FOR_CONFIRMATION, message.to_owned())
    } else {
        (reason::NOTHING_TO_CONFIRM, String::new())
    };
    Now { kind: types::WAITING_FOR_CONFIRMATION, status: waits.into(), reason, message }
}

fn paused(s: &Snapshot<'_>, step: &Step<'_>) -> Now {
    let paused = step.is_paused(s);
    let (reason, message) = if paused {
        let why = overlap::advice(s)
            .unwrap_or_else(|| format!("spec.strategy.pause holds revision {}", step.release.revision));
        (reason::PAUSED, why)
    } else {
        (reason::NOT_PAUSED, String::new())
    };
    Now { kind: types::PAUSED, status: paused.into(), reason, message }
}

fn units_healthy(s: &Snapshot<'_>, allocation: &Allocation) -> Now {
    let (healthy, reason, message) = if let (Some(obstacle), Some(reason)) = (message::obstacle(s), stall(s))
    {
        (false, reason, obstacle)
    } else if let Some((reason, message)) =
        unit_health::being_deleted(s).or_else(|| unit_health::without_nodes(s))
    {
        (false, reason, message)
    } else if allocation.pins_fit {
        match unit_health::crowded(s) {
            Some((reason, message)) => (false, reason, message),
            None => (true, reason::ALL_UNITS_HEALTHY, unit_health::unseen(s).to_owned()),
        }
    } else {
        let total = s.deployment.spec.replicas;
        let message = format!(
            "spec.topology.unitReplicas do not add up to spec.replicas ({total}), which wins: adjust one of them"
        );
        (false, reason::PINS_DO_NOT_FIT, message)
    };
    Now { kind: types::UNITS_HEALTHY, status: healthy.into(), reason, message }
}

/// The one word for people. No program decides by it.
#[must_use]
pub fn phase(s: &Snapshot<'_>, step: &Step<'_>, totals: Totals) -> Phase {
    match step.release.state {
        _ if s.others.overlaps.is_some() => Phase::Invalid,
        ReleaseState::WaitingForConfirmation => Phase::Waiting,
        ReleaseState::Paused => Phase::Paused,
        ReleaseState::RollingBack => Phase::RollingBack,
        ReleaseState::Aborted => Phase::Aborted,
        ReleaseState::Failed => Phase::Degraded,
        ReleaseState::Executing => Phase::Progressing,
        ReleaseState::Completed if is_settled(s, step, totals) => Phase::Healthy,
        ReleaseState::Completed if step.abandons.is_some() => Phase::Degraded,
        ReleaseState::Completed if is_available(s, totals) => Phase::Progressing,
        ReleaseState::Completed => Phase::Degraded,
    }
}
