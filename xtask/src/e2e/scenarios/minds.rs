//! People who change their mind.

use std::time::Duration;

use anyhow::Result;
use cafe_tests::node::RealNodes;
use cafe_tests::scenario::image;
use serde_json::json;

use super::super::manifest::container;
use super::super::play::Play;
use super::super::report::Outcome;
use super::super::telling::Telling;

const WAITS: [u64; 3] = [0, 10, 50];

/// The old container takes three seconds to stop. Back at v1 so soon after v2, the kubelet may see v2 or never see it,
/// may have begun to stop the old container or not: the pod must neither hang nor serve early. Once the new template is
/// taken back before any pod was touched, once right after W2.
pub(super) async fn play(telling: &Telling, nodes: &'static RealNodes) -> Result<Outcome> {
    let first = json!({ "spec": { "template": { "spec": {
        "containers": [container(cafe_tests::scenario::CONTAINER, "slow-v1", 8080)],
    } } } });
    let play = Play::open(nodes, 4, &first).await?;
    for wait in WAITS {
        play.workload.release("slow-v2").await?;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        play.workload.roll_back().await?;
        play.workload.wait_until_settled().await?;
        telling.line("change-of-mind", &format!("template taken back after {wait} ms"));

        play.workload.release("slow-v2").await?;
        let asked = image("slow-v2");
        let patched = |pod: cafe_tests::scenario::Pod<'_>| pod.containers().iter().any(|c| c.wants == asked);
        play.workload.wait_until("past W2", |view| view.pods().any(patched)).await?;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        play.workload.roll_back().await?;
        play.workload.wait_until_settled().await?;
        telling.line("change-of-mind", &format!("taken back {wait} ms after W2"));
        if !play.is_lossless() {
            return play.close().await;
        }
    }
    play.close().await
}
