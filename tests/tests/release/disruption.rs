//! PodDisruptionBudgets over Cafe's pods, and evictions beside its own disruptions.

use std::time::Duration;

use anyhow::{Result, ensure};
use cafe_tests::scenario::{Pod, View, Workload, bed, solo, web};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::balancer::{Balancer, draining};
use crate::cells;
use crate::restart::uids;

fn budgets(web: &Workload) -> Api<DynamicObject> {
    web.objects(&ApiResource::from_gvk(&GroupVersionKind::gvk("policy", "v1", "PodDisruptionBudget")))
}

fn quotas(web: &Workload) -> Api<DynamicObject> {
    web.objects(&ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ResourceQuota")))
}

/// Writes a PodDisruptionBudget over all pods of `web` with `spec` in it.
async fn protect(web: &Workload, spec: Value) -> Result<()> {
    let mut object = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "web" },
        "spec": { "selector": { "matchLabels": { "app": "web" } } },
    });
    cafe_tests::scenario::merge(&mut object, &json!({ "spec": spec }));
    match budgets(web).create(&PostParams::default(), &serde_json::from_value(object.clone())?).await {
        Err(kube::Error::Api(error)) if error.code == 409 => {
            let mut spec = spec;
            // One of both is given.
            for field in ["minAvailable", "maxUnavailable"] {
                if spec.get(field).is_none() {
                    spec[field] = Value::Null;
                }
            }
            let patch = Patch::Merge(json!({ "spec": spec }));
            budgets(web).patch("web", &PatchParams::default(), &patch).await?;
        }
        other => drop(other?),
    }
    Ok(())
}

/// Waits until the disruption controller expects so many pods, wants so many healthy and allows so many disruptions.
async fn allows(web: &Workload, expected: i64, healthy: i64, allowed: i64) -> Result<()> {
    let mut last = Value::Null;
    let told = async {
        loop {
            let now = budgets(web).get("web").await?;
            last = now.data["status"].clone();
            let observed = last["observedGeneration"].as_i64() == now.metadata.generation;
            let figures = ["expectedPods", "desiredHealthy", "disruptionsAllowed"].map(|f| last[f].as_i64());
            if observed && figures == [Some(expected), Some(healthy), Some(allowed)] {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(120), told).await;
    ensure!(told.is_ok(), "not {expected} expected, {healthy} healthy, {allowed} allowed: {last:#}");
    told?
}

/// No further pod than those that are there may be created, until this is taken away again.
async fn no_more_pods(web: &Workload, pods: usize) -> Result<()> {
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "full" },
        "spec": { "hard": { "pods": pods.to_string() } },
    });
    quotas(web).create(&PostParams::default(), &serde_json::from_value(quota)?).await?;
    // It counts only once it has been taken up.
    while quotas(web).get("full").await?.data.pointer("/status/used/pods").is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn is_denied(evicted: &Result<()>) -> bool {
    let error = evicted.as_ref().err().and_then(|error| error.downcast_ref::<kube::Error>());
    matches!(error, Some(kube::Error::Api(error)) if error.code == 429)
}

#[tokio::test]
async fn a_disruption_budget_finds_the_scale_of_the_owner_in_both_kinds() -> Result<()> {
    let (deployment, alone) = (web(7), solo(5));
    for (prefix, manifest, pods, halves) in [("pdb", &deployment, 7, 4), ("pdb-set", &alone, 5, 3)] {
        let web = Workload::install(bed().await?, prefix, manifest).await?;
        protect(&web, json!({ "minAvailable": "50%" })).await?;
        allows(&web, pods, halves, pods - halves).await?;
        protect(&web, json!({ "maxUnavailable": 1 })).await?;
        allows(&web, pods, pods - 1, 1).await?;
        protect(&web, json!({ "maxUnavailable": "20%" })).await?;
        let out = (pods + 4) / 5;
        allows(&web, pods, pods - out, out).await?;
        web.scale(2).await?;
        web.wait_until("smaller", |view| view.is_settled() && view.pods.len() == 2).await?;
        allows(&web, 2, 1, 1).await?;
        web.finish().await?;
    }
    Ok(())
}

#[tokio::test]
async fn evictions_are_allowed_and_denied_by_it_and_replaced_in_their_unit() -> Result<()> {
    let web = Workload::install(bed().await?, "evict", &web(6)).await?;
    protect(&web, json!({ "minAvailable": "70%" })).await?;
    allows(&web, 6, 5, 1).await?;
    no_more_pods(&web, 5).await?;
    let before = uids(&web.look().await?);
    let names: Vec<String> = web.look().await?.identities().into_keys().collect();
    web.evict_pod(&names[0]).await?;
    web.wait_until("gone", |view| view.pods.len() == 5).await?;
    allows(&web, 6, 5, 0).await?;
    ensure!(is_denied(&web.evict_pod(&names[1]).await), "a second one is denied");
    assert!(web.look().await?.pod(&names[1]).is_some_and(|pod| !pod.is_terminating()));
    quotas(&web).delete("full", &DeleteParams::default()).await?;
    let whole = |view: &View| view.is_settled() && view.serving("v1") == cells(3, 3);
    let view = web.wait_until("whole again", whole).await?;
    assert_eq!(uids(&view).difference(&before).count(), 1);
    allows(&web, 6, 5, 1).await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_that_was_evicted_is_out_and_no_other_is_taken_out_meanwhile() -> Result<()> {
    let mut manifest = web(6);
    manifest["spec"]["strategy"] = json!({ "maxUnavailable": 1, "needWaitingForConfirm": false });
    let web = Workload::install(bed().await?, "evict-release", &manifest).await?;
    no_more_pods(&web, 5).await?;
    let victim = web.look().await?.identities().into_keys().next_back().unwrap();
    web.evict_pod(&victim).await?;
    web.wait_until("gone", |view| view.pods.len() == 5).await?;
    web.release("v2").await?;
    web.wait_until("taken up", |view| view.is_observed() && view.revision() == 2).await?;
    let waits = |view: &View| view.serving_in_all("v1") == 5 && view.reserved() == 0;
    web.stays("none is taken out", Duration::from_millis(2500), waits).await?;
    quotas(&web).delete("full", &DeleteParams::default()).await?;
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(3, 3));
    assert_eq!(web.finish().await?.most_out, 1);
    Ok(())
}

#[tokio::test]
async fn a_pod_that_cafe_has_taken_out_counts_against_evictions() -> Result<()> {
    let mut manifest = web(4);
    manifest["spec"]["strategy"]["maxUnavailable"] = json!(1);
    let web = Workload::install(bed().await?, "evict-drain", &manifest).await?;
    protect(&web, json!({ "maxUnavailable": 1 })).await?;
    allows(&web, 4, 3, 1).await?;
    let balancer = Balancer(&web);
    balancer.lock_all().await?;
    web.release("v2").await?;
    let (out, _) = draining(&web.wait_until("draining", |view| draining(view).is_some()).await?).unwrap();
    allows(&web, 4, 3, 0).await?;
    let other = web.look().await?.identities().into_keys().find(|name| *name != out).unwrap();
    ensure!(is_denied(&web.evict_pod(&other).await), "while {out} is out");
    let still = |view: &View| view.pods().filter(|pod| pod.in_service()).count() == 3;
    web.wait_until("one is out", still).await?;
    balancer.unlock_all().await?;
    web.confirm("2/all").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!(view.serving("v2"), cells(2, 2));
    assert!(view.pods().all(Pod::in_service));
    allows(&web, 4, 3, 1).await?;
    assert_eq!(web.finish().await?.most_out, 1);
    Ok(())
}
