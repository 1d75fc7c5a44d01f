//! Pods that go for good.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use cafe_tests::node::RealNodes;
use cafe_tests::scenario::{View, merge};
use serde_json::json;

use super::super::play::{Play, Stage};
use super::super::report::Outcome;

/// Scale-in, a change that cannot go in place, a whole unit taken away: Cafe deletes only what is drained.
pub(super) async fn play(nodes: &'static RealNodes) -> Result<Outcome> {
    let play = Play::open(nodes, 8, &json!({})).await?;
    play.workload.scale(4).await?;
    play.workload.wait_until_settled().await?;
    if !play.is_lossless() {
        return play.close().await;
    }

    let before = play.workload.look().await?;
    let mut template = play.workload.first_template();
    merge(&mut template, &json!({ "spec": { "terminationGracePeriodSeconds": 5 } }));
    play.workload.set_template(&template).await?;
    let after = play.workload.wait_until_settled().await?;
    let uids = |view: &View| view.pods().map(|pod| pod.uid().to_owned()).collect::<BTreeSet<_>>();
    let new = uids(&after).is_disjoint(&uids(&before));
    ensure!(new, "every pod was made anew\n{}", after.dump());
    if !play.is_lossless() {
        return play.close().await;
    }

    play.workload.patch(json!({ "spec": { "topology": { "values": ["CellB"] } } })).await?;
    let moved = |view: &View| {
        view.is_settled() && view.pods().count() == 4 && view.pods().all(|pod| pod.unit() == "CellB")
    };
    play.workload.wait_until("all in CellB", moved).await?;
    play.close().await
}

/// The Service selects on `cafe.dev/serving`, so a drained pod leaves its endpoints altogether.
pub(super) async fn unselect(nodes: &'static RealNodes) -> Result<Outcome> {
    let mode = json!({ "spec": { "traffic": { "mode": "Unselect" } } });
    let selector = json!({ "selector": { "cafe.dev/serving": "true" } });
    let stage = Stage::set(nodes, 4, &mode, &selector).await?;
    let address = stage.service().await?;
    let play = stage.ask(address).await?;
    for tag in ["v2", "v1"] {
        play.workload.release(tag).await?;
        play.workload.wait_until_settled().await?;
        if !play.is_lossless() {
            return play.close().await;
        }
    }
    play.workload.scale(2).await?;
    play.workload.wait_until_settled().await?;
    play.close().await
}
