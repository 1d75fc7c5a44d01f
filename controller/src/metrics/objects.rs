//! The figures that belong to one CafeDeployment each, drawn at every scrape and gone with the object.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cafe_planner::Text;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

/// How a release may end. A series each from the start, so that the first end is seen as an increase.
const OUTCOMES: [&str; 5] = ["completed", "aborted", "rolled_back", "superseded", "failed"];

/// What a CafeDeployment looks like at present.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeploymentFigures {
    /// `spec.strategy.upgradeType`.
    pub(crate) upgrade_type: &'static str,
    /// `status.phase`.
    pub(crate) phase: &'static str,
    /// Pods over all units.
    pub(crate) replicas: ReplicaFigures,
    /// Pods per unit.
    pub(crate) units: Vec<(Text, ReplicaFigures)>,
    /// The group in hand, 0 without a release.
    pub(crate) group: u32,
    /// How many groups the release has, 0 without one.
    pub(crate) groups: u32,
    /// Unix seconds since when the release waits for a confirmation.
    pub(crate) waiting_since: Option<i64>,
}

/// Pods by state. A pod counts in every state it is in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ReplicaFigures {
    /// Wanted: by the spec, of a unit by its InPlaceSet's.
    pub(crate) desired: u32,
    /// Existing.
    pub(crate) current: u32,
    /// At the revision they are to have.
    pub(crate) updated: u32,
    /// Ready.
    pub(crate) ready: u32,
    /// Ready for `minReadySeconds`.
    pub(crate) available: u32,
    /// Reserved by Cafe: out of traffic for an update or a deletion, or about to be.
    pub(crate) out_of_traffic: u32,
}

impl ReplicaFigures {
    fn by_state(self) -> [(&'static str, u32); 6] {
        [
            ("desired", self.desired),
            ("current", self.current),
            ("updated", self.updated),
            ("ready", self.ready),
            ("available", self.available),
            ("out_of_traffic", self.out_of_traffic),
        ]
    }
}

#[derive(Debug, Default)]
struct Entry {
    figures: DeploymentFigures,
    releases: BTreeMap<&'static str, u64>,
    /// Places that moved, from one unit to another.
    reschedules: BTreeMap<(Text, Text), u64>,
}

/// Namespace and name.
type Key = (Text, Text);
type Table = BTreeMap<Key, Entry>;

/// The table of all CafeDeployments.
#[derive(Debug, Default)]
pub(super) struct Objects(Mutex<Table>);

impl Objects {
    pub(super) fn set(&self, namespace: &Text, name: &Text, figures: DeploymentFigures) {
        self.change(namespace, name, |entry| entry.figures = figures);
    }

    pub(super) fn release_ended(&self, namespace: &Text, name: &Text, outcome: &'static str) {
        self.change(namespace, name, |entry| {
            *entry.releases.entry(outcome).or_default() += 1;
        });
    }

    pub(super) fn rescheduled(&self, namespace: &Text, name: &Text, units: (&Text, &Text), pods: u64) {
        self.change(namespace, name, |entry| {
            *entry.reschedules.entry((units.0.clone(), units.1.clone())).or_default() += pods;
        });
    }

    pub(super) fn forget(&self, namespace: &Text, name: &Text) {
        self.table().remove(&(namespace.clone(), name.clone()));
    }

    fn change(&self, namespace: &Text, name: &Text, change: impl FnOnce(&mut Entry)) {
        change(self.table().entry((namespace.clone(), name.clone())).or_default());
    }

    /// A panic elsewhere leaves figures that are at worst one change old.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Objects {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let table = self.table();
        if table.is_empty() {
            return Ok(());
        }
        draw_replicas(&table, &mut to)?;
        draw_release(&table, &mut to)?;
        draw_counters(&table, &mut to)
    }
}

fn draw_replicas(table: &Table, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Always 1: what the labels say about a CafeDeployment";
    let mut metric = to.encode_descriptor("deployment_info", help, None, MetricType::Gauge)?;
    for (key, entry) in table {
        let [ns, name] = named(key);
        let labels = [ns, name, ("strategy", entry.figures.upgrade_type), ("phase", entry.figures.phase)];
        metric.encode_family(&labels)?.encode_gauge(&1_i64)?;
    }
    let help = "Pods of a CafeDeployment by state";
    let mut metric = to.encode_descriptor("deployment_replicas", help, None, MetricType::Gauge)?;
    for (key, entry) in table {
        let [ns, name] = named(key);
        for (state, count) in entry.figures.replicas.by_state() {
            metric.encode_family(&[ns, name, ("state", state)])?.encode_gauge(&count)?;
        }
    }
    let help = "Pods of one unit of a CafeDeployment by state";
    let mut metric = to.encode_descriptor("unit_replicas", help, None, MetricType::Gauge)?;
    for (key, entry) in table {
        let [ns, name] = named(key);
        for (unit, replicas) in &entry.figures.units {
            for (state, count) in replicas.by_state() {
                let labels = [ns, name, ("unit", unit.as_ref()), ("state", state)];
                metric.encode_family(&labels)?.encode_gauge(&count)?;
            }
        }
    }
    Ok(())
}

/// Reads one value of a CafeDeployment.
type Read = fn(&DeploymentFigures) -> i64;

fn draw_release(table: &Table, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let gauges: [(&str, &str, Read); 3] = [
        ("release_group", "The group in hand, 0 without a release", |f| f.group.into()),
        ("release_groups", "Groups of the release, 0 without one", |f| f.groups.into()),
        (
            "release_waiting_since_timestamp_seconds",
            "Since when a release waits for its confirmation, 0 if none does",
            |f| f.waiting_since.unwrap_or(0),
        ),
    ];
    for (metric_name, help, read) in gauges {
        let mut metric = to.encode_descriptor(metric_name, help, None, MetricType::Gauge)?;
        for (key, entry) in table {
            metric.encode_family(&named(key))?.encode_gauge(&read(&entry.figures))?;
        }
    }
    Ok(())
}

fn draw_counters(table: &Table, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let none: Option<&Exemplar<[(&str, &str); 0], f64>> = None;
    let help = "Releases by how they ended; a way back is no release";
    let mut metric = to.encode_descriptor("releases", help, None, MetricType::Counter)?;
    for (key, entry) in table {
        let [ns, name] = named(key);
        for outcome in OUTCOMES {
            let count = entry.releases.get(outcome).copied().unwrap_or(0);
            metric.encode_family(&[ns, name, ("outcome", outcome)])?.encode_counter(&count, none)?;
        }
    }
    if table.values().all(|entry| entry.reschedules.is_empty()) {
        return Ok(());
    }
    let help = "Places of pods without a node that moved to another unit";
    let mut metric = to.encode_descriptor("reschedules", help, None, MetricType::Counter)?;
    for (key, entry) in table {
        let [ns, name] = named(key);
        for ((from, to), count) in &entry.reschedules {
            let labels = [ns, name, ("from_unit", from.as_ref()), ("to_unit", to.as_ref())];
            metric.encode_family(&labels)?.encode_counter(count, none)?;
        }
    }
    Ok(())
}

fn named((namespace, name): &Key) -> [(&'static str, &str); 2] {
    [("namespace", namespace), ("name", name)]
}
