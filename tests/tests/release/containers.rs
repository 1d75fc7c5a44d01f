use std::collections::BTreeMap;

use anyhow::Result;
use cafe_tests::scenario::{Pod, View, Workload, bed, merge, solo, web};
use serde_json::{Value, json};

use crate::cells;

/// `app`, `cache`, `log` and the native sidecar `proxy`, all at `v1`.
fn of_four(mut manifest: Value) -> Value {
    let container = |name: &str| json!({ "name": name, "image": format!("example.org/{name}:v1") });
    let mut sidecar = container("proxy");
    sidecar["restartPolicy"] = json!("Always");
    let setup = container("setup");
    let spec = json!({
        "containers": [container("app"), container("cache"), container("log")],
        "initContainers": [setup, sidecar],
    });
    merge(&mut manifest, &json!({ "spec": { "template": { "spec": spec } } }));
    manifest
}

/// What each container of each pod runs, and how often it was started again.
fn containers(view: &View) -> Vec<BTreeMap<String, (String, i64)>> {
    let of = |pod: Pod<'_>| {
        let tag = |image: &str| image.rsplit(':').next().unwrap_or_default().to_owned();
        pod.containers().into_iter().map(|c| (c.name.clone(), (tag(&c.runs), c.restarts))).collect()
    };
    view.pods().map(of).collect()
}

fn expected(of: &[(&str, &str, i64)]) -> BTreeMap<String, (String, i64)> {
    of.iter().map(|(name, tag, restarts)| ((*name).to_owned(), ((*tag).to_owned(), *restarts))).collect()
}

#[tokio::test]
async fn only_the_containers_that_change_start_again() -> Result<()> {
    let web = Workload::install(bed().await?, "two-of-three", &of_four(web(4))).await?;
    let before = web.look().await?.identities();
    let mut template = web.first_template();
    template["spec"]["containers"][0]["image"] = json!("example.org/app:v2");
    template["spec"]["containers"][2]["image"] = json!("example.org/log:v2");
    web.set_template(&template).await?;
    web.confirm("2/all").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!(view.identities(), before);
    let each = expected(&[("app", "v2", 1), ("cache", "v1", 0), ("log", "v2", 1), ("proxy", "v1", 0)]);
    assert_eq!(containers(&view), [each.clone(), each.clone(), each.clone(), each]);
    assert_eq!(web.finish().await?.updates.len(), 4);
    Ok(())
}

#[tokio::test]
async fn a_native_sidecar_and_a_container_change_in_one_drain() -> Result<()> {
    let web = Workload::install(bed().await?, "with-sidecar", &of_four(solo(1))).await?;
    let mut template = web.first_template();
    template["spec"]["containers"][1]["image"] = json!("example.org/cache:v2");
    template["spec"]["initContainers"][1]["image"] = json!("example.org/proxy:v2");
    web.set_template(&template).await?;
    let view = web.wait_until_settled().await?;
    let each = expected(&[("app", "v1", 0), ("cache", "v2", 1), ("log", "v1", 0), ("proxy", "v2", 1)]);
    assert_eq!(containers(&view), [each]);
    assert_eq!(web.finish().await?.drains.into_values().sum::<usize>(), 1);
    Ok(())
}

#[tokio::test]
async fn an_init_container_that_has_ended_makes_a_new_pod_when_its_image_changes() -> Result<()> {
    let web = Workload::install(bed().await?, "init", &of_four(solo(1))).await?;
    let before = web.look().await?.identities();
    let mut template = web.first_template();
    template["spec"]["initContainers"][0]["image"] = json!("example.org/setup:v2");
    web.set_template(&template).await?;
    let view = web.wait_until_settled().await?;
    assert!(view.identities().values().all(|id| !before.values().any(|old| old == id)));
    assert!(view.pods().all(|pod| pod.restarts() == 0));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn two_tags_of_one_digest_start_a_new_container_of_the_old_image() -> Result<()> {
    let web = Workload::install(bed().await?, "one-digest", &web(2)).await?;
    let ids = |view: &View| {
        let id = |pod: Pod<'_>| {
            let of = |field| pod.0.pointer(&format!("/status/containerStatuses/0/{field}")).cloned();
            (of("imageID").unwrap_or_default(), of("containerID").unwrap_or_default())
        };
        view.pods().map(id).unzip::<_, _, Vec<Value>, Vec<Value>>()
    };
    let (images, containers) = ids(&web.look().await?);
    web.release_with("v2", &[("same-digest", "true")]).await?;
    let view = web.wait_until_settled().await?;
    assert_eq!(view.serving("v2"), cells(1, 1));
    let (now, started) = ids(&view);
    assert_eq!(now, images);
    assert!(started.iter().all(|id| !containers.contains(id)), "{started:?}");
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_change_that_the_policy_forbids_moves_no_pod_and_says_what_to_do() -> Result<()> {
    let mut manifest = web(2);
    merge(&mut manifest, &json!({ "spec": { "strategy": { "podUpdatePolicy": "InPlaceOnly" } } }));
    let web = Workload::install(bed().await?, "in-place-only", &manifest).await?;
    let before = web.look().await?.identities();
    let mut template = web.template("v2", &[]);
    template["spec"]["containers"][0]["env"] = json!([{ "name": "MODE", "value": "new" }]);
    web.set_template(&template).await?;
    let told = |view: &View| {
        let both = "podUpdatePolicy InPlaceOnly holds 2 pods";
        view.is_observed() && view.has("Stalled", "True") && view.message().contains(both)
    };
    let view = web.wait_until("told of", told).await?;
    assert!(view.pods().all(Pod::in_service), "nothing is drained in vain");
    assert_eq!(view.identities(), before);
    // What goes in place is let through.
    web.release("v3").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!((view.serving_in_all("v3"), view.identities()), (2, before));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_set_says_that_its_policy_holds_pods() -> Result<()> {
    let mut manifest = solo(2);
    merge(&mut manifest, &json!({ "spec": { "updateStrategy": { "podUpdatePolicy": "InPlaceOnly" } } }));
    let web = Workload::install(bed().await?, "set-in-place", &manifest).await?;
    let mut template = web.first_template();
    template["spec"]["containers"][0]["env"] = json!([{ "name": "MODE", "value": "new" }]);
    web.set_template(&template).await?;
    let view = web.wait_until("stalled", |view| view.is_observed() && view.has("Stalled", "True")).await?;
    let conditions = view.sets[0]["status"]["conditions"].as_array().unwrap();
    let stalled = conditions.iter().find(|condition| condition["type"] == "Stalled").unwrap();
    assert_eq!(stalled["reason"], "InPlaceOnly");
    let message = stalled["message"].as_str().unwrap_or_default();
    for part in ["InPlaceOnly", "2 pods", "kubectl", "patch inplaceset solo"] {
        assert!(message.contains(part), "no {part:?} in {message}");
    }
    let command = message.split_once("to let them be recreated: ").map(|(_, command)| command).unwrap();
    let said = web.shell(&format!("{command} --namespace {}", web.namespace())).await?;
    assert!(said.status.success(), "{command}: {}", String::from_utf8_lossy(&said.stderr));
    web.wait_until("recreated", |view| view.is_settled() && view.has("Ready", "True")).await?;
    assert_eq!(web.finish().await?.drains.len(), 2);
    Ok(())
}
