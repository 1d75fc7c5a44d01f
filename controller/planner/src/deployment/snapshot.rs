//! What the CafeDeployment planner sees.

use cafe_crds::{
    claims::ClaimRetentionPolicy,
    deployment::{CafeDeploymentStatus, ReleaseControls, ReleaseStatus, Strategy, Topology, UnitType},
    names::DEFAULT_UNIT,
    selector::Selector,
    time::Seconds,
    traffic::Traffic,
};

use crate::{
    Text,
    bonds::{Bonds, Others},
    deployment::Chronicle,
    identity::{Digest, RevisionHash, Uid},
    revision::Revision,
    set::{Census, Set, drain::Held},
    time::{Millis, Now},
};

/// A CafeDeployment's spec; the template is known by the digest of its content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeploymentSpec {
    /// Pods over all units.
    pub replicas: i32,
    /// Selector.
    pub selector: Selector,
    /// Digest of template and volume claim templates.
    pub digest: Digest,
    /// What becomes of claims that are needed no longer.
    pub claim_retention: ClaimRetentionPolicy,
    /// Seconds of readiness until available.
    pub min_ready_seconds: i32,
    /// Old revisions kept.
    pub history_limit: i32,
    /// How to release.
    pub strategy: Strategy,
    /// Where to run.
    pub topology: Topology,
    /// Traffic protocol.
    pub traffic: Traffic,
    /// What people ask of the release in hand.
    pub release: Option<ReleaseControls>,
    /// Pods older than this are to be replaced.
    pub restart_at: Option<Seconds>,
}

/// Who wrote the template and the orders of a spec, in words for people: a user that the admission webhook has seen, or
/// `field manager NAME`, which is what the client calls itself and no proof.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Authors {
    /// Of the template.
    pub template: Option<Text>,
    /// Of `spec.release.confirm`.
    pub confirm: Option<Text>,
    /// Of `spec.release.abort`.
    pub abort: Option<Text>,
    /// Of `spec.release.retry`.
    pub retry: Option<Text>,
    /// Of `spec.release.rollback`.
    pub rollback: Option<Text>,
}

/// A CafeDeployment as last seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Deployment {
    /// Name.
    pub name: Text,
    /// Namespace.
    pub namespace: Text,
    /// Uid.
    pub uid: Uid,
    /// Resource version this record was made from.
    pub rv: u64,
    /// `metadata.generation`.
    pub generation: i64,
    /// Being deleted.
    pub deleting: bool,
    /// Desired.
    pub spec: DeploymentSpec,
    /// As last written by us.
    pub status: CafeDeploymentStatus,
    /// Who wrote what is in the spec.
    pub authors: Authors,
    /// What ties it to others.
    pub bonds: Bonds,
}

/// An InPlaceSet of the CafeDeployment with its pods in figures.
#[derive(Clone, Copy, Debug)]
pub struct UnitView<'a> {
    /// The set.
    pub set: &'a Set,
    /// Its pods in figures.
    pub census: &'a Census,
    /// A write to it is on its way.
    pub busy: bool,
    /// This process has had a write to it acknowledged, so no older write can land on it any more.
    pub fenced: bool,
}

/// The nodes that carry the label value of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UnitNodes {
    /// The unit.
    pub unit: Text,
    /// Its nodes.
    pub nodes: u32,
    /// Of these, the Ready ones.
    pub ready: u32,
    /// Since when at least half of them have been Ready without a break; 1970 where that does not hold, or there is no node.
    pub settled: Seconds,
}

/// One look at a CafeDeployment.
#[derive(Clone, Debug)]
pub struct Snapshot<'a> {
    /// The moment of the look.
    pub now: Now,
    /// The CafeDeployment.
    pub deployment: &'a Deployment,
    /// A write to it, or the creation of something for it, is on its way.
    pub busy: bool,
    /// When its status was last written by this process.
    pub status_written: Option<Millis>,
    /// Its ControllerRevisions.
    pub revisions: &'a [&'a Revision],
    /// Its InPlaceSets.
    pub units: &'a [UnitView<'a>],
    /// Its CafeReleases.
    pub chronicles: &'a [&'a Chronicle],
    /// The creation of a CafeRelease is on its way.
    pub chronicling: bool,
    /// No CafeRelease is to be written before this: the API server has refused one.
    pub no_chronicles_until: Option<Millis>,
    /// Hashes of revisions whose names somebody else holds.
    pub held: &'a [RevisionHash],
    /// What tells its topology apart from others: see [`fingerprint`](crate::deployment::ceiling::fingerprint).
    pub topology: u32,
    /// Names of InPlaceSets in its namespace that belong to someone else.
    pub taken: &'a [Text],
    /// The nodes of each unit, in order. Nothing is known of the nodes of a unit that is not here: it has no placement, or nodes
    /// are not watched.
    pub nodes: &'a [UnitNodes],
    /// The controller may not read nodes, so it knows of none: an outage cannot be told from a lack of room.
    pub blind: bool,
    /// What is around it that is not its own.
    pub others: Others<'a>,
}

impl<'a> Snapshot<'a> {
    /// The units, in order.
    #[must_use]
    pub fn unit_names(&self) -> Vec<&'a str> {
        let topology = &self.deployment.spec.topology;
        if topology.unit_type == UnitType::None {
            vec![DEFAULT_UNIT]
        } else {
            topology.values.iter().map(String::as_str).collect()
        }
    }

    /// The InPlaceSet of a unit.
    #[must_use]
    pub fn unit(&self, name: &str) -> Option<&'a UnitView<'a>> {
        self.units.iter().find(|u| unit_of(u.set) == name)
    }

    /// The release as the status has it.
    #[must_use]
    pub fn stored(&self) -> Option<&'a ReleaseStatus> {
        self.deployment.status.release.as_ref()
    }

    /// The revision that holds this number, or held it in an earlier life.
    #[must_use]
    pub fn revision(&self, number: i64) -> Option<&'a Revision> {
        self.revisions.iter().copied().find(|r| r.answers_to(number))
    }

    /// Pods that may be out of service at once, over all units: rounded down, but at least one.
    #[must_use]
    pub fn budget(&self) -> i32 {
        self.budget_of(self.deployment.spec.replicas)
    }

    /// The same, when there are to be so many pods for now.
    #[must_use]
    pub fn budget_of(&self, replicas: i32) -> i32 {
        self.deployment.spec.strategy.max_unavailable.rounded_down(replicas).max(1)
    }

    /// The first drain, by pod name, that takes too long.
    #[must_use]
    pub fn held_drain(&self) -> Option<&'a Held> {
        self.units.iter().filter_map(|u| u.census.held.as_ref()).min()
    }

    /// Whether pods are still there that `spec.restartAt` asks to be replaced, by now. The pods themselves tell: the sets hear
    /// of a restart only when the release has ended, and later than the status.
    #[must_use]
    pub fn awaits_restart(&self) -> bool {
        let at = self.deployment.spec.restart_at.filter(|at| *at <= self.now.wall);
        at.is_some_and(|at| self.units.iter().any(|u| u.census.oldest.is_some_and(|oldest| oldest < at)))
    }

    /// The release is held: by `spec.strategy.pause`, or because an older object has a claim to such pods.
    #[must_use]
    pub fn paused(&self) -> bool {
        self.deployment.spec.strategy.pause == Some(true) || self.others.overlaps.is_some()
    }
}

/// The unit an InPlaceSet was made for.
#[must_use]
pub fn unit_of(set: &Set) -> &str {
    set.spec.placement.as_ref().map_or(DEFAULT_UNIT, |p| p.unit.as_str())
}
