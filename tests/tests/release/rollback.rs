use anyhow::Result;
use cafe_tests::scenario::{View, Workload, bed, merge, web};
use serde_json::json;

use crate::{cells, is_stuck, web_with_grace};

/// Rolls back, waits until the first template serves everywhere and checks that no gate stood in the way. Returns which
/// pods moved in all.
async fn roll_back(web: &Workload, pods: usize) -> Result<usize> {
    let before = web.look().await?.identities();
    web.roll_back().await?;
    let view = web.wait_until_settled().await?;
    assert_eq!(view.serving_in_all("v1"), pods);
    assert_eq!(view.identities(), before);
    let events = web.watcher().events();
    let start = events.iter().position(|(reason, _)| reason == "RollbackStarted").unwrap();
    let rest: Vec<&str> = events[start..].iter().map(|(reason, _)| reason.as_str()).collect();
    assert!(!rest.contains(&"WaitingForConfirmation"), "{events:#?}");
    web.wait_until("told", |_| {
        web.watcher().events().iter().any(|(reason, _)| reason == "RollbackCompleted")
    })
    .await?;
    Ok(web.finish().await?.drains.len())
}

#[tokio::test]
async fn a_rollback_at_the_beta_gate_moves_the_beta_pods_only() -> Result<()> {
    let web = Workload::install(bed().await?, "rb-beta", &web_with_grace(10)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    assert_eq!(roll_back(&web, 10).await?, 2, "pods that were drained at all");
    Ok(())
}

#[tokio::test]
async fn a_rollback_in_the_middle_of_a_group_moves_what_has_moved() -> Result<()> {
    let web = Workload::install(bed().await?, "rb-group", &web_with_grace(10)).await?;
    web.release_with("v2", &[("restart", "300ms")]).await?;
    web.wait_for_gate("2/1").await?;
    web.confirm("2/1").await?;
    web.wait_until("in group 2", |view| view.group() == 2 && view.pods().any(|p| p.drain().is_some()))
        .await?;
    let moved = roll_back(&web, 10).await?;
    assert!((3..=6).contains(&moved), "{moved} pods were drained, the gates let 6 in");
    assert!(web.finish().await?.most_out <= 2);
    Ok(())
}

#[tokio::test]
async fn a_rollback_leaves_an_image_that_cannot_be_pulled_although_the_budget_is_full() -> Result<()> {
    let web = Workload::install(bed().await?, "rb-pull", &web(10)).await?;
    web.release_with("bad", &[("image-pull-error", "true")]).await?;
    web.wait_until("stuck", |view| {
        is_stuck(view, "ImagePullBackOff") && view.pods().filter(|pod| !pod.in_service()).count() == 2
    })
    .await?;
    assert_eq!(roll_back(&web, 10).await?, 2);
    assert!(web.finish().await?.most_out <= 2);
    Ok(())
}

#[tokio::test]
async fn a_rollback_leaves_a_crash_loop_although_the_budget_is_full() -> Result<()> {
    let web = Workload::install(bed().await?, "rb-crash", &web(10)).await?;
    web.release_with("bad", &[("crash", "true")]).await?;
    web.wait_until("stuck", |view| {
        is_stuck(view, "CrashLoopBackOff") && view.pods().filter(|pod| !pod.in_service()).count() == 2
    })
    .await?;
    assert_eq!(roll_back(&web, 10).await?, 2);
    assert!(web.finish().await?.most_out <= 2);
    Ok(())
}

#[tokio::test]
async fn a_rollback_leaves_a_budget_of_one_that_a_broken_pod_fills() -> Result<()> {
    let mut manifest = web_with_grace(6);
    merge(&mut manifest, &json!({ "spec": { "strategy": { "maxUnavailable": 1, "batchSize": 3 } } }));
    let web = Workload::install(bed().await?, "rb-one", &manifest).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    // The second try of the same release breaks its first pod: the other beta pod stays at v2.
    web.release_with("v3", &[("crash", "true")]).await?;
    web.wait_until("stuck", |view| is_stuck(view, "CrashLoopBackOff")).await?;
    roll_back(&web, 6).await?;
    assert!(web.finish().await?.most_out <= 1);
    Ok(())
}

#[tokio::test]
async fn a_rollback_during_a_pause_goes_on_by_itself() -> Result<()> {
    let web = Workload::install(bed().await?, "rb-pause", &web_with_grace(10)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    web.patch(json!({ "spec": { "strategy": { "pause": true } } })).await?;
    web.wait_until("held", |view| view.is_observed() && view.state() == "Paused").await?;
    assert_eq!(roll_back(&web, 10).await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_bad_revision_that_is_applied_again_has_a_beta_group_again() -> Result<()> {
    let web = Workload::install(bed().await?, "rb-again", &web_with_grace(6)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    roll_back(&web, 6).await?;
    web.release("v2").await?;
    let view = web.wait_for_gate("4/1").await?;
    assert_eq!((view.serving("v2"), view.serving("v1")), (cells(1, 1), cells(2, 2)));
    web.confirm("4/all").await?;
    web.wait_until_settled().await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn after_a_release_has_completed_the_way_back_is_a_release_with_gates() -> Result<()> {
    let web = Workload::install(bed().await?, "rb-late", &web(6)).await?;
    web.release("v2").await?;
    web.confirm("2/all").await?;
    web.wait_until_settled().await?;
    web.release("v3").await?;
    web.confirm("3/all").await?;
    web.wait_until_settled().await?;
    // Two releases ago: not what this release came from.
    web.roll_back().await?;
    let view = web.wait_for_gate("4/1").await?;
    assert_eq!((view.serving("v1"), view.serving("v3")), (cells(1, 1), cells(2, 2)));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_newer_release_takes_the_place_of_a_running_one_and_moves_its_pods_first() -> Result<()> {
    let web = Workload::install(bed().await?, "supersede", &web_with_grace(10)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    web.release("v3").await?;
    let view = web.wait_for_gate("3/1").await?;
    assert_eq!(
        (view.serving("v3"), view.serving("v2"), view.serving("v1")),
        (cells(1, 1), cells(0, 0), cells(4, 4))
    );
    let events = web.watcher().events();
    assert!(events.iter().any(|(reason, _)| reason == "ReleaseSuperseded"), "{events:#?}");
    web.confirm("3/1").await?;
    web.wait_for_gate("3/2").await?;
    // In the middle of a group, over three revisions.
    web.confirm("3/2").await?;
    web.wait_until("in group 3", |view| view.group() == 3).await?;
    web.release("v4").await?;
    web.wait_for_gate("4/1").await?;
    web.confirm("4/all").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!(view.serving("v4"), cells(5, 5));
    assert!(web.finish().await?.most_out <= 2);
    Ok(())
}

#[tokio::test]
async fn the_way_back_from_a_superseding_release_is_to_the_revision_that_completed() -> Result<()> {
    let web = Workload::install(bed().await?, "rb-super", &web_with_grace(6)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    web.release_with("v3", &[("image-pull-error", "true")]).await?;
    web.wait_until("stuck", |view: &View| is_stuck(view, "ImagePullBackOff")).await?;
    assert!(roll_back(&web, 6).await? <= 2);
    Ok(())
}
