//! From the other kinds' JSON to their records.

use std::collections::BTreeMap;

use cafe_crds::{
    claims::ClaimRetention,
    names::{
        ANNOTATION_CEILING, ANNOTATION_CEILING_TOPOLOGY, ANNOTATION_OLDER_REVISIONS, ANNOTATION_OUTCOME,
        FINALIZER_DRAIN, FINALIZER_FOREGROUND, FINALIZER_ORPHAN, LABEL_PLACE, LABEL_SCALED_IN, LABEL_SET,
        PREFIX,
    },
    time::Seconds,
};
use cafe_planner::{
    bonds::{Bonds, Kin, Orphan},
    deployment::{Chronicle, Deployment, DeploymentSpec},
    identity::{Digest, RevisionHash, Uid},
    revision::{Outcome, Revision},
    set::{Ceiling, Set, SetSpec, claims::Claim, journal},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};

use super::{
    Interner, authors,
    content::{Content, Contents},
    pod::controller,
    slim::{
        ClaimObject, DeploymentObject, Endpoint, ReleaseObject, RevisionObject, SetObject, SignedMeta,
        SliceObject, SliceVersion,
    },
};

/// The resource version as a number: they are compared only within one kind.
pub(crate) fn resource_version(meta: &ObjectMeta) -> u64 {
    meta.resource_version.as_deref().and_then(|rv| rv.parse().ok()).unwrap_or_default()
}

/// A Kubernetes time in whole seconds.
pub(crate) fn seconds(time: Option<&Time>) -> Seconds {
    Seconds(time.map_or(0, |t| t.0.as_second()))
}

/// Name and uid, without which an object is of no use.
fn identity(meta: &ObjectMeta) -> Option<(&str, Uid)> {
    Some((meta.name.as_deref()?, meta.uid.as_deref()?.parse().ok()?))
}

/// What ties an object to others.
fn bonds(meta: &ObjectMeta, edited_by: Option<cafe_planner::Text>) -> Bonds {
    let finalizers = meta.finalizers.as_deref().unwrap_or_default();
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    Bonds {
        drain: finalizers.iter().position(|f| f == FINALIZER_DRAIN),
        orphans: finalizers.iter().any(|f| f == FINALIZER_ORPHAN),
        foreground: finalizers.iter().any(|f| f == FINALIZER_FOREGROUND),
        owned: !owners.is_empty(),
        edited_by,
    }
}

/// The record of a CafeDeployment.
pub(crate) fn deployment(
    object: DeploymentObject,
    contents: &mut Contents,
    trusts_stamps: bool,
) -> Option<(Deployment, std::sync::Arc<Content>)> {
    let SignedMeta(meta, claimed) = object.metadata;
    let (name, uid) = identity(&meta)?;
    let spec = object.spec;
    let authors = if trusts_stamps {
        authors::seen(claimed, meta.annotations.as_ref(), spec.release.as_ref())
    } else {
        claimed
    };
    let (digest, content) =
        contents.store(Content { template: spec.template, claims: spec.volume_claim_templates });
    let deployment = Deployment {
        name: name.into(),
        namespace: meta.namespace.as_deref()?.into(),
        uid,
        rv: resource_version(&meta),
        generation: meta.generation.unwrap_or_default(),
        deleting: meta.deletion_timestamp.is_some(),
        spec: DeploymentSpec {
            replicas: spec.replicas,
            selector: spec.selector,
            digest,
            claim_retention: spec.persistent_volume_claim_retention_policy,
            min_ready_seconds: spec.min_ready_seconds,
            history_limit: spec.history_limit,
            strategy: spec.strategy,
            topology: spec.topology,
            traffic: spec.traffic,
            release: spec.release,
            restart_at: spec.restart_at,
        },
        status: object.status.unwrap_or_default(),
        bonds: bonds(&meta, None),
        authors,
    };
    Some((deployment, content))
}

