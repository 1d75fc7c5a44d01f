//! The pods by their uids. Each record holds its own uid: a map would hold it twice, and half as much room again for nothing.

use std::hash::BuildHasher;

use cafe_planner::identity::Uid;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::PodRecord;

/// Pods by uid.
#[derive(Debug, Default)]
pub(crate) struct Pods {
    /// Boxed: a table has up to twice as many places as it holds, and both while it grows.
    records: HashTable<Box<PodRecord>>,
    hasher: RandomState,
}

impl Pods {
    /// The pod, if it is known.
    pub(crate) fn get(&self, uid: Uid) -> Option<&PodRecord> {
        self.records.find(self.hasher.hash_one(uid), |record| record.pod.uid == uid).map(Box::as_ref)
    }

    /// The pod, if it is known, to be changed; its uid stays.
    pub(crate) fn get_mut(&mut self, uid: Uid) -> Option<&mut PodRecord> {
        self.records.find_mut(self.hasher.hash_one(uid), |record| record.pod.uid == uid).map(Box::as_mut)
    }

    /// Whether the pod is known.
    pub(crate) fn contains(&self, uid: Uid) -> bool {
        self.get(uid).is_some()
    }

    /// Takes in a pod that is not known.
    pub(crate) fn insert(&mut self, record: PodRecord) {
        let hasher = &self.hasher;
        let hash = hasher.hash_one(record.pod.uid);
        self.records.insert_unique(hash, Box::new(record), |record| hasher.hash_one(record.pod.uid));
    }

    /// Forgets the pod.
    pub(crate) fn remove(&mut self, uid: Uid) -> Option<Box<PodRecord>> {
        let known = self.records.find_entry(self.hasher.hash_one(uid), |record| record.pod.uid == uid);
        known.ok().map(|entry| entry.remove().0)
    }

    /// How many are known.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// All pods, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &PodRecord> {
        self.records.iter().map(Box::as_ref)
    }

    /// All pods, in no order, to be changed; their uids stay.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut PodRecord> {
        self.records.iter_mut().map(Box::as_mut)
    }
}
