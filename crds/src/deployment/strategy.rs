use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::intstr::IntOrPercent;

/// How a new revision reaches the pods.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Strategy {
    /// `Beta`: the first group is one pod in every unit that has pods. `Batch`: no beta group. Default `Beta`.
    pub upgrade_type: UpgradeType,
    /// Number of pods in every group after the beta group, over all units: a number of at least 1, or a percentage of
    /// `spec.replicas` (rounded up, at least 1). Each group is spread evenly over the units. Absent: all the rest is one group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<IntOrPercent>,
    /// Stop at a gate after every group but the last until `spec.release.confirm` opens it. Default true.
    pub need_waiting_for_confirm: bool,
    /// Hold before the next pod; pods in flight finish. No default: absent means false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<bool>,
    /// Number of pods that may be out of service at once over all units: a number of at least 1, or a percentage of
    /// `spec.replicas` (rounded down, at least 1). It bounds every disruption by Cafe whatever the group: groups gate, and waves
    /// inside a group follow this budget. Default 25%.
    pub max_unavailable: IntOrPercent,
    /// How a pod gets a new revision. `InPlaceIfPossible`: images and metadata change in the running pod, anything else
    /// recreates it. `InPlaceOnly`: a change that cannot go in place is refused. `Recreate`: always a new pod.
    /// Default `InPlaceIfPossible`.
    pub pod_update_policy: PodUpdatePolicy,
    /// Seconds without progress after which a group has failed; more than `minReadySeconds`. The clock stands still while the release is paused or waits at
    /// a gate. Default 600.
    #[schemars(range(min = 1, max = 604_800))]
    pub progress_deadline_seconds: i32,
    /// What a failed group does. `Hold`: stay, and say why. `Rollback`: serve the revision the release came from.
    /// Default `Hold`.
    pub on_failure: OnFailure,
    /// Create the pods of the first installation and of every scale-out in groups and with gates as well; the groups of a scale-out
    /// continue the numbers of the revision (`7/4`; a standing `7/all` covers them). A move between units waits at no gate, and a
    /// rollback brings every pod back at once. Default false.
    pub group_scale_out: bool,
}

impl Default for Strategy {
    fn default() -> Self {
        Self {
            upgrade_type: UpgradeType::Beta,
            batch_size: None,
            need_waiting_for_confirm: true,
            pause: None,
            max_unavailable: IntOrPercent::Percent(25),
            pod_update_policy: PodUpdatePolicy::InPlaceIfPossible,
            progress_deadline_seconds: 600,
            on_failure: OnFailure::Hold,
            group_scale_out: false,
        }
    }
}

/// Whether a beta group goes first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum UpgradeType {
    /// The first group is one pod per unit that has pods.
    #[default]
    Beta,
    /// No beta group.
    Batch,
}

/// How a pod gets a new revision.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum PodUpdatePolicy {
    /// In place where possible, otherwise by a new pod.
    #[default]
    InPlaceIfPossible,
    /// In place, or not at all.
    InPlaceOnly,
    /// Always by a new pod.
    Recreate,
}

/// What a failed group does.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum OnFailure {
    /// Stay where it is.
    #[default]
    Hold,
    /// Go back to the revision the release came from.
    Rollback,
}
