//! Nodes: how many carry a label value, and how many of these are Ready. Nothing else of them matters, so a heartbeat that changes neither
//! wakes nobody.

use std::collections::{BTreeMap, HashMap};

use cafe_crds::{deployment::Topology, time::Seconds};
use cafe_planner::{Text, deployment::UnitNodes, identity::Uid};

use super::{Owner, World};
use crate::observe::{
    records::{self, resource_version},
    slim::NodeObject,
};

/// A node.
#[derive(Debug)]
struct NodeRecord {
    rv: u64,
    /// Its labels: which of them name units is not known before a CafeDeployment says so.
    labels: Vec<(Text, Text)>,
    /// Since when it is Ready; none when it is not.
    ready: Option<Seconds>,
}

/// All nodes that carry a value, and since when the Ready ones are.
#[derive(Clone, Debug, Default)]
struct Count {
    nodes: u32,
    ready: BTreeMap<Seconds, u32>,
}

/// The nodes, and their figures for each label key that a CafeDeployment has asked for.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// Nodes are not watched: nothing is known of any.
    blind: bool,
    records: HashMap<Uid, NodeRecord>,
    counts: HashMap<Text, HashMap<Text, Count>>,
}

impl Nodes {
    /// None yet, and none ever where nodes are not watched.
    pub(super) fn seen(watched: bool) -> Self {
        Self { blind: !watched, ..Self::default() }
    }

    /// Whether they are not watched.
    pub(super) fn are_unseen(&self) -> bool {
        self.blind
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn uids(&self) -> Vec<Uid> {
        self.records.keys().copied().collect()
    }

    /// The nodes of each unit of a topology, once its label key has been counted.
    pub(super) fn of(&self, topology: &Topology) -> Vec<UnitNodes> {
        let counts = topology.placement_key().and_then(|key| self.counts.get(key));
        let Some(counts) = counts.filter(|_| !self.blind) else { return Vec::new() };
        let unit = |value: &String| {
            let none = Count::default();
            let count = counts.get(value.as_str()).unwrap_or(&none);
            let ready = count.ready.values().sum();
            UnitNodes { unit: value.as_str().into(), nodes: count.nodes, ready, settled: count.settled() }
        };
        topology.values.iter().map(unit).collect()
    }

    /// Counts the values of a label key, from now on.
    fn count(&mut self, key: &str) {
        if self.counts.contains_key(key) {
            return;
        }
        let mut counts: HashMap<Text, Count> = HashMap::new();
        for record in self.records.values() {
            for (_, value) in record.labels.iter().filter(|(k, _)| **k == *key) {
                counts.entry(value.clone()).or_default().add(record.ready);
            }
        }
        self.counts.insert(key.into(), counts);
    }

    /// Puts `after` in the place of what is known of a node, and returns the labels whose figures have changed.
    fn replace(&mut self, uid: Uid, after: Option<NodeRecord>) -> Vec<(Text, Text)> {
        let before = self.records.remove(&uid);
        let mut changed = Vec::new();
        for (record, adds) in before.iter().map(|r| (r, false)).chain(after.iter().map(|r| (r, true))) {
            for (key, value) in &record.labels {
                let Some(counts) = self.counts.get_mut(key) else { continue };
                let count = counts.entry(value.clone()).or_default();
                if adds {
                    count.add(record.ready);
                } else {
                    count.subtract(record.ready);
                }
                if count.nodes == 0 {
                    counts.remove(value);
                }
                changed.push((key.clone(), value.clone()));
            }
        }
        if let Some(after) = after {
            self.records.insert(uid, after);
        }
        changed
    }
}

impl Count {
    fn add(&mut self, ready: Option<Seconds>) {
        self.nodes += 1;
        if let Some(since) = ready {
            *self.ready.entry(since).or_default() += 1;
        }
    }

    fn subtract(&mut self, ready: Option<Seconds>) {
        self.nodes = self.nodes.saturating_sub(1);
        if let Some(since) = ready
            && let Some(count) = self.ready.get_mut(&since)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.ready.remove(&since);
            }
        }
    }

    /// When the node became Ready with which half of all were.
    fn settled(&self) -> Seconds {
        let half = self.nodes.div_ceil(2);
        let mut ready = 0;
        let reaches = |(since, count): (&Seconds, &u32)| {
            ready += count;
            (ready >= half).then_some(*since)
        };
        self.ready.iter().find_map(reaches).unwrap_or_default()
    }
}

impl World {
    #[allow(clippy::needless_pass_by_value, reason = "one signature for all kinds")]
    pub(crate) fn see_node(&mut self, object: NodeObject) {
        let meta = &object.metadata.0;
        let Some(uid) = meta.uid.as_deref().and_then(|uid| uid.parse().ok()) else { return };
        let rv = resource_version(meta);
        let ready = object.status.conditions.iter().find(|c| c.type_ == "Ready" && c.status == "True");
        let ready = ready.map(|c| records::seconds(c.last_transition_time.as_ref()));
        let given = || meta.labels.iter().flatten();
        if let Some(known) = self.nodes.records.get_mut(&uid) {
            let stored = known.labels.iter().map(|(k, v)| (&**k, &**v));
            let same = known.ready == ready && stored.eq(given().map(|(k, v)| (k.as_str(), v.as_str())));
            if known.rv > rv || same {
                known.rv = known.rv.max(rv);
                return;
            }
        }
        let labels = given().map(|(k, v)| (self.interner.text(k), self.interner.text(v))).collect();
        let changed = self.nodes.replace(uid, Some(NodeRecord { rv, labels, ready }));
        self.mark_units(&changed);
    }

    pub(super) fn remove_node(&mut self, uid: Uid) {
        let changed = self.nodes.replace(uid, None);
        self.mark_units(&changed);
    }

    /// Has every CafeDeployment planned again that has a unit with one of these labels.
    fn mark_units(&mut self, labels: &[(Text, Text)]) {
        let has_unit = |topology: &Topology| {
            let key = topology.placement_key();
            labels.iter().any(|(k, value)| {
                key == Some(&**k) && topology.values.iter().any(|unit| unit.as_str() == &**value)
            })
        };
        let concerned = self.deployments.values().filter(|r| has_unit(&r.deployment.spec.topology));
        self.dirty.extend(concerned.map(|r| Owner::Deployment(r.deployment.uid)));
    }

    /// Sees to it that the label key of the CafeDeployment's units is counted.
    pub(super) fn count_nodes_for(&mut self, uid: Uid) {
        let record = self.deployments.get(&uid);
        if let Some(key) = record.and_then(|r| r.deployment.spec.topology.placement_key()) {
            self.nodes.count(key);
        }
    }

    /// Counts no label key any more that nobody asks for.
    pub(super) fn sweep_nodes(&mut self) {
        let topologies = || self.deployments.values().map(|r| &r.deployment.spec.topology);
        self.nodes.counts.retain(|key, _| topologies().any(|t| t.placement_key() == Some(&**key)));
    }
}
