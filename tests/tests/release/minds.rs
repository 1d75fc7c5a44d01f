//! People change their minds while a pod is on its way.

use std::time::Duration;

use anyhow::Result;
use cafe_tests::scenario::{Pod, View, Workload, bed, merge, solo, web};
use serde_json::{Value, json};

use crate::balancer::{Balancer, draining};
use crate::story::{ever_ran, since_out};

/// A template that no running pod can follow.
fn with_env(mut template: Value) -> Value {
    template["spec"]["containers"][0]["env"] = json!([{ "name": "MODE", "value": "new" }]);
    template
}

/// Waits until a pod is out of traffic and its first container has this in its status.
async fn until_container(web: &Workload, what: &str, pointer: &str) -> Result<String> {
    let pointer = format!("/status/containerStatuses/0/state/{pointer}");
    let is_there = |pod: &Pod<'_>| pod.drain().is_some() && pod.0.pointer(&pointer).is_some();
    let view = web.wait_until(what, |view| view.pods().any(|pod| is_there(&pod))).await?;
    Ok(view.pods().find(is_there).map(|pod| pod.name().to_owned()).unwrap_or_default())
}

/// Every pod was drained once, its container started again `restarts` times, and `v2` never ran.
async fn went_straight(web: &Workload, restarts: i64) -> Result<()> {
    let view = web.look().await?;
    assert!(view.pods().all(|pod| pod.restarts() == restarts), "{}", view.dump());
    assert!(!ever_ran(web, "v2"));
    let verdict = web.finish().await?;
    let once: Vec<usize> = view.pods().map(|_| 1).collect();
    assert_eq!(verdict.drains.into_values().collect::<Vec<_>>(), once);
    Ok(())
}

#[tokio::test]
async fn a_target_that_changes_while_pods_drain_is_reached_in_one_step() -> Result<()> {
    let web = Workload::install(bed().await?, "draining", &web(2)).await?;
    let balancer = Balancer(&web);
    balancer.lock_all().await?;
    web.release("v2").await?;
    web.wait_until("draining", |view| draining(view).is_some()).await?;
    web.release("v3").await?;
    web.wait_until("taken up", |view| view.is_observed() && view.revision() == 3).await?;
    balancer.unlock_all().await?;
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v3"), 2);
    went_straight(&web, 1).await
}

#[tokio::test]
async fn a_target_that_changes_in_the_grace_is_reached_in_one_step() -> Result<()> {
    let mut manifest = solo(1);
    merge(&mut manifest, &json!({ "spec": { "traffic": { "graceSeconds": 600 } } }));
    let web = Workload::install(bed().await?, "drained", &manifest).await?;
    web.release("v2").await?;
    let drained = |view: &View| draining(view).is_some() && view.endpoints().is_empty();
    web.wait_until("drained", drained).await?;
    let untouched =
        |view: &View| drained(view) && view.pods().all(|p| p.containers()[0].wants.ends_with("v1"));
    web.stays("in its grace", Duration::from_millis(500), untouched).await?;
    web.release("v3").await?;
    web.patch(json!({ "spec": { "traffic": { "graceSeconds": 0 } } })).await?;
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v3"), 1);
    went_straight(&web, 1).await
}

