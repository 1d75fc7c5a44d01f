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

use cafe_planner::Text;
use cafe_process::{usage, version};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
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
/// Seconds: one pod, from a drain that nobody holds to one that times out.
const POD: [f64; 13] = [0.1, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 30.0, 60.0, 300.0, 900.0];
/// Seconds: people and whole releases, from ten seconds to a day.
const LONG: [f64; 11] = [10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0, 14_400.0, 43_200.0, 86_400.0];

/// Label names and values, in order.
type Labels<const N: usize> = [(&'static str, &'static str); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
type Histograms<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

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
    /// Without the prefix.
    process: Arc<Registry>,
    figures: Figures,
}

#[derive(Debug, Clone)]
struct Figures {
    objects: Arc<Objects>,
    release_duration: Histograms<1>,
    release_active: Histograms<1>,
    release_wait: Histograms<1>,
    batch_duration: Histograms<1>,
    pod_updates: Counters<2>,
    pod_update_duration: Histograms<2>,
    drain: Histograms<1>,
    actions: Counters<3>,
    reconciles: Counters<1>,
    reconcile_errors: Counters<2>,
    reconcile_duration: Histograms<1>,
    queue_depth: Gauges<1>,
    queue_latency: Histograms<1>,
    queue_retries: Counters<1>,
    decisions: Counters<2>,
    api_requests: Family<ApiCall, Counter>,
    api_duration: Histograms<2>,
    writes_in_flight: Gauge,
    watch_restarts: Counters<1>,
    cache_objects: Gauges<1>,
    leader: Gauge,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            objects: Arc::default(),
            release_duration: histograms(|| Histogram::new(LONG)),
            release_active: histograms(|| Histogram::new(LONG)),
            release_wait: histograms(|| Histogram::new(LONG)),
            batch_duration: histograms(|| Histogram::new(LONG)),
            pod_updates: Family::default(),
            pod_update_duration: histograms(|| Histogram::new(POD)),
            drain: histograms(|| Histogram::new(POD)),
            actions: Family::default(),
            reconciles: Family::default(),
            reconcile_errors: Family::default(),
            reconcile_duration: histograms(|| Histogram::new(QUICK)),
            queue_depth: Family::default(),
            queue_latency: histograms(|| Histogram::new(QUICK)),
            queue_retries: Family::default(),
            decisions: Family::default(),
            api_requests: Family::default(),
            api_duration: histograms(|| Histogram::new(QUICK)),
            writes_in_flight: Gauge::default(),
            watch_restarts: Family::default(),
            cache_objects: Family::default(),
            leader: Gauge::default(),
        }
    }
}

fn histograms<const N: usize>(new: fn() -> Histogram) -> Histograms<N> {
    Family::new_with_constructor(new)
}

impl Figures {
    fn registry(&self) -> Registry {
        let mut to = Registry::with_prefix("cafe");
        let build = Info::new([
            ("version", version::VERSION),
            ("revision", version::REVISION),
            ("rustc", version::RUSTC),
        ]);
        to.register("build", "The build that answers", build);
        to.register("leader", "1 while this replica may write", self.leader.clone());
        to.register_collector(Box::new(Arc::clone(&self.objects)));
        self.register_releases(&mut to);
        self.register_pods(&mut to);
        self.register_loop(&mut to);
        to
    }

    fn register_releases(&self, to: &mut Registry) {
        let help = "Seconds from the start of a release to its end, by outcome";
        to.register("release_duration_seconds", help, self.release_duration.clone());
        let help = "The same without the time at gates";
        to.register("release_active_seconds", help, self.release_active.clone());
        let help = "Seconds that a release waited at its gates, over all of them";
        to.register("release_wait_seconds", help, self.release_wait.clone());
        let help = "Seconds from the first pod of a group to its last, by kind; a way back is one group";
        to.register("batch_duration_seconds", help, self.batch_duration.clone());
        let help = "Orders of people that were followed, or told to be ignored";
        to.register("actions", help, self.actions.clone());
    }

    fn register_pods(&self, to: &mut Registry) {
        let help = "Pods moved to another revision, by mode and result";
        to.register("pod_updates", help, self.pod_updates.clone());
        let help = "Seconds of one pod update, by phase: drain, swap, ready";
        to.register("pod_update_duration_seconds", help, self.pod_update_duration.clone());
        let help = "Seconds until nobody routed to a pod any more, or until that took too long";
        to.register("traffic_drain_seconds", help, self.drain.clone());
        for result in ["clean", "timeout"] {
            drop(self.drain.get_or_create(&[("result", result)]));
        }
        // From 0 on: an increase from nothing is none to an alert.
        for mode in ["in_place", "recreate", "metadata"] {
            for result in ["ok", "superseded", "lost", "refused"] {
                drop(self.pod_updates.get_or_create(&[("mode", mode), ("result", result)]));
            }
        }
    }

