//! What is there, as far as the stream has shown.

use std::collections::{BTreeMap, HashMap};

use crate::record::{Deployment, Lease, Node, Pod, Set, Slice, Text, Uid};

use super::unit::{Tracked, Unit, Window};

/// All objects.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) deployments: BTreeMap<Uid, Application>,
    /// InPlaceSets with their pods, by the set's uid.
    pub(super) units: BTreeMap<Uid, Unit>,
    /// The set of each pod.
    pub(super) homes: HashMap<Uid, Uid>,
    /// Pods by namespace and name.
    pub(super) names: HashMap<(Text, Text), Uid>,
    pub(super) nodes: BTreeMap<Text, Node>,
    slices: HashMap<Uid, Slice>,
    endpoints: HashMap<Uid, Endpoints>,
}

/// A CafeDeployment with what was said before.
#[derive(Debug, Default)]
pub(super) struct Application {
    pub(super) now: Deployment,
    /// The largest budget since the status last spoke of the spec, and lately: what a write on its way may be about.
    pub(super) budget: i64,
    pub(super) budgets: Window<i64>,
    /// What a unit could go to before scaling lowered it, until its set has heard of that.
    pub(super) lowered: BTreeMap<Text, i64>,
    /// Writes of ours at the goal, with nothing to cause them.
    pub(super) restless: i64,
}

/// Entries of EndpointSlices for one pod.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Endpoints {
    pub(super) listed: i64,
    pub(super) serving: i64,
}

impl Endpoints {
    /// Those in the way of a drain.
    pub(super) fn in_the_way(self, unselect: bool) -> i64 {
        if unselect { self.listed } else { self.serving }
    }
}

/// Until when a client may write.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    /// The name under which it holds the lease.
    pub(super) holder: Text,
    pub(super) until: i64,
}

impl Claim {
    pub(super) fn of(lease: &Lease, at: i64) -> Option<Self> {
        let holder = lease.holder.clone().filter(|h| !h.is_empty())?;
        Some(Self { holder, until: at + lease.duration })
    }
}

impl World {
    pub(super) fn endpoints(&self, pod: Uid) -> Endpoints {
        self.endpoints.get(&pod).copied().unwrap_or_default()
    }

    /// Keeps a version of a slice and returns the pods whose endpoints changed.
    pub(super) fn keep_slice(&mut self, slice: Slice) -> Vec<Uid> {
        let mut pods = self.drop_slice(slice.identity.uid);
        for endpoint in &slice.endpoints {
            let entry = self.endpoints.entry(endpoint.pod).or_default();
            entry.listed += 1;
            entry.serving += i64::from(endpoint.serves);
            pods.push(endpoint.pod);
        }
        self.slices.insert(slice.identity.uid, slice);
        pods.sort_unstable();
        pods.dedup();
        pods
    }

    /// Forgets a slice and returns the pods that it listed.
    pub(super) fn drop_slice(&mut self, uid: Uid) -> Vec<Uid> {
        let Some(slice) = self.slices.remove(&uid) else { return Vec::new() };
        for endpoint in &slice.endpoints {
            if let Some(entry) = self.endpoints.get_mut(&endpoint.pod) {
                entry.listed -= 1;
                entry.serving -= i64::from(endpoint.serves);
            }
        }
        slice.endpoints.iter().map(|e| e.pod).collect()
    }

    /// Forgets what was so before the lag.
    pub(super) fn forget(&mut self, now: i64, lag: i64) {
        for unit in self.units.values_mut() {
            unit.replicas.forget(Some(now), lag);
            unit.targets.forget(Some(now), lag);
            unit.figures.forget(Some(now), lag);
        }
        for application in self.deployments.values_mut() {
            application.budgets.forget(Some(now), lag);
        }
    }

    pub(super) fn unit(&self, set: Uid) -> Option<&Unit> {
        self.units.get(&set)
    }

    pub(super) fn set(&self, set: Uid) -> Option<&Set> {
        self.units.get(&set)?.set.as_ref()
    }

    pub(super) fn tracked(&self, pod: Uid) -> Option<(&Unit, &Tracked)> {
        let unit = self.units.get(self.homes.get(&pod)?)?;
        Some((unit, unit.pods.get(&pod)?))
    }

    pub(super) fn tracked_mut(&mut self, pod: Uid) -> Option<(Option<&Set>, &mut Tracked)> {
        let unit = self.units.get_mut(self.homes.get(&pod)?)?;
        let tracked = unit.pods.get_mut(&pod)?;
        Some((unit.set.as_ref(), tracked))
    }

    /// The sets of a CafeDeployment with their pods.
    pub(super) fn units_of(&self, deployment: Uid) -> impl Iterator<Item = &Unit> {
        let owned = move |unit: &&Unit| unit.set.as_ref().is_some_and(|s| s.owner == Some(deployment));
        self.units.values().filter(owned)
    }

    /// The units that share a budget with a set: those of its CafeDeployment, or it alone.
    pub(super) fn siblings(&self, set: &Set) -> Vec<&Unit> {
        match set.owner {
            Some(owner) => self.units_of(owner).collect(),
            None => self.units.get(&set.identity.uid).into_iter().collect(),
        }
    }

    pub(super) fn application(&self, set: &Set) -> Option<&Application> {
        self.deployments.get(&set.owner?)
    }

    /// Whether the pod's node is not known to be dead.
    pub(super) fn on_live_node(&self, pod: &Pod) -> bool {
        !pod.node.is_empty() && self.nodes.get(&pod.node).is_none_or(|node| !node.dead)
    }

    /// The pods of all sets.
    pub(super) fn pods(&self) -> impl Iterator<Item = &Tracked> {
        self.units.values().flat_map(|unit| unit.pods.values())
    }
}
