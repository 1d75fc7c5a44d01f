//! The CafeDeployment that scenarios start from.

use serde_json::{Value, json};

/// The name of the one container of [`web`].
pub const CONTAINER: &str = "app";

/// The image with this tag.
#[must_use]
pub fn image(tag: &str) -> String {
    format!("example.org/web:{tag}")
}

/// A CafeDeployment `web` over `CellA` and `CellB`: image tag `v1`, a beta group, then four pods per group, no grace.
#[must_use]
pub fn web(replicas: i32) -> Value {
    json!({
        "apiVersion": "cafe.dev/v1alpha1",
        "kind": "CafeDeployment",
        "metadata": { "name": "web" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": CONTAINER, "image": image("v1") }] },
            },
            "strategy": { "batchSize": 4 },
            "topology": { "unitType": "Cell", "values": ["CellA", "CellB"] },
            "traffic": { "graceSeconds": 0 },
        },
    })
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
