//! Every manifest that a newcomer is shown applies as it is and comes to serve.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::ground::Ground;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");

fn manifests() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort_unstable();
    assert!(!files.is_empty());
    files
}

/// What a provisioner would make: volumes for claims that name no StorageClass.
fn volumes(ground: &Ground) {
    for number in 0..8 {
        let name = format!("{}-{number}", ground.namespace);
        ground.apply(&json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name },
            "spec": {
                "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain", "hostPath": { "path": format!("/var/{name}") },
            },
        }));
    }
}

#[tokio::test]
async fn every_example_applies_as_it_is_and_comes_to_serve() {
    for file in manifests() {
        let ground = Ground::new("example").await;
        let path = file.to_str().unwrap();
        if std::fs::read_to_string(&file).unwrap().contains("volumeClaimTemplates:") {
            volumes(&ground);
        }
        ground.kubectl(&["apply", "--filename", path]);
        for deployment in ground.list("CafeDeployment").await {
            let name = deployment["metadata"]["name"].as_str().unwrap();
            ground.until_healthy(name, deployment["spec"]["replicas"].as_i64().unwrap()).await;
        }
        for set in ground.list("InPlaceSet").await {
            let name = set["metadata"]["name"].as_str().unwrap();
            ground
                .until("InPlaceSet", name, "serving", |set| {
                    set["status"]["readyReplicas"].as_i64().unwrap_or(0)
                        == set["spec"]["replicas"].as_i64().unwrap()
                })
                .await;
        }
        // Again, and by another way: nothing changes.
        let generations = || async {
            let objects = ground.list("CafeDeployment").await;
            objects.iter().map(|object| object["metadata"]["generation"].clone()).collect::<Vec<Value>>()
        };
        let before = generations().await;
        ground.kubectl(&["apply", "--filename", path]);
        ground.kubectl(&["apply", "--server-side", "--force-conflicts", "--filename", path]);
        assert_eq!(generations().await, before, "{path}");
    }
}

#[tokio::test]
async fn pods_of_an_example_are_behind_its_service() {
    let ground = Ground::new("example").await;
    ground.kubectl(&["apply", "--filename", &format!("{FOLDER}/web.yaml")]);
    let web = ground.get("CafeDeployment", "web").await;
    let replicas = web["spec"]["replicas"].as_i64().unwrap();
    ground.until_healthy("web", replicas).await;
    ground
        .until_all("EndpointSlice", "all pods serving", |slices| {
            let endpoints =
                slices.iter().flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
            let serving = endpoints.filter(|endpoint| endpoint["conditions"]["serving"] == true).count();
            i64::try_from(serving).unwrap() == replicas
        })
        .await;
}
