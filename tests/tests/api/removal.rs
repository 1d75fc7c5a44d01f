//! Deleting: nothing stays behind, and nothing comes back while it goes.

use serde_json::Value;

use super::ground::Ground;
use super::objects::{deployment, put, set};

async fn gone(ground: &Ground) {
    for kind in ["CafeDeployment", "InPlaceSet", "Pod", "ControllerRevision"] {
        ground.until_all(kind, "gone", <[_]>::is_empty).await;
    }
}

#[tokio::test]
async fn deleting_a_cafe_deployment_takes_sets_pods_and_revisions_with_it() {
    for cascade in ["background", "foreground"] {
        let ground = Ground::new("removal").await;
        ground.apply(&deployment(4));
        ground.until_healthy("web", 4).await;
        ground.kubectl(&["delete", "cafed", "web", &format!("--cascade={cascade}"), "--timeout=60s"]);
        gone(&ground).await;
    }
}

#[tokio::test]
async fn deleting_an_in_place_set_takes_pods_and_revisions_with_it() {
    for cascade in ["background", "foreground"] {
        let ground = Ground::new("removal").await;
        ground.apply(&set(2));
        ground.until("InPlaceSet", "solo", "ready", |set| set["status"]["readyReplicas"] == 2).await;
        ground.kubectl(&["delete", "ips", "solo", &format!("--cascade={cascade}"), "--timeout=60s"]);
        gone(&ground).await;
    }
}

#[tokio::test]
async fn deleting_in_the_middle_of_a_release_leaves_nothing_behind() {
    let ground = Ground::new("removal").await;
    let mut object = deployment(4);
    ground.apply(&object);
    ground.until_healthy("web", 4).await;
    put(&mut object, "/spec/template/spec/containers/0/image", "example.org/web:2".into());
    ground.apply(&object);
    ground.until("CafeDeployment", "web", "at a gate", |d| d["status"]["phase"] == "Waiting").await;
    ground.kubectl(&["delete", "cafed", "web", "--timeout=60s"]);
    gone(&ground).await;
}

#[tokio::test]
async fn a_deleted_set_of_a_cafe_deployment_comes_back() {
    let ground = Ground::new("removal").await;
    ground.apply(&deployment(4));
    ground.until_healthy("web", 4).await;
    let before = ground.get("InPlaceSet", "web-cella").await;
    ground.kubectl(&["delete", "ips", "web-cella", "--timeout=60s"]);
    ground
        .until("InPlaceSet", "web-cella", "a new one that serves", |set| {
            set["metadata"]["uid"] != before["metadata"]["uid"] && set["status"]["readyReplicas"] == 2
        })
        .await;
    ground.until_healthy("web", 4).await;
}

#[tokio::test]
async fn what_is_deleted_and_made_again_at_once_comes_to_serve() {
    let ground = Ground::new("removal").await;
    ground.apply(&deployment(4));
    let first = ground.until_healthy("web", 4).await;
    // Children of the first one are still there when the second one comes.
    ground.kubectl(&["delete", "cafed", "web", "--wait=false"]);
    ground.until("CafeDeployment", "web", "gone", Value::is_null).await;
    ground.apply(&deployment(4));
    let second = ground.until_healthy("web", 4).await;
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    ground.until_all("Pod", "those of the second one only", |pods| pods.len() == 4).await;
}

async fn uids(ground: &Ground, kind: &str) -> Vec<String> {
    let mut uids: Vec<String> =
        ground.list(kind).await.iter().map(|object| object["metadata"]["uid"].to_string()).collect();
    uids.sort_unstable();
    uids
}

fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    object["status"]["conditions"].as_array().into_iter().flatten()
}

#[tokio::test]
async fn a_set_of_someone_else_is_reported_and_never_adopted() {
    let ground = Ground::new("taken").await;
    let mut other = set(1);
    for (pointer, value) in [
        ("/metadata/name", "web-cella"),
        ("/spec/selector/matchLabels/app", "other"),
        ("/spec/template/metadata/labels/app", "other"),
    ] {
        put(&mut other, pointer, value.into());
    }
    ground.apply(&other);
    let before = ground.get("InPlaceSet", "web-cella").await;
    ground.apply(&deployment(2));
    ground
        .until("CafeDeployment", "web", "says whose name is taken", |d| {
            conditions(d).any(|c| {
                let message = c["message"].as_str().unwrap_or_default();
                c["type"] == "UnitsHealthy"
                    && c["status"] == "False"
                    && c["reason"] == "NameTaken"
                    && message.contains("web-cella")
                    && message.contains("if nobody needs that one: kubectl ")
            })
        })
        .await;
    let after = ground.get("InPlaceSet", "web-cella").await;
    assert_eq!((&after["spec"], &after["metadata"]["uid"]), (&before["spec"], &before["metadata"]["uid"]));
    assert_eq!(after["metadata"].get("ownerReferences"), None);
}

#[tokio::test]
async fn a_name_that_was_taken_is_used_once_it_is_free() {
    let ground = Ground::new("taken").await;
    let mut other = set(1);
    put(&mut other, "/metadata/name", "web-cella".into());
    ground.apply(&other);
    ground.apply(&deployment(2));
    ground
        .until("CafeDeployment", "web", "says whose name is taken", |d| {
            conditions(d).any(|c| c["reason"] == "NameTaken")
        })
        .await;
    ground.kubectl(&["delete", "ips", "web-cella", "--timeout=60s"]);
    ground.until_healthy("web", 2).await;
}

#[tokio::test]
async fn what_others_write_into_a_set_of_a_cafe_deployment_is_overwritten() {
    let ground = Ground::new("owned").await;
    ground.apply(&deployment(4));
    ground.until_healthy("web", 4).await;
    let before = ground.get("InPlaceSet", "web-cella").await;
    let patch = r#"{"spec":{"replicas":5,"minReadySeconds":7,"updateStrategy":{"partition":1}}}"#;
    ground.kubectl(&["patch", "ips", "web-cella", "--type=merge", "--patch", patch]);
    // All but its share of the budget, which may have gone to the other unit in the meantime.
    let told = |set: &Value| {
        let mut spec = set["spec"].clone();
        spec["updateStrategy"]["maxUnavailable"] = Value::Null;
        spec
    };
    ground
        .until("InPlaceSet", "web-cella", "as its owner wants it", |set| {
            set["metadata"]["generation"] != before["metadata"]["generation"] && told(set) == told(&before)
        })
        .await;
    ground.until_healthy("web", 4).await;
}

#[tokio::test]
async fn orphans_go_on_running_and_stay_their_own_masters() {
    let ground = Ground::new("removal").await;
    ground.apply(&deployment(4));
    ground.until_healthy("web", 4).await;
    let before = uids(&ground, "Pod").await;
    ground.kubectl(&["delete", "cafed", "web", "--cascade=orphan", "--timeout=60s"]);
    let sets = ground.list("InPlaceSet").await;
    assert_eq!(sets.len(), 2);
    assert!(sets.iter().all(|set| set["metadata"].get("ownerReferences").is_none()));
    assert_eq!(uids(&ground, "Pod").await, before);
    // A set without an owner still keeps its pods.
    ground.kubectl(&["scale", "ips/web-cella", "--replicas=3"]);
    ground.until("InPlaceSet", "web-cella", "scaled", |set| set["status"]["readyReplicas"] == 3).await;
    let after = uids(&ground, "Pod").await;
    assert!(before.iter().all(|uid| after.contains(uid)), "no pod was made anew");
}
