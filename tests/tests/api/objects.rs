//! Good objects for tests to start from.

use serde_json::{Value, json};

pub(crate) use cafe_tests::scenario::minimal;
use cafe_tests::scenario::{merge, solo, web};

/// A CafeDeployment `web` over the two cells of the bed, quick to drain.
pub(crate) fn deployment(replicas: i32) -> Value {
    let mut object = web(replicas);
    let strategy = json!({ "batchSize": 2, "maxUnavailable": "50%" });
    merge(&mut object, &json!({ "spec": { "template": template(), "strategy": strategy } }));
    object
}

/// An InPlaceSet `solo` without an owner, quick to drain.
pub(crate) fn set(replicas: i32) -> Value {
    let mut object = solo(replicas);
    merge(&mut object, &json!({ "spec": { "template": template() } }));
    object
}

fn template() -> Value {
    json!({ "spec": { "containers": [
        {
            "name": "app",
            "image": "example.org/web:1",
            "env": [{ "name": "MODE", "value": "fast" }],
            "ports": [{ "containerPort": 8080 }],
        },
        { "name": "proxy", "image": "example.org/proxy:1" },
    ]}})
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
