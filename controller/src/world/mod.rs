//! The world: every object as a small record, indexed by its owner, owned by one thread.
//!
//! [`fold`](World::fold) takes frames in, [`plan`] looks out of it through a planner, [`writes`] keeps account of what
//! is on its way. Each change marks the owners it concerns; only those are planned again.

mod chronicles;
mod claims;
mod fold;
mod members;
mod nodes;
mod orphans;
mod overlaps;
pub(crate) mod plan;
mod pods;
pub(crate) mod refusals;
mod relist;
mod remove;
mod slices;
#[cfg(test)]
mod tests;
pub(crate) mod writes;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use cafe_planner::{
    Text,
    deployment::{Chronicle, Deployment},
    identity::{Op, RevisionHash, Uid},
    pod::{Endpoints, Pod},
    revision::Revision,
    set::{Census, Set, claims::Claim},
    time::Millis,
};

use foldhash::{HashMap, HashSet};

use crate::observe::{
    Family, Interner,
    content::{Content, Contents},
    records::Targets,
};
use members::Members;
use nodes::Nodes;
use orphans::Orphans;
use overlaps::Overlaps;
use pods::Pods;
use refusals::Refusals;
use relist::Relists;
use writes::Writes;

/// An object with a planner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// An InPlaceSet. First: what it finds out about its pods is what its CafeDeployment decides on.
    Set(Uid),
    /// A CafeDeployment.
    Deployment(Uid),
}

/// The kinds in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// CafeDeployments.
    Deployment,
    /// InPlaceSets.
    Set,
    /// CafeReleases.
    Release,
    /// ControllerRevisions.
    Revision,
    /// Pods.
    Pod,
    /// EndpointSlices.
    Slice,
    /// Nodes.
    Node,
    /// PersistentVolumeClaims.
    Claim,
}

impl Kind {
    /// All kinds.
    pub(crate) const ALL: [Self; 8] = [
        Self::Deployment,
        Self::Set,
        Self::Release,
        Self::Revision,
        Self::Pod,
        Self::Slice,
        Self::Node,
        Self::Claim,
    ];

    /// Resource name, as in paths and metrics.
    pub(crate) fn resource(self) -> &'static str {
        match self {
            Self::Deployment => "cafedeployments",
            Self::Set => "inplacesets",
            Self::Release => "cafereleases",
            Self::Revision => "controllerrevisions",
            Self::Pod => "pods",
            Self::Slice => "endpointslices",
            Self::Node => "nodes",
            Self::Claim => "persistentvolumeclaims",
        }
    }
}

/// A CafeDeployment.
#[derive(Debug)]
pub(crate) struct DeploymentRecord {
    pub(crate) deployment: Deployment,
    pub(crate) content: Arc<Content>,
}

/// An InPlaceSet.
#[derive(Debug)]
pub(crate) struct SetRecord {
    pub(crate) set: Set,
    pub(crate) namespace: Text,
    /// What its template and claims are.
    pub(crate) content: Arc<Content>,
    pub(crate) census: Census,
    /// When this version of it was seen, if nobody owns it.
    sighting: u64,
}

/// A CafeRelease.
#[derive(Debug)]
pub(crate) struct ChronicleRecord {
    pub(crate) chronicle: Chronicle,
    pub(crate) owner: Uid,
    namespace: Text,
}

/// A ControllerRevision.
#[derive(Debug)]
pub(crate) struct RevisionRecord {
    pub(crate) revision: Revision,
    pub(crate) owner: Uid,
    pub(crate) namespace: Text,
    pub(crate) content: Arc<Content>,
}

/// A pod.
#[derive(Debug)]
pub(crate) struct PodRecord {
    pub(crate) pod: Pod,
    family: Arc<Family>,
    endpoints: Endpoints,
    /// This process has had a write to it acknowledged.
    fenced: bool,
}

/// A PersistentVolumeClaim.
#[derive(Debug)]
struct ClaimRecord {
    claim: Claim,
    /// Namespace and name of the set whose pods use it.
    home: (Text, Text),
}

/// An EndpointSlice.
#[derive(Debug)]
pub(crate) struct SliceRecord {
    rv: u64,
    namespace: Text,
    targets: Targets,
}

