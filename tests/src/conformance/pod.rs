//! What the test reads of a pod that concerns the protector.

use serde_json::Value;

use crate::scenario::{Gate, Pod};

fn list<'a>(pod: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    pod.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The condition of this type.
pub(super) fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    list(pod, "/status/conditions").find(|condition| text(condition, "type") == kind)
}

/// Status and reason of a condition.
pub(super) fn said<'a>(pod: &'a Value, kind: &str) -> Option<(&'a str, &'a str)> {
    condition(pod, kind).map(|condition| (text(condition, "status"), text(condition, "reason")))
}

pub(super) fn has_finalizer(pod: &Value, finalizer: &str) -> bool {
    list(pod, "/metadata/finalizers").any(|found| found == finalizer)
}

/// Whether the protector should route to the pod.
pub(super) fn may_serve(pod: &Value) -> bool {
    let view = Pod(pod);
    view.gate() == Gate::True
        && said(pod, "ContainersReady").is_some_and(|(status, _)| status == "True")
        && !view.is_terminating()
        && !view.ip().is_empty()
}

/// Whether the protector has the pod, as Cafe understands it.
pub(super) fn is_back(pod: &Value, lock: &str) -> bool {
    has_finalizer(pod, lock) && said(pod, lock).is_none_or(|(status, _)| status == "True")
}

/// Whether the protector has answered the drain `reason`.
pub(super) fn has_answered(pod: &Value, lock: &str, reason: &str) -> bool {
    !has_finalizer(pod, lock) || said(pod, lock) == Some(("False", reason))
}

/// One line for people.
pub(super) fn line(pod: &Value, lock: &str) -> String {
    let view = Pod(pod);
    let condition = match said(pod, lock) {
        None => "absent".to_owned(),
        Some((status, reason)) => format!("{status} {reason}"),
    };
    let finalizers: Vec<&str> = list(pod, "/metadata/finalizers").filter_map(Value::as_str).collect();
    format!(
        "{} {}: gate {:?}, deleting {}, finalizers {finalizers:?}, condition {condition}",
        view.name(),
        view.ip(),
        view.gate(),
        view.is_terminating()
    )
}
