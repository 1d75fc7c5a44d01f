//! What Prometheus scrapes. Names start with `cafe_`; no label ever carries the name of a pod.
//!
//! The figures of one CafeDeployment are kept in a table and drawn from it at each scrape, so that they vanish together
//! with the object. Label values are `&'static str` wherever that is possible: words of the code are bounded.

mod objects;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use objects::Objects;
pub(crate) use objects::{DeploymentFigures, ReplicaFigures};

/// Seconds: from an action of the planner to a slow API call.
const QUICK: [f64; 11] = [0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];
/// Seconds: what happens to a pod, from 0.1 s to 20 min.
const PODS: [f64; 10] = [0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1200.0];
/// Seconds: what happens to an application, from 10 s to 24 h.
const RELEASES: [f64; 9] = [10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0];

/// Label names and values, in order.
type Labels<const N: usize> = [(&'static str, &'static str); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiCall {
    verb: &'static str,
    resource: &'static str,
    code: u16,
}

/// Every metric of the controller. Clones share the same figures and may be used from any thread.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    figures: Figures,
}

#[derive(Debug, Clone)]
struct Figures {
    objects: Arc<Objects>,
    release_duration: Histograms<Labels<1>>,
    release_waiting: Histograms<Labels<1>>,
    group_duration: Histograms<Labels<1>>,
    pod_updates: Counters<2>,
    pod_update_duration: Histograms<Labels<2>>,
    drain: Histograms<Labels<1>>,
    actions: Counters<2>,
    plans: Counters<1>,
    plan_duration: Histograms<Labels<1>>,
    queue_depth: Gauge,
    api_requests: Family<ApiCall, Counter>,
    api_duration: Histograms<Labels<2>>,
    writes_in_flight: Gauge,
    watch_restarts: Counters<1>,
    world_objects: Gauges<1>,
    leader: Gauge,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            objects: Arc::default(),
            release_duration: histograms(|| Histogram::new(RELEASES)),
            release_waiting: histograms(|| Histogram::new(RELEASES)),
            group_duration: histograms(|| Histogram::new(RELEASES)),
            pod_updates: Family::default(),
            pod_update_duration: histograms(|| Histogram::new(PODS)),
            drain: histograms(|| Histogram::new(PODS)),
            actions: Family::default(),
            plans: Family::default(),
            plan_duration: histograms(|| Histogram::new(QUICK)),
            queue_depth: Gauge::default(),
            api_requests: Family::default(),
            api_duration: histograms(|| Histogram::new(QUICK)),
            writes_in_flight: Gauge::default(),
            watch_restarts: Family::default(),
            world_objects: Family::default(),
            leader: Gauge::default(),
        }
    }
}

fn histograms<L: Clone + std::hash::Hash + Eq>(new: fn() -> Histogram) -> Histograms<L> {
    Family::new_with_constructor(new)
}

impl Figures {
    /// The one table of names and help texts. Counters get `_total` when they are written out.
    fn registry(&self) -> Registry {
        let mut to = Registry::with_prefix("cafe");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        to.register("build", "The build that answers", build);
        to.register("leader", "1 while this replica may write", self.leader.clone());
        to.register_collector(Box::new(Arc::clone(&self.objects)));
        let help = "Seconds from the start of a release to its end, by outcome";
        to.register("release_duration_seconds", help, self.release_duration.clone());
        let help = "Seconds of a release spent waiting for a confirmation, by outcome";
        to.register("release_wait_seconds", help, self.release_waiting.clone());
        let help = "Seconds from the first to the last pod of a group, by kind";
        to.register("group_duration_seconds", help, self.group_duration.clone());
        to.register("pod_updates", "Pods updated, by mode and result", self.pod_updates.clone());
        let help = "Seconds a pod spent in a phase of its update";
        to.register("pod_update_duration_seconds", help, self.pod_update_duration.clone());
        let help = "Seconds until a pod was out of all traffic, by result";
        to.register("traffic_drain_seconds", help, self.drain.clone());
        to.register("actions", "Actions carried out, by result", self.actions.clone());
        to.register("plan", "Plans made, by kind of their owner", self.plans.clone());
        to.register("plan_duration_seconds", "Seconds one plan took", self.plan_duration.clone());
        to.register("queue_depth", "Owners that wait to be planned", self.queue_depth.clone());
        let help = "Requests to the API server; code 0 means no answer";
        to.register("api_requests", help, self.api_requests.clone());
        to.register("api_request_duration_seconds", "Seconds one request took", self.api_duration.clone());
        to.register("writes_in_flight", "Writes that wait for their answer", self.writes_in_flight.clone());
        to.register("watch_restarts", "Watches started again, by kind", self.watch_restarts.clone());
        to.register("world_objects", "Objects held in memory, by kind", self.world_objects.clone());
        to
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let figures = Figures::default();
        Self { registry: Arc::new(figures.registry()), figures }
    }
}

