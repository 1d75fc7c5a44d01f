//! What the judge knows of an object: small records that any source can fill.

use std::fmt;
use std::sync::Arc;

/// Shared text.
pub type Text = Arc<str>;

/// The uid of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(pub u128);

impl Uid {
    /// Reads a UUID. Any other text is taken for what it is: hashed.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let hex: String = text.chars().filter(|c| *c != '-').collect();
        match u128::from_str_radix(&hex, 16) {
            Ok(uid) if hex.len() == 32 => Self(uid),
            _ => Self(fnv(text)),
        }
    }
}

/// The hash of a revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision(pub u128);

impl Revision {
    /// Reads a hash as in the label `cafe.dev/revision`; none when it is empty.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(fnv(text)))
    }

    /// The hash at the end of a ControllerRevision's name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::of(name.rsplit('-').next().unwrap_or_default())
    }
}

/// FNV-1a, 128 bits: equal texts are equal, others are not in practice.
fn fnv(text: &str) -> u128 {
    text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}

/// Who an object is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Namespace, empty for nodes.
    pub namespace: Text,
    /// Name.
    pub name: Text,
    /// uid.
    pub uid: Uid,
    /// Resource version.
    pub version: u64,
}

impl Default for Identity {
    fn default() -> Self {
        Self { namespace: "".into(), name: "".into(), uid: Uid::default(), version: 0 }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return f.write_str(&self.name);
        }
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The pod condition `cafe.dev/serving`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Gate {
    /// Never set.
    #[default]
    Missing,
    /// May take traffic.
    True,
    /// Out of traffic for the drain of this name.
    Draining(Text),
    /// Out of traffic because a person wishes so: unavailable, but not by us.
    Offline,
}

/// A long-running container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: Text,
    /// The image that its pod asks for.
    pub wants: Text,
    /// The image bytes it runs (`imageID`), empty when not known.
    pub runs: Text,
    /// The id of the container, empty before the first.
    pub id: Text,
    /// It waits (to be pulled, after a crash): no request can be lost with it.
    pub waits: bool,
}

/// One protector on a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protector {
    /// It holds its finalizer.
    pub holds: bool,
    /// The reason that its False condition names: the drain that is done.
    pub answered: Option<Text>,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Who it is.
    pub identity: Identity,
    /// The controller it names.
    pub owner: Option<Uid>,
    /// The controller is an InPlaceSet.
    pub of_set: bool,
    /// Owner references with `controller: true`.
    pub controllers: i64,
    /// The unit on its label.
    pub unit: Text,
    /// The revision on its label.
    pub revision: Option<Revision>,
    /// Release and group it moved with.
    pub group: Option<(i64, i64)>,
    /// Being deleted.
    pub terminating: bool,
    /// Failed or Succeeded.
    pub finished: bool,
    /// Phase Running.
    pub running: bool,
    /// Its node, empty before it has one.
    pub node: Text,
    /// Its address, empty before it has one.
    pub address: Text,
    /// The serving gate.
    pub gate: Gate,
    /// Condition Ready.
    pub ready: bool,
    /// Long-running containers, sidecars first.
    pub containers: Vec<Container>,
    /// Protectors that hold a finalizer or keep a condition.
    pub protectors: Vec<Protector>,
    /// All finalizers, sorted.
    pub finalizers: Vec<Text>,
    /// Claims it mounts.
    pub claims: Vec<Text>,
    /// The drain that somebody asked not to wait for.
    pub force_drain: Option<Text>,
}

impl Pod {
    /// In service: counts for the budget.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.gate == Gate::True && self.ready && !self.terminating && !self.finished
    }

    /// Exists and is meant to stay.
    #[must_use]
    pub fn lives(&self) -> bool {
        !self.terminating && !self.finished
    }

    /// The drain it is in.
    #[must_use]
    pub fn drain(&self) -> Option<&Text> {
        match &self.gate {
            Gate::Draining(drain) => Some(drain),
            _ => None,
        }
    }

    /// Protectors that hold their finalizer and have not answered the drain it is in.
    #[must_use]
    pub fn unanswered(&self) -> i64 {
        let drain = self.drain();
        crate::count(self.protectors.iter().filter(|p| p.holds && p.answered.as_ref() != drain))
    }
}

/// One reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The pod.
    pub pod: Uid,
    /// The revision it is to have; none when it is to go.
    pub to: Option<Revision>,
}

/// Figures of a status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pods.
    pub replicas: i64,
    /// Pods that are Ready.
    pub ready: i64,
    /// Pods available.
    pub available: i64,
    /// Pods on the update revision.
    pub updated: i64,
    /// Of these, available.
    pub updated_available: i64,
}

