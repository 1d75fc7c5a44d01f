//! Good objects for tests to start from.

use serde_json::{Value, json};

/// A CafeDeployment `web` over the two cells of the bed, quick to drain.
pub(crate) fn deployment(replicas: i64) -> Value {
    json!({
        "apiVersion": "cafe.dev/v1alpha1",
        "kind": "CafeDeployment",
        "metadata": { "name": "web" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "template": template(),
            "strategy": { "batchSize": 2, "maxUnavailable": "50%" },
            "topology": { "unitType": "Cell", "values": ["CellA", "CellB"] },
            "traffic": { "graceSeconds": 0 },
        },
    })
}

/// An InPlaceSet `solo` without an owner, quick to drain.
pub(crate) fn set(replicas: i64) -> Value {
    json!({
        "apiVersion": "cafe.dev/v1alpha1",
        "kind": "InPlaceSet",
        "metadata": { "name": "solo" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "template": template(),
            "traffic": { "graceSeconds": 0 },
        },
    })
}

/// The least that the API takes.
pub(crate) fn minimal(kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": "cafe.dev/v1alpha1",
        "kind": kind,
        "metadata": { "name": name },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "app", "image": "example.org/web:1" }] },
            },
        },
    })
}

fn template() -> Value {
    json!({
        "metadata": { "labels": { "app": "web" } },
        "spec": { "containers": [
            {
                "name": "app",
                "image": "example.org/web:1",
                "env": [{ "name": "MODE", "value": "fast" }],
                "ports": [{ "containerPort": 8080 }],
            },
            { "name": "proxy", "image": "example.org/proxy:1" },
        ]},
    })
}

/// Puts a value at a JSON pointer, making the objects on the way.
pub(crate) fn put(object: &mut Value, pointer: &str, value: Value) {
    let mut place = object;
    for step in pointer.split('/').skip(1) {
        place = match step.parse::<usize>() {
            Ok(index) if place.is_array() => &mut place[index],
            _ => &mut place[step],
        };
    }
    *place = value;
}
