//! A default stands in the schema, where people see it, and in the types, which read objects from anywhere. They agree.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use cafe_crds::{
    deployment::{AutoReschedule, CafeDeploymentSpec},
    generate,
    inplaceset::InPlaceSetSpec,
};
use serde_json::{Value, json};

/// Does to a value what the API server does when it reads an object.
fn fill(value: &mut Value, schema: &Value) {
    let Some(object) = value.as_object_mut() else {
        return;
    };
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(default) = field.get("default") {
            object.entry(name.clone()).or_insert_with(|| default.clone());
        }
        if let Some(inner) = object.get_mut(name) {
            fill(inner, field);
        }
    }
}

fn filled(index: usize, mut spec: Value) -> Value {
    let crd = serde_json::to_value(&generate::definitions()[index]).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    fill(&mut spec, schema);
    spec
}

fn least() -> Value {
    json!({ "selector": { "matchLabels": { "app": "web" } }, "template": { "spec": {} } })
}

#[test]
fn a_cafe_deployment_gets_the_same_defaults_from_the_schema_and_from_the_types() {
    let typed: CafeDeploymentSpec = serde_json::from_value(least()).unwrap();
    assert_eq!(serde_json::to_value(&typed).unwrap(), filled(0, least()));
}

#[test]
fn an_inplaceset_gets_the_same_defaults_from_the_schema_and_from_the_types() {
    let typed: InPlaceSetSpec = serde_json::from_value(least()).unwrap();
    assert_eq!(serde_json::to_value(&typed).unwrap(), filled(1, least()));
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let spec = filled(0, least());
    assert_eq!(
        spec,
        json!({
            "podSetType": "InPlaceSet",
            "replicas": 1,
            "selector": { "matchLabels": { "app": "web" } },
            "template": { "spec": {} },
            "minReadySeconds": 0,
            "historyLimit": 20,
            "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
            "strategy": {
                "upgradeType": "Beta",
                "needWaitingForConfirm": true,
                "maxUnavailable": "25%",
                "podUpdatePolicy": "InPlaceIfPossible",
                "progressDeadlineSeconds": 600,
                "onFailure": "Hold",
                "groupScaleOut": false,
            },
            "topology": { "unitType": "None" },
            "traffic": { "mode": "Gate", "graceSeconds": 3, "drainTimeoutSeconds": 600, "onDrainTimeout": "Hold" },
        })
    );
}

#[test]
fn what_people_order_has_no_default() {
    let crd = serde_json::to_value(&generate::definitions()[0]).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    assert!(spec["strategy"]["properties"]["pause"].get("default").is_none());
    let orders = spec["release"]["properties"].as_object().unwrap();
    assert_eq!(orders.keys().collect::<Vec<_>>(), ["abort", "confirm", "retry", "rollback"]);
    assert!(spec["release"].get("default").is_none());
    assert!(orders.values().all(|order| order.get("default").is_none()));
}

#[test]
fn auto_reschedule_waits_ten_seconds_and_is_off() {
    let given: AutoReschedule = serde_json::from_value(json!({})).unwrap();
    assert_eq!(given, AutoReschedule { enable: false, initial_delay_seconds: 10 });
}
