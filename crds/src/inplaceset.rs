//! `InPlaceSet`: the pods of one unit.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    claims::ClaimRetentionPolicy, condition::Condition, deployment::PodUpdatePolicy, intstr::IntOrPercent,
    opaque, selector::Selector, time::Seconds, traffic::Traffic,
};

/// What the pods of the set shall look like, and how they get there.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cafe.dev",
    version = "v1alpha1",
    kind = "InPlaceSet",
    plural = "inplacesets",
    singular = "inplaceset",
    shortname = "ips",
    category = "cafe",
    category = "all",
    namespaced,
    status = "InPlaceSetStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A set of equal pods that are updated in place, out of traffic. A CafeDeployment keeps one per unit and then is the only writer of its spec; it also works on its own.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct InPlaceSetSpec {
    /// Number of pods, 0 to 100000. Of too many pods those go first that have no node or are out of service, then those with the
    /// lowest `controller.kubernetes.io/pod-deletion-cost`, those that are not at the new revision, and the newest; but never so
    /// many of the base revision that fewer than `partition` are left. While the update stands still (`paused`, or
    /// `maxUnavailable: 0`) pods of both revisions go alike. Default 1.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 100_000))]
    pub replicas: i32,
    /// Which pods belong to the set. Immutable, not empty, must match the labels of the template. Only pods that carry the
    /// readiness gate `cafe.dev/serving` are adopted.
    pub selector: Selector,
    /// The pod that is created. A change of it, or of `volumeClaimTemplates`, makes a new revision.
    #[schemars(schema_with = "opaque::pod_template")]
    pub template: Value,
    /// Seconds that a pod must be Ready without a break before it counts as available. Default 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 86_400))]
    pub min_ready_seconds: i32,
    /// Number of old revisions that are kept, 0 to 1000; those that pods run are kept anyway. Default 10.
    #[serde(default = "ten")]
    #[schemars(range(min = 0, max = 1000))]
    pub revision_history_limit: i32,
    /// Claims that are created for every pod, named `<template>-<pod>`. An update in place keeps them, a recreated pod gets those
    /// of its predecessor. A change of a template makes a new revision, whose pods are recreated; it counts for claims that do
    /// not exist yet, those that do are neither changed nor deleted. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "opaque::claim_templates")]
    pub volume_claim_templates: Vec<Value>,
    /// What becomes of claims that are needed no longer. Not a part of the revision.
    #[serde(default)]
    pub persistent_volume_claim_retention_policy: ClaimRetentionPolicy,
    /// How a pod is taken out of traffic before it is touched, and put back afterwards.
    #[serde(default)]
    pub traffic: Traffic,
    /// How a new revision reaches the pods.
    #[serde(default)]
    pub update_strategy: UpdateStrategy,
    /// Where pods are placed when they are created; not a part of the revision. Set by an owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// From this moment on (RFC 3339, such as `2026-11-20T22:41:00Z`) pods created before it are drained, deleted and created
    /// again within `maxUnavailable`. Ignored while it lies in the future. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_at: Option<Seconds>,
}

impl Default for InPlaceSetSpec {
    fn default() -> Self {
        Self {
            replicas: one(),
            selector: Selector::default(),
            template: Value::Null,
            min_ready_seconds: 0,
            revision_history_limit: ten(),
            volume_claim_templates: Vec::new(),
            persistent_volume_claim_retention_policy: ClaimRetentionPolicy::default(),
            traffic: Traffic::default(),
            update_strategy: UpdateStrategy::default(),
            placement: None,
            restart_at: None,
        }
    }
}

/// How a new revision reaches the pods of the set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateStrategy {
    /// How a pod gets a new revision. `InPlaceIfPossible`: images and metadata change in the running pod, anything else
    /// recreates it. `InPlaceOnly`: a change that cannot go in place is refused. `Recreate`: always a new pod.
    /// Default `InPlaceIfPossible`.
    pub pod_update_policy: PodUpdatePolicy,
    /// Number of pods that are kept on the base revision, or a percentage of `spec.replicas` (rounded up). Default 0.
    pub partition: IntOrPercent,
    /// Number of pods that may be out of service at once, or a percentage of `spec.replicas` (rounded down, at least 1 unless
    /// it is written as 0%). 0: nothing that serves is touched. Default 25%.
    pub max_unavailable: IntOrPercent,
    /// Hold before the next pod; pods in flight finish. Default false.
    pub paused: bool,
    /// Name of the ControllerRevision that `partition` pods are kept on and created from. Set by an owner; absent: the
    /// revision that completed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub base_revision: Option<String>,
    /// `<revision>-<group>` of the release group in hand, such as `7-2`, written on pods as the label `cafe.dev/group` with
    /// their update. Set by an owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub group: Option<String>,
}

impl Default for UpdateStrategy {
    fn default() -> Self {
        Self {
            pod_update_policy: PodUpdatePolicy::InPlaceIfPossible,
            partition: IntOrPercent::Int(0),
            max_unavailable: IntOrPercent::Percent(25),
            paused: false,
            base_revision: None,
            group: None,
        }
    }
}

/// The unit of the set, and the nodes it means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Name of the unit, written on pods as the label `cafe.dev/unit`.
    #[schemars(length(min = 1, max = 63))]
    pub unit: String,
    /// Node label that a node must carry with `value`; absent: pods are not placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317))]
    pub node_label_key: Option<String>,
    /// Value that the node label must have; absent: pods are not placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,
}

/// What the controller saw last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct InPlaceSetStatus {
    /// `metadata.generation` that this status was computed from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Pods of the set.
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
    /// Name of the ControllerRevision that `partition` pods are kept on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_revision: Option<String>,
    /// Name of the ControllerRevision of the template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_revision: Option<String>,
    /// How often the hash of a revision had to be computed again because its name was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,
    /// `Ready`, `Reconciling` and `Stalled` as kstatus reads them; `Available`, `Progressing` and `Paused`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The pods that are out of service on our behalf, reserved before they are touched: the journal of the budget.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["podUID"]))]
    pub in_flight: Vec<InFlight>,
}

/// A pod that is reserved for an update, a restart or a deletion.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InFlight {
    /// uid of the pod.
    #[serde(rename = "podUID")]
    pub pod_uid: String,
    /// Hash of the revision that it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Hash of the revision that it shall run.
    pub to: String,
    /// When it was reserved.
    pub since: Seconds,
}

fn one() -> i32 {
    1
}

fn ten() -> i32 {
    10
}
