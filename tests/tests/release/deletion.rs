//! Deletions by others are never denied, and leave no release behind.

use std::time::Duration;

use anyhow::{Result, ensure};
use cafe_tests::scenario::{Pod, View, Workload, bed, merge, solo};
use serde_json::{Value, json};

use crate::balancer::{Balancer, draining};

/// Two pods, of which a release moves one.
fn half() -> Value {
    let mut manifest = solo(2);
    merge(&mut manifest, &json!({ "spec": { "updateStrategy": { "partition": 1 } } }));
    manifest
}

/// A pod that is deleted. The name may come back, the uid does not.
struct Victim {
    name: String,
    uid: String,
}

impl Victim {
    fn of(pod: Pod<'_>) -> Self {
        Self { name: pod.name().to_owned(), uid: pod.uid().to_owned() }
    }

    fn is_in(&self, view: &View) -> bool {
        view.pods().any(|pod| pod.uid() == self.uid)
    }
}

/// Waits for a pod that is out of traffic and looks right.
async fn until_out(web: &Workload, what: &str, right: impl Fn(Pod<'_>) -> bool) -> Result<Victim> {
    let out = |view: &View| view.pods().find(|pod| pod.drain().is_some() && right(*pod)).map(Victim::of);
    let view = web.wait_until(what, |view| out(view).is_some()).await?;
    Ok(out(&view).unwrap())
}

/// One pod serves at each revision, and none of them is the one that was deleted.
async fn ends_even(web: &Workload, victim: &Victim) -> Result<()> {
    let even = |view: &View| {
        let each = (view.serving_in_all("v1"), view.serving_in_all("v2"));
        view.is_settled() && view.pods.len() == 2 && each == (1, 1)
    };
    let view = web.wait_until("even", even).await?;
    assert!(!victim.is_in(&view));
    assert_eq!(view.reserved(), 0);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_that_is_deleted_while_it_drains_is_replaced_at_its_target() -> Result<()> {
    let web = Workload::install(bed().await?, "del-draining", &half()).await?;
    let balancer = Balancer(&web);
    balancer.lock_all().await?;
    web.release("v2").await?;
    let pod = until_out(&web, "draining", |_| true).await?;
    web.delete_pod(&pod.name).await?;
    // The lock keeps the object, not the pod's place.
    web.wait_until("replaced", |view| view.serving_in_all("v2") == 1 && pod.is_in(view)).await?;
    balancer.unlock_all().await?;
    ends_even(&web, &pod).await
}

#[tokio::test]
async fn a_pod_that_is_deleted_in_its_grace_is_replaced_at_its_target() -> Result<()> {
    let mut manifest = half();
    merge(&mut manifest, &json!({ "spec": { "traffic": { "graceSeconds": 600 } } }));
    let web = Workload::install(bed().await?, "del-drained", &manifest).await?;
    web.release("v2").await?;
    let pod = until_out(&web, "draining", |_| true).await?;
    web.wait_until("drained", |view| view.endpoints().len() == 1).await?;
    web.delete_pod(&pod.name).await?;
    ends_even(&web, &pod).await
}

#[tokio::test]
async fn a_pod_that_is_deleted_in_the_middle_of_its_update_is_replaced_at_its_target() -> Result<()> {
    let web = Workload::install(bed().await?, "del-updating", &half()).await?;
    web.release_with("v2", &[("restart", "10m")]).await?;
    let stopped = |pod: Pod<'_>| pod.0.pointer("/status/containerStatuses/0/state/terminated").is_some();
    let pod = until_out(&web, "stopped", stopped).await?;
    web.delete_pod(&pod.name).await?;
    ends_even(&web, &pod).await
}

#[tokio::test]
async fn a_pod_that_is_deleted_on_its_way_back_is_replaced_at_its_target() -> Result<()> {
    let mut manifest = half();
    merge(&mut manifest, &json!({ "spec": { "traffic": { "protectors": ["balancer"] } } }));
    let web = Workload::create(bed().await?, "del-returning", &manifest).await?;
    let balancer = Balancer(&web);
    web.wait_until("serving", |view| view.pods.len() == 2 && view.pods().all(Pod::in_service)).await?;
    web.release("v2").await?;
    let back = |view: &View| view.pods().find(|p| p.in_service() && p.restarts() == 1).map(Victim::of);
    let view = web.wait_until("on its way back", |view| back(view).is_some()).await?;
    assert!(!view.is_settled(), "no protector has it back");
    let pod = back(&view).unwrap();
    web.delete_pod(&pod.name).await?;
    let replaced = |view: &View| view.serving_in_all("v2") == 1 && !pod.is_in(view);
    web.wait_until("replaced", replaced).await?;
    balancer.lock_all().await?;
    ends_even(&web, &pod).await?;
    balancer.unlock_all().await
}

/// Creates a budget of one disruption and waits until Kubernetes grants it.
async fn budget(web: &Workload) -> Result<()> {
    let name = ["create", "poddisruptionbudget", "web", "--selector=app=web", "--max-unavailable=1"];
    let made = web.kubectl(&name).await?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let condition = "--for=jsonpath={.status.disruptionsAllowed}=1";
    let granted = web.kubectl(&["wait", "poddisruptionbudget/web", condition, "--timeout=60s"]).await?;
    ensure!(granted.status.success(), "{}", String::from_utf8_lossy(&granted.stderr));
    Ok(())
}

#[tokio::test]
async fn an_eviction_that_the_budget_of_the_cluster_allows_is_never_denied() -> Result<()> {
    let mut manifest = solo(3);
    merge(&mut manifest, &json!({ "spec": { "updateStrategy": { "partition": 2 } } }));
    let web = Workload::install(bed().await?, "evicted", &manifest).await?;
    budget(&web).await?;
    let serving = web.look().await?.pods().map(Victim::of).next().unwrap();
    web.evict_pod(&serving.name).await?;
    let replaced = |view: &View| view.is_settled() && view.pods.len() == 3 && !serving.is_in(view);
    web.wait_until("replaced", replaced).await?;

    web.release_with("v2", &[("restart", "10m")]).await?;
    let stopped = |pod: Pod<'_>| pod.0.pointer("/status/containerStatuses/0/state/terminated").is_some();
    let updating = until_out(&web, "stopped", stopped).await?;
    web.evict_pod(&updating.name).await?;
    let replaced = |view: &View| view.is_settled() && view.serving_in_all("v2") == 1;
    let view = web.wait_until("replaced at its target", replaced).await?;
    assert_eq!((view.serving_in_all("v1"), updating.is_in(&view)), (2, false));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_that_drains_counts_as_disrupted_for_the_budget_of_the_cluster() -> Result<()> {
    let web = Workload::install(bed().await?, "disrupted", &solo(3)).await?;
    budget(&web).await?;
    let balancer = Balancer(&web);
    balancer.lock_all().await?;
    web.release("v2").await?;
    let view = web.wait_until("draining", |view| draining(view).is_some()).await?;
    let (out, _) = draining(&view).unwrap();
    let condition = "--for=jsonpath={.status.disruptionsAllowed}=0";
    let counted = web.kubectl(&["wait", "poddisruptionbudget/web", condition, "--timeout=60s"]).await?;
    ensure!(counted.status.success(), "{}", String::from_utf8_lossy(&counted.stderr));
    let other = view.pods().find(|pod| pod.name() != out).unwrap();
    let denied = web.evict_pod(other.name()).await.unwrap_err();
    assert!(format!("{denied:#}").contains("disruption budget"), "{denied:#}");
    web.stays("whole", Duration::from_millis(300), |view| view.pods().all(|p| !p.is_terminating())).await?;
    // Each of the others is held, too, until it is let go.
    while !web.look().await?.is_settled() {
        balancer.unlock_all().await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(web.look().await?.serving_in_all("v2"), 3);
    web.finish().await?;
    Ok(())
}
