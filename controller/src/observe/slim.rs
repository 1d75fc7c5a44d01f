//! Objects as they are decoded: only the fields that are used, so that the rest is skipped without being stored.

use std::{borrow::Cow, collections::BTreeMap};

use cafe_crds::{
    deployment::{CafeDeploymentSpec, CafeDeploymentStatus},
    inplaceset::{InPlaceSetSpec, InPlaceSetStatus},
    names::{GROUP, VERSION},
    release::{CafeReleaseSpec, CafeReleaseStatus},
};
use cafe_planner::deployment::Authors;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::{
    Resource,
    core::{ClusterResourceScope, NamespaceResourceScope},
};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::Value;

use super::{authors, gate_editor::GateEditor};

/// Object metadata without managed fields and the like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meta(pub(crate) ObjectMeta);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct SlimMeta<M> {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    finalizers: Option<Vec<String>>,
    managed_fields: M,
}

impl<M> SlimMeta<M> {
    fn split(self) -> (ObjectMeta, M) {
        let meta = ObjectMeta {
            name: self.name,
            namespace: self.namespace,
            uid: self.uid,
            resource_version: self.resource_version,
            generation: self.generation,
            creation_timestamp: self.creation_timestamp,
            deletion_timestamp: self.deletion_timestamp,
            labels: self.labels,
            annotations: self.annotations,
            owner_references: self.owner_references,
            finalizers: self.finalizers,
            ..ObjectMeta::default()
        };
        (meta, self.managed_fields)
    }
}

impl<'de> Deserialize<'de> for Meta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SlimMeta::<IgnoredAny>::deserialize(deserializer).map(|slim| Self(slim.split().0))
    }
}

/// Metadata of a pod, of which it matters whether anybody else has moved its gate.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodMeta(pub(crate) ObjectMeta, pub(crate) GateEditor);

impl<'de> Deserialize<'de> for PodMeta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (meta, editor) = SlimMeta::deserialize(deserializer)?.split();
        Ok(Self(meta, editor))
    }
}

/// Metadata of a child, of which it matters whether anybody else has written into its spec.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChildMeta(pub(crate) ObjectMeta, pub(crate) Option<cafe_planner::Text>);

impl<'de> Deserialize<'de> for ChildMeta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut meta = ObjectMeta::deserialize(deserializer)?;
        let editor = authors::editor(&meta.managed_fields.take().unwrap_or_default());
        Ok(Self(meta, editor))
    }
}

/// Metadata of an object of which it matters who wrote what. Managed fields are looked at and dropped at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct SignedMeta(pub(crate) ObjectMeta, pub(crate) Authors);

impl<'de> Deserialize<'de> for SignedMeta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut meta = ObjectMeta::deserialize(deserializer)?;
        let authors = authors::claimed(&meta.managed_fields.take().unwrap_or_default());
        Ok(Self(meta, authors))
    }
}

macro_rules! resource {
    ($type:ident, $group:expr, $version:expr, $kind:literal, $plural:literal) => {
        resource!($type, $group, $version, $kind, $plural, NamespaceResourceScope);
    };
    ($type:ident, $group:expr, $version:expr, $kind:literal, $plural:literal, $scope:ty) => {
        impl Resource for $type {
            type DynamicType = ();
            type Scope = $scope;

            fn kind((): &()) -> Cow<'_, str> {
                $kind.into()
            }

            fn group((): &()) -> Cow<'_, str> {
                $group.into()
            }

            fn version((): &()) -> Cow<'_, str> {
                $version.into()
            }

            fn plural((): &()) -> Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata.0
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata.0
            }
        }
    };
}

/// A CafeDeployment.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DeploymentObject {
    pub(crate) metadata: SignedMeta,
    pub(crate) spec: CafeDeploymentSpec,
    #[serde(default)]
    pub(crate) status: Option<CafeDeploymentStatus>,
}
resource!(DeploymentObject, GROUP, VERSION, "CafeDeployment", "cafedeployments");

/// An InPlaceSet.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SetObject {
    pub(crate) metadata: ChildMeta,
    pub(crate) spec: InPlaceSetSpec,
    #[serde(default)]
    pub(crate) status: Option<InPlaceSetStatus>,
}
resource!(SetObject, GROUP, VERSION, "InPlaceSet", "inplacesets");

/// A CafeRelease.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ReleaseObject {
    pub(crate) metadata: Meta,
    pub(crate) spec: CafeReleaseSpec,
    #[serde(default)]
    pub(crate) status: CafeReleaseStatus,
}
resource!(ReleaseObject, GROUP, VERSION, "CafeRelease", "cafereleases");

/// A ControllerRevision.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RevisionObject {
    pub(crate) metadata: Meta,
    #[serde(default)]
    pub(crate) data: Value,
    #[serde(default)]
    pub(crate) revision: i64,
}
resource!(RevisionObject, "apps", "v1", "ControllerRevision", "controllerrevisions");

/// A pod.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PodObject {
    pub(crate) metadata: PodMeta,
    #[serde(default)]
    pub(crate) spec: PodSpec,
    #[serde(default)]
    pub(crate) status: PodStatus,
}
resource!(PodObject, "", "v1", "Pod", "pods");

