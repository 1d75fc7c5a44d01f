//! Groups that do not come through: what is said of them, when they have failed, and every way out.

use std::time::Duration;

use anyhow::{Context, Result};
use cafe_tests::scenario::{Kind, Pod, View, Workload, bed, merge, web};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::balancer::{Balancer, draining};
use crate::cells;

/// Annotations of a pod that its simulated kubelet obeys.
const CRASH: &str = "sim.cafe.dev/crash";
const READY_DELAY: &str = "sim.cafe.dev/ready-delay";

/// A deadline that is worth waiting for, in seconds.
const DEADLINE: i64 = 2;

/// Four pods, both units at once.
fn four() -> Value {
    let mut manifest = web(4);
    merge(&mut manifest, &json!({ "spec": { "strategy": { "maxUnavailable": 2 } } }));
    manifest
}

/// The notes of the events of this reason about the CafeDeployment.
fn told(web: &Workload, reason: &str) -> Vec<String> {
    web.watcher().events().into_iter().filter(|(r, _)| r == reason).map(|(_, note)| note).collect()
}

async fn deadline(web: &Workload, seconds: i64) -> Result<()> {
    web.patch(json!({ "spec": { "strategy": { "progressDeadlineSeconds": seconds } } })).await
}

/// The first pod, by name, of which this is true.
fn first(view: &View, is: impl Fn(&Pod<'_>) -> bool) -> Option<String> {
    view.pods().filter(is).map(|pod| pod.name().to_owned()).min()
}

/// Waits until a container waits for this reason, and gives what is to be said of it.
async fn until_waiting(web: &Workload, reason: &str) -> Result<String> {
    let stuck = |view: &View| first(view, |pod| pod.containers()[0].waiting == reason);
    // One pod of each unit: whichever comes first by name is the one that is told of.
    let both = |view: &View| view.pods().filter(|pod| pod.containers()[0].waiting == reason).count() == 2;
    let view = web.wait_until("stuck", both).await?;
    Ok(format!("pod {}, container app: {reason}; to see why: kubectl", stuck(&view).context("no pod")?))
}

/// Lets the deadline come, now that everything stands still, and sees that the failure is told in these words. From then on
/// nothing is in a hurry.
async fn until_failed(web: &Workload, words: &str) -> Result<View> {
    deadline(web, DEADLINE).await?;
    let failed =
        |view: &View| view.is_observed() && view.state() == "Failed" && view.message().contains(words);
    let view = web.wait_until("failed", failed).await?;
    assert_eq!(view.deployment["status"]["phase"], "Degraded");
    for (condition, status) in
        [("Ready", "False"), ("Stalled", "True"), ("Progressing", "False"), ("Available", "True")]
    {
        assert!(view.has(condition, status), "{condition}: {}", view.dump());
    }
    let exceeded = |_: &View| told(web, "ProgressDeadlineExceeded").iter().any(|note| note.contains(words));
    web.wait_until("told", exceeded).await?;
    deadline(web, 600).await?;
    Ok(view)
}

/// The failure was told once, in spite of all that came after.
async fn ends(web: &Workload) -> Result<()> {
    let notes = told(web, "ProgressDeadlineExceeded");
    assert_eq!(notes.len(), 1, "{notes:#?}");
    assert!(web.finish().await?.most_out <= 2);
    Ok(())
}

/// Opens all gates of this revision and waits for the end.
async fn completes(web: &Workload, revision: i64, tag: &str) -> Result<()> {
    web.wait_for_gate(&format!("{revision}/1")).await?;
    web.confirm(&format!("{revision}/all")).await?;
    assert_eq!(web.wait_until_settled().await?.serving(tag), cells(2, 2));
    ends(web).await
}

async fn an_image_that_cannot_be_pulled_is_left_by_a_corrected_template() -> Result<()> {
    let web = Workload::install(bed().await?, "fail-pull", &four()).await?;
    web.release_with("bad", &[("image-pull-error", "true")]).await?;
    let words = until_waiting(&web, "ImagePullBackOff").await?;
    let view = until_failed(&web, &words).await?;
    assert!(view.message().contains("apply a corrected template or"), "{}", view.message());
    web.release("v3").await?;
    completes(&web, 3, "v3").await
}

async fn a_crash_loop_is_left_by_the_command_in_the_message() -> Result<()> {
    let web = Workload::install(bed().await?, "fail-crash", &four()).await?;
    web.release_with("bad", &[("crash", "true")]).await?;
    let words = until_waiting(&web, "CrashLoopBackOff").await?;
    let view = until_failed(&web, &words).await?;
    let (_, command) = view.message().split_once("to go back to revision 1: ").context("no way back")?;
    let done = web.shell(command).await?;
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    until_back(&web).await?;
    assert_eq!(web.finish().await?.drains.len(), 2);
    ends(&web).await
}

/// Waits until the first revision serves everywhere in place of the second.
async fn until_back(web: &Workload) -> Result<()> {
    let words = "revision 1 serves on 4 of 4 pods in place of revision 2";
    let back = |view: &View| {
        let serves = view.serving_in_all("v1") == 4 && view.reserved() == 0;
        view.is_observed() && view.state() == "Completed" && serves && view.message().contains(words)
    };
    let view = web.wait_until("back", back).await?;
    assert!(view.has("Available", "True") && view.has("Stalled", "True") && view.has("Ready", "False"));
    web.wait_until("told", |_| told(web, "RollbackCompleted").len() == 1).await?;
    assert_eq!(told(web, "RollbackStarted").len(), 1);
    Ok(())
}

async fn pods_that_no_node_takes_make_room_for_the_template_before() -> Result<()> {
    let mut manifest = four();
    merge(&mut manifest, &json!({ "spec": { "strategy": { "podUpdatePolicy": "Recreate" } } }));
    let web = Workload::install(bed().await?, "fail-node", &manifest).await?;
    let mut template = web.template("v2", &[]);
    merge(&mut template, &json!({ "spec": { "nodeSelector": { "sim.cafe.dev/nowhere": "yes" } } }));
    web.set_template(&template).await?;
    let refused = |pod: &Pod<'_>| {
        let conditions = pod.0["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|c| c["reason"] == "Unschedulable")
    };
    let view = web.wait_until("refused", |view| view.pods().filter(refused).count() == 2).await?;
    let pod = first(&view, refused).context("no pod")?;
    until_failed(&web, &format!("pod {pod}: Unschedulable; to see why: kubectl")).await?;
    web.roll_back().await?;
    assert_eq!(web.wait_until_settled().await?.serving("v1"), cells(2, 2));
    ends(&web).await
}

async fn a_drain_that_a_protector_holds_goes_on_when_it_answers() -> Result<()> {
    let web = Workload::install(bed().await?, "fail-held", &four()).await?;
    let balancer = Balancer(&web);
    balancer.lock_all().await?;
    web.release("v2").await?;
    let view =
        web.wait_until("draining", |view| view.pods().filter(|p| p.drain().is_some()).count() == 2).await?;
    let pod = first(&view, |pod| pod.drain().is_some()).context("no pod")?;
    until_failed(&web, &format!("pod {pod} is being drained: protector balancer has not answered drain"))
        .await?;
    assert!(draining(&web.look().await?).is_some());
    balancer.unlock_all().await?;
    completes(&web, 2, "v2").await
}

#[tokio::test]
async fn a_group_without_progress_fails_once_and_names_pod_container_and_reason() -> Result<()> {
    tokio::try_join!(
        an_image_that_cannot_be_pulled_is_left_by_a_corrected_template(),
        a_crash_loop_is_left_by_the_command_in_the_message(),
        pods_that_no_node_takes_make_room_for_the_template_before(),
        a_drain_that_a_protector_holds_goes_on_when_it_answers(),
    )?;
    Ok(())
}

/// A release whose first two pods crash for a reason of their own: the template is right.
async fn unlucky(prefix: &str) -> Result<Workload> {
    let web = Workload::install(bed().await?, prefix, &four()).await?;
    web.annotate_pods(CRASH, Some("true")).await?;
    web.release("v2").await?;
    let words = until_waiting(&web, "CrashLoopBackOff").await?;
    until_failed(&web, &words).await?;
    Ok(web)
}

async fn it_goes_on_by_itself_when_its_pods_heal() -> Result<()> {
    let web = unlucky("fail-heal").await?;
    web.annotate_pods(CRASH, None).await?;
    completes(&web, 2, "v2").await
}

async fn it_is_taken_up_again_under_the_next_number() -> Result<()> {
    let web = unlucky("fail-retry").await?;
    web.order(json!({ "retry": "2", "confirm": "2/all" })).await?;
    web.wait_until("taken up", |view| view.is_observed() && view.revision() == 3).await?;
    web.annotate_pods(CRASH, None).await?;
    completes(&web, 3, "v2").await?;
    let view = web.look().await?;
    assert_eq!((view.numbers(), view.kept()[1].older()), (vec![1, 3], vec![2]));
    Ok(())
}

async fn it_goes_back_by_itself_where_that_is_wanted() -> Result<()> {
    let mut manifest = four();
    merge(&mut manifest, &json!({ "spec": { "strategy": { "onFailure": "Rollback" } } }));
    let web = Workload::install(bed().await?, "fail-back", &manifest).await?;
    web.release_with("bad", &[("crash", "true")]).await?;
    let words = until_waiting(&web, "CrashLoopBackOff").await?;
    deadline(&web, DEADLINE).await?;
    until_back(&web).await?;
    assert!(told(&web, "ProgressDeadlineExceeded")[0].contains(&words));
    let kept: Vec<_> = web.look().await?.kept().iter().map(|r| r.outcome().to_owned()).collect();
    assert_eq!(kept, ["Completed", "Abandoned"]);
    ends(&web).await
}

#[tokio::test]
async fn a_group_that_has_failed_recovers_by_itself_or_by_a_retry_or_goes_back() -> Result<()> {
    tokio::try_join!(
        it_goes_on_by_itself_when_its_pods_heal(),
        it_is_taken_up_again_under_the_next_number(),
        it_goes_back_by_itself_where_that_is_wanted(),
    )?;
    Ok(())
}

/// Writes an annotation of the CafeDeployment and gives the second in which the API server took it.
async fn tick(web: &Workload, n: usize) -> Result<i64> {
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { "example.org/tick": n.to_string() } } }));
    let answer = web.api(Kind::Deployment).patch("web", &PatchParams::default(), &patch).await?;
    let times = answer.metadata.managed_fields.into_iter().flatten().filter_map(|entry| entry.time);
    Ok(times.max().context("no managed fields")?.0.as_second())
}