/// What this process remembers about an owner. All of it may be lost: then waits get longer, nothing else.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Names and revisions of pods being created.
    pub(crate) creating: Vec<(Text, RevisionHash)>,
    /// Names of claims being created.
    pub(crate) claiming: Vec<Text>,
    /// What the API server has refused lately.
    pub(crate) refusals: Refusals,
    /// Why it refused the last pod, until one is created.
    pub(crate) refused: Option<Text>,
    /// Names of pods that somebody else holds.
    pub(crate) occupied: Vec<Text>,
    /// Hashes of revisions whose names somebody else holds.
    pub(crate) held: Vec<RevisionHash>,
    /// Orphans seen before this sighting are no work of its own deletion: a live read has shown it alive since.
    pub(crate) confirmed: u64,
    /// That read is on its way.
    pub(crate) confirming: bool,
    /// Other objects being created for it.
    pub(crate) births: u32,
    /// A CafeRelease is being created for it.
    pub(crate) chronicling: bool,
    /// A live read for it is on its way, or answered and not yet judged.
    pub(crate) proving: bool,
    /// The last one that has ended came to no verdict.
    pub(crate) unproven: bool,
    /// When its status was last written.
    pub(crate) status_written: Option<Millis>,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// Not to be planned before this, after a failure.
    pub(crate) resting_until: Option<Millis>,
    /// Not to be planned for what its pods do before this: one plan serves much of it.
    pub(crate) pausing_until: Option<Millis>,
}

/// Everything the controller knows.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) deployments: HashMap<Uid, DeploymentRecord>,
    pub(crate) sets: HashMap<Uid, SetRecord>,
    chronicles: HashMap<Uid, ChronicleRecord>,
    pub(crate) revisions: HashMap<Uid, RevisionRecord>,
    pub(crate) pods: Pods,
    slices: HashMap<Uid, SliceRecord>,
    nodes: Nodes,
    claims: HashMap<Uid, ClaimRecord>,
    claims_of: HashMap<(Text, Text), BTreeSet<Uid>>,
    sets_of: HashMap<Uid, BTreeSet<Uid>>,
    chronicles_of: HashMap<Uid, BTreeSet<Uid>>,
    revisions_of: HashMap<Uid, BTreeSet<Uid>>,
    members: Members,
    set_names: HashMap<(Text, Text), Uid>,
    sets_in: HashMap<Text, BTreeSet<Uid>>,
    orphans: Orphans,
    overlaps: Overlaps,
    /// Endpoints of pods that have not been seen, or are nobody's here.
    foreign_endpoints: HashMap<Uid, Endpoints>,
    /// Live proofs of drains, by pod.
    proofs: HashMap<Uid, (Op, Millis)>,
    /// InPlaceSets that this process has had a write to acknowledged.
    fenced: HashSet<Uid>,
    /// Uids deleted lately, so that a late answer cannot bring one back.
    buried: VecDeque<Uid>,
    memory: HashMap<Owner, Memory>,
    /// Namespace and name of CafeDeployments that have gone since last asked.
    departed: Vec<(Text, Text)>,
    dirty: BTreeSet<Owner>,
    writes: Writes,
    relists: Relists,
    /// A webhook guards the annotation that says who wrote what.
    trusts_stamps: bool,
    /// The API server shows an older history than this process has seen.
    pub(crate) rewound: bool,
    contents: Contents,
    interner: Interner,
}

impl World {
    /// An empty world, which believes what a webhook says of authors or does not, and is told of nodes or is not.
    pub(crate) fn seeing(trusts_stamps: bool, sees_nodes: bool) -> Self {
        Self { trusts_stamps, nodes: Nodes::seen(sees_nodes), ..Self::default() }
    }

    /// The owners to be planned, emptied.
    pub(crate) fn take_dirty(&mut self) -> BTreeSet<Owner> {
        std::mem::take(&mut self.dirty)
    }

    /// Has `owner` planned again.
    pub(crate) fn mark(&mut self, owner: Owner) {
        self.dirty.insert(owner);
    }

    /// Whether any owner waits to be planned.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Has everything planned again, trusting nothing this process has done: after the claim was won.
    pub(crate) fn take_over(&mut self) {
        self.fenced.clear();
        self.pods.iter_mut().for_each(|record| record.fenced = false);
        self.proofs.clear();
        self.dirty.extend(self.sets.keys().map(|uid| Owner::Set(*uid)));
        self.dirty.extend(self.deployments.keys().map(|uid| Owner::Deployment(*uid)));
    }

