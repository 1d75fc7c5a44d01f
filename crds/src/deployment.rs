//! `CafeDeployment`: one application over all its units.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{claims::ClaimRetentionPolicy, opaque, selector::Selector, time::Seconds, traffic::Traffic};

mod release;
mod status;
mod strategy;
mod topology;

pub use release::{ReleaseControls, RollbackTo};
pub use status::{
    CafeDeploymentStatus, Gate, GroupKind, GroupState, GroupStatus, LastAction, Phase, Progress,
    ReleaseState, ReleaseStatus, UnitQuota, UnitStatus,
};
pub use strategy::{OnFailure, PodUpdatePolicy, Strategy, UpgradeType};
pub use topology::{AutoReschedule, Topology, UnitType};

/// What the application shall look like, and how it gets there.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cafe.dev",
    version = "v1alpha1",
    kind = "CafeDeployment",
    plural = "cafedeployments",
    singular = "cafedeployment",
    shortname = "cafed",
    category = "cafe",
    category = "all",
    namespaced,
    status = "CafeDeploymentStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "An application over all its deployment units (cells, zones). It keeps one InPlaceSet per unit and releases new revisions in groups that can be confirmed, paused and rolled back.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct CafeDeploymentSpec {
    /// Kind of the child that holds the pods of one unit. `InPlaceSet` is the only value. Immutable. Default `InPlaceSet`.
    #[serde(default)]
    pub pod_set_type: PodSetType,
    /// Number of pods over all units, 0 to 100000. An autoscaler may own it through the scale subresource. Default 1.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 100_000))]
    pub replicas: i32,
    /// Which pods belong to this CafeDeployment. Immutable, not empty, must match the labels of the template.
    pub selector: Selector,
    /// The pod that is created in every unit. A change of it, or of `volumeClaimTemplates`, makes a new revision and starts a
    /// release; nothing else does. Keys that start with `cafe.dev/` are refused in its labels and annotations.
    #[schemars(schema_with = "opaque::pod_template")]
    pub template: Value,
    /// Seconds that a pod must be Ready without a break before it counts as available. Default 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 86_400))]
    pub min_ready_seconds: i32,
    /// Number of old revisions and of records of old releases that are kept, 0 to 1000. Revisions that pods or
    /// `release.rollback` name are kept anyway. Default 20.
    #[serde(default = "twenty")]
    #[schemars(range(min = 0, max = 1000))]
    pub history_limit: i32,
    /// Claims that are created for every pod, named `<template>-<pod>`. An update in place keeps them, a recreated pod gets those
    /// of its predecessor. A change of a template makes a new revision, whose pods are recreated; it counts for claims that do
    /// not exist yet, those that do are neither changed nor deleted. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "opaque::claim_templates")]
    pub volume_claim_templates: Vec<Value>,
    /// What becomes of claims that are needed no longer. Not a part of the revision.
    #[serde(default)]
    pub persistent_volume_claim_retention_policy: ClaimRetentionPolicy,
    /// How a new revision reaches the pods.
    #[serde(default)]
    pub strategy: Strategy,
    /// The units, and how the replicas are spread over them.
    #[serde(default)]
    pub topology: Topology,
    /// How a pod is taken out of traffic before it is touched, and put back afterwards.
    #[serde(default)]
    pub traffic: Traffic,
    /// Orders to the release in hand. Owned by people and pipelines: never defaulted and never written by the controller.
    /// Read in the order rollback, abort, `strategy.pause`, confirm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseControls>,
    /// From this moment on (RFC 3339, such as `2026-11-20T22:41:00Z`) pods created before it are drained, deleted and created
    /// again, in groups and within the budget, without gates. Waits until a running release has ended, and is ignored while it
    /// lies in the future. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_at: Option<Seconds>,
}

impl Default for CafeDeploymentSpec {
    fn default() -> Self {
        Self {
            pod_set_type: PodSetType::InPlaceSet,
            replicas: one(),
            selector: Selector::default(),
            template: Value::Null,
            min_ready_seconds: 0,
            history_limit: twenty(),
            volume_claim_templates: Vec::new(),
            persistent_volume_claim_retention_policy: ClaimRetentionPolicy::default(),
            strategy: Strategy::default(),
            topology: Topology::default(),
            traffic: Traffic::default(),
            release: None,
            restart_at: None,
        }
    }
}

/// Kind of the child that holds the pods of one unit.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum PodSetType {
    /// Pods that are updated in place where that is possible.
    #[default]
    InPlaceSet,
}

fn one() -> i32 {
    1
}

fn twenty() -> i32 {
    20
}
