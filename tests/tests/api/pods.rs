//! What Cafe writes on the pods it makes, and how its objects hang together.

use serde_json::{Value, json};

use super::ground::Ground;
use super::objects::{deployment, put, set};

const TERMS: &str =
    "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {object:#}"))
}

fn label<'a>(object: &'a Value, key: &str) -> &'a str {
    object["metadata"]["labels"][key].as_str().unwrap_or_else(|| panic!("no label {key} on {object:#}"))
}

#[tokio::test]
async fn pods_carry_the_unit_the_revision_the_gate_and_their_place() {
    let ground = Ground::new("pods").await;
    ground.apply(&deployment(4));
    ground.until_healthy("web", 4).await;
    let revisions = ground.list("ControllerRevision").await;
    let nodes = ground.list_nodes().await;
    let mut units = Vec::new();
    for pod in ground.list("Pod").await {
        let unit = label(&pod, "cafe.dev/unit").to_owned();
        let place = json!({ "key": "cafe.dev/cell", "operator": "In", "values": [unit] });
        assert_eq!(pod.pointer(TERMS).unwrap(), &json!([{ "matchExpressions": [place] }]));
        assert_eq!(nodes[text(&pod, "/spec/nodeName")], unit, "the pod runs in its cell");
        assert_eq!(pod["spec"]["readinessGates"], json!([{ "conditionType": "cafe.dev/serving" }]));
        let conditions = pod["status"]["conditions"].as_array().unwrap();
        let serving = conditions.iter().find(|condition| condition["type"] == "cafe.dev/serving").unwrap();
        assert_eq!(serving["status"], "True");
        let revision = label(&pod, "cafe.dev/revision");
        assert!(revisions.iter().any(|r| text(r, "/metadata/name").ends_with(revision)), "{revision}");
        assert_eq!(label(&pod, "app"), "web", "labels of the template stay");
        assert!(text(&pod, "/metadata/name").starts_with(&format!("web-{}-", unit.to_lowercase())));
        units.push(unit);
    }
    units.sort_unstable();
    assert_eq!(units, ["CellA", "CellA", "CellB", "CellB"]);
}

#[tokio::test]
async fn the_place_is_added_to_every_term_of_the_users_own_affinity() {
    let ground = Ground::new("affinity").await;
    let mut object = deployment(2);
    let own = json!([
        { "matchExpressions": [{ "key": "kubernetes.io/os", "operator": "In", "values": ["linux"] }] },
        { "matchExpressions": [{ "key": "kubernetes.io/arch", "operator": "Exists" }],
          "matchFields": [{ "key": "metadata.name", "operator": "NotIn", "values": ["nowhere"] }] },
        { "matchFields": [{ "key": "metadata.name", "operator": "NotIn", "values": ["nowhere"] }] },
    ]);
    put(&mut object, &format!("/spec/template{TERMS}"), own.clone());
    ground.apply(&object);
    ground.until_healthy("web", 2).await;
    for pod in ground.list("Pod").await {
        let unit = label(&pod, "cafe.dev/unit");
        let place = json!({ "key": "cafe.dev/cell", "operator": "In", "values": [unit] });
        let terms = pod.pointer(TERMS).unwrap().as_array().unwrap();
        assert_eq!(terms.len(), 3);
        for (term, own) in terms.iter().zip(own.as_array().unwrap()) {
            assert!(term["matchExpressions"].as_array().unwrap().contains(&place), "{term:#}");
            for expression in own["matchExpressions"].as_array().into_iter().flatten() {
                assert!(term["matchExpressions"].as_array().unwrap().contains(expression), "{term:#}");
            }
            assert_eq!(term["matchFields"], own["matchFields"]);
        }
    }
    let kept = ground.get("CafeDeployment", "web").await;
    assert_eq!(kept.pointer(&format!("/spec/template{TERMS}")), Some(&own), "the template is the user's");
}

#[tokio::test]
async fn a_zone_and_a_label_of_ones_own_place_pods_as_a_cell_does() {
    let ground = Ground::new("zone").await;
    for (name, topology, key) in [
        ("by-zone", json!({ "unitType": "Zone" }), "topology.kubernetes.io/zone"),
        (
            "by-label",
            json!({ "unitType": "Cell", "nodeLabelKey": "topology.kubernetes.io/zone" }),
            "topology.kubernetes.io/zone",
        ),
    ] {
        let mut object = deployment(2);
        put(&mut object, "/metadata/name", json!(name));
        put(&mut object, "/spec/selector/matchLabels/app", json!(name));
        put(&mut object, "/spec/template/metadata/labels/app", json!(name));
        put(&mut object, "/spec/topology", topology);
        put(&mut object, "/spec/topology/values", json!(["CellA", "CellB"]));
        ground.apply(&object);
        ground.until_healthy(name, 2).await;
        let pods: Vec<Value> =
            ground.list("Pod").await.into_iter().filter(|pod| label(pod, "app") == name).collect();
        assert_eq!(pods.len(), 2);
        for pod in pods {
            let expressions = &pod.pointer(TERMS).unwrap()[0]["matchExpressions"];
            assert_eq!(expressions[0]["key"], key);
            assert_eq!(expressions[0]["values"][0], label(&pod, "cafe.dev/unit"));
        }
    }
}

