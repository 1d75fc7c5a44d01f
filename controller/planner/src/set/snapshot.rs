//! What the InPlaceSet planner sees.

use cafe_crds::{
    claims::ClaimRetentionPolicy,
    inplaceset::{InPlaceSetStatus, Placement, UpdateStrategy},
    names::LABEL_UNIT,
    selector::Selector,
    time::Seconds,
    traffic::Traffic,
};

use crate::{
    Text,
    bonds::{Bonds, Others},
    identity::{Digest, RevisionHash, Uid},
    pod::PodView,
    revision::Revision,
    set::claims::ClaimView,
    time::{Millis, Now},
};

/// An InPlaceSet's spec; the template is known by the digest of its content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SetSpec {
    /// Pods wanted.
    pub replicas: i32,
    /// Selector, with the unit's label when it has an owner.
    pub selector: Selector,
    /// Digest of template and volume claim templates.
    pub digest: Digest,
    /// What becomes of claims that are needed no longer.
    pub claim_retention: ClaimRetentionPolicy,
    /// Seconds of readiness until available.
    pub min_ready_seconds: i32,
    /// Old revisions kept by a set that stands alone.
    pub revision_history_limit: i32,
    /// Traffic protocol.
    pub traffic: Traffic,
    /// Partition, grant, pause, base revision and group.
    pub update_strategy: UpdateStrategy,
    /// Where its pods go.
    pub placement: Option<Placement>,
    /// Pods older than this are to be replaced.
    pub restart_at: Option<Seconds>,
}

/// The annotation `cafe.dev/ceiling` of a unit's InPlaceSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ceiling {
    /// The most pods that the unit is given.
    pub pods: i32,
    /// The topology that it was made for, as a fingerprint; none when people wrote it.
    pub topology: Option<u32>,
}

/// An InPlaceSet as last seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Set {
    /// Name.
    pub name: Text,
    /// Uid.
    pub uid: Uid,
    /// Resource version this record was made from.
    pub rv: u64,
    /// `metadata.generation`.
    pub generation: i64,
    /// The CafeDeployment that controls it; none when it stands alone.
    pub owner: Option<Uid>,
    /// Being deleted.
    pub deleting: bool,
    /// The most pods that its CafeDeployment gives it.
    pub ceiling: Option<Ceiling>,
    /// Desired.
    pub spec: SetSpec,
    /// As last written by us, without `inFlight`.
    pub status: InPlaceSetStatus,
    /// `status.inFlight`, as [`super::journal::read`] takes it out.
    pub journal: Vec<Entry>,
    /// What ties it to others.
    pub bonds: Bonds,
}

/// One reservation of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry {
    /// The pod.
    pub uid: Uid,
    /// The revision it had when it was reserved.
    pub from: Option<RevisionHash>,
    /// The revision it is to have; none when it is to go.
    pub to: Option<RevisionHash>,
    /// When it was reserved.
    pub since: Seconds,
}

impl Set {
    /// The pod's reservation, by a search of the journal: a plan finds it with its pods.
    #[must_use]
    pub fn entry(&self, uid: Uid) -> Option<&Entry> {
        self.journal.binary_search_by_key(&uid, |e| e.uid).ok().and_then(|i| self.journal.get(i))
    }
}

/// One look at an InPlaceSet.
#[derive(Clone, Debug)]
pub struct Snapshot<'a> {
    /// The moment of the look.
    pub now: Now,
    /// The set.
    pub set: &'a Set,
    /// A write to the set itself is on its way.
    pub busy: bool,
    /// This process has had a write to the set acknowledged: its journal is the one in force, and no older write can land.
    pub fenced: bool,
    /// When its status was last written by this process.
    pub status_written: Option<Millis>,
    /// The revision its template is; none until the cache has it.
    pub target: Option<&'a Revision>,
    /// All revisions of its owner (or its own).
    pub revisions: &'a [&'a Revision],
    /// Its pods, in the order of their names.
    pub pods: &'a [PodView<'a>],
    /// Names and revisions of pods whose creation is on its way.
    pub creating: &'a [(Text, RevisionHash)],
    /// The claims of its places, in no particular order.
    pub claims: &'a [ClaimView<'a>],
    /// Names of claims whose creation is on its way.
    pub claiming: &'a [Text],
    /// Hashes of revisions whose names somebody else holds.
    pub held: &'a [RevisionHash],
    /// Names of pods of this set's pattern that belong to someone else.
    pub occupied: &'a [Text],
    /// No pod is to be created before this: the API server has just refused one.
    pub no_births_until: Option<Millis>,
    /// Why the API server refused the last pod, until one is created.
    pub refused: Option<&'a Text>,
    /// A live read of the EndpointSlices for this set is on its way.
    pub proving: bool,
    /// The last of them that has ended came to no verdict: it failed, or the caches did not catch up with it.
    pub unproven: bool,
    /// What is around it that is not its own.
    pub others: Others<'a>,
}

impl<'a> Snapshot<'a> {
    /// Pods kept off the target revision.
    #[must_use]
    pub fn partition(&self) -> i32 {
        let replicas = self.set.spec.replicas;
        self.set.spec.update_strategy.partition.rounded_up(replicas).clamp(0, replicas.max(0))
    }

    /// Pods that may be out of service at once. A percentage rounds down but never to nothing; a plain 0 is 0.
    #[must_use]
    pub fn grant(&self) -> i32 {
        use cafe_crds::intstr::IntOrPercent::{Int, Percent};
        match self.set.spec.update_strategy.max_unavailable {
            Int(n) => n.max(0),
            Percent(0) => 0,
            percent @ Percent(_) => percent.rounded_down(self.set.spec.replicas).max(1),
        }
    }

    /// Whether no pod is to be moved: people hold it, or an older object has a claim to such pods.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.set.spec.update_strategy.paused || self.others.overlaps.is_some()
    }

    /// The revision with this hash, if history still holds it.
    #[must_use]
    pub fn revision(&self, hash: RevisionHash) -> Option<&'a Revision> {
        self.revisions.iter().copied().find(|r| r.hash == hash)
    }

    /// The revision that partitioned pods are created from: the base its owner names, else the one that was current
    /// before the update, else the target.
    #[must_use]
    pub fn base(&self, target: &'a Revision) -> &'a Revision {
        let named = self.set.spec.update_strategy.base_revision.as_deref();
        let name = named.or(self.set.status.current_revision.as_deref());
        let found = name.and_then(|n| self.revisions.iter().copied().find(|r| *r.name == *n));
        found.filter(|r| self.selects_pods_of(r)).unwrap_or(target)
    }

    /// Whether pods of a revision are the set's. Those of another selector would be let go as soon as they were born.
    fn selects_pods_of(&self, revision: &Revision) -> bool {
        let labels = revision.facts.labels.iter().map(|(key, value)| (&**key, &**value));
        let unit = self.set.spec.placement.as_ref().map(|placement| (LABEL_UNIT, placement.unit.as_str()));
        self.set.spec.selector.matches(labels.chain(unit))
    }
}