    /// Namespace and name of the CafeDeployments that have gone since the last call.
    pub(crate) fn take_departed(&mut self) -> Vec<(Text, Text)> {
        std::mem::take(&mut self.departed)
    }

    /// What this process remembers about an owner.
    pub(crate) fn memory(&mut self, owner: Owner) -> &mut Memory {
        self.memory.entry(owner).or_default()
    }

    /// The content with this digest.
    pub(crate) fn content(&self, digest: cafe_planner::identity::Digest) -> Option<&Arc<Content>> {
        self.contents.get(digest)
    }

    /// The revisions of an owner (or, for a set, of its CafeDeployment).
    pub(crate) fn revisions_of(&self, owner: Uid) -> impl Iterator<Item = &RevisionRecord> {
        self.revisions_of.get(&owner).into_iter().flatten().filter_map(|uid| self.revisions.get(uid))
    }

    /// The InPlaceSets of a CafeDeployment.
    pub(crate) fn sets_of(&self, owner: Uid) -> impl Iterator<Item = &SetRecord> {
        self.sets_of.get(&owner).into_iter().flatten().filter_map(|uid| self.sets.get(uid))
    }

    /// Whether the set has a pod of this name.
    pub(crate) fn has_pod(&self, set: Uid, name: &str) -> bool {
        self.members.has(&self.pods, set, name)
    }

    /// Whether the owner has a revision with this hash.
    pub(crate) fn has_revision(&self, owner: Uid, hash: RevisionHash) -> bool {
        self.revisions_of(owner).any(|record| record.revision.hash == hash)
    }

    /// The resource version an object was last seen at.
    fn resource_version_of(&self, kind: Kind, uid: Uid) -> Option<u64> {
        match kind {
            Kind::Deployment => self.deployments.get(&uid).map(|r| r.deployment.rv),
            Kind::Set => self.sets.get(&uid).map(|r| r.set.rv),
            Kind::Release => self
                .chronicles
                .get(&uid)
                .map(|r| r.chronicle.rv)
                .or_else(|| self.orphans.resource_version(uid)),
            Kind::Revision => {
                self.revisions.get(&uid).map(|r| r.revision.rv).or_else(|| self.orphans.resource_version(uid))
            }
            Kind::Pod => self.pods.get(uid).map(|r| r.pod.rv).or_else(|| self.orphans.resource_version(uid)),
            Kind::Claim => self.claims.get(&uid).map(|r| r.claim.rv),
            // Nothing is written to them; the live read before the point of no return compares slices, and nodes only make a unit wait.
            Kind::Slice | Kind::Node => None,
        }
    }

    /// How many objects of a kind are held.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Deployment => self.deployments.len(),
            Kind::Set => self.sets.len(),
            Kind::Release => self.chronicles.len(),
            Kind::Revision => self.revisions.len(),
            Kind::Pod => self.pods.len(),
            Kind::Slice => self.slices.len(),
            Kind::Node => self.nodes.len(),
            Kind::Claim => self.claims.len(),
        }
    }

    /// Whether every watch has brought its first complete list: nothing is decided before.
    pub(crate) fn is_complete(&self, watches: usize) -> bool {
        self.relists.done() >= watches
    }

    /// Forgets what nothing uses any more: shared texts, contents, what was remembered of owners that are gone.
    pub(crate) fn sweep(&mut self) {
        self.contents.sweep();
        self.sweep_nodes();
        self.interner.sweep();
        // Endpoints may come before all their pods, and leave room for as many behind.
        if self.foreign_endpoints.len() < self.foreign_endpoints.capacity() / 4 {
            self.foreign_endpoints.shrink_to_fit();
        }
        let (sets, deployments) = (&self.sets, &self.deployments);
        self.memory.retain(|owner, _| match owner {
            Owner::Set(uid) => sets.contains_key(uid),
            Owner::Deployment(uid) => deployments.contains_key(uid),
        });
    }

    /// Objects and shared texts held, for a look at memory.
    pub(crate) fn texts(&self) -> usize {
        self.interner.len()
    }
}
