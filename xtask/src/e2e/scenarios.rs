//! What is played, each on a workload of its own.

mod containers;
mod continuous;
mod external;
mod failures;
mod minds;
mod proof;
mod scale;
mod writes;

use anyhow::{Result, bail};
use cafe_tests::node::{CELLS, RealNodes};

use super::Args;
use super::report::Outcome;
use super::telling::Telling;

/// A name to choose it by, and what it tells.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) tells: &'static str,
}

const ALL: [Scenario; 13] = [
    Scenario { name: "without-a-drain", tells: "images patched behind Cafe's back must lose requests" },
    Scenario { name: "continuous", tells: "v1, v2, v1 ... with scaling and a killed controller in between" },
    Scenario {
        name: "writes",
        tells: "three writes per pod, and in drains that outlast a kubelet's reconciliation one of the kubelet",
    },
    Scenario {
        name: "change-of-mind",
        tells: "v1, v2, v1 within 0, 10 and 50 ms, containers that stop slowly",
    },
    Scenario { name: "kubelet", tells: "a kubelet is killed and started again in the middle of a group" },
    Scenario { name: "exits-at-start", tells: "an image that does not start, and back" },
    Scenario { name: "no-such-image", tells: "an image that cannot be pulled, and back" },
    Scenario { name: "late", tells: "new containers and new pods that become ready late" },
    Scenario { name: "one-digest", tells: "a tag for the same image finishes" },
    Scenario { name: "sidecar", tells: "a native sidecar and two of three containers change" },
    Scenario { name: "scale-in", tells: "pods that go for good, or are made anew" },
    Scenario { name: "unselect", tells: "the label goes as well, and the Service selects on it" },
    Scenario { name: "external", tells: "through a running HAProxy, whose protector is killed in between" },
];

/// Those whose name contains `only`.
pub(super) fn chosen(only: Option<&str>) -> Vec<Scenario> {
    ALL.into_iter().filter(|scenario| only.is_none_or(|only| scenario.name.contains(only))).collect()
}

/// All names.
pub(super) fn names() -> String {
    ALL.map(|scenario| scenario.name).join(", ")
}

/// Plays one.
pub(super) async fn play(
    name: &str,
    telling: &Telling,
    nodes: &'static RealNodes,
    args: &Args,
) -> Result<Outcome> {
    match name {
        "without-a-drain" => proof::play(nodes).await,
        "continuous" => continuous::play(telling, nodes, args.updates as usize).await,
        "writes" => writes::play(telling, nodes).await,
        "change-of-mind" => minds::play(telling, nodes).await,
        "kubelet" => failures::kubelet(nodes).await,
        "exits-at-start" => failures::bad_image(telling, nodes, "exits", "CrashLoopBackOff").await,
        "no-such-image" => failures::bad_image(telling, nodes, "missing", "ImagePullBackOff").await,
        "late" => containers::late(nodes).await,
        "one-digest" => containers::one_digest(nodes).await,
        "sidecar" => containers::sidecar(nodes).await,
        "scale-in" => scale::play(nodes).await,
        "unselect" => scale::unselect(nodes).await,
        "external" => external::play(nodes, args.protector.as_deref()).await,
        other => bail!("no scenario `{other}`"),
    }
}

/// Brings back what a scenario may have stopped.
pub(super) async fn restore(nodes: &RealNodes) -> Result<()> {
    for cell in CELLS {
        nodes.start_kubelet(cell)?;
    }
    nodes.bed().start_controller().await
}