/// The record of an InPlaceSet, with its namespace.
pub(crate) fn set(
    object: SetObject,
    contents: &mut Contents,
    interner: &mut Interner,
) -> Option<(Set, cafe_planner::Text, std::sync::Arc<Content>)> {
    let meta = &object.metadata.0;
    let edited_by = object.metadata.1.clone();
    let (name, uid) = identity(meta)?;
    let namespace = interner.text(meta.namespace.as_deref()?);
    let spec = object.spec;
    let (digest, content) =
        contents.store(Content { template: spec.template, claims: spec.volume_claim_templates });
    let mut status = object.status.unwrap_or_default();
    let journal = journal::read(&mut status);
    let set = Set {
        name: name.into(),
        uid,
        rv: resource_version(meta),
        generation: meta.generation.unwrap_or_default(),
        owner: controller(meta, "CafeDeployment"),
        deleting: meta.deletion_timestamp.is_some(),
        ceiling: ceiling(meta),
        spec: SetSpec {
            replicas: spec.replicas,
            selector: spec.selector,
            digest,
            claim_retention: spec.persistent_volume_claim_retention_policy,
            min_ready_seconds: spec.min_ready_seconds,
            revision_history_limit: spec.revision_history_limit,
            traffic: spec.traffic,
            update_strategy: spec.update_strategy,
            placement: spec.placement,
            restart_at: spec.restart_at,
        },
        journal,
        status,
        bonds: bonds(meta, edited_by),
    };
    Some((set, namespace, content))
}

/// The annotation by which a unit is capped. What is no number counts as none.
fn ceiling(meta: &ObjectMeta) -> Option<Ceiling> {
    let annotation = |key: &str| meta.annotations.as_ref().and_then(|a| a.get(key));
    let pods = annotation(ANNOTATION_CEILING)?.trim().parse().ok().filter(|pods| *pods >= 0)?;
    let topology = annotation(ANNOTATION_CEILING_TOPOLOGY);
    Some(Ceiling { pods, topology: topology.map(|print| u32::from_str_radix(print, 16).unwrap_or_default()) })
}

