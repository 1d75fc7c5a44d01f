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

use crate::version;

/// Seconds: from an action of the planner to a slow API call.
const QUICK: [f64; 11] = [0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

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
    pod_updates: Counters<2>,
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
            pod_updates: Family::default(),
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
        let build = Info::new([("version", version::VERSION), ("revision", version::REVISION)]);
        to.register("build", "The build that answers", build);
        to.register("leader", "1 while this replica may write", self.leader.clone());
        to.register_collector(Box::new(Arc::clone(&self.objects)));
        to.register("pod_updates", "Pods updated, by mode and result", self.pod_updates.clone());
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

    /// A release ended. `outcome`: completed, rolled_back or superseded.
    pub(crate) fn release_ended(&self, namespace: &str, name: &str, outcome: &'static str) {
        self.figures.objects.release_ended(namespace, name, outcome);
    }

    /// The write that moves a pod was answered. `mode`: in_place, metadata or recreate; `result`: the answer's reason.
    pub(crate) fn pod_updated(&self, mode: &'static str, result: &'static str) {
        self.figures.pod_updates.get_or_create(&[("mode", mode), ("result", result)]).inc();
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