/// Sets a short deadline, lets more time go by than that by the clock of the API server, and has the controller look again.
async fn outlive_the_deadline(web: &Workload) -> Result<View> {
    deadline(web, DEADLINE).await?;
    web.wait_until("told of the deadline", View::is_observed).await?;
    let begin = tick(web, 0).await?;
    let mut n = 1;
    while tick(web, n).await? <= begin + DEADLINE + 1 {
        n += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    web.patch(json!({ "spec": { "historyLimit": 19 } })).await?;
    let view = web.wait_until("looked at again", View::is_observed).await?;
    assert_eq!(told(web, "ProgressDeadlineExceeded"), [""; 0]);
    Ok(view)
}

async fn paused_in_the_middle_of_a_group() -> Result<()> {
    let web = Workload::install(bed().await?, "clock-pause", &four()).await?;
    web.annotate_pods(CRASH, Some("true")).await?;
    web.release("v2").await?;
    let words = until_waiting(&web, "CrashLoopBackOff").await?;
    web.patch(json!({ "spec": { "strategy": { "pause": true } } })).await?;
    web.wait_until("held", |view| view.is_observed() && view.state() == "Paused").await?;
    assert_eq!(outlive_the_deadline(&web).await?.state(), "Paused");
    // It was the pause that held the clock.
    web.patch(json!({ "spec": { "strategy": { "pause": null } } })).await?;
    until_failed(&web, &words).await?;
    web.annotate_pods(CRASH, None).await?;
    completes(&web, 2, "v2").await
}

async fn waiting_at_a_gate() -> Result<()> {
    let web = Workload::install(bed().await?, "clock-gate", &four()).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    assert!(outlive_the_deadline(&web).await?.waits_at("2/1"));
    deadline(&web, 600).await?;
    web.confirm("2/all").await?;
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(2, 2));
    assert_eq!(told(&web, "ProgressDeadlineExceeded"), [""; 0]);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn no_deadline_comes_while_a_release_is_paused_or_waits() -> Result<()> {
    tokio::try_join!(paused_in_the_middle_of_a_group(), waiting_at_a_gate())?;
    Ok(())
}

/// The containers of the pod are no longer ready, until [`heal`].
async fn sicken(web: &Workload, view: &View, pod: &str) -> Result<()> {
    let delay = Patch::Merge(json!({ "metadata": { "annotations": { READY_DELAY: "1h" } } }));
    web.api(Kind::Pod).patch(pod, &PatchParams::default(), &delay).await?;
    let mut containers = view.pod(pod).context("no pod")?.0["status"]["containerStatuses"].clone();
    containers[0]["ready"] = json!(false);
    let no = |kind: &str| json!({ "type": kind, "status": "False" });
    let status =
        json!({ "containerStatuses": containers, "conditions": [no("ContainersReady"), no("Ready")] });
    let patch = Patch::Strategic(json!({ "status": status }));
    web.api(Kind::Pod).patch_status(pod, &PatchParams::default(), &patch).await?;
    Ok(())
}

#[tokio::test]
async fn an_updated_pod_that_turns_unavailable_holds_all_units_until_it_is_well() -> Result<()> {
    let mut manifest = web(6);
    merge(&mut manifest, &json!({ "spec": { "strategy": { "maxUnavailable": 4 } } }));
    let web = Workload::install(bed().await?, "breaker", &manifest).await?;
    web.release("v2").await?;
    let view = web.wait_for_gate("2/1").await?;
    let updated = |pod: &Pod<'_>| pod.containers()[0].runs.ends_with(":v2");
    let pod = first(&view, updated).context("no updated pod")?;
    sicken(&web, &view, &pod).await?;
    let held = |view: &View| view.sets.iter().all(|set| set["spec"]["updateStrategy"]["paused"] == true);
    web.wait_until("held", held).await?;
    web.confirm("2/all").await?;
    let words = format!("updated pod {pod} is no longer ready and holds all others up");
    let told = |view: &View| view.is_observed() && view.group() == 2 && view.message().contains(&words);
    web.wait_until("told", told).await?;
    let untouched = |view: &View| view.serving("v1") == cells(2, 2) && view.reserved() == 0;
    web.stays("untouched", Duration::from_millis(700), untouched).await?;
    web.annotate_pods(READY_DELAY, None).await?;
    let view = web.wait_until_settled().await?;
    assert_eq!((view.serving("v2"), view.pod(&pod).map(Pod::restarts)), (cells(3, 3), Some(1)));
    web.finish().await?;
    Ok(())
}
