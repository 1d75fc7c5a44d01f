//! An edit brings an older object in the way of one that serves.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::ground::Ground;
use super::objects::{deployment, put, set};
use super::ownership::{name_of, named, next_second, patch, until_refused, until_set_serves, until_told};

const IMAGE: &str = "/spec/template/spec/containers/0/image";

/// A CafeDeployment whose pods have nothing in common with those of others.
fn older() -> Value {
    let mut object = named(deployment(2), "older");
    put(&mut object, "/spec/selector", json!({ "matchLabels": { "team": "a" } }));
    put(&mut object, "/spec/template/metadata/labels", json!({ "team": "a", "app": "other" }));
    put(&mut object, "/spec/strategy/needWaitingForConfirm", false.into());
    object
}

/// Its pods, without those of the older one: uid and first image.
async fn pods(ground: &Ground) -> BTreeSet<(String, String)> {
    let pods = ground.list("Pod").await;
    let own = pods.iter().filter(|pod| pod["metadata"]["labels"]["team"].is_null());
    let own = own.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    own.map(|pod| (pod["metadata"]["uid"].to_string(), pod["spec"]["containers"][0]["image"].to_string()))
        .collect()
}

fn of_image(pods: &BTreeSet<(String, String)>, tag: &str) -> usize {
    pods.iter().filter(|(_, image)| image.contains(tag)).count()
}

#[tokio::test]
async fn one_that_serves_loses_no_pod_and_moves_none_when_an_older_one_is_edited_into_its_way() {
    let mut web = named(deployment(2), "younger");
    put(&mut web, "/spec/strategy/needWaitingForConfirm", false.into());
    for mut younger in [web, named(set(2), "younger")] {
        let ground = Ground::new("edited-overlap").await;
        let kind = younger["kind"].as_str().unwrap().to_owned();
        let serves = async || {
            if kind == "CafeDeployment" {
                ground.until_healthy("younger", 2).await
            } else {
                until_set_serves(&ground, "younger", 2).await
            }
        };
        ground.apply(&older());
        let object = ground.until_healthy("older", 2).await;
        next_second(&ground, &object).await;
        ground.apply(&younger);
        serves().await;
        let before = pods(&ground).await;
        let app = |app: &str| json!({ "spec": { "template": { "metadata": { "labels": { "app": app } } } } });
        patch(&ground, "cafedeployment", "older", "merge", &app("web"));
        let refused = until_refused(&ground, &kind, "younger", "edit cafedeployment older").await;
        until_told(&ground, "SelectorOverlaps", "younger", "CafeDeployment older").await;
        assert_eq!(refused["status"]["availableReplicas"], 2);

        let all = ground.list("Pod").await;
        let victim = all.iter().find(|pod| pod["metadata"]["labels"]["team"].is_null()).unwrap();
        ground.kubectl(&["delete", "pod", &name_of(victim), "--wait=false"]);
        let is_gone =
            |pods: &[Value]| pods.iter().all(|pod| pod["metadata"]["uid"] != victim["metadata"]["uid"]);
        ground.until_all("Pod", "replaced", is_gone).await;
        let whole = |object: &Value| {
            let status = &object["status"];
            (&status["availableReplicas"], &status["replicas"]) == (&json!(2), &json!(2))
        };
        ground.until(&kind, "younger", "whole again", whole).await;
        let replaced = pods(&ground).await;
        assert_eq!((of_image(&replaced, "web:1"), replaced.intersection(&before).count()), (2, 1));

        put(&mut younger, IMAGE, "example.org/web:2".into());
        ground.apply(&younger);
        let stands = |o: &Value| {
            let is_held = kind != "CafeDeployment" || o["status"]["release"]["state"] == "Paused";
            is_held && o["status"]["observedGeneration"] == o["metadata"]["generation"]
        };
        ground.until(&kind, "younger", "seen and held", stands).await;
        until_refused(&ground, &kind, "younger", "older").await;
        assert_eq!(pods(&ground).await, replaced);

        patch(&ground, "cafedeployment", "older", "merge", &app("other"));
        serves().await;
        ground
            .until_all("Pod", "moved", |pods| {
                pods.iter().filter(|pod| pod["spec"]["containers"][0]["image"] == "example.org/web:2").count()
                    == 2
            })
            .await;
        ground.until_healthy("older", 2).await;
    }
}
