//! A CafeDeployment that is being deleted: its pods go with it, unless people asked for a drain before that.

use cafe_crds::{
    claims::{ClaimRetention, ClaimRetentionPolicy},
    condition::{Condition, ConditionStatus, types},
    deployment::{CafeDeploymentStatus, Phase},
    reason,
};

use crate::{
    deployment::{Action, Plan, Snapshot, UnitView, action::Step, children, conditions, message},
    set::SetSpec,
    time::Millis,
};

/// How long figures may lag behind when nothing but figures has changed, in milliseconds.
const INTERVAL: u64 = 1000;

/// Scales every InPlaceSet to nothing, which drains its pods, and takes the finalizer `cafe.dev/drain` off when none is left. Where the
/// InPlaceSets are to live on without it nothing is drained.
pub fn plan(s: &Snapshot<'_>, plan: &mut Plan) {
    let Some(at) = s.deployment.bonds.drain else { return };
    if !s.deployment.bonds.drains() || s.units.iter().all(is_empty) {
        if !s.busy {
            plan.act(Action::LetGo { rv: s.deployment.rv, at });
        }
        return;
    }
    // What becomes of claims is said by `whenDeleted`: they are not scaled away.
    let when_scaled = ClaimRetention::Retain;
    let claim_retention = ClaimRetentionPolicy { when_scaled, ..s.deployment.spec.claim_retention };
    for set in s.units.iter().filter(|u| !u.busy && !u.set.deleting).map(|u| u.set) {
        let spec = SetSpec { replicas: 0, claim_retention, ..set.spec.clone() };
        if set.spec != spec {
            let (name, spec) = (set.name.clone(), Box::new(spec));
            plan.act(Action::WriteSet { name, uid: set.uid, rv: set.rv, spec });
        }
    }
    tell(s, plan);
}

/// A set that is going by itself takes its pods along.
fn is_empty(view: &UnitView<'_>) -> bool {
    let gone = view.census.replicas == 0 && view.census.terminating == 0;
    children::is_empty(view) || (view.set.deleting && gone)
}

fn tell(s: &Snapshot<'_>, plan: &mut Plan) {
    let before = &s.deployment.status;
    let status = status(s);
    if status == *before || s.busy {
        return;
    }
    let due = s.status_written.map_or(Millis(0), |at| Millis(at.0.saturating_add(INTERVAL)));
    let begins = status.observed_generation != before.observed_generation;
    if begins || s.now.mono >= due {
        let action = Action::WriteStatus { rv: s.deployment.rv, status: Box::new(status) };
        plan.steps.insert(0, Step { action, events: Vec::new() });
    } else {
        plan.wake.at(due);
    }
}

fn status(s: &Snapshot<'_>) -> CafeDeploymentStatus {
    let sum = |figure: fn(&crate::set::Census) -> i32| s.units.iter().map(|u| figure(u.census)).sum::<i32>();
    let message = sentence(s, sum(|c| c.replicas) + sum(|c| c.terminating));
    let condition = |kind: &str, status: ConditionStatus| {
        conditions::dated(s, kind, status, reason::DRAINING_BEFORE_DELETION, message.clone())
    };
    let working = if s.held_drain().is_some() { types::STALLED } else { types::RECONCILING };
    let conditions: Vec<Condition> =
        vec![condition(types::READY, ConditionStatus::False), condition(working, ConditionStatus::True)];
    CafeDeploymentStatus {
        observed_generation: Some(s.deployment.generation),
        replicas: sum(|c| c.replicas),
        ready_replicas: sum(|c| c.ready),
        available_replicas: sum(|c| c.available),
        updated_replicas: sum(|c| c.updated),
        updated_ready_replicas: sum(|c| c.updated_ready),
        updated_available_replicas: sum(|c| c.updated_available),
        phase: Some(Phase::Progressing),
        message: Some(message),
        conditions,
        ..s.deployment.status.clone()
    }
}

fn sentence(s: &Snapshot<'_>, left: i32) -> String {
    let (namespace, name) = (&s.deployment.namespace, &s.deployment.name);
    let drain = format!("being deleted: {} yet to be drained and to go", message::pods(left));
    let held = s.held_drain().map(|held| held.advice(Some(namespace)));
    held.map_or_else(
        || format!("{drain}; to see them go: kubectl -n {namespace} get cafedeployment {name} -w"),
        |held| format!("{drain}; {held}"),
    )
}
