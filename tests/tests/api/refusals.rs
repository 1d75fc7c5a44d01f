//! Bad input is refused with a message that names the field, the value and what is right.

use kube::api::{Api, DynamicObject, PostParams};
use serde_json::{Value, json};

use super::bad::{
    Bad, bad, long, of_a_cafe_deployment, of_an_in_place_set, of_both_kinds, of_the_claims, of_the_orders,
    of_the_strategy, of_the_topology,
};
use super::ground::Ground;
use super::objects::{deployment, put, set};

/// Tries every bad value and gives back what was taken, or refused in the wrong words.
async fn wrong(ground: &Ground, kind: &str, good: &Value, cases: &[Bad], replace: bool) -> Vec<String> {
    let api = ground.api(kind);
    let mut wrong = Vec::new();
    for Bad { field, value, says } in cases {
        let mut object = good.clone();
        let steps: Vec<String> = field.split('/').map(|step| step.replace("~1", "/")).collect();
        put_steps(&mut object, &steps[1..], value.clone());
        let words = refusal(&api, &object, replace).await;
        let missing: Vec<&str> = says
            .iter()
            .copied()
            .filter(|part| !words.as_deref().unwrap_or_default().contains(part))
            .collect();
        if !missing.is_empty() || words.is_none() {
            wrong.push(format!("{kind} {field} = {value}: lacks {missing:?} in {words:#?}"));
        }
    }
    wrong
}

fn put_steps(object: &mut Value, steps: &[String], value: Value) {
    let (last, way) = steps.split_last().unwrap();
    let place = way.iter().fold(object, |place, step| &mut place[step.as_str()]);
    if value.is_null() {
        place.as_object_mut().unwrap().remove(last);
    } else {
        place[last.as_str()] = value;
    }
}

/// What the API server says to a create, or to the replacement of what is there; nothing if it takes it.
async fn refusal(api: &Api<DynamicObject>, object: &Value, replace: bool) -> Option<String> {
    let parameters = PostParams { dry_run: true, ..PostParams::default() };
    let mut object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    let name = object.metadata.name.clone().unwrap();
    loop {
        let answer = if replace {
            object.metadata.resource_version = api.get(&name).await.unwrap().metadata.resource_version;
            api.replace(&name, &parameters, &object).await
        } else {
            api.create(&parameters, &object).await
        };
        match answer {
            Ok(_) => return None,
            // The controller has written its status in between.
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            Err(kube::Error::Api(status)) => return Some(status.message.clone()),
            Err(error) => panic!("no answer: {error}"),
        }
    }
}

#[tokio::test]
async fn bad_input_is_refused_with_the_field_the_value_and_what_is_right() {
    let ground = Ground::new("refusals").await;
    let mut found = Vec::new();
    let deployments =
        [of_both_kinds(), of_a_cafe_deployment(), of_the_strategy(), of_the_topology(), of_the_orders()];
    for cases in deployments {
        found.extend(wrong(&ground, "CafeDeployment", &deployment(4), &cases, false).await);
    }
    for cases in [of_both_kinds(), of_an_in_place_set(), of_the_claims()] {
        found.extend(wrong(&ground, "InPlaceSet", &set(4), &cases, false).await);
    }
    found.extend(wrong(&ground, "CafeDeployment", &deployment(4), &of_the_claims(), false).await);
    assert!(found.is_empty(), "{} of them:\n{}", found.len(), found.join("\n"));
}

