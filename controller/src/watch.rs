//! Every watch of the controller, one line each: this list is the table of read rights it needs.

use cafe_crds::names::LABEL_SET;
use cafe_planner::Text;
use futures::{
    StreamExt,
    stream::{BoxStream, SelectAll},
};
use kube::{
    Api, Client, Resource,
    core::{DeserializeGuard, NamespaceResourceScope},
    runtime::{
        WatchStreamExt,
        watcher::{self, Config, Event, watcher},
    },
};
use serde::de::DeserializeOwned;

use crate::observe::slim::{
    ClaimObject, DeploymentObject, NodeObject, PodObject, ReleaseObject, RevisionObject, SetObject,
    SliceObject,
};

/// One frame of one watch.
pub(crate) struct Frame {
    /// The namespace watched; none for all.
    pub(crate) scope: Option<Text>,
    /// What came.
    pub(crate) event: Observed,
}

/// What a watch brings.
#[allow(
    clippy::large_enum_variant,
    reason = "frames are folded as they come; a box would cost more than the space"
)]
pub(crate) enum Observed {
    /// A CafeDeployment.
    Deployment(Event<DeserializeGuard<DeploymentObject>>),
    /// An InPlaceSet.
    Set(Event<DeserializeGuard<SetObject>>),
    /// A CafeRelease.
    Release(Event<DeserializeGuard<ReleaseObject>>),
    /// A ControllerRevision.
    Revision(Event<RevisionObject>),
    /// A pod.
    Pod(Event<PodObject>),
    /// An EndpointSlice.
    Slice(Event<SliceObject>),
    /// A node.
    Node(Event<NodeObject>),
    /// A PersistentVolumeClaim.
    Claim(Event<ClaimObject>),
    /// The watch of this kind broke; it starts again by itself.
    Broken(&'static str, Box<watcher::Error>),
}

/// All watches, merged.
pub(crate) type Frames = SelectAll<BoxStream<'static, Frame>>;

/// Watches stay shorter than the server's own limit, so that a dead connection is noticed in about a minute.
const WATCH_SECONDS: u32 = 60;

/// What is watched.
pub(crate) struct Scope {
    /// Namespaces; all when empty.
    pub(crate) namespaces: Vec<String>,
    /// Nodes as well.
    pub(crate) nodes: bool,
}

/// Starts the watches.
pub(crate) fn all(client: &Client, scope: &Scope, streaming: bool) -> Frames {
    let mut frames = SelectAll::new();
    let places: Vec<Option<&str>> = if scope.namespaces.is_empty() {
        vec![None]
    } else {
        scope.namespaces.iter().map(|n| Some(n.as_str())).collect()
    };
    for place in places {
        frames.push(watch(client, place, streaming, "cafedeployments", Observed::Deployment));
        frames.push(watch(client, place, streaming, "inplacesets", Observed::Set));
        frames.push(watch(client, place, streaming, "cafereleases", Observed::Release));
        frames.push(watch(client, place, streaming, "controllerrevisions", Observed::Revision));
        frames.push(watch(client, place, streaming, "pods", Observed::Pod));
        frames.push(watch(client, place, streaming, "endpointslices", Observed::Slice));
        let ours = Config::default().labels(LABEL_SET);
        let claim = Observed::Claim;
        frames.push(watch_some(client, place, streaming, "persistentvolumeclaims", ours, claim));
    }
    if scope.nodes {
        let nodes = Api::all(client.clone());
        frames.push(follow(nodes, Config::default(), None, streaming, "nodes", Observed::Node));
    }
    frames
}

/// How many kinds are watched in each scope.
const NAMESPACED: usize = 7;

/// How many watches that makes.
pub(crate) fn count(scope: &Scope) -> usize {
    NAMESPACED * scope.namespaces.len().max(1) + usize::from(scope.nodes)
}

/// An object that can be watched.
trait Watched:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + std::fmt::Debug
    + DeserializeOwned
    + Send
    + 'static
{
}

impl<K> Watched for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + 'static
{
}

/// All objects of a kind.
fn watch<K: Watched>(
    client: &Client,
    scope: Option<&str>,
    streaming: bool,
    kind: &'static str,
    observed: fn(Event<K>) -> Observed,
) -> BoxStream<'static, Frame> {
    watch_some(client, scope, streaming, kind, Config::default(), observed)
}

/// The objects of a kind that `config` selects.
fn watch_some<K: Watched>(
    client: &Client,
    scope: Option<&str>,
    streaming: bool,
    kind: &'static str,
    config: Config,
    observed: fn(Event<K>) -> Observed,
) -> BoxStream<'static, Frame> {
    let api: Api<K> = match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    follow(api, config, scope, streaming, kind, observed)
}

fn follow<K>(
    api: Api<K>,
    config: Config,
    scope: Option<&str>,
    streaming: bool,
    kind: &'static str,
    observed: fn(Event<K>) -> Observed,
) -> BoxStream<'static, Frame>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    let config = config.timeout(WATCH_SECONDS);
    let config = if streaming { config.streaming_lists() } else { config };
    let frames = watcher(api, config).default_backoff();
    let scope: Option<Text> = scope.map(Into::into);
    let frame = move |event: Result<Event<K>, _>| Frame {
        scope: scope.clone(),
        event: event.map_or_else(|error| Observed::Broken(kind, Box::new(error)), observed),
    };
    frames.map(frame).boxed()
}
