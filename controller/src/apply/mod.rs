//! Carrying out actions: one API call each, on exactly the object the action was decided on.

mod chronicles;
mod claims;
mod deployments;
mod pods;
mod requests;
mod sets;

use cafe_planner::{
    Text,
    deployment::Event,
    identity::{Op, RevisionHash, Uid},
};
use kube::Client;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    client::{self, CallError, Outcome},
    observe::slim::{
        ClaimObject, DeploymentObject, PodObject, ReleaseObject, RevisionObject, SetObject, SliceVersions,
        Versioned,
    },
    tally::edges::Edge,
    world::{Kind, Owner},
};

pub(crate) use deployments::deployment_call;
pub(crate) use requests::reread;
pub(crate) use sets::set_call;

/// What a call is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An existing object, decided on at this resource version.
    Existing {
        /// Its uid.
        uid: Uid,
        /// The resource version.
        rv: u64,
    },
    /// A pod to be born.
    NewPod {
        /// Its name.
        name: Text,
        /// Its revision.
        revision: RevisionHash,
    },
    /// A claim to be born.
    NewClaim {
        /// Its name.
        name: Text,
        /// The pod that it is for.
        pod: Text,
    },
    /// A ControllerRevision to be born.
    NewRevision(RevisionHash),
    /// An InPlaceSet to be born.
    NewSet,
    /// A CafeRelease to be born.
    NewChronicle,
    /// A live read of the owner itself, begun after so many orphans had been seen.
    Confirmation {
        /// Its uid.
        uid: Uid,
        /// Orphans seen before.
        sightings: u64,
    },
    /// A live read.
    Proof {
        /// The pods and drains that it is for.
        pods: Vec<(Uid, Op)>,
        /// The newest version of an EndpointSlice that the watch had told of when it was begun.
        known: u64,
        /// How many lists of EndpointSlices had begun then.
        lists: u64,
    },
}

/// One call, ready to be sent.
#[derive(Debug)]
pub(crate) struct Call {
    /// Whom it is for.
    pub(crate) owner: Owner,
    /// What it is about.
    pub(crate) target: Target,
    /// The kind of the object.
    pub(crate) kind: Kind,
    /// Namespace of the object.
    pub(crate) namespace: Text,
    /// Name of the object (of the owner, for a live read).
    pub(crate) name: Text,
    /// The verb, as in metrics.
    pub(crate) verb: &'static str,
    /// The decision in one word, as in logs.
    pub(crate) decision: &'static str,
    /// Whether it writes the status of its owner.
    pub(crate) is_status: bool,
    /// The request.
    pub(crate) request: http::Request<Vec<u8>>,
    /// What to tell once it has succeeded.
    pub(crate) events: Vec<Event>,
    /// What to count once it has succeeded.
    pub(crate) edges: Vec<Edge>,
    /// Number of the look that decided it, as in logs; given when it is sent.
    pub(crate) look: u64,
}

/// The object that answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A CafeDeployment.
    Deployment(Box<DeploymentObject>),
    /// An InPlaceSet.
    Set(Box<SetObject>),
    /// A CafeRelease.
    Release(Box<ReleaseObject>),
    /// A ControllerRevision.
    Revision(Box<RevisionObject>),
    /// A pod.
    Pod(Box<PodObject>),
    /// A claim.
    Claim(Box<ClaimObject>),
    /// Versions of EndpointSlices.
    Slices(SliceVersions),
    /// A pod that was changed, in so far as it has this version now: what it has become is shown by the watch, which tells of it anyway.
    Changed(u64),
    /// Something that brings nothing to see: a deletion under way.
    Nothing,
}

/// Sends a call.
pub(crate) async fn send(client: &Client, call: &mut Call) -> Outcome<Answer> {
    let request = std::mem::take(&mut call.request);
    match (call.verb, call.kind) {
        ("delete", _) => receive::<Value>(client, request).await.map(|_| Answer::Nothing).into(),
        ("patch", Kind::Pod) => receive(client, request).await.map(changed).into(),
        _ => fetch(client, call.kind, request).await.into(),
    }
}

fn changed(Versioned { metadata }: Versioned) -> Answer {
    Answer::Changed(metadata.resource_version.parse().unwrap_or_default())
}

/// Sends a request that is answered by an object of `kind`.
pub(crate) async fn fetch(
    client: &Client,
    kind: Kind,
    request: http::Request<Vec<u8>>,
) -> Result<Answer, CallError> {
    match kind {
        Kind::Deployment => receive(client, request).await.map(|o| Answer::Deployment(Box::new(o))),
        Kind::Set => receive(client, request).await.map(|o| Answer::Set(Box::new(o))),
        Kind::Release => receive(client, request).await.map(|o| Answer::Release(Box::new(o))),
        Kind::Revision => receive(client, request).await.map(|o| Answer::Revision(Box::new(o))),
        Kind::Pod => receive(client, request).await.map(|o| Answer::Pod(Box::new(o))),
        Kind::Claim => receive(client, request).await.map(|o| Answer::Claim(Box::new(o))),
        Kind::Slice => receive(client, request).await.map(Answer::Slices),
        // Nothing is asked of nodes.
        Kind::Node => receive::<Value>(client, request).await.map(|_| Answer::Nothing),
    }
}

async fn receive<T: DeserializeOwned>(
    client: &Client,
    request: http::Request<Vec<u8>>,
) -> Result<T, CallError> {
    client::call(client.request::<T>(request)).await
}