/// A PersistentVolumeClaim, of which nothing but the metadata matters.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ClaimObject {
    pub(crate) metadata: Meta,
}
resource!(ClaimObject, "", "v1", "PersistentVolumeClaim", "persistentvolumeclaims");

/// What is read of a pod's spec.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodSpec {
    pub(crate) node_name: Option<String>,
    pub(crate) containers: Vec<ContainerSpec>,
    pub(crate) init_containers: Vec<ContainerSpec>,
    pub(crate) readiness_gates: Vec<ReadinessGate>,
    pub(crate) affinity: Option<Affinity>,
}

/// A readiness gate.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ReadinessGate {
    pub(crate) condition_type: String,
}

/// What is read of an affinity: the nodes a pod is bound to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Affinity {
    pub(crate) node_affinity: Option<NodeAffinity>,
}

/// What is read of a node affinity.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub(crate) required: Option<NodeSelector>,
}

/// Alternatives, of which one must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NodeSelector {
    pub(crate) node_selector_terms: Vec<NodeSelectorTerm>,
}

/// Requirements, of which all must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NodeSelectorTerm {
    pub(crate) match_expressions: Vec<NodeRequirement>,
    pub(crate) match_fields: Vec<serde::de::IgnoredAny>,
}

/// A requirement on a label of the node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeRequirement {
    pub(crate) key: String,
    pub(crate) operator: String,
    pub(crate) values: Vec<String>,
}

impl PodSpec {
    /// Whether the pod is bound to nodes whose label `key` is `value`.
    pub(crate) fn is_bound_to(&self, key: &str, value: &str) -> bool {
        let required = self.affinity.as_ref().and_then(|a| a.node_affinity.as_ref()?.required.as_ref());
        let terms = required.map_or(&[][..], |r| &r.node_selector_terms);
        let names = |r: &NodeRequirement| r.key == key && r.operator == "In" && r.values == [value];
        // A term without any requirement matches nothing.
        let mut terms =
            terms.iter().filter(|t| !(t.match_expressions.is_empty() && t.match_fields.is_empty()));
        let first = terms.next().is_some_and(|term| term.match_expressions.iter().any(names));
        first && terms.all(|term| term.match_expressions.iter().any(names))
    }
}

/// What is read of a container's spec.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerSpec {
    pub(crate) name: String,
    pub(crate) image: Option<String>,
    pub(crate) restart_policy: Option<String>,
}

/// What is read of a pod's status.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodStatus {
    pub(crate) observed_generation: Option<i64>,
    pub(crate) phase: Option<String>,
    pub(crate) conditions: Vec<PodCondition>,
    pub(crate) container_statuses: Vec<ContainerStatus>,
    pub(crate) init_container_statuses: Vec<ContainerStatus>,
}

/// A condition of a pod or a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodCondition {
    #[serde(rename = "type")]
    pub(crate) type_: String,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) last_transition_time: Option<Time>,
}

/// A container's status.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerStatus {
    pub(crate) name: String,
    pub(crate) image: String,
    #[serde(rename = "containerID")]
    pub(crate) container_id: Option<String>,
    pub(crate) ready: bool,
    pub(crate) state: Option<ContainerState>,
}

/// A container's state.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ContainerState {
    pub(crate) running: Option<serde::de::IgnoredAny>,
    pub(crate) waiting: Option<Waiting>,
}

/// Why a container waits.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Waiting {
    pub(crate) reason: Option<String>,
}

/// A node.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NodeObject {
    pub(crate) metadata: Meta,
    #[serde(default)]
    pub(crate) status: NodeStatus,
}
resource!(NodeObject, "", "v1", "Node", "nodes", ClusterResourceScope);

/// What is read of a node's status.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeStatus {
    pub(crate) conditions: Vec<PodCondition>,
}

/// An EndpointSlice.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SliceObject {
    pub(crate) metadata: Meta,
    #[serde(default)]
    pub(crate) endpoints: Option<Vec<Endpoint>>,
}
resource!(SliceObject, "discovery.k8s.io", "v1", "EndpointSlice", "endpointslices");

/// One endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Endpoint {
    pub(crate) target_ref: Option<TargetRef>,
    pub(crate) conditions: EndpointConditions,
}

/// What an endpoint stands for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TargetRef {
    pub(crate) uid: Option<String>,
}

/// An endpoint's conditions.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EndpointConditions {
    pub(crate) ready: Option<bool>,
    pub(crate) serving: Option<bool>,
}

impl EndpointConditions {
    /// Whether traffic may reach the endpoint: an absent `serving` means `ready`, an absent `ready` means true.
    pub(crate) fn serves(self) -> bool {
        self.serving.or(self.ready).unwrap_or(true)
    }
}

/// Which slices there are in which versions, as the live read before the point of no return gets it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SliceVersions {
    pub(crate) metadata: Version,
    /// `null` where there are none.
    pub(crate) items: Option<Vec<SliceVersion>>,
}

/// An object of which nothing else is read than its version.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Versioned {
    pub(crate) metadata: Version,
}

/// When a list was made, or what version an object has.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Version {
    pub(crate) resource_version: String,
}

/// A slice without its content.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SliceVersion {
    pub(crate) metadata: Meta,
}
