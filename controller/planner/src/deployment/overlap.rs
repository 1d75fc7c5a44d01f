//! Two objects whose selectors match each other's pods must never fight: the younger one is refused, and says so.

use cafe_crds::{
    condition::{ConditionStatus, types},
    deployment::{CafeDeploymentStatus, Phase},
    reason,
};

use crate::deployment::{Action, Event, Plan, Snapshot, conditions};

/// Whether an older object has a claim to pods like those of this one. Then nothing is created or changed, and the status says why.
pub fn refuse(s: &Snapshot<'_>, plan: &mut Plan) -> bool {
    let Some(older) = s.others.overlaps else { return false };
    let message = format!(
        "{older} is older, and its pods and those of this one match each other's selectors: this one does nothing until that is gone; \
         selectors are immutable, so create this one anew with other labels, after: kubectl -n {} delete cafedeployment {}",
        s.deployment.namespace, s.deployment.name
    );
    let event = Event::warning(reason::SELECTOR_OVERLAPS, message.clone());
    plan.notices.push(Event { once: older.to_string(), ..event });
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
