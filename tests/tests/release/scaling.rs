use anyhow::Result;
use cafe_tests::scenario::{View, Workload, bed, web};

use crate::cells;

/// Waits until all `replicas` pods serve while the release stands at the gate.
async fn scaled(web: &Workload, token: &str, replicas: usize) -> Result<View> {
    let serving = |view: &View| {
        view.waits_at(token) && view.pods.len() == replicas && view.pods().all(|pod| pod.in_service())
    };
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
