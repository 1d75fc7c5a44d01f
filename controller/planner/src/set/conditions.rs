//! The conditions of an InPlaceSet, as kstatus reads them: Ready always, Reconciling only while it holds.

use cafe_crds::{
    condition::{Condition, ConditionStatus, types},
    reason,
};

use crate::{
    set::{Census, Snapshot, ownership},
    words::pods,
};

/// Ready: every pod is available and as many as the partition allows have the template's revision.
#[must_use]
pub fn all(s: &Snapshot<'_>, c: &Census, in_flight: usize) -> Vec<Condition> {
    let replicas = s.set.spec.replicas;
    let to_update = replicas - s.partition();
    let stays = !s.set.deleting && s.others.overlaps.is_none();
    let ready = stays
        && c.replicas == replicas
        && c.available == replicas
        && c.updated >= to_update
        && in_flight == 0;
    let overlap = ownership::overlap(s);
    let message = match (&c.refused, &c.held) {
        _ if overlap.is_some() => overlap.clone().unwrap_or_default(),
        (Some(why), _) => format!("the API server refuses new pods: {why}"),
        (None, Some(held)) => held.advice(None),
        (None, None) if c.blocked > 0 => forbidden(s, c),
        (None, None) if s.set.deleting => {
            let what = if s.set.bonds.drains() { "to be drained and to go" } else { "to go" };
            format!("being deleted: {} pods are yet {what}", c.replicas + c.terminating)
        }
        (None, None) => {
            format!("{} of {} available, {} of {to_update} updated", c.available, pods(replicas), c.updated)
        }
    };
    let reason = match (&c.refused, &c.held) {
        _ if ready => reason::ALL_REPLICAS_READY,
        _ if overlap.is_some() => reason::SELECTOR_OVERLAPS,
        (Some(_), _) => reason::CREATE_FAILED,
        (None, Some(_)) => reason::DRAIN_TIMED_OUT,
        (None, None) if c.blocked > 0 => reason::IN_PLACE_ONLY,
        (None, None) if s.set.bonds.drains() && s.set.deleting => reason::DRAINING_BEFORE_DELETION,
        (None, None) => reason::REPLICAS_NOT_READY,
    };
    let mut conditions = vec![dated(s, types::READY, ready.into(), reason, message.clone())];
    if !ready {
        let stalls = overlap.is_some() || c.refused.is_some() || c.held.is_some() || c.blocked > 0;
        let kind = if stalls { types::STALLED } else { types::RECONCILING };
        conditions.push(dated(s, kind, ConditionStatus::True, reason, message));
    }
    conditions
}

/// That the policy holds pods and, for a set that stands alone, how to let them go.
fn forbidden(s: &Snapshot<'_>, c: &Census) -> String {
    let what = format!(
        "podUpdatePolicy InPlaceOnly holds {}, because the change cannot go in place",
        pods(c.blocked)
    );
    if s.set.owner.is_some() {
        return what;
    }
    format!(
        "{what}; to let them be recreated: kubectl patch inplaceset {} --type=merge \
         -p '{{\"spec\":{{\"updateStrategy\":{{\"podUpdatePolicy\":\"InPlaceIfPossible\"}}}}}}'",
        s.set.name
    )
}

fn dated(s: &Snapshot<'_>, kind: &str, status: ConditionStatus, reason: &str, message: String) -> Condition {
    let before = s.set.status.conditions.iter().find(|c| c.type_ == kind);
    Condition {
        type_: kind.to_owned(),
        status,
        observed_generation: Some(s.set.generation),
        last_transition_time: before
            .filter(|c| c.status == status)
            .map_or(s.now.wall, |c| c.last_transition_time),
        reason: reason.to_owned(),
        message,
    }
}
