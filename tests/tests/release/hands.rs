//! What people and other controllers write on pods, and pods that are not as they should be.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use cafe_crds::names::{GATE, LABEL_REVISION};
use cafe_tests::scenario::{Gate, Kind, Pod, View, Workload, bed, merge, solo, web};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::balancer::{Balancer, draining};
use crate::cells;
use crate::story::since_out;

/// Writes a part of a pod's status.
async fn write_status(web: &Workload, pod: &str, condition: Value) -> Result<()> {
    let patch = Patch::Strategic(json!({ "status": { "conditions": [condition] } }));
    let mallory = PatchParams { field_manager: Some("mallory".to_owned()), ..PatchParams::default() };
    web.api(Kind::Pod).patch_status(pod, &mallory, &patch).await?;
    Ok(())
}

/// Waits until it is told on the pod who has written into its gate.
async fn told(web: &Workload, pod: &str, words: &str) -> Result<()> {
    let is = |(reason, note): &(String, String)| reason == "ChildOverwritten" && note.contains(words);
    web.wait_until(words, |_| web.watcher().pod_events(pod).iter().any(is)).await?;
    Ok(())
}

async fn first(web: &Workload) -> Result<String> {
    Ok(web.look().await?.identities().into_keys().next().unwrap())
}

fn served(view: &View) -> bool {
    view.is_settled()
        && view.reserved() == 0
        && view.pods().all(Pod::in_service)
        && view.endpoints().len() == 2
}

