//! The pods of each InPlaceSet, in the order of their names: planners want them so, and comparing names anew for each plan was a sixth
//! of it.

use cafe_planner::{Text, identity::Uid};
use foldhash::HashMap;

use super::pods::Pods;

/// Uids of pods by that of their set.
#[derive(Debug, Default)]
pub(super) struct Members(HashMap<Uid, Vec<Uid>>);

impl Members {
    /// The pods of the set.
    pub(super) fn of(&self, set: Uid) -> &[Uid] {
        self.0.get(&set).map(Vec::as_slice).unwrap_or_default()
    }

    /// The pod belongs to the set from now on; all its other pods are in `pods`.
    pub(super) fn insert(&mut self, pods: &Pods, set: Uid, name: &Text, uid: Uid) {
        let members = self.0.entry(set).or_default();
        if let Err(at) = place(members, pods, name, uid) {
            members.insert(at, uid);
        }
    }

    /// The pod no longer belongs to the set.
    pub(super) fn remove(&mut self, pods: &Pods, set: Uid, name: &Text, uid: Uid) {
        let Some(members) = self.0.get_mut(&set) else { return };
        if let Ok(at) = place(members, pods, name, uid) {
            members.remove(at);
        }
        if members.is_empty() {
            self.0.remove(&set);
        }
    }

    /// Whether the set has a pod of this name.
    pub(super) fn has(&self, pods: &Pods, set: Uid, name: &str) -> bool {
        let members = self.of(set);
        let from =
            members.partition_point(|uid| pods.get(*uid).is_some_and(|record| *record.pod.name < *name));
        members.get(from).and_then(|uid| pods.get(*uid)).is_some_and(|record| *record.pod.name == *name)
    }
}

/// Where the pod is, or belongs. While one is deleted and its successor is there already, two have the same name.
fn place(members: &[Uid], pods: &Pods, name: &Text, uid: Uid) -> Result<usize, usize> {
    members.binary_search_by(|other| {
        let known = pods.get(*other).map(|record| &record.pod.name);
        // The pod itself may not be there yet, or any more.
        known.unwrap_or(name).cmp(name).then_with(|| other.cmp(&uid))
    })
}
