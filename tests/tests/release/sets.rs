//! InPlaceSets that stand alone.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use cafe_tests::scenario::{Pod, View, Workload, bed, merge, solo};
use serde_json::{Value, json};

use crate::balancer::draining;

/// An InPlaceSet with this update strategy.
fn with_strategy(replicas: i32, strategy: &Value) -> Value {
    let mut manifest = solo(replicas);
    merge(&mut manifest, &json!({ "spec": { "updateStrategy": strategy } }));
    manifest
}

async fn set_strategy(web: &Workload, strategy: Value) -> Result<()> {
    web.patch(json!({ "spec": { "updateStrategy": strategy } })).await
}

/// Pods in service that run this tag, by name.
fn running(view: &View, tag: &str) -> BTreeSet<String> {
    let ending = format!(":{tag}");
    let runs = |pod: &Pod<'_>| pod.in_service() && pod.containers()[0].runs.ends_with(&ending);
    view.pods().filter(runs).map(|pod| pod.name().to_owned()).collect()
}

#[tokio::test]
async fn a_partition_is_lowered_step_by_step_in_pods_or_in_percent() -> Result<()> {
    let web =
        Workload::install(bed().await?, "partition", &with_strategy(5, &json!({ "partition": 5 }))).await?;
    web.release("v2").await?;
    web.stays("all on the old revision", Duration::from_millis(500), |v| v.serving_in_all("v1") == 5).await?;
    let mut done = BTreeSet::new();
    // A percentage is rounded up: 50 % of five keep three where they are.
    for (partition, updated) in [(json!(4), 1), (json!("50%"), 2), (json!("20%"), 4), (json!(0), 5)] {
        set_strategy(&web, json!({ "partition": partition })).await?;
        let reached = |view: &View| view.is_settled() && running(view, "v2").len() == updated;
        let view = web.wait_until(&format!("updated down to {partition}"), reached).await?;
        assert_eq!(running(&view, "v1").len(), 5 - updated);
        let now = running(&view, "v2");
        assert!(done.is_subset(&now), "pods that were updated stay so");
        done = now;
    }
    assert!(web.finish().await?.most_out <= 1);
    Ok(())
}

