//! What is remembered of releases that are over, and what is found again when the status is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use cafe_tests::scenario::{Pod, View, Workload, bed, merge, web};
use serde_json::{Value, json};

use crate::balancer::{Balancer, draining};
use crate::{cells, web_with_grace};

/// The first template as its n-th edition: only a label differs, so pods follow without a drain.
async fn edit(web: &Workload, edition: u8) -> Result<()> {
    let mut template = web.first_template();
    merge(&mut template, &json!({ "metadata": { "labels": { "edition": edition.to_string() } } }));
    web.set_template(&template).await
}

/// Whether all pods serve at this edition; the first has no number.
fn is_edition(view: &View, edition: &str) -> bool {
    view.is_observed()
        && view.state() == "Completed"
        && view.pods().all(|pod| pod.in_service() && pod.label("edition") == edition)
}

fn manifest(replicas: i32, spec: &Value) -> Value {
    let mut manifest = web(replicas);
    merge(&mut manifest, &json!({ "spec": spec }));
    manifest
}

/// Waits until exactly these revisions are kept.
async fn until_kept(web: &Workload, numbers: &[i64]) -> Result<()> {
    web.wait_until(&format!("{numbers:?} kept"), |view| view.is_settled() && view.numbers() == numbers)
        .await?;
    Ok(())
}

#[tokio::test]
async fn old_revisions_are_kept_up_to_the_limit_or_as_long_as_they_are_named_and_each_of_them_can_serve()
-> Result<()> {
    let strategy = json!({ "strategy": { "needWaitingForConfirm": false }, "historyLimit": 2 });
    let web = Workload::install(bed().await?, "history", &manifest(2, &strategy)).await?;
    for edition in 2..=5 {
        edit(&web, edition).await?;
        web.wait_until("done", |view| is_edition(view, &edition.to_string())).await?;
    }
    // Besides the one that serves and the one it came from.
    until_kept(&web, &[2, 3, 4, 5]).await?;
    web.order(json!({ "rollback": { "abandon": 2, "to": 1 } })).await?;
    edit(&web, 6).await?;
    until_kept(&web, &[2, 3, 4, 5, 6]).await?;
    web.order(json!({ "rollback": null })).await?;
    until_kept(&web, &[3, 4, 5, 6]).await?;
    web.order(json!({ "rollback": { "abandon": 6, "to": 1 } })).await?;
    let says = |note: &str| note.contains("revision 1, which is not kept any more; kept are 3, 4, 5, 6");
    let told =
        || web.watcher().events().iter().filter(|(r, note)| r == "RevisionNotFound" && says(note)).count();
    let view = web.wait_until("told", |view| view.is_observed() && told() == 1).await?;
    assert!(is_edition(&view, "6") && view.is_settled(), "{}", view.dump());
    // Three releases ago.
    web.order(json!({ "rollback": { "abandon": 6, "to": 3 } })).await?;
    let words = "revision 3 serves on 2 of 2 pods in place of revision 6";
    let back = |view: &View| is_edition(view, "3") && view.message().contains(words);
    let view = web.wait_until("back", back).await?;
    assert_eq!(view.deployment.pointer("/spec/template/metadata/labels/edition"), Some(&json!("6")));
    // It stays, although the order goes, the status is lost and later revisions completed as well.
    web.order(json!({ "rollback": null })).await?;
    rebuilt(&web, "still back", back).await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_template_that_returns_takes_the_next_number_and_keeps_its_older_one_for_rollbacks_only()
-> Result<()> {
    let web = Workload::install(bed().await?, "renumber", &web(4)).await?;
    for edition in 2..=3 {
        edit(&web, edition).await?;
        web.confirm(&format!("{edition}/all")).await?;
        web.wait_until("done", |view| is_edition(view, &edition.to_string())).await?;
    }
    web.roll_back().await?;
    let view = web.wait_for_gate("4/1").await?;
    assert_eq!((view.numbers(), view.kept()[2].older()), (vec![2, 3, 4], vec![1]));
    let ignored = |token: &str| {
        let token = format!("\"{token}\"");
        web.watcher().events().iter().any(|(r, note)| r == "ConfirmIgnored" && note.contains(&token))
    };
    for token in ["1/1", "1/all"] {
        web.confirm(token).await?;
        let view = web.wait_until("ignored", |view| view.is_observed() && ignored(token)).await?;
        assert!(view.waits_at("4/1"), "{token}: {}", view.message());
    }
    web.confirm("4/all").await?;
    web.wait_until("done", |view| is_edition(view, "")).await?;
    edit(&web, 5).await?;
    web.wait_for_gate("5/1").await?;
    web.order(json!({ "rollback": { "abandon": 5, "to": 1 } })).await?;
    let words = "revision 4 serves on 4 of 4 pods in place of revision 5";
    let view = web.wait_until("back", |view| is_edition(view, "") && view.message().contains(words)).await?;
    assert_eq!(view.numbers(), [2, 3, 4, 5]);
    web.finish().await?;
    Ok(())
}

/// What must stay as it is when no pod moves: identity, labels and containers of every pod.
fn still(view: &View) -> BTreeMap<String, (String, String, String, Vec<String>)> {
    let of = |pod: Pod<'_>| {
        let containers =
            pod.containers().iter().map(|c| format!("{} {} {}", c.id, c.wants, c.runs)).collect();
        let labels = (pod.revision().to_owned(), pod.label("cafe.dev/group").to_owned());
        (pod.name().to_owned(), (pod.uid().to_owned(), labels.0, labels.1, containers))
    };
    view.pods().map(of).collect()
}

