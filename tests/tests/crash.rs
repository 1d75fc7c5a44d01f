//! The controller is killed in the middle of its work and started again. The tests take turns: there is one controller.
#![allow(clippy::unwrap_used)]

use anyhow::Result;
use cafe_tests::scenario::{View, Workload, bed, merge, web};
use serde_json::json;
use tokio::sync::Mutex;

static ALONE: Mutex<()> = Mutex::const_new(());

async fn kill_and_start() -> Result<()> {
    let bed = bed().await?;
    bed.kill_controller()?;
    bed.start_controller().await
}

#[tokio::test]
async fn killed_three_times_inside_a_group_it_goes_on_where_it_was() -> Result<()> {
    let _alone = ALONE.lock().await;
    let web = Workload::install(bed().await?, "killed", &web(10)).await?;
    let before = web.look().await?.identities();
    web.release_with("v2", &[("restart", "300ms")]).await?;
    web.wait_for_gate("2/1").await?;
    web.confirm("2/1").await?;
    let mut done = 2;
    for _ in 0..3 {
        let on = |view: &View| view.group() == 2 && view.is_at_work() && view.serving_in_all("v2") >= done;
        let view = web.wait_until("at work in group 2", on).await?;
        done = (view.serving_in_all("v2") + 1).min(4);
        kill_and_start().await?;
    }
    web.finish_from_group_two(&before).await
}

#[tokio::test]
async fn killed_at_a_gate_it_waits_at_the_same_gate_and_tells_nothing_again() -> Result<()> {
    let _alone = ALONE.lock().await;
    let web = Workload::install(bed().await?, "gate", &web(6)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    web.confirm("1/1").await?;
    web.wait_until("told", |_| web.watcher().events().iter().any(|(reason, _)| reason == "ConfirmIgnored"))
        .await?;
    let before = web.watcher().events();
    kill_and_start().await?;
    // A change that needs the new controller to have looked at everything.
    web.scale(8).await?;
    let scaled =
        |view: &View| view.waits_at("2/1") && view.pods().filter(|pod| pod.in_service()).count() == 8;
    web.wait_until("scaled", scaled).await?;
    let new: Vec<String> =
        web.watcher().events().into_iter().skip(before.len()).map(|(reason, _)| reason).collect();
    assert!(new.iter().all(|reason| reason == "ScaledOut"), "{new:?}");
    web.confirm("2/all").await?;
    web.wait_until_settled().await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn what_is_changed_while_it_is_dead_is_done_when_it_is_back() -> Result<()> {
    let _alone = ALONE.lock().await;
    let bed = bed().await?;
    let mut manifest = web(6);
    merge(&mut manifest, &json!({ "spec": { "strategy": { "maxUnavailable": 2 } } }));
    let web = Workload::install(bed, "dead", &manifest).await?;
    web.release_with("bad", &[("crash", "true")]).await?;
    web.wait_until("stuck", |view| view.message().contains("CrashLoopBackOff")).await?;
    bed.kill_controller()?;
    let victim = web.look().await?.identities().into_keys().next().unwrap();
    web.delete_pod(&victim).await?;
    web.roll_back().await?;
    web.wait_until("gone", |view| view.pods.len() == 5).await?;
    bed.start_controller().await?;
    let view = web.wait_until_settled().await?;
    assert_eq!(view.serving_in_all("v1"), 6);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn killed_at_any_moment_of_a_release_it_ends_the_release() -> Result<()> {
    let _alone = ALONE.lock().await;
    let web = Workload::install(bed().await?, "any", &web(10)).await?;
    let before = web.look().await?.identities();
    web.release("v2").await?;
    web.confirm("2/all").await?;
    // A new moment each time: after so many more changes of the namespace.
    for more in (3..33).step_by(3) {
        let start = web.watcher().history().len();
        let end = |view: &View| view.is_settled() || web.watcher().history().len() >= start + more;
        web.wait_until("a little further", end).await?;
        kill_and_start().await?;
    }
    let view = web.wait_until_settled().await?;
    assert_eq!(view.serving_in_all("v2"), 10);
    assert_eq!(view.identities(), before);
    assert!(view.pods().all(|pod| pod.restarts() == 1), "no pod is started twice");
    assert!(web.finish().await?.most_out <= 2);
    Ok(())
}