#[tokio::test]
async fn a_partition_that_is_raised_moves_no_pod_back() -> Result<()> {
    let web =
        Workload::install(bed().await?, "raised", &with_strategy(3, &json!({ "partition": 1 }))).await?;
    web.release("v2").await?;
    web.wait_until("updated", |view| view.is_settled() && view.serving_in_all("v2") == 2).await?;
    set_strategy(&web, json!({ "partition": 3 })).await?;
    web.wait_until("observed", View::is_observed).await?;
    let stay = |view: &View| view.serving_in_all("v2") == 2 && view.serving_in_all("v1") == 1;
    web.stays("where they are", Duration::from_millis(500), stay).await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_that_dies_comes_back_on_its_side_of_the_partition() -> Result<()> {
    let strategy = json!({ "partition": 2, "maxUnavailable": 2 });
    let web = Workload::install(bed().await?, "sides", &with_strategy(4, &strategy)).await?;
    web.release("v2").await?;
    let even =
        |view: &View| view.is_settled() && (view.serving_in_all("v1"), view.serving_in_all("v2")) == (2, 2);
    let mut view = web.wait_until("half updated", even).await?;
    for tag in ["v1", "v2", "v1"] {
        let name = running(&view, tag).pop_first().unwrap();
        let uid = view.pod(&name).unwrap().uid().to_owned();
        web.delete_pod(&name).await?;
        let replaced = |view: &View| even(view) && view.pods().all(|pod| pod.uid() != uid);
        view = web.wait_until(&format!("as before, after a pod at {tag} died"), replaced).await?;
    }
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn the_budget_of_a_set_is_a_number_or_a_percentage_and_is_used_up() -> Result<()> {
    for (prefix, budget) in [("number", json!(2)), ("percent", json!("50%"))] {
        let manifest = with_strategy(4, &json!({ "maxUnavailable": budget }));
        let web = Workload::install(bed().await?, prefix, &manifest).await?;
        web.release_with("v2", &[("restart", "200ms")]).await?;
        assert_eq!(web.wait_until_settled().await?.serving_in_all("v2"), 4);
        assert_eq!(web.finish().await?.most_out, 2, "budget {budget}");
    }
    Ok(())
}

#[tokio::test]
async fn a_budget_of_none_touches_nothing_that_serves() -> Result<()> {
    for (prefix, budget) in [("none", json!(0)), ("none-percent", json!("0%"))] {
        let web = Workload::install(bed().await?, prefix, &solo(2)).await?;
        set_strategy(&web, json!({ "maxUnavailable": budget })).await?;
        web.release("v2").await?;
        web.wait_until("observed", View::is_observed).await?;
        let untouched = |view: &View| view.serving_in_all("v1") == 2 && view.reserved() == 0;
        web.stays("untouched", Duration::from_millis(2500), untouched).await?;
        set_strategy(&web, json!({ "maxUnavailable": 1 })).await?;
        assert_eq!(web.wait_until_settled().await?.serving_in_all("v2"), 2);
        assert!(web.finish().await?.most_out <= 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_budget_of_none_does_not_keep_a_broken_pod_broken() -> Result<()> {
    let web =
        Workload::install(bed().await?, "broken", &with_strategy(2, &json!({ "partition": 1 }))).await?;
    web.release_with("bad", &[("image-pull-error", "true")]).await?;
    let broken = |view: &View| view.pods().any(|pod| pod.containers()[0].waiting == "ImagePullBackOff");
    web.wait_until("broken", broken).await?;
    set_strategy(&web, json!({ "maxUnavailable": 0 })).await?;
    web.release("v2").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!((view.serving_in_all("v1"), view.serving_in_all("v2")), (1, 1));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_pause_lets_pods_in_flight_finish_and_no_other_start() -> Result<()> {
    let web = Workload::install(bed().await?, "set-pause", &solo(4)).await?;
    web.release_with("v2", &[("restart", "300ms")]).await?;
    web.wait_until("moving", |view| draining(view).is_some()).await?;
    set_strategy(&web, json!({ "paused": true })).await?;
    let rests = |view: &View| view.is_observed() && view.reserved() == 0 && view.pods().all(Pod::in_service);
    let done = web.wait_until("held", rests).await?.serving_in_all("v2");
    assert!((1..4).contains(&done), "{done} pods are done");
    let held = |view: &View| view.serving_in_all("v2") == done && view.pods().all(Pod::in_service);
    web.stays("held", Duration::from_millis(2500), held).await?;
    set_strategy(&web, json!({ "paused": false })).await?;
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v2"), 4);
    assert!(web.finish().await?.most_out <= 1);
    Ok(())
}

async fn revisions(web: &Workload) -> Result<BTreeSet<String>> {
    let said = web.kubectl(&["get", "controllerrevisions", "--output=name"]).await?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    Ok(String::from_utf8(said.stdout)?.lines().map(str::to_owned).collect())
}

#[tokio::test]
async fn old_revisions_are_kept_up_to_the_limit_and_one_of_them_is_gone_back_to_in_place() -> Result<()> {
    let mut manifest = solo(2);
    merge(&mut manifest, &json!({ "spec": { "revisionHistoryLimit": 2 } }));
    let web = Workload::install(bed().await?, "history", &manifest).await?;
    let before = web.look().await?.identities();
    for tag in ["v2", "v3", "v4", "v5"] {
        web.release(tag).await?;
        web.wait_until_settled().await?;
    }
    let mut kept = revisions(&web).await?;
    // The oldest goes once no pod has it any more, which is seen a moment after the last one has moved.
    while kept.len() > 3 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        kept = revisions(&web).await?;
    }
    assert_eq!(kept.len(), 3);
    web.release("v4").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!((view.serving_in_all("v4"), view.identities()), (2, before));
    assert_eq!(revisions(&web).await?, kept, "the template is the revision it was");
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_set_that_is_paused_shrinks_by_its_broken_pod_first_and_then_on_both_sides() -> Result<()> {
    let web = Workload::install(bed().await?, "set-shrink", &solo(6)).await?;
    web.release_with("bad", &[("image-pull-error", "true")]).await?;
    let broken = |view: &View| view.pods().any(|pod| pod.containers()[0].waiting == "ImagePullBackOff");
    web.wait_until("broken", broken).await?;
    set_strategy(&web, json!({ "paused": true })).await?;
    web.scale(5).await?;
    let five = |view: &View| view.is_observed() && view.pods.len() == 5 && view.serving_in_all("v1") == 5;
    web.wait_until("without the broken one", five).await?;
    // A third of the way, and held there again.
    set_strategy(&web, json!({ "paused": false, "partition": 3 })).await?;
    web.release("v2").await?;
    let two =
        |view: &View| view.is_settled() && (view.serving_in_all("v1"), view.serving_in_all("v2")) == (3, 2);
    web.wait_until("two are updated", two).await?;
    set_strategy(&web, json!({ "paused": true, "partition": 0 })).await?;
    web.scale(3).await?;
    let both = |view: &View| {
        view.pods.len() == 3 && (view.serving_in_all("v1"), view.serving_in_all("v2")) == (2, 1)
    };
    web.wait_until("smaller on both sides", |view| view.is_observed() && both(view)).await?;
    web.finish().await?;
    Ok(())
}
