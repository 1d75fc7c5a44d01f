//! What the judge is told.

use cafe_crds::names::GROUP;

use crate::record::{Deployment, Identity, Lease, Node, Pod, Set, Slice, Text, Uid};

/// A kind of object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// CafeDeployments.
    Deployment,
    /// InPlaceSets.
    Set,
    /// Pods.
    Pod,
    /// EndpointSlices.
    Slice,
    /// Nodes.
    Node,
    /// Leases.
    Lease,
    /// ControllerRevisions.
    Revision,
    /// Events.
    Event,
    /// PersistentVolumeClaims.
    Claim,
    /// CafeReleases.
    Release,
    /// Anything else.
    #[default]
    Other,
}

impl Kind {
    /// The kind of a resource, by its API group (empty for the core group) and its plural name.
    #[must_use]
    pub fn of(group: &str, resource: &str) -> Self {
        match (group, resource) {
            (GROUP, "cafedeployments") => Self::Deployment,
            (GROUP, "inplacesets") => Self::Set,
            (GROUP, "cafereleases") => Self::Release,
            ("", "pods") => Self::Pod,
            ("", "nodes") => Self::Node,
            ("", "persistentvolumeclaims") => Self::Claim,
            ("discovery.k8s.io", "endpointslices") => Self::Slice,
            ("coordination.k8s.io", "leases") => Self::Lease,
            ("apps", "controllerrevisions") => Self::Revision,
            ("" | "events.k8s.io", "events") => Self::Event,
            _ => Self::Other,
        }
    }
}

/// What a request does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Creates an object.
    Create,
    /// Changes an object: update, patch, apply.
    #[default]
    Change,
    /// Deletes an object.
    Delete,
    /// Deletes objects by a selector.
    DeleteAll,
}

/// A request that changes something, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// When the server received it, in milliseconds of any one clock.
    pub received: i64,
    /// The client that sent it: one replica of the controller.
    pub client: Text,
    /// It is a write of the controller.
    pub ours: bool,
    /// What it does.
    pub verb: Verb,
    /// To which kind.
    pub kind: Kind,
    /// To which object. uid and version are those that its answer shows, 0 when it shows none.
    pub object: Identity,
    /// A subresource, empty for the object itself.
    pub subresource: Text,
    /// What the body shows; none when it was not recorded.
    pub body: Option<Body>,
    /// It was accepted.
    pub accepted: bool,
    /// The server gave up on it.
    pub panicked: bool,
    /// Of a lease: who holds it after this write.
    pub lease: Option<Lease>,
}

/// What the body of a request shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// The uid it is for.
    pub uid: Option<Uid>,
    /// The version it is for.
    pub version: Option<u64>,
    /// It mentions finalizers or, when it creates a pod, a protector's.
    pub finalizers: bool,
    /// It writes owner references.
    pub adopts: bool,
    /// A deletion without a grace period.
    pub forced: bool,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A version of a CafeDeployment.
    Deployment(Box<Deployment>),
    /// A version of an InPlaceSet.
    Set(Box<Set>),
    /// A version of a pod.
    Pod(Box<Pod>),
    /// A version of an EndpointSlice.
    Slice(Slice),
    /// A version of a node.
    Node(Node),
    /// An object is gone.
    Gone(Kind, Identity),
    /// A request. It comes before the version that it made.
    Write(Box<Write>),
}
