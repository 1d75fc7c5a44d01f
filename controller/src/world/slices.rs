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
            let figures = match self.pods.get_mut(&pod) {
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
            if let Some(record) = self.pods.get(&pod) {
                self.dirty.insert(Owner::Set(record.family.set));
            } else if self.foreign_endpoints.get(&pod).is_some_and(|e| e.listed == 0) {
                self.foreign_endpoints.remove(&pod);
            }
        }
    }

    /// The newest version that was seen of the EndpointSlices in a namespace.
    pub(crate) fn newest_slice(&self, namespace: &Text) -> u64 {
        self.relists.height(Kind::Slice, namespace)
    }

    /// Whether the EndpointSlices of a namespace are known as they were when these were their versions, or later. A watch tells of them
    /// in the order in which they changed, a list in any: in the middle of it an endpoint that moves between two may be in neither.
    pub(crate) fn holds_slices(&self, namespace: &Text, slices: &[(Uid, u64)]) -> bool {
        let holds =
            |(uid, version): &(Uid, u64)| self.slices.get(uid).is_some_and(|held| held.rv >= *version);
        slices.iter().all(holds) && !self.relists.is_under_way(Kind::Slice, namespace)
    }

    /// Whether this pod is known, and no endpoint that stands in the way of a drain by its InPlaceSet targets it.
    pub(crate) fn is_unserved(&self, owner: Owner, pod: Uid) -> bool {
        let Owner::Set(set) = owner else { return false };
        let (Some(set), Some(pod)) = (self.sets.get(&set), self.pods.get(&pod)) else { return false };
        pod.endpoints.counted_in(set.set.spec.traffic.mode).serving == 0
    }
}
