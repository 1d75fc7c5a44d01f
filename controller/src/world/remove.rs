//! Forgetting what is gone, or no longer ours.

use cafe_planner::identity::Uid;

use super::{Kind, Owner, World, fold::unlink};
use crate::observe::records::Targets;

/// Deleted uids remembered: more than there are answers on their way.
const BURIED: usize = 4096;

impl World {
    /// Forgets an object that is gone.
    pub(crate) fn remove(&mut self, kind: Kind, uid: Uid) {
        self.buried.push_back(uid);
        if self.buried.len() > BURIED {
            self.buried.pop_front();
        }
        self.writes.forget(uid);
        self.lose_orphan(uid);
        match kind {
            Kind::Deployment => {
                self.give_up_claim(uid);
                if let Some(record) = self.deployments.remove(&uid) {
                    self.departed.push((record.deployment.namespace, record.deployment.name));
                }
                self.memory.remove(&Owner::Deployment(uid));
                self.mark(Owner::Deployment(uid));
            }
            Kind::Set => self.remove_set(uid),
            Kind::Release => self.remove_chronicle(uid),
            Kind::Revision => self.forget_revision(uid),
            Kind::Pod => self.forget_pod(uid),
            Kind::Slice => {
                if let Some(record) = self.slices.remove(&uid) {
                    self.count_endpoints(&record.targets, &Targets::default());
                }
            }
            Kind::Node => self.remove_node(uid),
            Kind::Claim => self.remove_claim(uid),
        }
    }

    /// The revision is no longer ours.
    pub(super) fn forget_revision(&mut self, uid: Uid) {
        if let Some(record) = self.revisions.remove(&uid) {
            unlink(&mut self.revisions_of, record.owner, uid);
            self.mark_revision_owner(record.owner);
        }
    }

    /// The pod is no longer ours.
    pub(super) fn forget_pod(&mut self, uid: Uid) {
        self.proofs.remove(&uid);
        if let Some(record) = self.pods.remove(uid) {
            let set = record.family.set;
            self.members.remove(&self.pods, set, &record.pod.name, uid);
            if record.endpoints.listed > 0 {
                self.foreign_endpoints.insert(uid, record.endpoints);
            }
            self.mark(Owner::Set(set));
        }
    }

    fn remove_set(&mut self, uid: Uid) {
        self.give_up_claim(uid);
        self.memory.remove(&Owner::Set(uid));
        self.fenced.remove(&uid);
        let Some(record) = self.sets.remove(&uid) else { return };
        if let Some(here) = self.sets_in.get_mut(&record.namespace) {
            here.remove(&uid);
            if here.is_empty() {
                self.sets_in.remove(&record.namespace);
            }
        }
        let key = (record.namespace.clone(), record.set.name.clone());
        if self.set_names.get(&key) == Some(&uid) {
            self.set_names.remove(&key);
        }
        self.disown_set(uid, record.set.owner);
        self.mark_those_who_want(&record.namespace, &record.set.name);
    }
}
