//! CafeReleases, as people find them with kubectl.

use anyhow::{Context, Result, ensure};
use cafe_tests::scenario::{Workload, bed, merge, web};
use serde_json::{Value, json};

use crate::is_stuck;

/// What `kubectl` prints, when it succeeds.
async fn printed(web: &Workload, args: &[&str]) -> Result<String> {
    let output = web.kubectl(args).await?;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// An order, as a person or a pipeline of this name would give it.
async fn order(web: &Workload, manager: &str, release: Value) -> Result<()> {
    let body = json!({ "spec": { "release": release } }).to_string();
    let manager = format!("--field-manager={manager}");
    printed(web, &["patch", "cafedeployment/web", "--type=merge", "-p", &body, &manager]).await.map(drop)
}

/// The record of a release, once it says so.
async fn record(web: &Workload, revision: i64, state: &str) -> Result<Value> {
    let name = format!("caferelease/web-{revision}");
    let condition = format!("--for=jsonpath={{.status.state}}={state}");
    printed(web, &["wait", &name, &condition, "--timeout=30s"]).await?;
    Ok(serde_json::from_str(&printed(web, &["get", &name, "-o", "json"]).await?)?)
}

#[tokio::test]
async fn a_record_alone_explains_a_release_to_someone_who_was_not_there() -> Result<()> {
    let web = Workload::install(bed().await?, "record", &web(6)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    let waiting = record(&web, 2, "WaitingForConfirmation").await?;
    assert_eq!(waiting["status"]["progress"], "1/2");
    order(&web, "ci-bot", json!({ "confirm": "2/1" })).await?;
    web.wait_until_settled().await?;
    let done = record(&web, 2, "Completed").await?;
    let (spec, status) = (&done["spec"], &done["status"]);
    assert_eq!((&spec["fromRevision"], &spec["replicas"]), (&json!(1), &json!(6)));
    assert_eq!(spec["images"][0]["container"], "app");
    let first = &status["groups"][0];
    assert_eq!((&first["kind"], &first["units"]), (&json!("Beta"), &json!({ "CellA": 1, "CellB": 1 })));
    assert_eq!(
        (&first["gate"]["token"], &first["gate"]["by"]),
        (&json!("2/1"), &json!("field manager ci-bot"))
    );
    assert_eq!((&status["groups"][1]["state"], &status["updatedReplicas"]), (&json!("Done"), &json!(6)));
    for moment in [&spec["startedAt"], &first["startedAt"], &first["finishedAt"], &status["endedAt"]] {
        assert!(moment.is_string(), "{done:#}");
    }
    let owner = &done["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["name"]), (&json!("CafeDeployment"), &json!("web")));

    let history = printed(&web, &["get", "cafer"]).await?;
    let line = history.lines().find(|line| line.starts_with("web-2 ")).context("no line")?;
    ensure!(line.contains("Completed") && line.contains("2/2") && line.contains("v1 -> v2"), "{history}");
    let told = printed(&web, &["describe", "cafer", "web-2"]).await?;
    for word in ["field manager ci-bot", "every pod ran revision 2", "Beta", "2/1"] {
        ensure!(told.contains(word), "{word} is missing in\n{told}");
    }
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_record_names_the_pod_that_failed_and_who_took_the_release_back() -> Result<()> {
    let web = Workload::install(bed().await?, "record-back", &web(4)).await?;
    web.release_with("bad", &[("image-pull-error", "true")]).await?;
    web.wait_until("stuck", |view| is_stuck(view, "ImagePullBackOff")).await?;
    order(&web, "on-call", json!({ "rollback": { "abandon": 2, "to": 1 } })).await?;
    let serves = |view: &cafe_tests::scenario::View| {
        view.is_observed() && view.state() == "Completed" && view.serving_in_all("v1") == 4
    };
    web.wait_until("back", serves).await?;
    printed(&web, &["wait", "caferelease/web-2", "--for=jsonpath={.status.rollbacks[0].state}=Completed"])
        .await?;
    let record = record(&web, 2, "RolledBack").await?;
    let status = &record["status"];
    let back = &status["rollbacks"][0];
    assert_eq!((&back["to"], &back["by"]), (&json!(1), &json!("field manager on-call")));
    let incidents = status["incidents"].as_array().context("no incidents")?;
    let failed = incidents.iter().find(|i| i["kind"] == "PodFailed").context("no failed pod")?;
    assert!(failed["pod"].as_str().is_some_and(|pod| pod.starts_with("web-cell")), "{failed}");
    assert_eq!(failed["message"], "container app: ImagePullBackOff");
    assert_eq!(status["groups"][0]["state"], "Stopped");
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn records_are_kept_by_limit_and_go_with_their_deployment() -> Result<()> {
    let mut manifest = web(2);
    merge(
        &mut manifest,
        &json!({ "spec": { "historyLimit": 1, "strategy": { "needWaitingForConfirm": false } } }),
    );
    let web = Workload::install(bed().await?, "record-limit", &manifest).await?;
    for (revision, tag) in (2..).zip(["v2", "v3", "v4"]) {
        web.release(tag).await?;
        web.wait_until("released", |view| view.is_settled() && view.revision() == revision).await?;
    }
    record(&web, 4, "Completed").await?;
    printed(&web, &["wait", "caferelease/web-2", "--for=delete", "--timeout=30s"]).await?;
    let names = printed(&web, &["get", "cafer", "-o", "name"]).await?;
    let names: Vec<&str> = names.lines().collect();
    assert_eq!(names, ["caferelease.cafe.dev/web-3", "caferelease.cafe.dev/web-4"]);
    web.finish().await?;
    printed(&web, &["delete", "cafedeployment/web", "--timeout=30s"]).await?;
    printed(&web, &["wait", "caferelease/web-4", "--for=delete", "--timeout=60s"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_record_that_is_deleted_by_hand_is_written_again_and_one_that_is_edited_decides_nothing()
-> Result<()> {
    let web = Workload::install(bed().await?, "record-hands", &web(4)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    record(&web, 2, "WaitingForConfirmation").await?;
    printed(&web, &["delete", "caferelease/web-2"]).await?;
    record(&web, 2, "WaitingForConfirmation").await?;
    let body = json!({ "status": { "state": "Completed", "progress": "9/9" } }).to_string();
    printed(&web, &["patch", "caferelease/web-2", "--type=merge", "-p", &body]).await?;
    let again = record(&web, 2, "WaitingForConfirmation").await?;
    assert_eq!(again["status"]["progress"], "1/2");
    let view = web.look().await?;
    assert_eq!((view.state(), view.serving_in_all("v2")), ("WaitingForConfirmation", 2));
    web.confirm("2/1").await?;
    web.wait_until_settled().await?;
    web.finish().await?;
    Ok(())
}
