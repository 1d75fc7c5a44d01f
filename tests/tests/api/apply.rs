//! Writing: defaults, several writers of one object, fields nobody knows yet, and fields that are misspelled.

use serde_json::{Value, json};

use super::ground::Ground;
use super::objects::{deployment, minimal, put, set};

#[tokio::test]
async fn defaults_of_a_cafe_deployment_are_visible_after_apply() {
    let ground = Ground::new("defaults").await;
    ground.apply(&minimal("CafeDeployment", "least"));
    let mut spec = ground.get("CafeDeployment", "least").await["spec"].take();
    for user_owned in ["release", "restartAt"] {
        assert_eq!(spec.get(user_owned), None, "{user_owned} belongs to people");
    }
    spec.as_object_mut().unwrap().retain(|field, _| field != "selector" && field != "template");
    let defaults = json!({
        "podSetType": "InPlaceSet",
        "replicas": 1,
        "minReadySeconds": 0,
        "historyLimit": 20,
        "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
        "strategy": {
            "upgradeType": "Beta", "needWaitingForConfirm": true, "maxUnavailable": "25%",
            "podUpdatePolicy": "InPlaceIfPossible", "progressDeadlineSeconds": 600, "onFailure": "Hold",
            "groupScaleOut": false,
        },
        "topology": { "unitType": "None" },
        "traffic": { "mode": "Gate", "graceSeconds": 3, "drainTimeoutSeconds": 600, "onDrainTimeout": "Hold" },
    });
    assert_eq!(spec, defaults);
}

#[tokio::test]
async fn defaults_of_an_in_place_set_are_visible_after_apply() {
    let ground = Ground::new("defaults").await;
    ground.apply(&minimal("InPlaceSet", "least"));
    let mut spec = ground.get("InPlaceSet", "least").await["spec"].take();
    spec.as_object_mut().unwrap().retain(|field, _| field != "selector" && field != "template");
    let defaults = json!({
        "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
        "replicas": 1,
        "minReadySeconds": 0,
        "revisionHistoryLimit": 10,
        "updateStrategy": {
            "podUpdatePolicy": "InPlaceIfPossible", "partition": 0, "maxUnavailable": "25%", "paused": false,
        },
        "traffic": { "mode": "Gate", "graceSeconds": 3, "drainTimeoutSeconds": 600, "onDrainTimeout": "Hold" },
    });
    assert_eq!(spec, defaults);
}

#[tokio::test]
async fn a_default_inside_a_block_appears_when_the_block_is_written() {
    let ground = Ground::new("defaults").await;
    let mut object = deployment(0);
    put(&mut object, "/spec/topology/autoReschedule", json!({ "enable": true }));
    ground.apply(&object);
    let found = ground.get("CafeDeployment", "web").await;
    assert_eq!(
        found["spec"]["topology"]["autoReschedule"],
        json!({ "enable": true, "initialDelaySeconds": 10 })
    );
    assert_eq!(found["spec"]["template"]["spec"]["containers"][0]["ports"][0]["protocol"], "TCP");
}

/// What a pipeline sends that owns one image and nothing else.
fn one_image(kind: &str, name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "cafe.dev/v1alpha1",
        "kind": kind,
        "metadata": { "name": name },
        "spec": { "template": { "spec": { "containers": [{ "name": "app", "image": image }] } } },
    })
}

fn without_image(mut object: Value) -> Value {
    object["spec"]["template"]["spec"]["containers"][0].as_object_mut().unwrap().remove("image");
    object
}

