//! Every name that Cafe writes into a cluster, in one place.

/// API group of all kinds.
pub const GROUP: &str = "cafe.dev";
/// Served and stored version.
pub const VERSION: &str = "v1alpha1";
/// What every label and annotation of ours starts with. Such keys are refused in selectors and templates.
pub const PREFIX: &str = "cafe.dev/";

/// Pod label: the unit the pod belongs to, as written in `spec.topology.values`.
pub const LABEL_UNIT: &str = "cafe.dev/unit";
/// Pod label: hash of the revision the pod runs.
pub const LABEL_REVISION: &str = "cafe.dev/revision";
/// Pod label: `<revision>-<group>` of the release group that updated the pod last.
pub const LABEL_GROUP: &str = "cafe.dev/group";
/// Pod label, `true` while the pod may take traffic; only kept with `traffic.mode: Unselect`.
pub const LABEL_SERVING: &str = "cafe.dev/serving";

/// PersistentVolumeClaim label: name of the InPlaceSet whose pods use it.
pub const LABEL_SET: &str = "cafe.dev/set";
/// PersistentVolumeClaim label: the place of its pod in the InPlaceSet, which is what the pod's name ends with.
pub const LABEL_PLACE: &str = "cafe.dev/place";
/// PersistentVolumeClaim label: its pod is scaled away, and `Retain` or `Delete` says what becomes of it.
pub const LABEL_SCALED_IN: &str = "cafe.dev/scaled-in";

/// CafeRelease label: name of its CafeDeployment.
pub const LABEL_DEPLOYMENT: &str = "cafe.dev/deployment";

/// Readiness gate and pod condition: True while the pod may take traffic.
pub const GATE: &str = "cafe.dev/serving";
/// Reason of a False gate during a drain, followed by eight hex digits that are new for each drain.
pub const DRAIN_REASON_PREFIX: &str = "Drain_";
/// Reason of a False gate of a pod that somebody took offline.
pub const OFFLINE_REASON: &str = "Offline";
/// Prefix of the finalizers and conditions by which others say that they may route to a pod.
pub const PROTECTOR_PREFIX: &str = "protect.cafe.dev/";

/// Pod annotation: the record of the in-place update in hand.
pub const ANNOTATION_IN_PLACE: &str = "cafe.dev/in-place";
/// ControllerRevision annotation: `Completed`, `Abandoned` or `Aborted`.
pub const ANNOTATION_OUTCOME: &str = "cafe.dev/outcome";
/// ControllerRevision annotation: the numbers that this template had before.
pub const ANNOTATION_OLDER_REVISIONS: &str = "cafe.dev/older-revisions";
/// CafeDeployment annotation, written by the admission webhook: who wrote which order, as it has seen.
pub const ANNOTATION_AUTHORS: &str = "cafe.dev/authors";
/// InPlaceSet annotation: the largest number of pods the allocator gives to this unit.
pub const ANNOTATION_CEILING: &str = "cafe.dev/ceiling";
/// InPlaceSet annotation: the topology (a fingerprint of it) that the ceiling was made for; under any other it does not count.
pub const ANNOTATION_CEILING_TOPOLOGY: &str = "cafe.dev/ceiling-topology";
/// InPlaceSet annotation: rewritten after a change of the writing replica, so that no write of the former one can land.
pub const ANNOTATION_FENCE: &str = "cafe.dev/fence";
/// Pod annotation, written by people and tools: keep this pod out of traffic.
pub const ANNOTATION_OFFLINE: &str = "cafe.dev/offline";
/// Pod annotation, written by people and tools: do not wait any longer for the drain that it names.
pub const ANNOTATION_FORCE_DRAIN: &str = "cafe.dev/force-drain";

/// Finalizer of a CafeDeployment or InPlaceSet, put there by people: its pods are drained before it goes. The controller takes it off,
/// and nobody else's.
pub const FINALIZER_DRAIN: &str = "cafe.dev/drain";
/// Kubernetes' finalizer of an object whose dependents are to live on without it.
pub const FINALIZER_ORPHAN: &str = "orphan";

/// Kubernetes' finalizer on an object whose dependents are deleted before it.
pub const FINALIZER_FOREGROUND: &str = "foregroundDeletion";

/// Node label that names the cell of a node (`unitType: Cell`).
pub const NODE_LABEL_CELL: &str = "cafe.dev/cell";
/// Node label that names the zone of a node (`unitType: Zone`).
pub const NODE_LABEL_ZONE: &str = "topology.kubernetes.io/zone";

/// Field manager of every write of the controller.
pub const FIELD_MANAGER: &str = "cafe-controller";
/// Name of the one unit of a CafeDeployment whose `unitType` is `None`.
pub const DEFAULT_UNIT: &str = "default";
