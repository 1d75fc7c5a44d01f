//! Pods that people keep out of traffic.

use std::time::Duration;

use anyhow::Result;
use cafe_crds::names::{ANNOTATION_OFFLINE, LABEL_SERVING};
use cafe_tests::scenario::{Gate, Kind, Pod, View, Workload, bed, merge, web};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::cells;
use crate::story::since_out;

/// Writes the annotation, or takes it off.
async fn annotate(web: &Workload, pod: &str, value: Option<&str>) -> Result<()> {
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { ANNOTATION_OFFLINE: value } } }));
    web.api(Kind::Pod).patch(pod, &PatchParams::default(), &patch).await?;
    Ok(())
}

fn is_offline(pod: Pod<'_>) -> bool {
    pod.gate() == Gate::False("Offline".to_owned()) && !pod.is_ready()
}

fn with_budget(replicas: i32, budget: i32) -> Value {
    let mut manifest = web(replicas);
    merge(&mut manifest, &json!({ "spec": { "strategy": { "maxUnavailable": budget } } }));
    manifest
}

async fn until_offline(web: &Workload, pod: &str) -> Result<()> {
    let off = |view: &View| {
        let pod = view.pod(pod);
        pod.is_some_and(|pod| is_offline(pod) && !view.endpoints().contains(&pod.uid()))
    };
    web.wait_until("offline", off).await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_leaves_traffic_on_request_and_comes_back_without_a_restart() -> Result<()> {
    let web = Workload::install(bed().await?, "offline", &web(4)).await?;
    let before = web.look().await?.identities();
    let pod = before.keys().next().unwrap();
    annotate(&web, pod, Some("debugging")).await?;
    until_offline(&web, pod).await?;
    let told = |view: &View| view.message().contains(&format!("pod {pod} is kept out of traffic"));
    let view = web.wait_until("told of", told).await?;
    assert_eq!(view.reserved(), 0);
    let others = |view: &View| view.pods().filter(|pod| pod.in_service()).count() == 3;
    web.stays("offline alone", Duration::from_millis(500), others).await?;
    annotate(&web, pod, None).await?;
    let back = |view: &View| view.is_settled() && view.endpoints().len() == 4;
    let view = web.wait_until("back", back).await?;
    assert_eq!(view.identities(), before);
    assert!(view.pods().all(|pod| pod.restarts() == 0));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_that_is_offline_is_updated_with_its_group_and_stays_offline() -> Result<()> {
    let web = Workload::install(bed().await?, "offline-update", &with_budget(4, 2)).await?;
    let before = web.look().await?.identities();
    let (pod, (uid, _)) = before.iter().next().unwrap();
    annotate(&web, pod, Some("debugging")).await?;
    until_offline(&web, pod).await?;
    web.release("v2").await?;
    let updated = |view: &View| {
        view.serving_in_all("v2") == 1
            && view.pod(pod).is_some_and(|pod| {
                is_offline(pod) && pod.containers()[0].runs.ends_with(":v2") && pod.restarts() == 1
            })
    };
    web.wait_until("updated", |view| updated(view) && view.reserved() == 0).await?;
    let in_its_group = |view: &View| updated(view) && view.token().is_empty() && view.reserved() == 0;
    web.stays("in a group that is not done", Duration::from_millis(500), in_its_group).await?;
    assert!(!since_out(&web, uid).contains(&"in".to_owned()), "{:?}", since_out(&web, uid));
    annotate(&web, pod, None).await?;
    assert_eq!(web.wait_for_gate("2/1").await?.serving("v2"), cells(1, 1));
    web.confirm("2/all").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!((view.serving("v2"), view.identities()), (cells(2, 2), before.clone()));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_that_is_offline_counts_against_the_budget() -> Result<()> {
    let web = Workload::install(bed().await?, "offline-budget", &with_budget(4, 1)).await?;
    let pod = web.look().await?.identities().into_keys().next().unwrap();
    annotate(&web, &pod, Some("debugging")).await?;
    until_offline(&web, &pod).await?;
    web.release("v2").await?;
    let moved = |view: &View| view.pod(&pod).is_some_and(|pod| pod.containers()[0].runs.ends_with(":v2"));
    web.wait_until("updated, which costs nobody anything", moved).await?;
    let others = |view: &View| view.serving_in_all("v1") == 3;
    web.stays("the others serve", Duration::from_millis(1500), others).await?;
    annotate(&web, &pod, Some("false")).await?;
    web.confirm("2/all").await?;
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(2, 2));
    assert!(web.finish().await?.most_out <= 1);
    Ok(())
}

#[tokio::test]
async fn a_pod_that_is_offline_loses_the_label_that_services_select_on() -> Result<()> {
    let mut manifest = web(2);
    merge(&mut manifest, &json!({ "spec": { "traffic": { "mode": "Unselect" } } }));
    let web = Workload::install(bed().await?, "offline-label", &manifest).await?;
    let pod = web.look().await?.identities().into_keys().next().unwrap();
    let selected = |view: &View| view.pod(&pod).is_some_and(|pod| pod.label(LABEL_SERVING) == "true");
    assert!(selected(&web.look().await?));
    annotate(&web, &pod, Some("yes")).await?;
    until_offline(&web, &pod).await?;
    assert!(!selected(&web.look().await?));
    annotate(&web, &pod, None).await?;
    web.wait_until("back", |view| view.is_settled() && selected(view)).await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_that_is_offline_is_deleted_like_any_other() -> Result<()> {
    let web = Workload::install(bed().await?, "offline-gone", &web(4)).await?;
    let view = web.look().await?;
    let pod = view.pods().next().unwrap();
    annotate(&web, pod.name(), Some("debugging")).await?;
    until_offline(&web, pod.name()).await?;
    web.delete_pod(pod.name()).await?;
    let replaced = |view: &View| view.is_settled() && view.pods().all(|p| p.uid() != pod.uid());
    assert_eq!(web.wait_until("replaced", replaced).await?.serving_in_all("v1"), 4);
    web.finish().await?;
    Ok(())
}
