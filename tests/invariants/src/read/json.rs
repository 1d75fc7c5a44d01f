//! Fields of JSON objects.

use cafe_crds::intstr::IntOrPercent;
use serde_json::Value;

use crate::record::{Identity, Text, Uid};

/// The text at a JSON pointer, empty when there is none.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a JSON pointer, if there is one.
pub(super) fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// The flag at a JSON pointer, if there is one.
pub(super) fn flag(value: &Value, pointer: &str) -> Option<bool> {
    value.pointer(pointer).and_then(Value::as_bool)
}

/// The entries of the list at a JSON pointer.
pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// The entry of a map whose keys may hold slashes.
pub(super) fn entry<'a>(value: &'a Value, map: &str, key: &str) -> Option<&'a str> {
    value.pointer(map)?.get(key)?.as_str()
}

/// A count, absolute or as a share.
pub(super) fn share(value: &Value, pointer: &str) -> Option<IntOrPercent> {
    let given = value.pointer(pointer)?;
    match given {
        Value::String(percent) => percent.parse().ok(),
        count => i32::try_from(count.as_i64()?).ok().map(IntOrPercent::Int),
    }
}

/// The status of the condition of this type.
pub(super) fn condition<'a>(value: &'a Value, kind: &str) -> Option<&'a Value> {
    list(value, "/status/conditions").find(|condition| text(condition, "/type") == kind)
}

pub(super) fn is_true(value: &Value, kind: &str) -> bool {
    condition(value, kind).is_some_and(|c| text(c, "/status") == "True")
}

pub(super) fn shared(text: &str) -> Text {
    text.into()
}

pub(super) fn labels(value: &Value) -> Vec<(Text, Text)> {
    let labels = value.pointer("/metadata/labels").and_then(Value::as_object);
    labels.into_iter().flatten().filter_map(|(k, v)| Some((shared(k), shared(v.as_str()?)))).collect()
}

pub(super) fn identity(value: &Value) -> Identity {
    Identity {
        namespace: shared(text(value, "/metadata/namespace")),
        name: shared(text(value, "/metadata/name")),
        uid: Uid::of(text(value, "/metadata/uid")),
        version: text(value, "/metadata/resourceVersion").parse().unwrap_or_default(),
    }
}

/// The owner that controls it, with its API version and kind.
pub(super) fn controller(value: &Value) -> Option<(&str, &str, Uid)> {
    let mut owners = controllers(value);
    let owner = owners.next()?;
    Some((text(owner, "/apiVersion"), text(owner, "/kind"), Uid::of(text(owner, "/uid"))))
}

pub(super) fn controllers(value: &Value) -> impl Iterator<Item = &Value> {
    list(value, "/metadata/ownerReferences").filter(|o| flag(o, "/controller") == Some(true))
}

pub(super) fn is_deleting(value: &Value) -> bool {
    !text(value, "/metadata/deletionTimestamp").is_empty()
}

/// The long-running containers of a pod's spec: native sidecars, then the others.
pub(super) fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    let sidecars = list(spec, "/initContainers").filter(|c| text(c, "/restartPolicy") == "Always");
    sidecars.chain(list(spec, "/containers"))
}