/// Loses the status and waits until it says again what it must; no pod moves for it, then or later.
async fn rebuilt(web: &Workload, what: &str, right: impl Fn(&View) -> bool) -> Result<View> {
    let before = still(&web.look().await?);
    web.lose_status().await?;
    let right = |view: &View| {
        let rests = view.reserved() == 0 && view.pods().all(Pod::in_service);
        view.is_observed() && rests && still(view) == before && right(view)
    };
    let view = web.wait_until(what, right).await?;
    web.stays(what, Duration::from_millis(500), right).await?;
    Ok(view)
}

async fn at_a_gate() -> Result<()> {
    let web = Workload::install(
        bed().await?,
        "lost-gate",
        &manifest(6, &json!({ "strategy": { "batchSize": 2 } })),
    )
    .await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    web.confirm("2/1").await?;
    assert_eq!(web.wait_for_gate("2/2").await?.serving("v2"), cells(2, 2));
    let view = rebuilt(&web, "at its gate", |view| view.waits_at("2/2")).await?;
    assert_eq!(view.deployment.pointer("/status/release/fromRevision"), Some(&json!(1)));
    web.confirm("2/2").await?;
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(3, 3));
    web.finish().await?;
    Ok(())
}

/// One unit has done its share of the group, the other drains.
async fn in_the_middle_of_a_group() -> Result<()> {
    let mut six = web_with_grace(6);
    merge(&mut six, &json!({ "spec": { "strategy": { "maxUnavailable": 2 } } }));
    let web = Workload::install(bed().await?, "lost-group", &six).await?;
    web.release("v2").await?;
    let view = web.wait_for_gate("2/1").await?;
    let balancer = Balancer(&web);
    for pod in view.pods().filter(|pod| pod.unit() == "CellB") {
        balancer.lock(pod.name()).await?;
    }
    web.confirm("2/1").await?;
    let middle = |view: &View| view.serving("v2") == cells(3, 1) && draining(view).is_some();
    web.wait_until("in the middle", middle).await?;
    // The highest group that a pod knows is the second: what is left of it waits for people.
    let view = rebuilt(&web, "at the gate of the group", |view| view.waits_at("2/2")).await?;
    assert_eq!((view.serving("v2"), view.serving("v1")), (cells(3, 1), cells(0, 2)));
    balancer.unlock_all().await?;
    web.confirm("2/2").await?;
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(3, 3));
    web.finish().await?;
    Ok(())
}

async fn after_completion() -> Result<()> {
    let web = Workload::install(bed().await?, "lost-done", &web(4)).await?;
    edit(&web, 2).await?;
    web.confirm("2/all").await?;
    web.wait_until("done", |view| is_edition(view, "2")).await?;
    let started = || web.watcher().events().iter().filter(|(reason, _)| reason == "ReleaseStarted").count();
    web.wait_until("told", |_| started() == 2).await?;
    let done = |view: &View| view.is_settled() && view.revision() == 2 && is_edition(view, "2");
    rebuilt(&web, "complete", done).await?;
    assert_eq!(started(), 2);
    web.finish().await?;
    Ok(())
}

async fn after_a_rollback() -> Result<()> {
    let web = Workload::install(bed().await?, "lost-back", &web(4)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    web.order(json!({ "rollback": { "abandon": 2, "to": 1 } })).await?;
    let words = "revision 1 serves on 4 of 4 pods in place of revision 2";
    let back = |view: &View| view.serving_in_all("v1") == 4 && view.message().contains(words);
    web.wait_until("back", |view| view.is_observed() && view.reserved() == 0 && back(view)).await?;
    rebuilt(&web, "still back", back).await?;
    web.finish().await?;
    Ok(())
}

async fn after_an_abort() -> Result<()> {
    let web = Workload::install(bed().await?, "lost-abort", &web(4)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    web.order(json!({ "abort": "2" })).await?;
    web.wait_until("aborted", |view| view.is_observed() && view.state() == "Aborted").await?;
    let view = rebuilt(&web, "still aborted", |view| view.state() == "Aborted").await?;
    assert_eq!((view.serving("v2"), view.serving("v1")), (cells(1, 1), cells(1, 1)));
    let (_, command) = view.message().split_once("to take it up again: ").context("no way on")?;
    let done = web.shell(command.split_once("; ").context("no end")?.0).await?;
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    web.wait_for_gate("3/1").await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_lost_status_is_rebuilt_from_pods_and_revisions_and_no_pod_moves() -> Result<()> {
    tokio::try_join!(
        at_a_gate(),
        in_the_middle_of_a_group(),
        after_completion(),
        after_a_rollback(),
        after_an_abort(),
    )?;
    Ok(())
}
