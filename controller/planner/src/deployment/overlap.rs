//! Two objects whose selectors match each other's pods must never fight: the younger one is refused, and says so. One that serves
//! already is not to lose a pod because somebody has edited the other: it goes on like one that is paused.

use cafe_crds::{
    condition::{ConditionStatus, types},
    deployment::{CafeDeploymentStatus, Phase},
    reason,
};

use crate::{
    deployment::{Action, Event, Plan, Snapshot, conditions},
    words,
};

/// Whether an older object has a claim to pods like those of this one, which has no InPlaceSet yet. Then nothing is created, and the
/// status says why.
pub fn refuse(s: &Snapshot<'_>, plan: &mut Plan) -> bool {
    let (Some(older), Some(message)) = (s.others.overlaps, advice(s)) else { return false };
    let event = Event::warning(reason::SELECTOR_OVERLAPS, message.clone());
    plan.notices.push(Event { once: older.to_string(), ..event });
    if serves(s) {
        return false;
    }
    let condition = |kind: &str, status: ConditionStatus| {
        conditions::dated(s, kind, status, reason::SELECTOR_OVERLAPS, message.clone())
    };
    let status = CafeDeploymentStatus {
        observed_generation: Some(s.deployment.generation),
        selector: s.deployment.spec.selector.as_query(),
        phase: Some(Phase::Invalid),
        message: Some(message.clone()),
        conditions: vec![
            condition(types::READY, ConditionStatus::False),
            condition(types::STALLED, ConditionStatus::True),
        ],
        ..s.deployment.status.clone()
    };
    if status != s.deployment.status && !s.busy {
        plan.act(Action::WriteStatus { rv: s.deployment.rv, status: Box::new(status) });
    }
    true
}

fn serves(s: &Snapshot<'_>) -> bool {
    !s.units.is_empty()
}

/// What is wrong with the selector, and what to do.
#[must_use]
pub fn advice(s: &Snapshot<'_>) -> Option<String> {
    let older = s.others.overlaps?;
    let (namespace, name) = (&s.deployment.namespace, &s.deployment.name);
    Some(if serves(s) {
        words::overlap_that_befell(older, &format!("kubectl -n {namespace}"))
    } else {
        format!(
            "{older} is older, and its pods and those of this one match each other's selectors: this one does nothing until that is gone; \
             selectors are immutable, so create this one anew with other labels, after: kubectl -n {namespace} delete cafedeployment {name}"
        )
    })
}
