//! What an InPlaceSet plan asks for. Each action says what must hold and carries the object it was decided on.

use cafe_crds::{claims::ClaimRetention, inplaceset::InPlaceSetStatus};

use crate::{
    Text,
    event::Event,
    identity::{Op, RevisionHash, Uid},
    pod::InPlace,
    set::Census,
    time::Wake,
};

/// The pod a decision was made on: its write applies to exactly this state or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct On {
    /// Name.
    pub pod: Text,
    /// Uid.
    pub uid: Uid,
    /// Resource version.
    pub rv: u64,
}

/// Why a pod is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// More pods than replicas.
    ScaleIn,
    /// Its change cannot go in place.
    Recreate,
    /// It has finished and will not run again.
    Finished,
}

/// One API call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Create a pod.
    Create {
        /// Its name: deterministic, so that a repeated attempt cannot make two.
        name: Text,
        /// The revision it is born at.
        revision: RevisionHash,
        /// The group it is born in, when it is born at the target.
        group: Option<Text>,
    },
    /// W1: gate False and Ready False.
    TakeOut {
        /// The pod.
        on: On,
        /// The drain that starts.
        op: Op,
    },
    /// W2: images, labels and record in one patch.
    Update {
        /// The pod.
        on: On,
        /// The revision it has (none: unknown).
        from: Option<RevisionHash>,
        /// The revision it gets.
        to: RevisionHash,
        /// The group it moves in.
        group: Option<Text>,
        /// New images by container; `true` marks a native sidecar.
        images: Vec<(Text, Text, bool)>,
        /// What ran before; none for a change of metadata only.
        record: Option<InPlace>,
    },
    /// W3: gate True.
    PutBack {
        /// The pod.
        on: On,
    },
    /// People want it out of traffic: gate False for as long as they do, Ready False.
    TakeOffline {
        /// The pod.
        on: On,
    },
    /// Delete a drained, surplus or finished pod.
    Delete {
        /// The pod.
        on: On,
        /// The reason.
        why: Why,
    },
    /// An acknowledged write that changes nothing but the resource version: no older write can land after it.
    Touch {
        /// The pod.
        on: On,
        /// The record it rewrites.
        record: InPlace,
    },
    /// Create a claim for the pod of this name, which is created once it is there.
    CreateClaim {
        /// Its name.
        name: Text,
        /// The template it is made from.
        template: Text,
        /// The pod that it is for.
        pod: Text,
        /// The revision whose template it is.
        revision: RevisionHash,
    },
    /// Write of a claim whether its pod is scaled away, and whether the set owns it.
    WriteClaim {
        /// Name.
        name: Text,
        /// Uid.
        uid: Uid,
        /// Resource version.
        rv: u64,
        /// What is to become of it, when its pod is scaled away.
        given_up: Option<ClaimRetention>,
        /// It goes with the set.
        owned: bool,
        /// Former sets of this name that own it no longer.
        strangers: Vec<Uid>,
    },
    /// Delete a claim whose pod was scaled away and is gone.
    DeleteClaim {
        /// Name.
        name: Text,
        /// Uid.
        uid: Uid,
        /// Resource version.
        rv: u64,
    },
    /// Make a pod that nobody owns the set's own.
    Adopt {
        /// The pod.
        on: On,
    },
    /// Take the set's owner reference off a pod, and leave it alone.
    Release {
        /// The pod.
        on: On,
    },
    /// Make the ControllerRevision of an earlier set of this name the set's own.
    AdoptRevision {
        /// Name.
        name: Text,
        /// Uid.
        uid: Uid,
        /// Resource version.
        rv: u64,
    },
    /// A live read of the set itself, after which orphans may be adopted.
    Confirm,
    /// Take the finalizer `cafe.dev/drain` off the set.
    LetGo {
        /// The set's resource version.
        rv: u64,
        /// Where it stands in the list.
        at: usize,
    },
    /// A live LIST of the EndpointSlices, to prove that these pods (uid, drain) are drained.
    ProveDrained {
        /// The pods.
        pods: Vec<(Uid, Op)>,
    },
    /// Create the ControllerRevision of a set that stands alone.
    CreateRevision {
        /// Its number.
        number: i64,
        /// Its short name.
        hash: RevisionHash,
    },
    /// Delete a ControllerRevision of a set that stands alone.
    DeleteRevision {
        /// Name.
        name: Text,
        /// Uid.
        uid: Uid,
        /// Resource version.
        rv: u64,
    },
    /// A write to the set that changes nothing but the resource version: its journal is known to be in force after it.
    TouchSet {
        /// The set's resource version.
        rv: u64,
    },
    /// Write the status (and with it the journal) on exactly this resource version.
    WriteStatus {
        /// The set's resource version.
        rv: u64,
        /// The whole status.
        status: Box<InPlaceSetStatus>,
    },
}

/// What is told about a pod, once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notice {
    /// Pod name.
    pub pod: Text,
    /// Pod uid.
    pub uid: Uid,
    /// What is told.
    pub event: Event,
}

/// The outcome of one look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Plan {
    /// What to do, most urgent first.
    pub actions: Vec<Action>,
    /// What belongs to no write of ours.
    pub notices: Vec<Notice>,
    /// What is told about the set itself, once each.
    pub events: Vec<Event>,
    /// A pod waits for the set to be fenced.
    pub needs_fence: bool,
    /// When to look again even if nothing happens.
    pub wake: Wake,
    /// What the pods are like.
    pub census: Census,
    /// Uids of the pods that are drained by the caches' account: a proof of any other pod is void.
    pub drained: Vec<Uid>,
}
