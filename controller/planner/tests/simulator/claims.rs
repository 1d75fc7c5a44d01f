//! PersistentVolumeClaims: the API server's part, and what must hold of places at every moment.

use cafe_crds::claims::ClaimRetention;
use cafe_planner::{
    Text,
    identity::{RevisionHash, Uid},
    set::claims::{Claim, ClaimView, claim_name},
};

use super::{Cluster, SimPod, flight::Busy};

/// A claim with what surrounds it.
#[derive(Clone, Debug)]
pub struct SimClaim {
    pub claim: Claim,
    /// Name of its set.
    pub home: Text,
}

impl Cluster {
    pub fn claims_of<'a>(&'a self, set: &str, busy: &Busy) -> Vec<ClaimView<'a>> {
        let claims = self.claims.values().filter(|c| *c.home == *set);
        claims.map(|c| ClaimView { claim: &c.claim, busy: busy.objects.contains(&c.claim.uid) }).collect()
    }

    /// Names of the claims, in order.
    pub fn claim_names(&self) -> Vec<Text> {
        let mut names: Vec<Text> = self.claims.values().map(|c| c.claim.name.clone()).collect();
        names.sort();
        names
    }

    /// Whether the scheduler finds what the pod mounts.
    pub fn has_its_claims(&self, p: &SimPod) -> bool {
        let revision = p.pod.revision.and_then(|hash| self.revisions.iter().find(|r| r.hash == hash));
        let templates = revision.map(|r| r.facts.claims.clone()).unwrap_or_default();
        templates.iter().all(|t| {
            let name = claim_name(t, &p.pod.name);
            self.claims.values().any(|c| c.claim.name == name && !c.claim.terminating)
        })
    }

    pub(super) fn create_claim(&mut self, set: Uid, name: Text, place: Text) {
        self.tally("create claim");
        if self.claims.values().any(|c| c.claim.name == name) {
            return;
        }
        let set = self.set_by_uid(set);
        let owned = set.spec.claim_retention.when_deleted == ClaimRetention::Delete;
        let (home, owners) = (set.name.clone(), if owned { vec![set.uid] } else { Vec::new() });
        let (uid, rv) = (self.next_uid(), self.next_rv());
        let claim = Claim { name, uid, rv, place, given_up: None, owners, terminating: false };
        self.claims.insert(uid, SimClaim { claim, home });
    }

    pub(super) fn write_claim(
        &mut self,
        set: Uid,
        uid: Uid,
        rv: u64,
        given_up: Option<ClaimRetention>,
        owned: bool,
    ) {
        self.tally("write claim");
        let next = self.next_rv();
        let Some(c) = self.claims.get_mut(&uid).filter(|c| c.claim.rv == rv) else { return };
        let owners = if owned { vec![set] } else { Vec::new() };
        let after = Claim { rv, given_up, owners, ..c.claim.clone() };
        assert_ne!(c.claim, after, "a write that changes nothing");
        c.claim = Claim { rv: next, ..after };
    }

    pub(super) fn delete_claim(&mut self, uid: Uid, rv: u64) {
        self.tally("delete claim");
        let Some(c) = self.claims.get(&uid).filter(|c| c.claim.rv == rv) else { return };
        let user = self.pods.values().find(|p| p.pod.name == c.claim.place);
        // A creation that a dead process has sent may have landed in between: its pod never had data.
        let uses = user.is_some_and(|p| p.pod.scheduled);
        assert!(!uses, "{} is deleted under its pod\n{}", c.claim.name, self.story());
        assert_eq!(c.claim.given_up, Some(ClaimRetention::Delete), "{}\n{}", c.claim.name, self.story());
        self.claims.remove(&uid);
    }

    /// Garbage collection of what the set owned.
    pub(super) fn claims_lose_set(&mut self, set: Uid) {
        self.claims.retain(|_, c| !c.claim.owners.contains(&set));
    }

    /// A pod is born at a place that has all its claims, and only when no other place has lost its pod.
    pub(super) fn check_claims_of_birth(&self, set: Uid, revision: RevisionHash, pod: &Text) {
        if self.landing_orphan || self.orphans {
            return;
        }
        let templates = &self.revisions.iter().find(|r| r.hash == revision).unwrap().facts.claims;
        for template in templates {
            let name = claim_name(template, pod);
            let claim = self.claims.values().map(|c| &c.claim).find(|c| c.name == name);
            let usable = claim.is_some_and(|c| c.given_up.is_none() && !c.terminating);
            assert!(usable, "{pod} of {set} is born without {name}\n{}", self.story());
        }
    }

    /// At rest the claims of every pod say that they are its own, and all others that they were given up for good.
    pub fn check_places(&self) {
        // Nobody looks after the claims of a set that is gone.
        let is_used = |c: &&SimClaim| self.sets.iter().any(|set| set.name == c.home);
        for c in self.claims.values().filter(is_used) {
            let pod = self.pods.values().find(|p| p.pod.name == c.claim.place);
            let expected = pod.is_none().then_some(ClaimRetention::Retain);
            assert_eq!(c.claim.given_up, expected, "{}\n{}", c.claim.name, self.story());
        }
        for p in self.pods.values() {
            assert!(self.has_its_claims(p), "{} has no claims\n{}", p.pod.name, self.story());
        }
    }
}
