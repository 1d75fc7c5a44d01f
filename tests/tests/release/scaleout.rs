//! `groupScaleOut`: the first creation and every scale-out in groups, with gates.

use anyhow::{Result, ensure};
use cafe_tests::scenario::{Pod, View, Workload, bed, merge, web};
use serde_json::{Value, json};

use crate::cells;

/// `web` whose new pods come in groups, without an order.
fn grouped(replicas: i32) -> Value {
    let mut manifest = web(replicas);
    merge(&mut manifest, &json!({ "spec": { "strategy": { "groupScaleOut": true } } }));
    manifest
}

/// Installed, with every gate of the first creation confirmed and no order left behind.
async fn install(prefix: &str, replicas: i32) -> Result<Workload> {
    let web = Workload::create(bed().await?, prefix, &grouped(replicas)).await?;
    web.wait_for_gate("1/1").await?;
    web.confirm("1/all").await?;
    web.wait_until_served().await?;
    web.patch(json!({ "spec": { "release": null } })).await?;
    web.wait_until_settled().await?;
    Ok(web)
}

/// Waits until exactly these pods are there, and serve, while the release stands at the gate.
async fn stands_at(web: &Workload, token: &str, a: usize, b: usize) -> Result<View> {
    let stands = |view: &View| {
        let in_a = view.pods().filter(|pod| pod.unit() == "CellA").count();
        let there = (view.pods.len(), in_a) == (a + b, a);
        view.waits_at(token) && there && view.pods().all(Pod::in_service)
    };
    web.wait_until(&format!("{a} and {b} pods at gate {token}"), stands).await
}