#[tokio::test]
async fn a_name_that_leaves_no_room_for_its_longest_unit_is_refused() {
    let ground = Ground::new("refusals").await;
    let mut object = deployment(4);
    put(&mut object, "/metadata/name", long(40));
    put(&mut object, "/spec/topology/values", json!(["CellA", "b".repeat(30)]));
    let words = refusal(&ground.api("CafeDeployment"), &object, false).await.unwrap();
    for part in [
        "metadata.name",
        &"a".repeat(40),
        &"b".repeat(30),
        "more than 63 characters",
        "such as web and CellA",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
}

#[tokio::test]
async fn what_may_not_change_is_refused_with_what_it_was() {
    let ground = Ground::new("immutable").await;
    let selector = json!({ "matchLabels": { "tier": "web" } });
    let mut good = deployment(0);
    put(&mut good, "/spec/template/metadata/labels/tier", json!("web"));
    ground.apply(&good);
    let good = ground.get("CafeDeployment", "web").await;
    let key = "spec.topology.nodeLabelKey";
    let cases = [
        bad(
            "/spec/selector",
            selector.clone(),
            ["spec.selector is immutable", "\"app\": \"web\"", "create another object"],
        ),
        bad(
            "/spec/topology/unitType",
            json!("Zone"),
            ["spec.topology.unitType is Zone", "was Cell", "keep Cell"],
        ),
        bad("/spec/topology", Value::Null, ["spec.topology.unitType is None", "was Cell", "keep Cell"]),
        bad(
            "/spec/topology/nodeLabelKey",
            json!("rack"),
            [key, "is rack and was absent", "keep it as it was"],
        ),
        bad(
            "/spec/topology/values",
            json!(["CellC", "CELLB"]),
            ["spec.topology.values", "CELLB", "[CellA] and then [CellA, CELLB]"],
        ),
    ];
    let mut found = wrong(&ground, "CafeDeployment", &good, &cases, true).await;

    let mut with_key = deployment(0);
    put(&mut with_key, "/metadata/name", json!("racks"));
    put(&mut with_key, "/spec/topology/nodeLabelKey", json!("rack"));
    ground.apply(&with_key);
    let with_key = ground.get("CafeDeployment", "racks").await;
    let cases = [
        bad("/spec/topology/nodeLabelKey", json!("row"), [key, "is row and was rack", "keep it as it was"]),
        bad("/spec/topology/nodeLabelKey", Value::Null, [key, "is absent and was rack", "keep it as it was"]),
    ];
    found.extend(wrong(&ground, "CafeDeployment", &with_key, &cases, true).await);

    let mut lone = set(0);
    put(&mut lone, "/spec/template/metadata/labels/tier", json!("web"));
    ground.apply(&lone);
    let lone = ground.get("InPlaceSet", "solo").await;
    let cases = [bad(
        "/spec/selector",
        selector,
        ["spec.selector is immutable", "\"app\": \"web\"", "create another object"],
    )];
    found.extend(wrong(&ground, "InPlaceSet", &lone, &cases, true).await);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test]
async fn an_update_is_checked_as_a_create_is() {
    let ground = Ground::new("refusals").await;
    ground.apply(&deployment(0));
    ground.apply(&set(0));
    let (web, solo) = (ground.get("CafeDeployment", "web").await, ground.get("InPlaceSet", "solo").await);
    let but_names = |cases: Vec<Bad>| -> Vec<Bad> {
        // Names cannot be updated, and of a selector only that it is immutable is said.
        cases
            .into_iter()
            .filter(|case| !case.field.starts_with("/metadata") && !case.field.starts_with("/spec/selector"))
            .collect()
    };
    let mut found = Vec::new();
    for cases in [of_both_kinds(), of_a_cafe_deployment(), of_the_strategy(), of_the_orders()] {
        found.extend(wrong(&ground, "CafeDeployment", &web, &but_names(cases), true).await);
    }
    // Of the units' type and label only that they are immutable is said.
    let live = ["/spec/topology/values", "/spec/topology/unitReplicas", "/spec/topology/autoReschedule"];
    let topology: Vec<Bad> =
        of_the_topology().into_iter().filter(|case| live.contains(&case.field)).collect();
    found.extend(wrong(&ground, "CafeDeployment", &web, &topology, true).await);
    for cases in [of_both_kinds(), of_an_in_place_set()] {
        found.extend(wrong(&ground, "InPlaceSet", &solo, &but_names(cases), true).await);
    }
    assert!(found.is_empty(), "{} of them:\n{}", found.len(), found.join("\n"));
}

#[tokio::test]
async fn good_input_at_the_limits_is_taken() {
    let ground = Ground::new("limits").await;
    let api = ground.api("CafeDeployment");
    for (pointer, value) in [
        ("/metadata/name", long(52)),
        ("/spec/replicas", json!(100_000)),
        ("/spec/restartAt", json!("2026-11-21T00:41:00.5+02:00")),
        ("/spec/strategy/batchSize", json!("100%")),
        ("/spec/strategy/batchSize", json!(1)),
        ("/spec/strategy/maxUnavailable", json!("1%")),
        ("/spec/topology/values", json!(["a".repeat(40), "B-2"])),
        ("/spec/topology/unitReplicas", json!({ "CellA": "40%", "CellB": "60%" })),
        ("/spec/topology/values", json!((0..64).map(|n| format!("c{n}")).collect::<Vec<_>>())),
        ("/spec/topology/unitReplicas", json!({ "CellA": 0 })),
        ("/spec/topology/unitReplicas", json!({ "CellA": "100%", "CellB": "0%" })),
        ("/spec/topology/unitReplicas", json!({ "CellA": 99, "CellB": "100%" })),
        ("/spec/release", json!({ "confirm": "7/all", "abort": "6", "rollback": { "abandon": 7, "to": 6 } })),
        ("/spec/traffic/protectors", json!(["slb", "team.example_dns-1"])),
        ("/spec/template/metadata/labels/team", json!("")),
    ] {
        let mut object = deployment(4);
        put(&mut object, pointer, value.clone());
        let words = refusal(&api, &object, false).await;
        assert_eq!(words, None, "{pointer} = {value}");
    }
}