#[tokio::test]
async fn a_gate_that_is_taken_off_by_hand_is_put_back_without_a_restart() -> Result<()> {
    let web = Workload::install(bed().await?, "no-gate", &web(2)).await?;
    let before = web.look().await?.identities();
    let pod = first(&web).await?;
    write_status(&web, &pod, json!({ "$patch": "delete", "type": GATE })).await?;
    let gone = || {
        let is = |seen: &cafe_tests::scenario::Seen| {
            let now = Pod(&seen.object);
            seen.kind == Kind::Pod && now.gate() == Gate::Missing && now.is_ready()
        };
        web.watcher().history().iter().any(is)
    };
    let back = |view: &View| served(view) && gone();
    let view = web.wait_until("back", back).await?;
    assert_eq!(view.identities(), before);
    assert!(view.pods().all(|pod| pod.restarts() == 0));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_gate_that_is_closed_by_hand_is_opened_again_without_a_restart() -> Result<()> {
    let web = Workload::install(bed().await?, "closed", &web(2)).await?;
    let before = web.look().await?.identities();
    let pod = first(&web).await?;
    write_status(&web, &pod, json!({ "type": GATE, "status": "False", "reason": "Maintenance" })).await?;
    let closed = || {
        let is = |seen: &cafe_tests::scenario::Seen| {
            seen.kind == Kind::Pod && Pod(&seen.object).gate() == Gate::False("Maintenance".to_owned())
        };
        web.watcher().history().iter().any(is)
    };
    let back = |view: &View| served(view) && closed();
    let view = web.wait_until("back", back).await?;
    assert_eq!((view.identities(), view.reserved()), (before, 0));
    assert!(view.pods().all(|pod| pod.restarts() == 0));
    told(&web, &pod, "field manager mallory has closed it").await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_gate_that_is_opened_by_hand_in_a_drain_is_closed_again_before_anything_is_changed() -> Result<()> {
    let web = Workload::install(bed().await?, "opened", &solo(1)).await?;
    Balancer(&web).lock_all().await?;
    web.release("v2").await?;
    let view = web.wait_until("draining", |view| draining(view).is_some()).await?;
    let (pod, reason) = draining(&view).unwrap();
    let uid = view.pod(&pod).unwrap().uid().to_owned();
    write_status(&web, &pod, json!({ "type": GATE, "status": "True", "reason": "Impatience" })).await?;
    let anew = |view: &View| draining(view).is_some_and(|(_, now)| now != reason);
    web.wait_until("draining anew", anew).await?;
    told(&web, &pod, "field manager mallory has opened it").await?;
    Balancer(&web).unlock_all().await?;
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v2"), 1);
    let steps = since_out(&web, &uid);
    let changed = steps.iter().position(|step| step == "wants v2").unwrap();
    let last_gate = steps[..changed].iter().rfind(|step| *step == "in" || *step == "out");
    assert_eq!(last_gate.map(String::as_str), Some("out"), "{steps:?}");
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_without_its_revision_label_is_drained_and_replaced() -> Result<()> {
    let web = Workload::install(bed().await?, "no-label", &web(4)).await?;
    let pod = first(&web).await?;
    let uid = web.look().await?.pod(&pod).unwrap().uid().to_owned();
    let patch = Patch::Merge(json!({ "metadata": { "labels": { LABEL_REVISION: null } } }));
    web.api(Kind::Pod).patch(&pod, &PatchParams::default(), &patch).await?;
    let replaced =
        |view: &View| view.is_settled() && view.pods.len() == 4 && view.pods().all(|pod| pod.uid() != uid);
    let view = web.wait_until("replaced", replaced).await?;
    assert_eq!(view.serving("v1"), cells(2, 2));
    assert_eq!(since_out(&web, &uid), ["out", "unserved", "terminating"]);
    assert!(web.finish().await?.most_out <= 1);
    Ok(())
}

#[tokio::test]
async fn a_readiness_that_flaps_in_a_drain_lets_nothing_be_changed_while_it_says_ready() -> Result<()> {
    let web = Workload::install(bed().await?, "flaps", &solo(1)).await?;
    let balancer = Balancer(&web);
    balancer.lock_all().await?;
    web.release("v2").await?;
    let view = web.wait_until("draining", |view| draining(view).is_some()).await?;
    let (pod, _) = draining(&view).unwrap();
    for _ in 0..5 {
        write_status(&web, &pod, json!({ "type": "Ready", "status": "True" })).await?;
        let settled = |view: &View| view.pods().all(|pod| !pod.is_ready()) && view.endpoints().is_empty();
        web.wait_until("out again", settled).await?;
    }
    write_status(&web, &pod, json!({ "type": "Ready", "status": "True" })).await?;
    balancer.unlock_all().await?;
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v2"), 1);
    // The replay has looked at the very version on which the image was changed.
    assert_eq!(web.finish().await?.updates.into_values().sum::<usize>(), 1);
    Ok(())
}

#[tokio::test]
async fn a_release_reaches_pods_that_no_node_has_taken_and_they_start_at_it() -> Result<()> {
    let mut manifest = solo(2);
    let key = format!("sim.cafe.dev/{}", "unscheduled");
    merge(&mut manifest, &json!({ "spec": { "template": { "spec": { "nodeSelector": { &key: "yes" } } } } }));
    let web = Workload::create(bed().await?, "unscheduled", &manifest).await?;
    web.wait_until("created", |view| view.pods.len() == 2).await?;
    web.release("v2").await?;
    let asked = |view: &View| view.pods().all(|pod| pod.containers()[0].wants.ends_with(":v2"));
    web.wait_until("asked for", asked).await?;
    let node = "kubectl get nodes --output=jsonpath='{.items[0].metadata.name}'";
    let label = async |value: &str| {
        let said = web.shell(&format!("kubectl label --overwrite node $({node}) {key}{value}")).await?;
        ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        Ok(())
    };
    label("=yes").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!(view.serving_in_all("v2"), 2);
    assert!(view.pods().all(|pod| pod.restarts() == 0));
    assert!(!crate::story::ever_ran(&web, "v1"));
    web.finish().await?;
    label("-").await
}

#[tokio::test]
async fn a_release_reaches_pods_whose_first_image_cannot_be_pulled() -> Result<()> {
    let mut manifest = web(4);
    let annotations = json!({ "sim.cafe.dev/image-pull-error": "true" });
    merge(&mut manifest, &json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } }));
    let web = Workload::create(bed().await?, "never-started", &manifest).await?;
    let stuck = |view: &View| {
        view.pods.len() == 4 && view.pods().all(|pod| pod.containers()[0].waiting == "ImagePullBackOff")
    };
    web.wait_until("stuck", stuck).await?;
    let before: BTreeMap<String, String> =
        web.look().await?.pods().map(|pod| (pod.name().to_owned(), pod.uid().to_owned())).collect();
    web.release_with("v2", &[("image-pull-error", "false")]).await?;
    let view = web.wait_until_settled().await?;
    assert_eq!(view.serving("v2"), cells(2, 2));
    let after = view.pods().map(|pod| (pod.name().to_owned(), pod.uid().to_owned())).collect();
    assert_eq!(before, after, "no pod is thrown away for it");
    assert!(view.pods().all(|pod| pod.restarts() == 0));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn what_others_keep_on_a_pod_stays_through_an_update() -> Result<()> {
    let web = Workload::install(bed().await?, "foreign", &solo(1)).await?;
    let pod = first(&web).await?;
    let foreign = json!({ "metadata": {
        "labels": { "example.org/rack": "7" }, "annotations": { "example.org/note": "mine" },
        "finalizers": ["example.org/lock"],
    }});
    web.api(Kind::Pod).patch(&pod, &PatchParams::default(), &Patch::Merge(foreign)).await?;
    write_status(&web, &pod, json!({ "type": "example.org/healthy", "status": "True" })).await?;
    web.release("v2").await?;
    let view = web.wait_until_settled().await?;
    let pod = view.pods().next().unwrap();
    assert_eq!(pod.label("example.org/rack"), "7");
    assert_eq!(pod.0.pointer("/metadata/annotations/example.org~1note"), Some(&json!("mine")));
    assert_eq!(pod.0["metadata"]["finalizers"], json!(["example.org/lock"]));
    let conditions = pod.0["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|c| c["type"] == "example.org/healthy" && c["status"] == "True"));
    web.stays("settled", Duration::from_millis(300), View::is_settled).await?;
    web.finish().await?;
    Balancer(&web).unlock_all().await
}