fn sizes(view: &View) -> Vec<i64> {
    view.sets.iter().map(|set| set["spec"]["replicas"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_first_creation_stands_at_its_gates_until_kubectl_patch_opens_them() -> Result<()> {
    let web = Workload::create(bed().await?, "first-groups", &grouped(10)).await?;
    let view = stands_at(&web, "1/1", 1, 1).await?;
    ensure!(view.message().contains("2 of 10 pods let in"), "{}", view.message());
    ensure!(view.has("Available", "False"), "two of ten are not enough");
    let patch = r#"{"spec":{"release":{"confirm":"1/1"}}}"#;
    let patched = web.kubectl(&["patch", "cafedeployment", "web", "--type=merge", "--patch", patch]).await?;
    ensure!(patched.status.success(), "{}", String::from_utf8_lossy(&patched.stderr));
    stands_at(&web, "1/2", 3, 3).await?;
    web.confirm("1/2").await?;
    let view = web.wait_until_served().await?;
    assert_eq!((view.serving("v1"), view.group()), (cells(5, 5), 3));
    ensure!(view.has("Available", "True"));
    let events = [
        "ReleaseStarted",
        "GroupStarted",
        "GroupCompleted",
        "WaitingForConfirmation",
        "Confirmed",
        "ReleaseCompleted",
    ];
    // Events are told after what they tell of.
    for event in events {
        let is_told = |_: &View| web.watcher().events().iter().any(|(reason, _)| reason == event);
        web.wait_until(&format!("told {event}"), is_told).await?;
    }
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_scale_out_continues_the_numbers_of_the_revision_and_all_covers_the_next() -> Result<()> {
    let web = install("grow", 10).await?;
    web.scale(20).await?;
    let view = stands_at(&web, "1/4", 7, 7).await?;
    assert_eq!((view.serving("v1"), sizes(&view)), (cells(7, 7), vec![7, 7]));
    web.confirm("1/4").await?;
    stands_at(&web, "1/5", 9, 9).await?;
    web.confirm("1/all").await?;
    web.wait_until("ten each", |view| view.is_settled() && view.serving("v1") == cells(10, 10)).await?;
    let gates = |web: &Workload| {
        web.watcher().events().iter().filter(|(reason, _)| reason == "WaitingForConfirmation").count()
    };
    let before = gates(&web);
    web.scale(30).await?;
    let view = web
        .wait_until("fifteen each", |view| view.is_settled() && view.serving("v1") == cells(15, 15))
        .await?;
    assert_eq!((gates(&web), view.group(), view.revision()), (before, 9, 1));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn growth_at_a_gate_joins_the_groups_that_have_not_started() -> Result<()> {
    let web = install("grow-gate", 10).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    web.scale(14).await?;
    web.wait_until("planned anew", |view| view.waits_at("2/1") && view.groups().len() == 4).await?;
    let view = stands_at(&web, "2/1", 5, 5).await?;
    assert_eq!((view.serving("v2"), view.serving("v1")), (cells(1, 1), cells(4, 4)));
    web.confirm("2/1").await?;
    stands_at(&web, "2/2", 5, 5).await?;
    web.confirm("2/2").await?;
    let view = stands_at(&web, "2/3", 5, 5).await?;
    assert_eq!(view.serving("v2"), cells(5, 5));
    web.confirm("2/3").await?;
    web.wait_until("all", |view| view.is_settled() && view.serving("v2") == cells(7, 7)).await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_scale_out_that_is_taken_back_is_over_without_a_confirmation() -> Result<()> {
    let web = install("take-back", 6).await?;
    web.scale(16).await?;
    stands_at(&web, "1/3", 5, 5).await?;
    web.scale(8).await?;
    web.wait_until("four each", |view| view.is_settled() && view.serving("v1") == cells(4, 4)).await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn an_aborted_scale_out_creates_nothing_more_and_is_taken_up_again_by_a_retry() -> Result<()> {
    let web = install("abort-growth", 6).await?;
    web.scale(14).await?;
    stands_at(&web, "1/3", 5, 5).await?;
    let before = web.look().await?.identities();
    web.patch(json!({ "spec": { "release": { "abort": "1" } } })).await?;
    let aborted = |view: &View| view.is_observed() && view.state() == "Aborted";
    let view = web.wait_until("aborted", aborted).await?;
    ensure!(view.message().contains("--replicas=10"), "{}", view.message());
    web.scale(18).await?;
    web.wait_until("observed", aborted).await?;
    web.stays("nothing is created", std::time::Duration::from_millis(700), |view| view.pods.len() == 10)
        .await?;
    web.patch(json!({ "spec": { "release": { "abort": null, "retry": "1" } } })).await?;
    stands_at(&web, "2/1", 6, 6).await?;
    web.confirm("2/all").await?;
    let view = web.wait_until("all", |view| view.is_settled() && view.pods.len() == 18).await?;
    let after = view.identities();
    assert!(before.iter().all(|(name, identity)| after.get(name) == Some(identity)), "no pod has moved");
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_rollback_at_a_gate_serves_at_full_size() -> Result<()> {
    let web = install("rb-growth", 6).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    web.scale(12).await?;
    stands_at(&web, "2/1", 3, 3).await?;
    web.patch(json!({ "spec": { "release": { "rollback": { "abandon": 2, "to": 1 } } } })).await?;
    let back =
        |view: &View| view.is_observed() && view.state() == "Completed" && view.serving("v1") == cells(6, 6);
    web.wait_until("back at full size", back).await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn pods_move_between_units_at_a_gate_and_none_is_created_for_it() -> Result<()> {
    let web = install("move-growth", 10).await?;
    web.scale(20).await?;
    stands_at(&web, "1/4", 7, 7).await?;
    web.patch(json!({ "spec": { "topology": { "unitReplicas": { "CellA": 16 } } } })).await?;
    stands_at(&web, "1/4", 10, 4).await?;
    web.confirm("1/all").await?;
    web.wait_until("as pinned", |view| view.is_settled() && view.serving("v1") == cells(16, 4)).await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn an_inplaceset_that_is_deleted_at_a_gate_comes_back_at_the_size_it_had() -> Result<()> {
    let web = install("lost-set", 6).await?;
    web.scale(14).await?;
    let before = stands_at(&web, "1/3", 5, 5).await?;
    let deleted = web.kubectl(&["delete", "inplaceset", "web-cellb"]).await?;
    ensure!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
    let uids: Vec<&str> = before.pods().filter(|p| p.unit() == "CellB").map(Pod::uid).collect();
    web.wait_until("gone", |view| !view.pods().any(|pod| uids.contains(&pod.uid()))).await?;
    let view = stands_at(&web, "1/3", 5, 5).await?;
    assert_eq!(sizes(&view), [5, 5]);
    Ok(())
}
