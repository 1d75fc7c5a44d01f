//! A pod as the planner sees it, and what its state means.

use std::{ops::Deref, sync::Arc};

use cafe_crds::{
    names::{DRAIN_REASON_PREFIX, OFFLINE_REASON},
    time::Seconds,
    traffic::TrafficMode,
};

use crate::{
    Text,
    container_id::ContainerId,
    identity::{Op, RevisionHash, Uid},
    set::snapshot::Entry,
    time::Millis,
};

/// The pod condition `cafe.dev/serving`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Gate {
    /// Never set: a pod that has not served yet.
    #[default]
    Missing,
    /// May take traffic.
    True,
    /// Being drained, by this operation.
    Draining(Op),
    /// Taken out of service on request.
    Offline,
}

impl Gate {
    /// Reads the condition's status and reason. A False of unknown origin counts as a drain nobody remembers: its pod
    /// is taken into the journal and brought back.
    #[must_use]
    pub fn parse(status: &str, reason: &str) -> Self {
        match (status, reason) {
            ("True", _) => Self::True,
            (_, OFFLINE_REASON) => Self::Offline,
            (_, reason) => {
                let op = reason.strip_prefix(DRAIN_REASON_PREFIX).and_then(|op| op.parse().ok());
                Self::Draining(op.unwrap_or_default())
            }
        }
    }
}

/// `status.phase`, as far as it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not running yet.
    #[default]
    Pending,
    /// Bound to a node, with at least one container started.
    Running,
    /// Failed or Succeeded: it will never run again and is replaced.
    Finished,
}

/// One protector's word on a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Protector {
    /// The name behind `protect.cafe.dev/`.
    pub name: Text,
    /// Whether it holds its finalizer.
    pub finalizer: bool,
    /// Its condition, if it keeps one.
    pub condition: Option<ProtectorCondition>,
}

/// A protector's optional condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProtectorCondition {
    /// Registered and healthy.
    True,
    /// Deregistered and drained, for this operation (none if its reason names no operation).
    False(Option<Op>),
}

/// One container. All but its id is the same for many pods of one template, and held once for them; it is read as if it were here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// The id of the container last seen, empty when none was.
    pub id: ContainerId,
    /// All else.
    pub state: Arc<ContainerState>,
}

impl Deref for Container {
    type Target = ContainerState;

    fn deref(&self) -> &ContainerState {
        &self.state
    }
}

/// What is wanted of a container, and what it does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerState {
    /// Container name.
    pub name: Text,
    /// The image its pod's spec asks for.
    pub wants: Text,
    /// The image the container last seen was started from, as the kubelet reports it.
    pub image: Text,
    /// It runs.
    pub running: bool,
    /// It is ready.
    pub ready: bool,
    /// Why it waits (`ImagePullBackOff`, `CrashLoopBackOff`), when it does.
    pub waiting: Option<Text>,
}

/// The annotation `cafe.dev/in-place`: the record of the update in hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct InPlace {
    /// The drain it happened in.
    pub op: Op,
    /// What ran before, of each container whose image changed since W1.
    pub ran: Vec<Ran>,
    /// Bumped to fence a pod whose last write's outcome is unknown.
    pub fence: u32,
    /// Who was not waited for, when the drain was forced.
    pub forced: Option<Text>,
}

/// One container that ran before an update.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ran {
    /// Container name.
    pub container: Text,
    /// Container id.
    pub id: ContainerId,
    /// The image it ran.
    pub image: Text,
}

/// One pod of an InPlaceSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pod {
    /// Name.
    pub name: Text,
    /// Uid.
    pub uid: Uid,
    /// Resource version this record was made from.
    pub rv: u64,
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.observedGeneration`.
    pub observed_generation: i64,
    /// `metadata.creationTimestamp`.
    pub created: Seconds,
    /// The label `cafe.dev/revision`.
    pub revision: Option<RevisionHash>,
    /// The label `cafe.dev/group`: number of the revision and of the group that moved it last.
    pub group: Option<(i64, i32)>,
    /// Being deleted.
    pub terminating: bool,
    /// Has a node.
    pub scheduled: bool,
    /// Since when the scheduler finds no node for it; none while it has not said so.
    pub unschedulable: Option<Seconds>,
    /// Phase.
    pub phase: Phase,
    /// The serving gate.
    pub gate: Gate,
    /// Since when the gate says so, by the clock of the controller that wrote it.
    pub gate_since: Seconds,
    /// Who else than the controller has written what the gate says, as that client calls itself.
    pub gate_editor: Option<Text>,
    /// It carries the label `cafe.dev/serving=true`.
    pub selected: bool,
    /// People want it out of traffic: the annotation `cafe.dev/offline`.
    pub offline: bool,
    /// The drain that people do not want to wait for any longer: the annotation `cafe.dev/force-drain`.
    pub force_drain: Option<Op>,
    /// Since when it is Ready; none when it is not.
    pub ready_since: Option<Seconds>,
    /// The kubelet says that a gate keeps it from being Ready, or that its containers do, which it looks at first. Without
    /// either it may not have heard of a gate that is closed, and go on to write that the pod is Ready.
    pub gate_noticed: bool,
    /// Condition ContainersReady.
    pub containers_ready: bool,
    /// `controller.kubernetes.io/pod-deletion-cost`.
    pub deletion_cost: i32,
    /// Finalizers and conditions of protectors, sorted by name.
    pub protectors: Box<[Protector]>,
    /// Containers and native sidecars.
    pub containers: Box<[Container]>,
    /// The first plain init container that waits, and why.
    pub init_waits: Option<Box<(Text, Text)>>,
    /// The update in hand.
    pub in_place: Option<Box<InPlace>>,
}

/// What the EndpointSlices in the cache say of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Endpoints {
    /// Entries that target the pod.
    pub listed: u32,
    /// Entries among them that still serve.
    pub serving: u32,
}

impl Endpoints {
    /// The entries that stand in the way of a drain: those that serve or, for load balancers that ignore readiness, all.
    #[must_use]
    pub fn counted_in(self, mode: TrafficMode) -> Self {
        match mode {
            TrafficMode::Gate => self,
            TrafficMode::Unselect => Self { serving: self.listed, ..self },
        }
    }
}

/// A pod with what the world knows around it.
#[derive(Clone, Copy, Debug)]
pub struct PodView<'a> {
    /// The record.
    pub pod: &'a Pod,
    /// Its reservation, if the journal of its set holds it. Looked up beforehand, because every step of a plan asks.
    pub entry: Option<&'a Entry>,
    /// A write of ours is on its way, or its outcome has not been seen: not to be decided about.
    pub busy: bool,
    /// This process has had a write to the pod acknowledged, so no older write can land on it any more.
    pub fenced: bool,
    /// Endpoints in the cache.
    pub endpoints: Endpoints,
    /// When a live read proved the present drain complete.
    pub drained_at: Option<Millis>,
    /// Its labels no longer match the set's selector: it is to be let go.
    pub stray: bool,
}

impl Pod {
    /// Ready at all.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready_since.is_some()
    }

    /// In service: counts for the budget.
    #[must_use]
    pub fn in_service(&self) -> bool {
        self.gate == Gate::True && self.is_ready() && !self.terminating && self.phase != Phase::Finished
    }

    /// Exists and is meant to stay.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.terminating && self.phase != Phase::Finished
    }
}
