//! PersistentVolumeClaims in the world. They are found by the name of their InPlaceSet, since they outlive it.

use cafe_planner::{Text, set::claims::ClaimView};

use super::{ClaimRecord, Kind, Owner, SetRecord, World, fold};
use crate::observe::{records, slim::ClaimObject};

impl World {
    /// The claims of a set.
    pub(super) fn claims_of(&self, set: &SetRecord) -> impl Iterator<Item = ClaimView<'_>> {
        let uids = self.claims_of.get(&(set.namespace.clone(), set.set.name.clone()));
        let records = uids.into_iter().flatten().filter_map(|uid| self.claims.get(uid));
        records.map(|r| ClaimView { claim: &r.claim, busy: self.writes.is_busy(r.claim.uid) })
    }

    /// Whether there is a claim of this name that is one of the set's.
    pub(crate) fn has_claim(&self, set: cafe_planner::identity::Uid, name: &str) -> bool {
        let set = self.sets.get(&set);
        set.is_some_and(|set| self.claims_of(set).any(|view| *view.claim.name == *name))
    }

    /// Takes in a claim.
    #[allow(clippy::needless_pass_by_value, reason = "one signature for all kinds")]
    pub(crate) fn see_claim(&mut self, object: ClaimObject) {
        let known = fold::uid_of(&object.metadata.0).filter(|uid| self.claims.contains_key(uid));
        let Some((claim, namespace, set)) = records::claim(&object, &mut self.interner) else {
            // No longer ours.
            if let Some(uid) = known {
                self.remove(Kind::Claim, uid);
            }
            return;
        };
        let uid = claim.uid;
        if self.claims.get(&uid).is_some_and(|old| old.claim.rv > claim.rv) {
            return;
        }
        self.writes.saw(uid, claim.rv);
        let home = (namespace, set);
        if let Some(old) = self.claims.get(&uid).map(|r| r.home.clone()).filter(|old| *old != home) {
            self.unlink_claim(&old, uid);
        }
        self.claims_of.entry(home.clone()).or_default().insert(uid);
        self.mark_claimant(&home);
        self.claims.insert(uid, ClaimRecord { claim, home });
    }

    pub(super) fn remove_claim(&mut self, uid: cafe_planner::identity::Uid) {
        if let Some(record) = self.claims.remove(&uid) {
            self.unlink_claim(&record.home, uid);
        }
    }

    fn unlink_claim(&mut self, home: &(Text, Text), uid: cafe_planner::identity::Uid) {
        if let Some(members) = self.claims_of.get_mut(home) {
            members.remove(&uid);
            if members.is_empty() {
                self.claims_of.remove(home);
            }
        }
        self.mark_claimant(home);
    }

    /// The set that uses the claim is planned again, if it exists.
    fn mark_claimant(&mut self, home: &(Text, Text)) {
        if let Some(set) = self.set_names.get(home) {
            self.dirty.insert(Owner::Set(*set));
        }
    }
}