/// An InPlaceSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Who it is.
    pub identity: Identity,
    /// The CafeDeployment it belongs to; none when it stands alone.
    pub owner: Option<Uid>,
    /// Being deleted.
    pub deleting: bool,
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.observedGeneration`.
    pub observed: Option<i64>,
    /// Its unit, empty without an owner.
    pub unit: Text,
    /// Pods wanted.
    pub replicas: i64,
    /// Pods kept off the target.
    pub partition: i64,
    /// Pods that may be out at once.
    pub grant: i64,
    /// `updateStrategy.paused`.
    pub paused: bool,
    /// The revision of its template, as far as its status knows.
    pub target: Option<Revision>,
    /// The revision that its partition keeps.
    pub base: Option<Revision>,
    /// The annotation `cafe.dev/ceiling`.
    pub ceiling: Option<i64>,
    /// Load balancers that ignore readiness: endpoints must be gone.
    pub unselect: bool,
    /// `traffic.graceSeconds`, in milliseconds.
    pub grace: i64,
    /// After how many milliseconds the policy cuts a drain short; none when it does not.
    pub forces_after: Option<i64>,
    /// Pods are to be restarted.
    pub restarts: bool,
    /// `minReadySeconds` is set: how many are available cannot be told from the pods at one moment.
    pub waits_for_ready: bool,
    /// `podUpdatePolicy: InPlaceOnly`: some pods may not move at all.
    pub in_place_only: bool,
    /// The images of its template, sidecars first; empty when not known.
    pub images: Vec<Text>,
    /// The node label, and its value, that its pods are placed on.
    pub place: Option<(Text, Text)>,
    /// The figures of its status.
    pub counts: Counts,
    /// `status.inFlight`, sorted by pod.
    pub journal: Vec<Entry>,
}

impl Set {
    /// The pod's reservation.
    #[must_use]
    pub fn entry(&self, pod: Uid) -> Option<&Entry> {
        self.journal.binary_search_by_key(&pod, |e| e.pod).ok().and_then(|at| self.journal.get(at))
    }

    /// Whether its status speaks of its spec.
    #[must_use]
    pub fn has_heard(&self) -> bool {
        self.observed == Some(self.generation)
    }
}

/// How far a unit may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The unit.
    pub unit: Text,
    /// Pods of the unit when the plan counted it.
    pub replicas: i64,
    /// Pods of the unit that may be at the target.
    pub updated: i64,
}

/// `status.release`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// Number of the revision.
    pub revision: i64,
    /// It comes from a revision that completed: it has gates.
    pub has_base: bool,
    /// It goes back.
    pub rollback: bool,
    /// Its groups only add pods of a revision that had completed.
    pub scale_out: bool,
    /// It is complete.
    pub completed: bool,
    /// It stands at a gate.
    pub waiting: bool,
    /// The group in hand.
    pub group: i64,
    /// The last group of the plan.
    pub total: i64,
    /// How far each unit may go.
    pub quota: Vec<Quota>,
}

/// A CafeDeployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployment {
    /// Who it is.
    pub identity: Identity,
    /// Being deleted.
    pub deleting: bool,
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.observedGeneration`.
    pub observed: Option<i64>,
    /// Pods wanted.
    pub replicas: i64,
    /// `maxUnavailable` in pods.
    pub budget: i64,
    /// `strategy.pause`.
    pub paused: bool,
    /// `strategy.needWaitingForConfirm`.
    pub needs_confirm: bool,
    /// `strategy.groupScaleOut`.
    pub groups_scale_out: bool,
    /// `release.confirm`.
    pub confirm: Option<Text>,
    /// `progressDeadlineSeconds`: the failure window.
    pub deadline: i64,
    /// The revision that pods move to.
    pub target: Option<Revision>,
    /// The revision that completed last.
    pub base: Option<Revision>,
    /// Condition Paused is True.
    pub says_paused: bool,
    /// Condition Ready is True.
    pub says_ready: bool,
    /// The figures of its status.
    pub counts: Counts,
    /// The release in hand, or the last one.
    pub release: Option<Release>,
}

impl Deployment {
    /// The size and the quota of a unit.
    #[must_use]
    pub fn quota(&self, unit: &str) -> Option<&Quota> {
        self.release.as_ref()?.quota.iter().find(|q| *q.unit == *unit)
    }

    /// Whether its status speaks of its spec.
    #[must_use]
    pub fn has_heard(&self) -> bool {
        self.observed == Some(self.generation)
    }
}

/// One entry of an EndpointSlice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The pod it targets.
    pub pod: Uid,
    /// It serves.
    pub serves: bool,
}

/// An EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Who it is.
    pub identity: Identity,
    /// Its entries that target pods.
    pub endpoints: Vec<Endpoint>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Who it is.
    pub identity: Identity,
    /// Its labels.
    pub labels: Vec<(Text, Text)>,
    /// Condition Ready is True.
    pub ready: bool,
    /// `status.nodeInfo.architecture`.
    pub architecture: Text,
    /// Declared dead: the taint `node.kubernetes.io/out-of-service`.
    pub dead: bool,
}

/// The lease of the controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Who it is.
    pub identity: Identity,
    /// `holderIdentity`.
    pub holder: Option<Text>,
    /// `leaseDurationSeconds`, in milliseconds.
    pub duration: i64,
}
