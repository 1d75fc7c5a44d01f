//! CafeReleases in the world. Of a record that has ended only what may still change is kept in memory, but for the newest.

use cafe_planner::{deployment::Chronicle, identity::Uid};

use super::{ChronicleRecord, Owner, World, fold};
use crate::observe::{records, slim::ReleaseObject};

impl World {
    /// The CafeReleases of a CafeDeployment.
    pub(crate) fn chronicles_of(&self, owner: Uid) -> impl Iterator<Item = &Chronicle> {
        let uids = self.chronicles_of.get(&owner).into_iter().flatten();
        uids.filter_map(|uid| self.chronicles.get(uid)).map(|record| &record.chronicle)
    }

    /// Takes in a CafeRelease.
    pub(crate) fn see_chronicle(&mut self, object: ReleaseObject) {
        let (uid, rv) = (fold::uid_of(&object.metadata.0), records::resource_version(&object.metadata.0));
        let known = uid.filter(|uid| self.chronicles.contains_key(uid));
        let namespace = object.metadata.0.namespace.clone().unwrap_or_default();
        let kindred = records::orphaned_release(&object);
        let Some((chronicle, owner)) = records::chronicle(object) else {
            // No longer ours.
            if let Some(uid) = known {
                self.remove_chronicle(uid);
            }
            self.see_foreign(uid, rv, kindred);
            return;
        };
        let uid = chronicle.uid;
        if self.orphans.resource_version(uid).is_some_and(|known| known > chronicle.rv) {
            return;
        }
        self.lose_orphan(uid);
        if self.chronicles.get(&uid).is_some_and(|old| old.chronicle.rv > chronicle.rv) {
            return;
        }
        self.writes.saw(uid, chronicle.rv);
        let namespace = self.interner.text(&namespace);
        self.chronicles_of.entry(owner).or_default().insert(uid);
        self.chronicles.insert(uid, ChronicleRecord { chronicle, owner, namespace });
        self.slim_chronicles(owner);
        self.mark(Owner::Deployment(owner));
    }

    /// Forgets the details of what has ended, but for the newest.
    fn slim_chronicles(&mut self, owner: Uid) {
        let newest = self.chronicles_of(owner).map(|c| c.spec.revision).max();
        for uid in self.chronicles_of.get(&owner).into_iter().flatten() {
            let Some(record) = self.chronicles.get_mut(uid) else { continue };
            let Chronicle { spec, status, .. } = &mut record.chronicle;
            if status.is_ended() && Some(spec.revision) != newest {
                spec.images = Vec::new();
                status.groups = Vec::new();
                status.incidents = Vec::new();
            }
        }
    }

    pub(super) fn remove_chronicle(&mut self, uid: Uid) {
        if let Some(record) = self.chronicles.remove(&uid) {
            fold::unlink(&mut self.chronicles_of, record.owner, uid);
            self.mark(Owner::Deployment(record.owner));
        }
    }
}
