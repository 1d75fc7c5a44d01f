//! The rig proves itself.

use std::time::Duration;

use anyhow::{Result, ensure};
use cafe_tests::node::RealNodes;
use cafe_tests::scenario::{CONTAINER, Kind, Pod, image};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::super::play::Play;
use super::super::report::Outcome;

/// As many pods at once as Cafe takes in the continuous run.
const AT_ONCE: usize = 4;
const RESTART: Duration = Duration::from_secs(30);

/// The same pods, the same load, the same new image, four pods at once; nobody takes the pods out of the traffic first.
/// If no request were lost here, none lost elsewhere would prove nothing.
pub(super) async fn play(nodes: &'static RealNodes) -> Result<Outcome> {
    let play = Play::open(nodes, 8, &json!({})).await?;
    nodes.bed().kill_controller()?;
    let pods = play.workload.api(Kind::Pod);
    let names: Vec<String> = pods
        .list(&ListParams::default())
        .await?
        .items
        .into_iter()
        .filter_map(|pod| pod.metadata.name)
        .collect();
    for wave in names.chunks(AT_ONCE) {
        for name in wave {
            let patch = json!({ "spec": { "containers": [{ "name": CONTAINER, "image": image("v2") }] } });
            pods.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
        }
        let runs = |pod: &Value| {
            let pod = Pod(pod);
            pod.in_service() && pod.containers().iter().all(|container| container.runs == image("v2"))
        };
        let swapped = async {
            for name in wave {
                while !runs(&serde_json::to_value(pods.get(name).await?)?) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(RESTART, swapped).await??;
    }
    let mut outcome = play.give_up().await?;
    (outcome.updates, outcome.is_proof) = (names.len(), true);
    ensure!(
        outcome.lost > 0,
        "{} requests and none lost without any drain: these clients would not notice a loss",
        outcome.requests
    );
    Ok(outcome)
}
