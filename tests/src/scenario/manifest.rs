//! The objects that scenarios start from.

use serde_json::{Value, json};

/// The name of the one container of [`web`] and [`solo`].
pub const CONTAINER: &str = "app";

/// The image with this tag.
#[must_use]
pub fn image(tag: &str) -> String {
    format!("example.org/web:{tag}")
}

/// The least that the API takes of this kind: one container with the image tag `v1`, and the label `app` with the name.
#[must_use]
pub fn minimal(kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": "cafe.dev/v1alpha1",
        "kind": kind,
        "metadata": { "name": name },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": CONTAINER, "image": image("v1") }] },
            },
        },
    })
}

fn with(kind: &str, name: &str, spec: &Value) -> Value {
    let mut object = minimal(kind, name);
    merge(&mut object, &json!({ "spec": spec }));
    object
}

/// A CafeDeployment `web` over `CellA` and `CellB`: image tag `v1`, a beta group, then four pods per group, no grace.
#[must_use]
pub fn web(replicas: i32) -> Value {
    with(
        "CafeDeployment",
        "web",
        &json!({
            "replicas": replicas,
            "strategy": { "batchSize": 4 },
            "topology": { "unitType": "Cell", "values": ["CellA", "CellB"] },
            "traffic": { "graceSeconds": 0 },
        }),
    )
}

/// An InPlaceSet `solo` without an owner, with pods like those of [`web`].
#[must_use]
pub fn solo(replicas: i32) -> Value {
    let mut solo =
        with("InPlaceSet", "web", &json!({ "replicas": replicas, "traffic": { "graceSeconds": 0 } }));
    merge(&mut solo, &json!({ "metadata": { "name": "solo" } }));
    solo
}

/// Merges `patch` into `target` as a JSON merge patch (RFC 7386) does.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
