//! What a CafeDeployment plan asks for, and the events that tell of it once it is done.

use cafe_crds::{
    deployment::CafeDeploymentStatus,
    release::{CafeReleaseSpec, CafeReleaseStatus},
};

use crate::{
    Text,
    bonds::Orphan,
    event::Event,
    identity::{RevisionHash, Uid},
    revision::Outcome,
    set::{Ceiling, SetSpec},
    time::Wake,
};

/// One API call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Create the ControllerRevision of the present template.
    CreateRevision {
        /// Its number.
        number: i64,
        /// Its short name.
        hash: RevisionHash,
    },
    /// Write a ControllerRevision's number and what it remembers, on exactly this resource version.
    WriteRevision {
        /// Name.
        name: Text,
        /// Uid.
        uid: Uid,
        /// Resource version.
        rv: u64,
        /// Its number after the write.
        number: i64,
        /// Its older numbers after the write.
        older: Vec<i64>,
        /// Its outcome after the write.
        outcome: Option<Outcome>,
    },
    /// Delete a ControllerRevision that nothing names any more.
    DeleteRevision {
        /// Name.
        name: Text,
        /// Uid.
        uid: Uid,
        /// Resource version.
        rv: u64,
    },
    /// Create the InPlaceSet of a unit.
    CreateSet {
        /// Name.
        name: Text,
        /// Its spec.
        spec: Box<SetSpec>,
    },
    /// Write an InPlaceSet's whole spec, on exactly this resource version.
    WriteSet {
        /// Name.
        name: Text,
        /// Uid.
        uid: Uid,
        /// Resource version.
        rv: u64,
        /// Its spec.
        spec: Box<SetSpec>,
    },
    /// A write to an InPlaceSet that changes nothing but the resource version: no older write can land after it.
    TouchSet {
        /// Name.
        name: Text,
        /// Uid.
        uid: Uid,
        /// Resource version.
        rv: u64,
    },
    /// Write an InPlaceSet's ceiling, or take it off, on exactly this resource version.
    CapSet {
        /// Name.
        name: Text,
        /// Uid.
        uid: Uid,
        /// Resource version.
        rv: u64,
        /// The ceiling after the write.
        ceiling: Option<Ceiling>,
        /// Who takes the places that the unit gives away with it, and how many.
        takers: Vec<(Text, i32)>,
    },
    /// Delete the empty InPlaceSet of a unit that is no more.
    DeleteSet {
        /// Name.
        name: Text,
        /// Uid.
        uid: Uid,
        /// Resource version.
        rv: u64,
    },
    /// Make an InPlaceSet that nobody owns its own.
    AdoptSet {
        /// Name.
        name: Text,
        /// Uid.
        uid: Uid,
        /// Resource version.
        rv: u64,
    },
    /// Make a ControllerRevision or CafeRelease that nobody owns its own.
    Adopt {
        /// What.
        orphan: Orphan,
    },
    /// A live read of the CafeDeployment itself, after which orphans may be adopted.
    Confirm,
    /// Take the finalizer `cafe.dev/drain` off the CafeDeployment.
    LetGo {
        /// The CafeDeployment's resource version.
        rv: u64,
        /// Where it stands in the list.
        at: usize,
    },
    /// Create the CafeRelease of the release in hand.
    CreateChronicle {
        /// Name.
        name: Text,
        /// What is released.
        spec: Box<CafeReleaseSpec>,
        /// How it goes.
        status: Box<CafeReleaseStatus>,
    },
    /// Write what has changed in a CafeRelease, on exactly this resource version.
    WriteChronicle {
        /// Name.
        name: Text,
        /// Uid.
        uid: Uid,
        /// Resource version.
        rv: u64,
        /// What it says.
        before: Box<CafeReleaseStatus>,
        /// What it is to say.
        after: Box<CafeReleaseStatus>,
    },
    /// Delete a CafeRelease beyond `historyLimit`.
    DeleteChronicle {
        /// Name.
        name: Text,
        /// Uid.
        uid: Uid,
        /// Resource version.
        rv: u64,
    },
    /// Write the status on exactly this resource version.
    WriteStatus {
        /// The CafeDeployment's resource version.
        rv: u64,
        /// The whole status.
        status: Box<CafeDeploymentStatus>,
    },
}

/// An action with the events it earns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// The call.
    pub action: Action,
    /// What to tell once it has succeeded.
    pub events: Vec<Event>,
}

/// The outcome of one look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Plan {
    /// What to do, most urgent first.
    pub steps: Vec<Step>,
    /// Events that belong to no write of ours: told once each.
    pub notices: Vec<Event>,
    /// When to look again even if nothing happens.
    pub wake: Wake,
}

impl Plan {
    /// Adds a step without events.
    pub fn act(&mut self, action: Action) {
        self.steps.push(Step { action, events: Vec::new() });
    }

    /// Adds a step that tells `event` once it has succeeded.
    pub fn act_and_tell(&mut self, action: Action, event: Event) {
        self.steps.push(Step { action, events: vec![event] });
    }
}
