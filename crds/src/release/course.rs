use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    deployment::{Gate, GroupKind},
    time::Seconds,
};

/// How the release went. Figures are those of the last change told here; the CafeDeployment has those of this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CafeReleaseStatus {
    /// Where it stands, or how it ended.
    pub state: State,
    /// How it stands or ended, for people.
    pub message: String,
    /// The group in hand, or the last one, and the number of groups, such as `2/3`.
    pub progress: String,
    /// Pods that ran the revision.
    pub updated_replicas: i32,
    /// When it ended: completed, was aborted, rolled back or superseded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Seconds>,
    /// Who aborted it, as in `spec.startedBy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aborted_by: Option<String>,
    /// Number of the revision whose release took its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<i64>,
    /// The groups with their gates; the pods of a group carry the label `cafe.dev/group: <revision>-<group>`. Of more than 100 groups the
    /// first one and the last are kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["number"]))]
    pub groups: Vec<Group>,
    /// Number of groups that are not listed any more.
    #[serde(skip_serializing_if = "is_zero")]
    pub groups_left_out: i32,
    /// The ways back that were taken from this revision.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub rollbacks: Vec<Rollback>,
    /// What went wrong, the first 50: pods that did not start, drains that took too long or were cut short, groups without progress.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    pub incidents: Vec<Incident>,
}

/// Where a release stands, or how it ended.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum State {
    /// A group is in hand.
    #[default]
    Executing,
    /// It stands at a gate.
    WaitingForConfirmation,
    /// `spec.strategy.pause` holds it.
    Paused,
    /// A group made no progress in time.
    Failed,
    /// Every pod ran the revision.
    Completed,
    /// It was stopped where it was.
    Aborted,
    /// Pods went back to another revision.
    RolledBack,
    /// A newer release took its place.
    Superseded,
}

/// One group of a release.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Number of the group.
    pub number: i32,
    /// `Beta` or `Batch`.
    pub kind: GroupKind,
    /// Where it stands.
    pub state: Stage,
    /// Pods that it moves in each unit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 128))]
    pub units: BTreeMap<String, i32>,
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

/// Where a group stands.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Stage {
    /// Not started.
    #[default]
    Pending,
    /// In hand.
    Executing,
    /// Its pods ran the revision.
    Done,
    /// The release ended before the group did.
    Stopped,
}

/// A way back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    /// Number of the revision that pods went to.
    pub to: i64,
    /// How far it came.
    pub state: RollbackState,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Seconds>,
    /// Who ordered it, as in `spec.startedBy`; absent when it followed from `onFailure: Rollback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Seconds>,
}

/// How far a way back came.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum RollbackState {
    /// Pods are on their way.
    #[default]
    RollingBack,
    /// Every pod ran the revision.
    Completed,
    /// It was stopped where it was.
    Aborted,
    /// Another release took its place.
    Superseded,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// When it was first seen.
    pub at: Seconds,
    /// The group in hand.
    pub group: i32,
    /// What kind of thing.
    pub kind: IncidentKind,
    /// The pod, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// What happened, with container, protector and reason where there is one.
    pub message: String,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum IncidentKind {
    /// A container of a pod does not start.
    PodFailed,
    /// A drain took longer than `drainTimeoutSeconds` and the release waited for it.
    DrainTimedOut,
    /// A drain was cut short.
    DrainForced,
    /// A group made no progress for `progressDeadlineSeconds`.
    NoProgress,
    /// The API server refused a pod.
    PodRefused,
}

fn is_zero(n: &i32) -> bool {
    *n == 0
}
