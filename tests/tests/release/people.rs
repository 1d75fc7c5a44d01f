use anyhow::{Result, ensure};
use cafe_tests::scenario::{Workload, bed, web};
use serde_json::json;

use crate::cells;

const INSTALL: [&str; 6] =
    ["ReleaseStarted", "GroupStarted", "UnitCreated", "UnitCreated", "GroupCompleted", "ReleaseCompleted"];

#[tokio::test]
async fn every_change_of_state_is_told_once() -> Result<()> {
    let web = Workload::install(bed().await?, "events", &web(10)).await?;
    web.wait_for_events(0, &INSTALL).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    web.confirm("2/1").await?;
    web.wait_for_gate("2/2").await?;
    web.patch(json!({ "spec": { "strategy": { "pause": true } } })).await?;
    web.wait_until("held", |view| view.is_observed() && view.state() == "Paused").await?;
    web.patch(json!({ "spec": { "strategy": { "pause": false } } })).await?;
    web.wait_for_gate("2/2").await?;
    web.confirm("2/2").await?;
    web.wait_until_settled().await?;
    let release = [
        "ReleaseStarted",
        "GroupStarted",
        "GroupCompleted",
        "WaitingForConfirmation",
        "Confirmed",
        "GroupStarted",
        "GroupCompleted",
        "WaitingForConfirmation",
        "ReleasePaused",
        "ReleaseResumed",
        "Confirmed",
        "GroupStarted",
        "GroupCompleted",
        "ReleaseCompleted",
    ];
    web.wait_for_events(INSTALL.len(), &release).await?;
    web.release("v3").await?;
    web.wait_for_gate("3/1").await?;
    web.roll_back().await?;
    // The first template completed, but this release came from v2: two releases ago is a release of its own.
    web.wait_for_gate("4/1").await?;
    web.set_template(&web.template("v2", &[])).await?;
    web.wait_until_settled().await?;
    let back = [
        "ReleaseStarted",
        "GroupStarted",
        "GroupCompleted",
        "WaitingForConfirmation",
        "ReleaseSuperseded",
        "ReleaseStarted",
        "GroupStarted",
        "GroupCompleted",
        "WaitingForConfirmation",
        "RollbackStarted",
        "GroupCompleted",
        "RollbackCompleted",
    ];
    web.wait_for_events(INSTALL.len() + release.len(), &back).await?;
    web.scale(12).await?;
    web.wait_until("scaled", |view| view.is_settled() && view.pods.len() == 12).await?;
    let all = INSTALL.len() + release.len() + back.len();
    web.wait_for_events(all, &["ScaledOut", "ScaledOut"]).await?;
    web.finish().await?;
    Ok(())
}

/// The command that a message ends with.
fn command(message: &str) -> &str {
    message.split_once("; to go on: ").map(|(_, command)| command).unwrap_or_default()
}

#[tokio::test]
async fn the_message_ends_with_a_command_that_works() -> Result<()> {
    let web = Workload::install(bed().await?, "message", &web(6)).await?;
    web.release("v2").await?;
    let view = web.wait_for_gate("2/1").await?;
    web.patch(json!({ "spec": { "strategy": { "pause": true } } })).await?;
    let paused = web.wait_until("held", |view| view.is_observed() && view.state() == "Paused").await?;
    let done = web.shell(command(paused.message())).await?;
    ensure!(done.status.success(), "{}: {}", paused.message(), String::from_utf8_lossy(&done.stderr));
    web.wait_until("going on", |view| view.state() == "WaitingForConfirmation").await?;
    let done = web.shell(command(view.message())).await?;
    ensure!(done.status.success(), "{}: {}", view.message(), String::from_utf8_lossy(&done.stderr));
    let end = web.wait_until("at the end", |view| view.is_settled() && view.revision() == 2).await?;
    assert_eq!(end.serving("v2"), cells(3, 3));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn kubectl_wait_tells_a_gate_from_the_end() -> Result<()> {
    let web = Workload::install(bed().await?, "kstatus", &web(6)).await?;
    let wait = async |condition: &str, timeout: &str| {
        let (condition, timeout) = (format!("--for=condition={condition}"), format!("--timeout={timeout}"));
        web.kubectl(&["wait", "cafedeployment/web", &condition, &timeout]).await
    };
    assert!(wait("Ready", "30s").await?.status.success(), "after the install");
    web.release("v2").await?;
    let waits = wait("WaitingForConfirmation", "30s").await?;
    ensure!(waits.status.success(), "{}", String::from_utf8_lossy(&waits.stderr));
    let ready = wait("Ready", "1s").await?;
    assert!(!ready.status.success(), "Ready at a gate");
    assert!(String::from_utf8_lossy(&ready.stderr).contains("timed out"));
    assert!(wait("Available", "1s").await?.status.success(), "a release does not make it unavailable");
    web.confirm("2/1").await?;
    let ready = wait("Ready", "30s").await?;
    ensure!(ready.status.success(), "{}", String::from_utf8_lossy(&ready.stderr));
    let view = web.look().await?;
    assert_eq!((view.state(), view.serving("v2")), ("Completed", cells(3, 3)));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_message_names_the_pod_in_trouble_and_how_to_look_at_it() -> Result<()> {
    let web = Workload::install(bed().await?, "trouble", &web(4)).await?;
    web.release_with("bad", &[("image-pull-error", "true")]).await?;
    let view = web.wait_until("stuck", |view| crate::is_stuck(view, "ImagePullBackOff")).await?;
    let (_, rest) = view.message().split_once("to see why: ").unwrap();
    let line = rest.split(';').next().unwrap();
    let shown = web.shell(line).await?;
    ensure!(shown.status.success(), "{line}: {}", String::from_utf8_lossy(&shown.stderr));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("ImagePullBackOff"), "{line}");
    web.finish().await?;
    Ok(())
}