async fn a_pipeline_owns_one_image(kind: &str, name: &str, object: Value) {
    let ground = Ground::new("server-side").await;
    let gitops = ["--server-side", "--field-manager=gitops"];
    let said = ground.try_apply(&object, &gitops);
    assert!(said.succeeded, "{said:?}");
    let before = ground.get(kind, name).await;

    let image = one_image(kind, name, "example.org/web:2");
    let said = ground.try_apply(&image, &["--server-side", "--field-manager=ci"]);
    assert!(!said.succeeded && said.stderr.contains("conflict with \"gitops\""), "{said:?}");
    let said = ground.try_apply(&image, &["--server-side", "--field-manager=ci", "--force-conflicts"]);
    assert!(said.succeeded, "{said:?}");

    let mut expected = before["spec"].clone();
    put(&mut expected, "/template/spec/containers/0/image", json!("example.org/web:2"));
    assert_eq!(ground.get(kind, name).await["spec"], expected, "nothing but the image has changed");

    // The manifest without the image leaves it to the pipeline.
    let said = ground.try_apply(&without_image(object), &gitops);
    assert!(said.succeeded, "{said:?}");
    assert_eq!(ground.get(kind, name).await["spec"], expected);
}

#[tokio::test]
async fn a_pipeline_applies_one_containers_image_of_a_cafe_deployment() {
    a_pipeline_owns_one_image("CafeDeployment", "web", deployment(2)).await;
}

#[tokio::test]
async fn a_pipeline_applies_one_containers_image_of_an_in_place_set() {
    a_pipeline_owns_one_image("InPlaceSet", "solo", set(2)).await;
}

#[tokio::test]
async fn server_side_apply_adds_one_entry_to_each_list_of_a_container() {
    let ground = Ground::new("server-side").await;
    ground.apply(&deployment(0));
    let container = json!({
        "name": "app",
        "env": [{ "name": "REGION", "value": "north" }],
        "ports": [{ "containerPort": 9090, "protocol": "TCP" }],
        "volumeMounts": [{ "name": "tmp", "mountPath": "/tmp" }],
    });
    let mut more = one_image("CafeDeployment", "web", "unused");
    put(&mut more, "/spec/template/spec/containers/0", container);
    put(&mut more, "/spec/template/spec/volumes", json!([{ "name": "tmp", "emptyDir": {} }]));
    let said = ground.try_apply(&more, &["--server-side", "--field-manager=mesh"]);
    assert!(said.succeeded, "{said:?}");
    let spec = ground.get("CafeDeployment", "web").await["spec"]["template"]["spec"].take();
    assert_eq!(spec["containers"].as_array().unwrap().len(), 2, "{spec:#}");
    let app = &spec["containers"][0];
    assert_eq!(app["image"], "example.org/web:1");
    for (list, key) in [("env", "name"), ("ports", "containerPort")] {
        let keys: Vec<&Value> = app[list].as_array().unwrap().iter().map(|entry| &entry[key]).collect();
        assert_eq!(keys.len(), 2, "{list}: {keys:?}");
    }
}

/// The template of `object` with fields that no Kubernetes has, at each level.
fn with_unknown_fields(mut object: Value) -> Value {
    put(&mut object, "/spec/template/spec/futureField", json!({ "deep": [1, "two"] }));
    put(&mut object, "/spec/template/spec/containers/0/futureKnob", json!(true));
    put(&mut object, "/spec/template/spec/securityContext/futureMode", json!("x"));
    object
}

fn assert_unknown_fields(template: &Value, place: &str) {
    assert_eq!(template["spec"]["futureField"], json!({ "deep": [1, "two"] }), "{place}: {template:#}");
    assert_eq!(template["spec"]["containers"][0]["futureKnob"], json!(true), "{place}");
    assert_eq!(template["spec"]["securityContext"]["futureMode"], json!("x"), "{place}");
}

