//! EndpointSlices: which of a pod's endpoints serve, and up to which version that is known.

use cafe_planner::{Text, identity::Uid};

use super::{Kind, Owner, SliceRecord, World};
use crate::observe::{
    records::{self, Targets, resource_version},
    slim::SliceObject,
};

impl World {
    /// Takes in an EndpointSlice.
    #[allow(clippy::needless_pass_by_value, reason = "one signature for all kinds")]
    pub(crate) fn see_slice(&mut self, object: SliceObject) {
        let Some((uid, targets)) = records::slice(&object) else { return };
        let rv = resource_version(&object.metadata.0);
        let old = self.slices.get(&uid);
        if old.is_some_and(|old| old.rv > rv) {
            return;
        }
        let before = self.slices.remove(&uid).map(|s| s.targets).unwrap_or_default();
        self.count_endpoints(&before, &targets);
        let namespace = self.interner.text(object.metadata.0.namespace.as_deref().unwrap_or_default());
        self.slices.insert(uid, SliceRecord { rv, namespace, targets });
    }

    /// Moves the endpoint figures from what a slice said to what it says, and marks the sets whose pods changed.
    pub(super) fn count_endpoints(&mut self, before: &Targets, after: &Targets) {
        if before == after {
            return;
        }
        let mut touched: Vec<Uid> = Vec::new();
        for ((pod, serving), step) in before.iter().map(|e| (e, false)).chain(after.iter().map(|e| (e, true)))
        {
            let figures = match self.pods.get_mut(pod) {
                Some(record) => &mut record.endpoints,
                None => self.foreign_endpoints.entry(pod).or_default(),
            };
            let add = |n: u32, by: u32| if step { n.saturating_add(by) } else { n.saturating_sub(by) };
            figures.listed = add(figures.listed, 1);
            figures.serving = add(figures.serving, u32::from(serving));
            touched.push(pod);
        }
        touched.sort_unstable();
        touched.dedup();
        for pod in touched {
            if let Some(record) = self.pods.get(pod) {
                self.dirty.insert(Owner::Set(record.family.set));
            } else if self.foreign_endpoints.get(&pod).is_some_and(|e| e.listed == 0) {
                self.foreign_endpoints.remove(&pod);
            }
        }
    }

    /// The newest version that the watch of EndpointSlices in a namespace has told of.
    pub(crate) fn newest_slice(&self, namespace: &Text) -> u64 {
        self.relists.height(Kind::Slice, namespace)
    }

    /// How many lists of EndpointSlices have begun.
    pub(crate) fn slice_lists(&self) -> u64 {
        self.relists.slice_lists()
    }

    /// Whether the EndpointSlices of a namespace are known as they were when a list of version `listed` told of these, or later. A watch
    /// tells of them in the order in which they changed, a list in any: in the middle of it an endpoint that moves between two may be
    /// in neither.
    pub(crate) fn holds_slices(&self, namespace: &Text, listed: u64, slices: &[(Uid, u64)]) -> bool {
        let holds =
            |(uid, version): &(Uid, u64)| self.slices.get(uid).is_some_and(|held| held.rv >= *version);
        let is_past = self.newest_slice(namespace) >= listed;
        (is_past || slices.iter().all(holds)) && !self.relists.is_under_way(Kind::Slice, namespace)
    }

    /// Whether a list of version `listed` shows one of these EndpointSlices as it was before what is known of it, although that is not
    /// newer than the list: it was made from another history.
    pub(crate) fn contradicts(&self, listed: u64, slices: &[(Uid, u64)]) -> bool {
        let held = |uid| self.slices.get(uid).map_or(0, |slice| slice.rv);
        slices.iter().any(|(uid, version)| *version < held(uid) && held(uid) <= listed)
    }

    /// Whether this pod is known, and no endpoint that stands in the way of a drain by its InPlaceSet targets it.
    pub(crate) fn is_unserved(&self, owner: Owner, pod: Uid) -> bool {
        let Owner::Set(set) = owner else { return false };
        let (Some(set), Some(pod)) = (self.sets.get(&set), self.pods.get(pod)) else { return false };
        pod.endpoints.counted_in(set.set.spec.traffic.mode).serving == 0
    }
}
