use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{condition::Condition, time::Seconds};

/// What the controller saw last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CafeDeploymentStatus {
    /// `metadata.generation` that this status was computed from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Pods over all units.
    pub replicas: i32,
    /// Pods that are Ready.
    pub ready_replicas: i32,
    /// Pods that have been Ready for `minReadySeconds`.
    pub available_replicas: i32,
    /// Pods on the update revision.
    pub updated_replicas: i32,
    /// Pods on the update revision that are Ready.
    pub updated_ready_replicas: i32,
    /// Pods on the update revision that have been Ready for `minReadySeconds`.
    pub updated_available_replicas: i32,
    /// The selector in the form of a query, for the scale subresource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// Name of the ControllerRevision that completed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_revision: Option<String>,
    /// Name of the ControllerRevision that pods are moving to; equal to `currentRevision` when nothing moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_revision: Option<String>,
    /// How often the hash of a revision had to be computed again because its name was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,
    /// The state in one word, for people only; programs read the conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// What happens, then what to do, with the exact next command.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,
    /// The units in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub units: Vec<UnitStatus>,
    /// `Ready`, `Reconciling` and `Stalled` as kstatus reads them; `Available`, `Progressing`, `WaitingForConfirmation`,
    /// `Paused` and `UnitsHealthy`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The release in hand, or the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseStatus>,
}

/// The state of a CafeDeployment in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Everything asked for is done.
    Healthy,
    /// Pods are moving.
    Progressing,
    /// A gate waits for `spec.release.confirm`.
    Waiting,
    /// `spec.strategy.pause` holds.
    Paused,
    /// Pods go back to an earlier revision.
    RollingBack,
    /// The release was stopped where it was.
    Aborted,
    /// Pods are missing or a group failed.
    Degraded,
    /// The spec cannot be followed.
    Invalid,
}

/// The pods of one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnitStatus {
    /// Name of the unit, as in `spec.topology.values`.
    pub name: String,
    /// Pods of the unit.
    #[serde(default)]
    pub replicas: i32,
    /// Pods of the unit that are Ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Pods of the unit that have been Ready for `minReadySeconds`.
    #[serde(default)]
    pub available_replicas: i32,
    /// Pods of the unit on the update revision.
    #[serde(default)]
    pub updated_replicas: i32,
}

/// The release in hand, or the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStatus {
    /// Number of the revision that pods move to.
    pub revision: i64,
    /// Number of the revision that completed last before this release: its base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_revision: Option<i64>,
    /// This release goes back to a revision that completed before: without gates. Absent otherwise.
    #[serde(default, skip_serializing_if = "is_false")]
    pub rollback: bool,
    /// The groups in hand, or the last ones, only add pods: every pod had reached the revision when `spec.replicas` grew under
    /// `spec.strategy.groupScaleOut`. Absent otherwise.
    #[serde(default, skip_serializing_if = "is_false")]
    pub scale_out: bool,
    /// Where the release stands.
    pub state: ReleaseState,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Seconds>,
    /// Who started it: a user that the webhook has seen, or `field manager NAME`, which is no proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// When it completed or was aborted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Seconds>,
    /// Number of the group in hand, or of the one just finished.
    #[serde(default)]
    pub group: i32,
    /// Number of the last group of the plan.
    #[serde(default)]
    pub group_total: i32,
    /// `group` and `groupTotal` in one word, such as `2/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The plan: the last ten groups that are done, the one in hand and the next twenty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["number"]))]
    pub groups: Vec<GroupStatus>,
    /// What to write into `spec.release.confirm` to open the gate; present only while the release waits at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_token: Option<String>,
    /// The last gate that was passed; 0 before the first one.
    #[serde(default)]
    pub confirmed_through: i32,
    /// Since when the release waits at the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Seconds>,
    /// The last order of `spec.release` that was followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_action: Option<LastAction>,
    /// How far the group in hand has come, and since when: what `progressDeadlineSeconds` is counted from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The size that each unit had when the plan counted it last (under `spec.strategy.groupScaleOut` without the pods whose group
    /// is still ahead), and how many of its pods may be on `revision` once the group in hand is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub quota: Vec<UnitQuota>,
}

/// Where a release stands.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum ReleaseState {
    /// A group is in hand.
    #[default]
    Executing,
    /// It stands at a gate.
    WaitingForConfirmation,
    /// `spec.strategy.pause` holds it.
    Paused,
    /// Pods go back to an earlier revision.
    RollingBack,
    /// It was stopped where it was.
    Aborted,
    /// Every pod runs the revision and no gate is left.
    Completed,
    /// A group made no progress in time.
    Failed,
}

/// One group of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupStatus {
    /// Number of the group; numbers count up within a release, also when the rest is planned anew.
    pub number: i32,
    /// `Beta` or `Batch`.
    pub kind: GroupKind,
    /// Pods that the group moves in each unit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 128))]
    pub units: BTreeMap<String, i32>,
    /// `Pending`, `Executing` or `Done`.
    pub state: GroupState,
    /// When its first pod was let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Seconds>,
    /// When all its pods were available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Seconds>,
    /// The gate after it, once it was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
}

/// How a gate was opened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// When.
    pub opened_at: Seconds,
    /// The token that opened it; absent where none was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Who wrote the token, as in `startedBy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Which kind of group it is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum GroupKind {
    /// One pod per unit that has pods.
    Beta,
    /// `batchSize` pods over all units.
    #[default]
    Batch,
}

/// Where a group stands.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum GroupState {
    /// Not started.
    #[default]
    Pending,
    /// In hand.
    Executing,
    /// Its pods run the revision.
    Done,
}

/// An order of `spec.release` that was followed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastAction {
    /// The order: a confirm token as it was written, such as `7/1`; `abort 7`; `rollback 7 to 6`; `retry 7`.
    pub token: String,
    /// Who wrote it, as in `startedBy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When the controller followed it.
    pub at: Seconds,
}

/// How far a group has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The most pods of the group's revision seen so far.
    pub updated: i32,
    /// The most available pods of the group's revision seen so far.
    pub available: i32,
    /// When one of them last grew, or the group started or was resumed.
    pub at: Seconds,
}

/// How far a unit may go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnitQuota {
    /// Name of the unit.
    pub name: String,
    /// Pods of the unit when the plan counted it last; its InPlaceSet is told so many.
    pub replicas: i32,
    /// Pods of the unit that may be on `revision` once the group in hand is done.
    pub updated: i32,
}

fn is_false(flag: &bool) -> bool {
    !flag
}
