//! How pods are taken out of traffic before they are touched.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a pod is taken out of traffic before it is updated or deleted, and put back afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Traffic {
    /// How endpoints learn that a pod must not get requests. `Gate`: the readiness gate `cafe.dev/serving` becomes False.
    /// `Unselect`: the label `cafe.dev/serving=true` is taken off as well, for load balancers that ignore readiness; the
    /// Service must then select on this label. Default `Gate`.
    pub mode: TrafficMode,
    /// Names that must hold a finalizer `protect.cafe.dev/<name>` on a pod before an update of it counts as done: the
    /// controllers of load balancers, DNS or meshes that route to the pod. Whoever holds such a finalizer is waited for in a
    /// drain, listed here or not. Each name is a valid finalizer suffix of at most 63 characters, such as `slb`. Default none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 253)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub protectors: Vec<String>,
    /// Seconds to wait after everything is drained, for requests in flight. Default 3.
    #[schemars(range(min = 0, max = 86_400))]
    pub grace_seconds: i32,
    /// Seconds that a drain may take before `onDrainTimeout` decides. Default 600.
    #[schemars(range(min = 1, max = 604_800))]
    pub drain_timeout_seconds: i32,
    /// What to do when a drain takes too long. `Hold`: wait on, and name the protector or endpoint that holds it in a
    /// condition and an event. `Force`: go on, and record that the drain was forced. Default `Hold`.
    pub on_drain_timeout: OnDrainTimeout,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            mode: TrafficMode::Gate,
            protectors: Vec::new(),
            grace_seconds: 3,
            drain_timeout_seconds: 600,
            on_drain_timeout: OnDrainTimeout::Hold,
        }
    }
}

/// How endpoints learn that a pod must not get requests.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum TrafficMode {
    /// By the readiness gate alone.
    #[default]
    Gate,
    /// By the readiness gate and by taking the label `cafe.dev/serving=true` off the pod.
    Unselect,
}

/// What to do when a drain takes too long.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum OnDrainTimeout {
    /// Wait on and name who holds the drain.
    #[default]
    Hold,
    /// Go on and record it.
    Force,
}
