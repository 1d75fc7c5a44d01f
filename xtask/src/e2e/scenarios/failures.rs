//! What goes wrong on a node, and in an image.

use anyhow::{Result, ensure};
use cafe_tests::node::RealNodes;
use serde_json::json;

use super::super::play::Play;
use super::super::report::Outcome;
use super::super::telling::Telling;

/// The kubelet of one cell dies when the first pod of a group is out, and comes back a moment later. Its containers run
/// on; what it missed it must find.
pub(super) async fn kubelet(nodes: &'static RealNodes) -> Result<Outcome> {
    let play = Play::open(nodes, 6, &json!({})).await?;
    for tag in ["v2", "v1"] {
        play.workload.release(tag).await?;
        // Killed before it may have heard of the drain, and once when it has: without its answer no image is changed.
        let out_in_a = |pod: cafe_tests::scenario::Pod<'_>| {
            pod.unit() == "CellA" && pod.drain().is_some() && (tag == "v2" || !pod.is_ready())
        };
        play.workload.wait_until("draining in CellA", |view| view.pods().any(out_in_a)).await?;
        nodes.kill_kubelet("CellA")?;
        if tag == "v1" {
            // This time it finds the new image already asked for.
            let asked = |pod: cafe_tests::scenario::Pod<'_>| {
                pod.unit() == "CellA" && pod.containers().iter().any(|c| c.wants != c.runs)
            };
            play.workload.wait_until("past W2 in CellA", |view| view.pods().any(asked)).await?;
        }
        nodes.start_kubelet("CellA")?;
        play.workload.wait_until_settled().await?;
        if !play.is_lossless() {
            return play.close().await;
        }
    }
    play.close().await
}

/// An image that never becomes ready: the release stops with its first pods, the message says which and why, and going
/// back repairs them.
pub(super) async fn bad_image(
    telling: &Telling,
    nodes: &'static RealNodes,
    tag: &str,
    reason: &str,
) -> Result<Outcome> {
    let play = Play::open(nodes, 6, &json!({})).await?;
    play.workload.release(tag).await?;
    let waits = |pod: &cafe_tests::scenario::Pod<'_>| pod.containers().iter().any(|c| c.waiting == reason);
    let view = play.workload.wait_until(reason, |view| view.pods().any(|pod| waits(&pod))).await?;
    ensure!(view.serving_in_all("v1") >= 3, "half of the pods stay in service\n{}", view.dump());
    let told = play
        .workload
        .wait_until("told which pod and why", |view| {
            view.pods().any(|pod| waits(&pod) && view.message().contains(pod.name()))
                && view.message().contains(reason)
        })
        .await?;
    telling.line(tag, told.message());
    play.workload.roll_back().await?;
    let view = play.workload.wait_until_settled().await?;
    ensure!(view.serving_in_all("v1") == 6, "all pods are back\n{}", view.dump());
    play.close().await
}