#[tokio::test]
async fn a_target_that_changes_before_the_new_container_starts_is_reached_in_one_step() -> Result<()> {
    let web = Workload::install(bed().await?, "updating", &solo(1)).await?;
    web.release_with("v2", &[("restart", "10m")]).await?;
    until_container(&web, "stopped", "terminated").await?;
    web.release("v3").await?;
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v3"), 1);
    went_straight(&web, 1).await
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_left_for_the_next_one_at_once() -> Result<()> {
    let web = Workload::install(bed().await?, "pull", &solo(1)).await?;
    web.release_with("v2", &[("image-pull-error", "true")]).await?;
    until_container(&web, "waiting for an image", "waiting").await?;
    web.release("v3").await?;
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v3"), 1);
    went_straight(&web, 1).await
}

#[tokio::test]
async fn back_again_before_the_old_container_has_stopped_is_no_restart() -> Result<()> {
    let web = Workload::install(bed().await?, "back", &solo(1)).await?;
    web.release_with("v2", &[("stop", "10m")]).await?;
    let asked = |view: &View| view.pods().any(|pod| pod.containers()[0].wants.ends_with(":v2"));
    web.wait_until("asked to change", asked).await?;
    web.roll_back().await?;
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v1"), 1);
    went_straight(&web, 0).await
}

#[tokio::test]
async fn back_again_after_the_old_container_has_stopped_starts_the_old_image_once() -> Result<()> {
    let web = Workload::install(bed().await?, "back-late", &solo(1)).await?;
    web.release_with("v2", &[("restart", "10m")]).await?;
    until_container(&web, "stopped", "terminated").await?;
    web.roll_back().await?;
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v1"), 1);
    went_straight(&web, 1).await
}

#[tokio::test]
async fn a_pod_on_its_way_back_is_drained_again_for_the_next_target_by_a_new_operation() -> Result<()> {
    let mut manifest = solo(1);
    merge(&mut manifest, &json!({ "spec": { "traffic": { "protectors": ["balancer"] } } }));
    let web = Workload::create(bed().await?, "returning", &manifest).await?;
    let balancer = Balancer(&web);
    web.wait_until("serving", |view| view.pods.len() == 1 && view.pods().all(Pod::in_service)).await?;
    web.release("v2").await?;
    let back = |view: &View| view.serving_in_all("v2") == 1;
    let view = web.wait_until("put back", back).await?;
    assert!(!view.is_settled(), "the protector does not have it back");
    web.release("v3").await?;
    web.wait_until("put back again", |view| view.serving_in_all("v3") == 1).await?;
    balancer.lock_all().await?;
    web.wait_until_settled().await?;
    let reasons: std::collections::BTreeSet<String> =
        web.watcher().history().iter().filter_map(|seen| Pod(&seen.object).drain()).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    web.finish().await?;
    balancer.unlock_all().await
}

#[tokio::test]
async fn scale_in_that_is_called_off_before_the_pods_are_deleted_keeps_them() -> Result<()> {
    let web = Workload::install(bed().await?, "kept", &web(4)).await?;
    let before = web.look().await?.identities();
    let balancer = Balancer(&web);
    balancer.lock_all().await?;
    web.scale(2).await?;
    let leaving = |view: &View| view.pods().filter(|pod| pod.drain().is_some()).count() == 2;
    web.wait_until("leaving", leaving).await?;
    web.scale(4).await?;
    let view = web.wait_until_settled().await?;
    assert_eq!(view.identities(), before);
    assert!(view.pods().all(|pod| pod.restarts() == 0 && pod.in_service()));
    assert!(web.finish().await?.updates.is_empty());
    balancer.unlock_all().await
}

/// A set of two, one of which drains for a new image and is held there.
async fn one_of_two(prefix: &str) -> Result<(Workload, String)> {
    let web = Workload::install(bed().await?, prefix, &solo(2)).await?;
    Balancer(&web).lock_all().await?;
    web.release("v2").await?;
    let view = web.wait_until("draining", |view| draining(view).is_some()).await?;
    let uid = view.pods().find(|pod| pod.drain().is_some()).map(|pod| pod.uid().to_owned());
    Ok((web, uid.unwrap()))
}

#[tokio::test]
async fn a_drain_for_an_update_serves_a_recreation_that_is_wanted_meanwhile() -> Result<()> {
    let (web, uid) = one_of_two("recreate-wins").await?;
    web.set_template(&with_env(web.template("v3", &[]))).await?;
    web.wait_until("taken up", View::is_observed).await?;
    Balancer(&web).unlock_all().await?;
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v3"), 2);
    assert_eq!(since_out(&web, &uid), ["out", "unserved", "terminating"]);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_drain_for_a_recreation_serves_an_update_that_suffices_after_all() -> Result<()> {
    let web = Workload::install(bed().await?, "update-suffices", &solo(2)).await?;
    let before = web.look().await?.identities();
    Balancer(&web).lock_all().await?;
    web.set_template(&with_env(web.first_template())).await?;
    web.wait_until("draining", |view| draining(view).is_some()).await?;
    web.release("v3").await?;
    web.wait_until("taken up", View::is_observed).await?;
    Balancer(&web).unlock_all().await?;
    let view = web.wait_until_settled().await?;
    assert_eq!((view.serving_in_all("v3"), view.identities()), (2, before));
    went_straight(&web, 1).await
}

#[tokio::test]
async fn a_drain_for_an_update_serves_a_deletion_that_is_wanted_meanwhile() -> Result<()> {
    let (web, uid) = one_of_two("delete-wins").await?;
    web.scale(1).await?;
    web.wait_until("taken up", View::is_observed).await?;
    Balancer(&web).unlock_all().await?;
    let view = web.wait_until("smaller", |view| view.is_settled() && view.pods.len() == 1).await?;
    assert_eq!(view.serving_in_all("v2"), 1);
    assert_eq!(since_out(&web, &uid), ["out", "unserved", "terminating"]);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_that_is_leaving_gets_no_new_image() -> Result<()> {
    let web = Workload::install(bed().await?, "leaving", &solo(2)).await?;
    Balancer(&web).lock_all().await?;
    web.scale(1).await?;
    let view = web.wait_until("leaving", |view| draining(view).is_some()).await?;
    let leaving = view.pods().find(|pod| pod.drain().is_some()).map(|pod| pod.uid().to_owned()).unwrap();
    web.release("v2").await?;
    web.wait_until("taken up", View::is_observed).await?;
    Balancer(&web).unlock_all().await?;
    let view = web.wait_until("smaller", |view| view.is_settled() && view.pods.len() == 1).await?;
    assert_eq!(view.serving_in_all("v2"), 1);
    assert_eq!(since_out(&web, &leaving), ["out", "unserved", "terminating"]);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_in_the_middle_of_its_update_is_deleted_at_once_when_it_is_surplus() -> Result<()> {
    let web = Workload::install(bed().await?, "surplus", &solo(2)).await?;
    web.release_with("v2", &[("restart", "10m")]).await?;
    until_container(&web, "stopped", "terminated").await?;
    web.scale(0).await?;
    web.wait_until("gone", |view| view.is_settled() && view.pods.is_empty()).await?;
    assert!(!ever_ran(&web, "v2"));
    web.finish().await?;
    Ok(())
}
