//! Images and pods of other kinds.

use anyhow::{Context, Result, ensure};
use cafe_tests::node::RealNodes;
use cafe_tests::scenario::{CONTAINER, View, image, merge};
use serde_json::{Value, json};

use super::super::manifest::container;
use super::super::play::Play;
use super::super::report::Outcome;

/// A container that becomes ready seconds after its start: the pod is kept out of the traffic as long, when it is
/// updated and when it is new.
pub(super) async fn late(nodes: &'static RealNodes) -> Result<Outcome> {
    let play = Play::open(nodes, 4, &json!({})).await?;
    play.workload.release("late").await?;
    play.workload.wait_until_settled().await?;
    play.workload.scale(8).await?;
    let view = play.workload.wait_until_settled().await?;
    ensure!(view.serving_in_all("late") == 8, "all pods run the late image\n{}", view.dump());
    play.close().await
}

/// The kubelet may report either tag for the image of a container; the update must finish all the same.
pub(super) async fn one_digest(nodes: &'static RealNodes) -> Result<Outcome> {
    let play = Play::open(nodes, 4, &json!({})).await?;
    for tag in ["v3", "v3-again"] {
        play.workload.release(tag).await?;
        let view = play.workload.wait_until_settled().await?;
        let asked =
            |pod: cafe_tests::scenario::Pod<'_>| pod.containers().iter().all(|c| c.wants == image(tag));
        ensure!(view.pods().all(asked), "all pods ask for {tag}\n{}", view.dump());
    }
    play.close().await
}

/// A pod of a native sidecar and three containers, of which the sidecar and two change: the third is not restarted.
pub(super) async fn sidecar(nodes: &'static RealNodes) -> Result<Outcome> {
    let mut side = container("side", "v1", 8083);
    merge(&mut side, &json!({ "restartPolicy": "Always" }));
    let play = Play::open(
        nodes,
        4,
        &json!({ "spec": { "template": { "spec": {
            "initContainers": [side],
            "containers": [
                container(CONTAINER, "v1", 8080),
                container("second", "v1", 8081),
                container("untouched", "v1", 8082),
            ],
        } } } }),
    )
    .await?;
    let before = play.workload.look().await?;
    let mut template = play.workload.first_template();
    for pointer in ["/spec/initContainers/0/image", "/spec/containers/0/image", "/spec/containers/1/image"] {
        *template.pointer_mut(pointer).context("no such container")? = Value::from(image("v2"));
    }
    play.workload.set_template(&template).await?;
    let after = play.workload.wait_until_settled().await?;
    for name in ["side", CONTAINER, "second"] {
        ensure!(kept(&before, &after, name) == 0, "{name} is new in every pod\n{}", after.dump());
    }
    ensure!(kept(&before, &after, "untouched") == 4, "the third container runs on\n{}", after.dump());
    play.close().await
}

/// In how many pods the container is still the same.
fn kept(before: &View, after: &View, name: &str) -> usize {
    let ids = |view: &View| -> Vec<String> {
        let of_name =
            |pod: cafe_tests::scenario::Pod<'_>| pod.containers().into_iter().find(|c| c.name == name);
        view.pods().filter_map(of_name).map(|container| container.id).collect()
    };
    let old = ids(before);
    ids(after).iter().filter(|id| old.contains(id)).count()
}