    fn register_loop(&self, to: &mut Registry) {
        to.register("reconcile", "Plans made, by kind of their owner", self.reconciles.clone());
        let help = "Calls that failed, by kind of their owner; one that came too late is no failure";
        to.register("reconcile_errors", help, self.reconcile_errors.clone());
        to.register("reconcile_duration_seconds", "Seconds one plan took", self.reconcile_duration.clone());
        to.register("queue_depth", "Owners that wait for room among the writes", self.queue_depth.clone());
        let help = "Seconds from the turn of the loop in which something happened to an owner to its plan";
        to.register("queue_latency_seconds", help, self.queue_latency.clone());
        let help = "Owners that were put off after a failure, to be planned again";
        to.register("queue_retries", help, self.queue_retries.clone());
        to.register("decisions", "Calls made, by decision and result", self.decisions.clone());
        let help = "Requests to the API server; code 0 means no answer";
        to.register("api_requests", help, self.api_requests.clone());
        to.register("api_request_duration_seconds", "Seconds one request took", self.api_duration.clone());
        to.register("writes_in_flight", "Writes that wait for their answer", self.writes_in_flight.clone());
        to.register("watch_restarts", "Watches started again, by kind", self.watch_restarts.clone());
        to.register("cache_objects", "Objects held in memory, by kind", self.cache_objects.clone());
        for controller in ["cafedeployment", "inplaceset"] {
            let labels = [("controller", controller)];
            drop(self.reconciles.get_or_create(&labels));
            drop(self.queue_depth.get_or_create(&labels));
            drop(self.queue_retries.get_or_create(&labels));
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let figures = Figures::default();
        Self { registry: Arc::new(figures.registry()), process: Arc::new(usage::registry()), figures }
    }
}

impl Metrics {
    /// All metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// None in practice: writing to a string does not fail.
    pub(crate) fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &self.process)?;
        encode_eof(&mut text)?;
        Ok(text)
    }

    /// Replaces the figures of a CafeDeployment.
    pub(crate) fn set_deployment(&self, namespace: &Text, name: &Text, figures: DeploymentFigures) {
        self.figures.objects.set(namespace, name, figures);
    }

    /// Removes every series of a CafeDeployment that is gone.
    pub(crate) fn forget_deployment(&self, namespace: &Text, name: &Text) {
        self.figures.objects.forget(namespace, name);
    }

    /// A release came to `outcome`: completed, aborted, rolled_back, superseded or failed.
    pub(crate) fn release_ended(&self, namespace: &Text, name: &Text, outcome: &'static str) {
        self.figures.objects.release_ended(namespace, name, outcome);
    }

    /// How long a release took that has ended, in seconds, and how much of it was spent at gates.
    pub(crate) fn release_took(&self, outcome: &'static str, seconds: f64, wait: f64) {
        let labels = [("outcome", outcome)];
        self.figures.release_duration.get_or_create(&labels).observe(seconds);
        self.figures.release_active.get_or_create(&labels).observe((seconds - wait).max(0.0));
        self.figures.release_wait.get_or_create(&labels).observe(wait);
    }

    /// A group, or a whole way back, took so many seconds. `kind`: beta, batch, scale or rollback.
    pub(crate) fn batch_took(&self, kind: &'static str, seconds: f64) {
        self.figures.batch_duration.get_or_create(&[("kind", kind)]).observe(seconds);
    }

    /// So many places moved from one unit to another.
    pub(crate) fn rescheduled(&self, namespace: &Text, name: &Text, units: (&Text, &Text), pods: u64) {
        self.figures.objects.rescheduled(namespace, name, units, pods);
    }

    /// The update of a pod came to an end. `mode`: in_place, metadata or recreate; `result`: ok, superseded, lost or refused.
    pub(crate) fn pod_updated(&self, mode: &'static str, result: &'static str) {
        self.figures.pod_updates.get_or_create(&[("mode", mode), ("result", result)]).inc();
    }

    /// One phase of the update of a pod: drain, swap or ready.
    pub(crate) fn pod_phase(&self, mode: &'static str, phase: &'static str, took: Duration) {
        let labels = [("mode", mode), ("phase", phase)];
        self.figures.pod_update_duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A drain ended. `result`: clean or timeout.
    pub(crate) fn drained(&self, result: &'static str, took: Duration) {
        self.figures.drain.get_or_create(&[("result", result)]).observe(took.as_secs_f64());
    }

    /// An order of people. `via`: how its author is known; `result`: ok or ignored.
    pub(crate) fn ordered(&self, action: &'static str, via: &'static str, result: &'static str) {
        let labels = [("action", action), ("via", via), ("result", result)];
        self.figures.actions.get_or_create(&labels).inc();
    }

    /// One plan was made for an owner of this kind.
    pub(crate) fn planned(&self, controller: &'static str, waited: Duration, took: Duration) {
        let labels = [("controller", controller)];
        self.figures.reconciles.get_or_create(&labels).inc();
        self.figures.queue_latency.get_or_create(&labels).observe(waited.as_secs_f64());
        self.figures.reconcile_duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A call for an owner of this kind failed, or its planning panicked.
    pub(crate) fn failed(&self, controller: &'static str, class: &'static str) {
        let labels = [("controller", controller), ("error_class", class)];
        self.figures.reconcile_errors.get_or_create(&labels).inc();
    }

    /// An owner of this kind was put off after a failure.
    pub(crate) fn put_off(&self, controller: &'static str) {
        self.figures.queue_retries.get_or_create(&[("controller", controller)]).inc();
    }

    /// How many owners of this kind wait to be planned.
    pub(crate) fn set_queue_depth(&self, controller: &'static str, count: usize) {
        self.figures.queue_depth.get_or_create(&[("controller", controller)]).set(gauge_value(count));
    }

    /// One decision was carried out. `result` is the reason of its outcome.
    pub(crate) fn decided(&self, decision: &'static str, result: &'static str) {
        self.figures.decisions.get_or_create(&[("decision", decision), ("result", result)]).inc();
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
    pub(crate) fn set_cache_objects(&self, kind: &'static str, count: usize) {
        self.figures.cache_objects.get_or_create(&[("kind", kind)]).set(gauge_value(count));
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
