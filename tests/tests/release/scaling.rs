use anyhow::Result;
use cafe_tests::scenario::{Pod, View, Workload, bed, web};
use serde_json::json;

use crate::{cells, web_with_grace};

/// Waits until all `replicas` pods serve while the release stands at the gate.
async fn scaled(web: &Workload, token: &str, replicas: usize) -> Result<View> {
    let serving =
        |view: &View| view.waits_at(token) && view.pods.len() == replicas && view.pods().all(Pod::in_service);
    web.wait_until(&format!("{replicas} pods at gate {token}"), serving).await?;
    web.look().await
}

#[tokio::test]
async fn pods_that_are_added_at_a_gate_are_born_before_it() -> Result<()> {
    let web = Workload::install(bed().await?, "scale-up", &web(10)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    web.scale(14).await?;
    let view = scaled(&web, "2/1", 14).await?;
    assert_eq!((view.serving("v2"), view.serving("v1")), (cells(1, 1), cells(6, 6)));
    web.confirm("2/1").await?;
    assert_eq!(web.wait_for_gate("2/2").await?.serving("v2"), cells(3, 3));
    web.confirm("2/all").await?;
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(7, 7));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn pods_that_are_taken_away_at_a_gate_do_not_pass_it() -> Result<()> {
    let web = Workload::install(bed().await?, "scale-down", &web(10)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    web.scale(4).await?;
    let view = scaled(&web, "2/1", 4).await?;
    assert_eq!((view.serving("v2"), view.serving("v1")), (cells(1, 1), cells(1, 1)));
    // Even when no old pod is left, the gate that was announced stands.
    web.scale(2).await?;
    let view = scaled(&web, "2/1", 2).await?;
    assert_eq!((view.serving("v2"), view.serving("v1")), (cells(1, 1), cells(0, 0)));
    web.scale(8).await?;
    let view = scaled(&web, "2/1", 8).await?;
    assert_eq!((view.serving("v2"), view.serving("v1")), (cells(1, 1), cells(3, 3)));
    web.confirm("2/all").await?;
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(4, 4));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn an_odd_scale_in_at_a_gate_keeps_the_share_of_updated_pods() -> Result<()> {
    let web = Workload::install(bed().await?, "scale-odd", &web(10)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    web.confirm("2/1").await?;
    assert_eq!(web.wait_for_gate("2/2").await?.serving("v2"), cells(3, 3));
    // 5 + 5 become 4 + 3: of three updated pods each, two and one stay.
    web.scale(7).await?;
    let view = scaled(&web, "2/2", 7).await?;
    assert_eq!((view.serving("v2"), view.serving("v1")), (cells(2, 1), cells(2, 2)));
    web.confirm("2/all").await?;
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(4, 3));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_workload_goes_to_zero_and_comes_back() -> Result<()> {
    let web = Workload::install(bed().await?, "zero", &web(4)).await?;
    web.scale(0).await?;
    web.wait_until("empty", |view| view.is_settled() && view.pods.is_empty()).await?;
    web.scale(3).await?;
    let view = web.wait_until("back", |view| view.is_settled() && view.serving_in_all("v1") == 3).await?;
    assert_eq!(view.revision(), 1);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn pods_killed_by_hand_at_a_gate_come_back_as_what_their_quota_says() -> Result<()> {
    let web = Workload::install(bed().await?, "killed", &web(10)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    web.confirm("2/1").await?;
    let view = web.wait_for_gate("2/2").await?;
    let of = |unit: &str, tag: &str| {
        let all = view.pods().filter(|pod| pod.unit() == unit && pod.containers()[0].runs.ends_with(tag));
        all.map(|pod| pod.name().to_owned()).collect::<Vec<_>>()
    };
    // One of each revision in one unit, and every pod of the other.
    let mut victims = vec![of("CellA", ":v2")[0].clone(), of("CellA", ":v1")[0].clone()];
    victims.extend(of("CellB", ":v1"));
    victims.extend(of("CellB", ":v2"));
    let victims: Vec<String> = victims
        .iter()
        .map(|name| view.pod(name).unwrap().uid().to_owned())
        .zip(victims.clone())
        .map(|(uid, name)| format!("{uid} {name}"))
        .collect();
    for victim in &victims {
        web.delete_pod(victim.split(' ').nth(1).unwrap()).await?;
    }
    let gone = |view: &View| view.pods().all(|pod| !victims.iter().any(|v| v.starts_with(pod.uid())));
    web.wait_until("gone", gone).await?;
    let view = scaled(&web, "2/2", 10).await?;
    assert_eq!((view.serving("v2"), view.serving("v1")), (cells(3, 3), cells(2, 2)));
    web.confirm("2/2").await?;
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(5, 5));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn scaling_in_the_middle_of_a_group_loses_neither_the_group_nor_the_gate() -> Result<()> {
    let web = Workload::install(bed().await?, "scale-group", &web_with_grace(10)).await?;
    web.release_with("v2", &[("restart", "200ms")]).await?;
    web.wait_for_gate("2/1").await?;
    web.confirm("2/1").await?;
    let at_work = |view: &View| view.group() == 2 && view.pods().any(|pod| pod.drain().is_some());
    web.wait_until("in group 2", at_work).await?;
    web.scale(16).await?;
    let view = scaled(&web, "2/2", 16).await?;
    assert_eq!((view.serving("v2"), view.serving("v1")), (cells(3, 3), cells(5, 5)));
    web.confirm("2/2").await?;
    web.wait_until("in group 3", |view| view.group() == 3 && view.pods().any(|pod| pod.drain().is_some()))
        .await?;
    web.scale(6).await?;
    web.confirm("2/all").await?;
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(3, 3));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn another_batch_size_replans_the_groups_that_have_not_started() -> Result<()> {
    let web = Workload::install(bed().await?, "replan", &web(10)).await?;
    web.release("v2").await?;
    assert_eq!(web.wait_for_gate("2/1").await?.groups().len(), 3);
    web.patch(json!({ "spec": { "strategy": { "batchSize": 2 } } })).await?;
    let replanned = |view: &View| view.waits_at("2/1") && view.groups().len() == 5;
    web.wait_until("planned anew", replanned).await?;
    web.confirm("2/1").await?;
    assert_eq!(web.wait_for_gate("2/2").await?.serving("v2"), cells(2, 2));
    web.patch(json!({ "spec": { "strategy": { "batchSize": "60%" } } })).await?;
    web.wait_until("planned anew", |view| view.waits_at("2/2") && view.groups().len() == 3).await?;
    web.confirm("2/2").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!((view.serving("v2"), view.group()), (cells(5, 5), 3));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn another_budget_in_the_middle_of_a_group_counts_at_once() -> Result<()> {
    let web = Workload::install(bed().await?, "budget", &web(12)).await?;
    web.patch(json!({ "spec": { "strategy": { "batchSize": null, "maxUnavailable": 4 } } })).await?;
    web.release_with("v2", &[("restart", "200ms")]).await?;
    web.wait_for_gate("2/1").await?;
    web.confirm("2/1").await?;
    let out = |view: &View| view.pods().filter(|pod| pod.drain().is_some()).count();
    web.wait_until("four are out", |view| out(view) == 4).await?;
    web.patch(json!({ "spec": { "strategy": { "maxUnavailable": 1 } } })).await?;
    web.wait_until("one at most is out", |view| view.is_observed() && out(view) <= 1).await?;
    // The replay checks every drain and every grant from here on against the smaller budget.
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(6, 6));
    assert!(web.finish().await?.most_out <= 4);
    Ok(())
}

#[tokio::test]
async fn a_pod_counts_after_it_has_been_ready_for_long_enough() -> Result<()> {
    let mut manifest = web(4);
    manifest["spec"]["minReadySeconds"] = json!(2);
    let web = Workload::install(bed().await?, "min-ready", &manifest).await?;
    web.release("v2").await?;
    let ready = |view: &View| view.serving_in_all("v2") == 1;
    web.wait_until("the first pod is ready", ready).await?;
    // With a budget of one the second pod waits for the first to be available.
    web.stays("the others wait", std::time::Duration::from_millis(700), |view| {
        view.serving_in_all("v1") == 3 && view.reserved() == 1
    })
    .await?;
    web.wait_for_gate("2/1").await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_storm_of_changes_ends_where_the_last_one_says() -> Result<()> {
    let web = Workload::install(bed().await?, "storm", &web_with_grace(10)).await?;
    let tags = ["v2", "v3", "v1", "v4", "v2", "v5"];
    for (round, tag) in tags.into_iter().enumerate() {
        let crash = if round % 3 == 1 { "true" } else { "false" };
        web.release_with(tag, &[("restart", "100ms"), ("crash", crash)]).await?;
        web.wait_until("taken up", |view| view.is_observed() && view.revision() > 1).await?;
        let revision = web.look().await?.revision();
        web.confirm(&format!("{revision}/all")).await?;
        web.scale(if round % 2 == 0 { 14 } else { 8 }).await?;
        let pods = web.look().await?;
        let victim =
            pods.pods().filter(|pod| !pod.is_terminating()).nth(round).map(|pod| pod.name().to_owned());
        if let Some(victim) = victim {
            web.delete_pod(&victim).await?;
        }
        let moving = |view: &View| view.is_observed() && view.pods().any(|pod| !pod.in_service());
        web.wait_until("moving", moving).await?;
    }
    web.release("v6").await?;
    web.scale(9).await?;
    web.wait_until("taken up", View::is_observed).await?;
    let revision = web.look().await?.revision();
    web.confirm(&format!("{revision}/all")).await?;
    let view = web.wait_until_settled().await?;
    assert_eq!(view.serving_in_all("v6"), 9);
    web.finish().await?;
    Ok(())
}