#[tokio::test]
async fn unknown_template_fields_survive_into_every_object_of_a_cafe_deployment() {
    let ground = Ground::new("unknown").await;
    ground.apply(&with_unknown_fields(deployment(2)));
    ground.until_healthy("web", 2).await;
    assert_unknown_fields(&ground.get("CafeDeployment", "web").await["spec"]["template"], "CafeDeployment");
    let sets = ground.list("InPlaceSet").await;
    assert_eq!(sets.len(), 2);
    for set in sets {
        assert_unknown_fields(&set["spec"]["template"], "InPlaceSet");
    }
    let revisions = ground.list("ControllerRevision").await;
    assert_eq!(revisions.len(), 1);
    assert_unknown_fields(template_of(&revisions[0]), "ControllerRevision");
    // The API server drops from a pod what it does not know, and keeps the rest.
    for pod in ground.list("Pod").await {
        assert_eq!(pod["spec"]["containers"][0]["env"], json!([{ "name": "MODE", "value": "fast" }]));
        assert_eq!(pod["spec"].get("futureField"), None);
    }
}

#[tokio::test]
async fn unknown_template_fields_survive_into_the_revision_of_a_lone_in_place_set() {
    let ground = Ground::new("unknown").await;
    ground.apply(&with_unknown_fields(set(1)));
    ground.until("InPlaceSet", "solo", "ready", |set| set["status"]["readyReplicas"] == 1).await;
    assert_unknown_fields(&ground.get("InPlaceSet", "solo").await["spec"]["template"], "InPlaceSet");
    let revisions = ground.list("ControllerRevision").await;
    assert_eq!(revisions.len(), 1);
    assert_unknown_fields(template_of(&revisions[0]), "ControllerRevision");
}

/// The template in a revision, wherever in its data it is.
fn template_of(revision: &Value) -> &Value {
    let data = &revision["data"];
    [&data["spec"]["template"], &data["template"]]
        .into_iter()
        .find(|template| template.is_object())
        .unwrap_or_else(|| panic!("no template in {revision:#}"))
}

#[tokio::test]
async fn a_misspelled_field_is_refused_with_its_name() {
    let ground = Ground::new("strict").await;
    for (mut object, pointer, path) in [
        (deployment(0), "/spec/strategy/batchSiz", "spec.strategy.batchSiz"),
        (deployment(0), "/spec/replica", "spec.replica"),
        (deployment(0), "/spec/topology/autoReschedule/enabled", "spec.topology.autoReschedule.enabled"),
        (set(0), "/spec/updateStrategy/partitions", "spec.updateStrategy.partitions"),
        (set(0), "/spec/placement", "spec.placement.cell"),
    ] {
        let value =
            if path.ends_with(".cell") { json!({ "unit": "CellA", "cell": "CellA" }) } else { json!(4) };
        put(&mut object, pointer, value);
        for more in [&[][..], &["--server-side"]] {
            let said = ground.try_apply(&object, more);
            assert!(!said.succeeded, "{path} was taken: {said:?}");
            assert!(
                said.stderr.contains("unknown field") || said.stderr.contains("field not declared"),
                "{path}: {said:?}"
            );
            assert!(said.stderr.contains(path), "{path}: {said:?}");
        }
        let said = ground.try_apply(&object, &["--validate=warn", "--dry-run=server"]);
        assert!(said.succeeded && said.stderr.contains("Warning: unknown field"), "{path}: {said:?}");
    }
}

#[tokio::test]
async fn a_field_written_twice_is_refused_with_its_name() {
    let ground = Ground::new("strict").await;
    let once = deployment(0).to_string();
    let twice = once.replace(r#""batchSize":2"#, r#""batchSize":2,"batchSize":4"#);
    assert_ne!(once, twice);
    // Sent as it is: kubectl itself reads a manifest before it sends it.
    let namespace = &ground.namespace;
    let path =
        format!("/apis/cafe.dev/v1alpha1/namespaces/{namespace}/cafedeployments?fieldValidation=Strict");
    let said = ground.try_kubectl(&["create", "--raw", &path, "--filename=-"], &[], &twice);
    assert!(!said.succeeded, "{said:?}");
    assert!(
        said.stderr.contains("duplicate field") && said.stderr.contains("spec.strategy.batchSize"),
        "{said:?}"
    );
}
