use anyhow::Result;
use cafe_tests::scenario::{Pod, Workload, bed, merge, web};
use serde_json::json;

use crate::{cells, group};

#[tokio::test]
async fn the_first_install_has_no_gates_and_splits_the_pods_evenly() -> Result<()> {
    let web = Workload::install(bed().await?, "install", &web(10)).await?;
    let view = web.look().await?;
    assert_eq!(view.serving("v1"), cells(5, 5));
    assert_eq!((view.revision(), view.token()), (1, ""));
    assert_eq!(view.endpoints().len(), 10);
    let verdict = web.finish().await?;
    assert!(verdict.drains.is_empty(), "{:?}", verdict.drains);
    Ok(())
}

#[tokio::test]
async fn ten_pods_over_two_cells_go_one_and_one_then_two_and_two_twice() -> Result<()> {
    let web = Workload::install(bed().await?, "groups", &web(10)).await?;
    let before = web.look().await?.identities();
    web.release("v2").await?;
    let view = web.wait_for_gate("2/1").await?;
    assert_eq!(view.serving("v2"), cells(1, 1));
    assert_eq!(view.serving("v1"), cells(4, 4));
    assert_eq!(view.groups(), [group("Done", &[1, 1]), group("Pending", &[2, 2]), group("Pending", &[2, 2])]);
    web.confirm("2/1").await?;
    let view = web.wait_for_gate("2/2").await?;
    assert_eq!(view.serving("v2"), cells(3, 3));
    assert_eq!(view.groups(), [group("Done", &[1, 1]), group("Done", &[2, 2]), group("Pending", &[2, 2])]);
    web.confirm("2/2").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!(view.serving("v2"), cells(5, 5));
    assert_eq!(view.identities(), before, "every pod is the pod it was, at the address it had");
    assert!(view.pods().all(|pod| pod.restarts() == 1));
    let verdict = web.finish().await?;
    assert_eq!((verdict.drains.len(), verdict.updates.values().sum::<usize>()), (10, 10));
    assert!(verdict.most_out <= 2, "{} pods were out, the budget is 2", verdict.most_out);
    Ok(())
}

#[tokio::test]
async fn seven_pods_over_two_units_leave_no_unit_behind() -> Result<()> {
    let mut manifest = web(7);
    merge(&mut manifest, &json!({ "spec": { "strategy": { "batchSize": 3 } } }));
    let web = Workload::install(bed().await?, "seven", &manifest).await?;
    web.release("v2").await?;
    for (gate, expected) in [("2/1", cells(1, 1)), ("2/2", cells(3, 2))] {
        assert_eq!(web.wait_for_gate(gate).await?.serving("v2"), expected, "at gate {gate}");
        web.confirm(gate).await?;
    }
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(4, 3));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn thirteen_pods_over_three_units_differ_by_one_at_most() -> Result<()> {
    let mut manifest = web(13);
    merge(&mut manifest, &json!({ "spec": { "topology": { "values": ["CellA", "CellB", "CellC"] } } }));
    let web = Workload::install(bed().await?, "thirteen", &manifest).await?;
    web.release("v2").await?;
    for (gate, total) in [("2/1", 3), ("2/2", 7), ("2/3", 11)] {
        let view = web.wait_for_gate(gate).await?;
        let units: Vec<usize> = view.serving("v2").into_values().collect();
        assert_eq!(units.iter().sum::<usize>(), total, "at gate {gate}");
        // CellA has one pod more than the others, which are equal.
        assert_eq!(units.len(), 3);
        assert!(
            units[1].abs_diff(units[2]) <= 1 && units[0].abs_diff(units[2]) <= 2,
            "{units:?} at gate {gate}"
        );
        web.confirm(gate).await?;
    }
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v2"), 13);
    assert!(web.finish().await?.most_out <= 3);
    Ok(())
}

#[tokio::test]
async fn without_confirmation_the_groups_follow_one_another_by_themselves() -> Result<()> {
    let mut manifest = web(6);
    merge(&mut manifest, &json!({ "spec": { "strategy": { "needWaitingForConfirm": false } } }));
    let web = Workload::install(bed().await?, "unattended", &manifest).await?;
    web.release("v2").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!(view.serving("v2"), cells(3, 3));
    assert_eq!(view.group(), 2);
    let events = web.watcher().events();
    assert!(events.iter().all(|(reason, _)| reason != "WaitingForConfirmation"), "{events:#?}");
    assert!(web.finish().await?.most_out <= 1);
    Ok(())
}

#[tokio::test]
async fn a_pause_in_the_middle_of_a_group_lets_pods_in_flight_finish_and_no_other_start() -> Result<()> {
    let web = Workload::install(bed().await?, "pause", &web(10)).await?;
    web.release_with("v2", &[("restart", "400ms")]).await?;
    web.wait_for_gate("2/1").await?;
    web.confirm("2/1").await?;
    web.wait_until("in group 2", |view| view.group() == 2 && view.pods().any(|pod| pod.drain().is_some()))
        .await?;
    web.patch(json!({ "spec": { "strategy": { "pause": true } } })).await?;
    let view = web
        .wait_until("held", |view| {
            view.is_observed()
                && view.state() == "Paused"
                && view.has("Paused", "True")
                && view.reserved() == 0
                && view.pods().all(Pod::in_service)
        })
        .await?;
    let done = view.serving_in_all("v2");
    assert!((3..6).contains(&done), "the group was in the middle: {done} pods");
    web.stays("held", std::time::Duration::from_secs(1), |view| {
        view.pods().all(Pod::in_service) && view.serving_in_all("v2") == done
    })
    .await?;
    web.patch(json!({ "spec": { "strategy": { "pause": null } } })).await?;
    assert_eq!(web.wait_for_gate("2/2").await?.serving("v2"), cells(3, 3));
    web.confirm("2/all").await?;
    web.wait_until_settled().await?;
    assert!(web.finish().await?.most_out <= 2);
    Ok(())
}