impl Metrics {
    /// All metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// None in practice: writing to a string does not fail.
    pub(crate) fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Replaces the figures of a CafeDeployment.
    pub(crate) fn set_deployment(&self, namespace: &str, name: &str, figures: DeploymentFigures) {
        self.figures.objects.set(namespace, name, figures);
    }

    /// Removes every series of a CafeDeployment that is gone.
    pub(crate) fn forget_deployment(&self, namespace: &str, name: &str) {
        self.figures.objects.forget(namespace, name);
    }

    /// A release ended after `total`, of which it waited `waiting` for confirmations.
    /// `outcome`: completed, aborted, rolled_back, superseded or failed.
    pub(crate) fn release_ended(
        &self,
        namespace: &str,
        name: &str,
        outcome: &'static str,
        total: Duration,
        waiting: Duration,
    ) {
        self.figures.objects.release_ended(namespace, name, outcome);
        let labels = [("outcome", outcome)];
        self.figures.release_duration.get_or_create(&labels).observe(total.as_secs_f64());
        self.figures.release_waiting.get_or_create(&labels).observe(waiting.as_secs_f64());
    }

    /// A group ended. `kind`: beta, batch, scale or rollback.
    pub(crate) fn group_ended(&self, kind: &'static str, duration: Duration) {
        self.figures.group_duration.get_or_create(&[("kind", kind)]).observe(duration.as_secs_f64());
    }

    /// A pod gave its place in one unit to another unit.
    pub(crate) fn rescheduled(&self, namespace: &str, name: &str, from_unit: &str, to_unit: &str) {
        self.figures.objects.rescheduled(namespace, name, from_unit, to_unit);
    }

    /// The update of a pod ended. `mode`: in_place or recreate; `result`: ok or a reason.
    pub(crate) fn pod_updated(&self, mode: &'static str, result: &'static str) {
        self.figures.pod_updates.get_or_create(&[("mode", mode), ("result", result)]).inc();
    }

    /// A pod went through one phase of its update. `phase`: drain, swap or ready.
    pub(crate) fn pod_update_phase(&self, mode: &'static str, phase: &'static str, duration: Duration) {
        let labels = [("mode", mode), ("phase", phase)];
        self.figures.pod_update_duration.get_or_create(&labels).observe(duration.as_secs_f64());
    }

    /// A pod left the traffic. `result`: clean or timeout.
    pub(crate) fn drained(&self, result: &'static str, duration: Duration) {
        self.figures.drain.get_or_create(&[("result", result)]).observe(duration.as_secs_f64());
    }

    /// One action was carried out. `result` is the reason of its outcome.
    pub(crate) fn action(&self, action: &'static str, result: &'static str) {
        self.figures.actions.get_or_create(&[("action", action), ("result", result)]).inc();
    }

    /// One plan was made for an owner of this kind.
    pub(crate) fn planned(&self, kind: &'static str, duration: Duration) {
        let labels = [("kind", kind)];
        self.figures.plans.get_or_create(&labels).inc();
        self.figures.plan_duration.get_or_create(&labels).observe(duration.as_secs_f64());
    }

    /// One request was answered, or given up on with `code` 0.
    pub(crate) fn api_request(
        &self,
        verb: &'static str,
        resource: &'static str,
        code: u16,
        duration: Duration,
    ) {
        self.figures.api_requests.get_or_create(&ApiCall { verb, resource, code }).inc();
        let labels = [("verb", verb), ("resource", resource)];
        self.figures.api_duration.get_or_create(&labels).observe(duration.as_secs_f64());
    }

    /// A watch had to start again.
    pub(crate) fn watch_restarted(&self, kind: &'static str) {
        self.figures.watch_restarts.get_or_create(&[("kind", kind)]).inc();
    }

    /// How many objects of a kind the world holds.
    pub(crate) fn set_world_objects(&self, kind: &'static str, count: usize) {
        self.figures.world_objects.get_or_create(&[("kind", kind)]).set(gauge_value(count));
    }

    /// How many owners wait to be planned.
    pub(crate) fn set_queue_depth(&self, count: usize) {
        self.figures.queue_depth.set(gauge_value(count));
    }

    /// How many writes wait for their answer.
    pub(crate) fn set_writes_in_flight(&self, count: usize) {
        self.figures.writes_in_flight.set(gauge_value(count));
    }

    /// Whether this replica holds the claim.
    pub(crate) fn set_leader(&self, held: bool) {
        self.figures.leader.set(i64::from(held));
    }
}

fn gauge_value(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
