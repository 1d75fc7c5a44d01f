//! CafeDeployments.

use cafe_crds::intstr::IntOrPercent;
use serde_json::Value;

use super::json::{flag, identity, is_deleting, is_true, list, number, share, shared, text};
use super::set::counts;
use crate::record::{Deployment, Quota, Release, Revision};

pub(super) fn read(value: &Value) -> Deployment {
    let replicas = number(value, "/spec/replicas").unwrap_or(1);
    let total = i32::try_from(replicas).unwrap_or(i32::MAX);
    let budget = share(value, "/spec/strategy/maxUnavailable").unwrap_or(IntOrPercent::Percent(25));
    let confirm = text(value, "/spec/release/confirm");
    Deployment {
        identity: identity(value),
        deleting: is_deleting(value),
        generation: number(value, "/metadata/generation").unwrap_or(0),
        observed: number(value, "/status/observedGeneration"),
        replicas,
        budget: i64::from(budget.rounded_down(total).max(1)),
        paused: flag(value, "/spec/strategy/pause").unwrap_or(false),
        needs_confirm: flag(value, "/spec/strategy/needWaitingForConfirm").unwrap_or(true),
        groups_scale_out: flag(value, "/spec/strategy/groupScaleOut").unwrap_or(false),
        confirm: (!confirm.is_empty()).then(|| shared(confirm)),
        deadline: number(value, "/spec/strategy/progressDeadlineSeconds").unwrap_or(600),
        target: Revision::of_name(text(value, "/status/updateRevision")),
        base: Revision::of_name(text(value, "/status/currentRevision")),
        says_paused: is_true(value, "Paused"),
        says_ready: is_true(value, "Ready"),
        counts: counts(value),
        release: value.pointer("/status/release").map(release),
    }
}

fn release(value: &Value) -> Release {
    let of = |field: &str| number(value, field).unwrap_or(0);
    let quota = |quota: &Value| Quota {
        unit: shared(text(quota, "/name")),
        replicas: number(quota, "/replicas").unwrap_or(0),
        updated: number(quota, "/updated").unwrap_or(0),
    };
    Release {
        revision: of("/revision"),
        has_base: number(value, "/fromRevision").is_some(),
        rollback: flag(value, "/rollback").unwrap_or(false),
        scale_out: flag(value, "/scaleOut").unwrap_or(false),
        completed: text(value, "/state") == "Completed",
        waiting: value.get("waitingSince").is_some_and(|since| !since.is_null()),
        group: of("/group"),
        total: of("/groupTotal"),
        quota: list(value, "/quota").map(quota).collect(),
    }
}
