//! Deleting: nothing stays behind, and nothing comes back while it goes.

use super::ground::Ground;
use super::objects::{deployment, set};

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
    super::objects::put(&mut object, "/spec/template/spec/containers/0/image", "example.org/web:2".into());
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

async fn uids(ground: &Ground, kind: &str) -> Vec<String> {
    let mut uids: Vec<String> =
        ground.list(kind).await.iter().map(|object| object["metadata"]["uid"].to_string()).collect();
    uids.sort_unstable();
    uids
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

#[tokio::test]
#[ignore = "a ControllerRevision that an orphaning delete left behind stops its successor without a word"]
async fn names_that_orphans_hold_are_reported_and_not_taken() {
    let ground = Ground::new("removal").await;
    ground.apply(&deployment(4));
    ground.until_healthy("web", 4).await;
    let before = uids(&ground, "Pod").await;
    ground.kubectl(&["delete", "cafed", "web", "--cascade=orphan", "--timeout=60s"]);
    ground.apply(&deployment(4));
    ground
        .until("CafeDeployment", "web", "says whose names are taken", |d| {
            d["status"]["observedGeneration"] == d["metadata"]["generation"]
                && d["status"]["message"].as_str().is_some_and(|message| message.contains("web-cella"))
        })
        .await;
    assert_eq!(uids(&ground, "Pod").await, before);
}