#[tokio::test]
async fn without_units_there_is_one_set_and_no_affinity() {
    let ground = Ground::new("no-units").await;
    let mut object = deployment(2);
    object["spec"].as_object_mut().unwrap().remove("topology");
    ground.apply(&object);
    ground.until_healthy("web", 2).await;
    let sets = ground.list("InPlaceSet").await;
    assert_eq!(sets.len(), 1);
    assert_eq!(text(&sets[0], "/metadata/name"), "web-default");
    for pod in ground.list("Pod").await {
        assert_eq!(label(&pod, "cafe.dev/unit"), "default");
        assert_eq!(pod["spec"].get("affinity"), None);
    }
}

#[tokio::test]
async fn every_object_names_its_controller_as_owner() {
    let ground = Ground::new("owners").await;
    ground.apply(&deployment(4));
    let web = ground.until_healthy("web", 4).await;
    let by = |kind: &str, owner: &Value| {
        json!([{
            "apiVersion": "cafe.dev/v1alpha1", "kind": kind, "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
        }])
    };
    for revision in ground.list("ControllerRevision").await {
        assert_eq!(revision["metadata"]["ownerReferences"], by("CafeDeployment", &web));
    }
    let sets = ground.list("InPlaceSet").await;
    for set in &sets {
        assert_eq!(set["metadata"]["ownerReferences"], by("CafeDeployment", &web));
        let unit = text(set, "/spec/placement/unit");
        assert_eq!(set["spec"]["selector"]["matchLabels"], json!({ "app": "web", "cafe.dev/unit": unit }));
    }
    for pod in ground.list("Pod").await {
        let unit = label(&pod, "cafe.dev/unit");
        let set = sets.iter().find(|set| text(set, "/spec/placement/unit") == unit).unwrap();
        assert_eq!(pod["metadata"]["ownerReferences"], by("InPlaceSet", set));
    }
}

#[tokio::test]
async fn an_in_place_update_keeps_the_pod_and_writes_its_group() {
    let ground = Ground::new("in-place").await;
    let mut object = deployment(4);
    put(&mut object, "/spec/strategy/needWaitingForConfirm", json!(false));
    ground.apply(&object);
    ground.until_healthy("web", 4).await;
    let ids = |pods: &[Value]| {
        let mut ids: Vec<String> = pods.iter().map(|pod| text(pod, "/metadata/uid").to_owned()).collect();
        ids.sort_unstable();
        ids
    };
    let before = ground.list("Pod").await;
    put(&mut object, "/spec/template/spec/containers/0/image", json!("example.org/web:2"));
    put(&mut object, "/spec/template/metadata/labels/tier", json!("gold"));
    ground.apply(&object);
    ground.until_healthy("web", 4).await;
    let after = ground.list("Pod").await;
    assert_eq!(ids(&before), ids(&after), "the same pods");
    for pod in &after {
        assert_eq!(pod["spec"]["containers"][0]["image"], "example.org/web:2");
        assert_eq!(pod["spec"]["containers"][1]["image"], "example.org/proxy:1");
        assert_eq!(label(pod, "tier"), "gold");
        assert!(["2-1", "2-2"].contains(&label(pod, "cafe.dev/group")), "{}", label(pod, "cafe.dev/group"));
    }
}

#[tokio::test]
async fn a_lone_in_place_set_updates_its_pods_down_to_the_partition() {
    let ground = Ground::new("lone").await;
    let mut object = set(4);
    put(&mut object, "/spec/updateStrategy", json!({ "partition": 3, "maxUnavailable": 2 }));
    ground.apply(&object);
    let ready = |updated: i64| {
        move |set: &Value| {
            set["status"]["readyReplicas"] == 4
                && set["status"]["updatedReplicas"] == updated
                && set["status"]["observedGeneration"] == set["metadata"]["generation"]
        }
    };
    ground.until("InPlaceSet", "solo", "ready", ready(4)).await;
    put(&mut object, "/spec/template/spec/containers/0/image", json!("example.org/web:2"));
    ground.apply(&object);
    ground.until("InPlaceSet", "solo", "one updated", ready(1)).await;
    put(&mut object, "/spec/updateStrategy/partition", json!("50%"));
    ground.apply(&object);
    ground.until("InPlaceSet", "solo", "two updated", ready(2)).await;
    put(&mut object, "/spec/updateStrategy/partition", json!(0));
    ground.apply(&object);
    ground.until("InPlaceSet", "solo", "all updated", ready(4)).await;
}

#[tokio::test]
async fn a_template_that_no_pod_can_be_made_of_is_reported_with_the_words_of_the_api() {
    let ground = Ground::new("impossible").await;
    let mut object = deployment(2);
    put(&mut object, "/spec/template/spec/containers/0/name", json!("No Name"));
    ground.apply(&object);
    ground
        .until_all("Event", "what is wrong, on record", |events| {
            events.iter().any(|event| {
                let note = event["note"].as_str().unwrap_or_default();
                event["type"] == "Warning"
                    && note.contains("spec.containers[0].name")
                    && note.contains("No Name")
            })
        })
        .await;
    put(&mut object, "/spec/template/spec/containers/0/name", json!("app"));
    ground.apply(&object);
    ground.until_healthy("web", 2).await;
}

impl Ground {
    /// The cell of every node, by name.
    async fn list_nodes(&self) -> Value {
        let text = self.kubectl(&["get", "nodes", "--output=json"]);
        let nodes: Value = serde_json::from_str(&text).unwrap();
        let cell = |node: &Value| {
            (text_of(&node["metadata"]["name"]), node["metadata"]["labels"]["cafe.dev/cell"].clone())
        };
        Value::Object(nodes["items"].as_array().unwrap().iter().map(cell).collect())
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