/// A ControllerRevision or CafeRelease that nobody owns, by the name of who made it.
pub(crate) struct Kindred {
    /// Namespace and name of the CafeDeployment or InPlaceSet that made it.
    pub(crate) maker: (String, String),
    /// The object.
    pub(crate) orphan: Orphan,
    /// The labels of pods of a revision.
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

/// The hash of a revision stands in its name, which nobody can change: `<owner>-<hash>`.
fn named(name: &str) -> Option<(&str, RevisionHash)> {
    let (owner, hash) = name.rsplit_once('-')?;
    Some((owner, hash.parse().ok()?))
}

/// A ControllerRevision that nobody owns, if its name is that of its content.
pub(crate) fn orphaned_revision(object: &RevisionObject) -> Option<Kindred> {
    let meta = &object.metadata.0;
    let (name, uid) = identity(meta)?;
    let (maker, hash) = named(name)?;
    if meta.owner_references.as_ref().is_some_and(|owners| !owners.is_empty())
        || meta.deletion_timestamp.is_some()
    {
        return None;
    }
    let content = Content::from_data(object.data.clone());
    let digest = content.digest();
    (0..MOST_COLLISIONS).any(|c| RevisionHash::of(digest, c) == hash).then_some(())?;
    let maker = (meta.namespace.clone()?, maker.to_owned());
    let orphan = Orphan { kind: Kin::Revision, name: name.into(), uid, rv: resource_version(meta) };
    Some(Kindred { maker, orphan, labels: Some(content.labels()) })
}

/// A CafeRelease that nobody owns.
pub(crate) fn orphaned_release(object: &ReleaseObject) -> Option<Kindred> {
    let meta = &object.metadata.0;
    let (name, uid) = identity(meta)?;
    let (maker, number) = name.rsplit_once('-')?;
    if meta.owner_references.as_ref().is_some_and(|owners| !owners.is_empty())
        || meta.deletion_timestamp.is_some()
    {
        return None;
    }
    (number.parse() == Ok(object.spec.revision)).then_some(())?;
    let maker = (meta.namespace.clone()?, maker.to_owned());
    let orphan = Orphan { kind: Kin::Release, name: name.into(), uid, rv: resource_version(meta) };
    Some(Kindred { maker, orphan, labels: None })
}

/// How often a hash that met another content is taken to have been moved aside, at most.
const MOST_COLLISIONS: u32 = 8;

/// The record of a ControllerRevision of ours, with its owner.
pub(crate) fn revision(
    object: RevisionObject,
    contents: &mut Contents,
    interner: &mut Interner,
) -> Option<(Revision, Uid, std::sync::Arc<Content>)> {
    let meta = &object.metadata.0;
    let (name, uid) = identity(meta)?;
    let owner = controller(meta, "CafeDeployment").or_else(|| controller(meta, "InPlaceSet"))?;
    let annotation = |key: &str| meta.annotations.as_ref().and_then(|a| a.get(key));
    let (_, hash) = named(name)?;
    let older = annotation(ANNOTATION_OLDER_REVISIONS).map_or("", String::as_str);
    let (digest, content): (Digest, _) = contents.store(Content::from_data(object.data));
    let revision = Revision {
        name: name.into(),
        uid,
        rv: resource_version(meta),
        number: object.revision,
        older: older.split(',').filter_map(|n| n.trim().parse().ok()).collect(),
        hash,
        digest,
        outcome: annotation(ANNOTATION_OUTCOME).and_then(|o| Outcome::parse(o)),
        busy: false,
        facts: content.facts(interner),
    };
    Some((revision, owner, content))
}

/// The record of a CafeRelease, with its owner.
pub(crate) fn chronicle(object: ReleaseObject) -> Option<(Chronicle, Uid)> {
    let meta = &object.metadata.0;
    let (name, uid) = identity(meta)?;
    let owner = controller(meta, "CafeDeployment")?;
    let chronicle = Chronicle {
        name: name.into(),
        uid,
        rv: resource_version(meta),
        busy: false,
        spec: object.spec,
        status: object.status,
    };
    Some((chronicle, owner))
}

/// The record of a claim, with its namespace and the name of its set.
pub(crate) fn claim(
    object: &ClaimObject,
    interner: &mut Interner,
) -> Option<(Claim, cafe_planner::Text, cafe_planner::Text)> {
    let meta = &object.metadata.0;
    let (name, uid) = identity(meta)?;
    let label = |key: &str| meta.labels.as_ref().and_then(|l| l.get(key));
    let (set, place) = (label(LABEL_SET)?, label(LABEL_PLACE)?);
    let given_up = label(LABEL_SCALED_IN).map(|word| ClaimRetention::parse(word));
    let is_set = |o: &&OwnerReference| o.kind == "InPlaceSet" && o.api_version.starts_with(PREFIX);
    let references = meta.owner_references.iter().flatten().filter(is_set);
    let mut owners: Vec<Uid> = references.filter_map(|o| o.uid.parse().ok()).collect();
    owners.sort_unstable();
    let claim = Claim {
        name: name.into(),
        uid,
        rv: resource_version(meta),
        place: format!("{set}-{place}").into(),
        given_up,
        owners,
        terminating: meta.deletion_timestamp.is_some(),
    };
    Some((claim, interner.text(meta.namespace.as_deref()?), interner.text(set)))
}

/// The pods that a slice targets, those first that it serves.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Targets {
    pods: Box<[Uid]>,
    serving: usize,
}

impl Targets {
    /// Each target, and whether it is served.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Uid, bool)> {
        self.pods.iter().enumerate().map(|(at, pod)| (*pod, at < self.serving))
    }
}

/// What a slice targets.
pub(crate) fn slice(object: &SliceObject) -> Option<(Uid, Targets)> {
    let (_, uid) = identity(&object.metadata.0)?;
    let endpoints = object.endpoints.as_deref().unwrap_or_default();
    let pod = |e: &Endpoint| e.target_ref.as_ref()?.uid.as_deref()?.parse().ok();
    let those =
        |serves: bool| endpoints.iter().filter(move |e| e.conditions.serves() == serves).filter_map(pod);
    let mut pods: Vec<Uid> = those(true).collect();
    let serving = pods.len();
    pods.extend(those(false));
    Some((uid, Targets { pods: pods.into(), serving }))
}

/// Which slice it is, and its version.
pub(crate) fn slice_version(slice: &SliceVersion) -> Option<(Uid, u64)> {
    let meta = &slice.metadata.0;
    Some((identity(meta)?.1, resource_version(meta)))
}
