//! Pods on their way from one revision to another, timed by this process' clock.

use std::collections::HashMap;
use std::time::Instant;

use cafe_planner::{identity::Uid, pod::Gate};

use crate::{
    apply::{Call, Target},
    metrics::Metrics,
    world::{Kind, Owner, World},
};

/// One pod between W1 and W3. What this process has not seen is not known.
#[derive(Debug, Default)]
struct Flight {
    /// W1 was acknowledged.
    out: Option<Instant>,
    /// Its drain has been counted.
    drained: bool,
    /// W2 of this very drain was carried out, by whomever.
    changed: bool,
    /// W2 was acknowledged.
    changed_at: Option<Instant>,
}

/// All of them: at most as many as may be out of service.
#[derive(Debug)]
pub(super) struct Flights {
    metrics: Metrics,
    by_pod: HashMap<Uid, Flight>,
    /// Pods of an InPlaceSet that were put back after an update and are not Ready yet.
    returning: HashMap<Uid, Vec<(Uid, Instant)>>,
}

/// The pod a call is about.
fn pod_of(call: &Call) -> Option<Uid> {
    match call.target {
        Target::Existing { uid, .. } if call.kind == Kind::Pod => Some(uid),
        _ => None,
    }
}

impl Flights {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { metrics, by_pod: HashMap::new(), returning: HashMap::new() }
    }

    /// What the pod itself says about its update is asked before the answer replaces it.
    pub(super) fn sent(&mut self, world: &World, call: &Call) {
        let Some((uid, pod)) = pod_of(call).and_then(|uid| Some((uid, &world.pods.get(uid)?.pod))) else {
            return;
        };
        if let (Gate::Draining(op), Some(record)) = (pod.gate, &pod.in_place)
            && record.op == op
        {
            self.by_pod.entry(uid).or_default().changed = true;
        }
    }

    pub(super) fn applied(&mut self, call: &Call, now: Instant) {
        let Some(pod) = pod_of(call) else { return };
        match call.decision {
            "TakeOut" => {
                self.by_pod.insert(pod, Flight { out: Some(now), ..Flight::default() });
            }
            "UpdateMetadata" => self.metrics.pod_updated("metadata", "ok"),
            "UpdateInPlace" => self.changed(pod, now),
            "PutBack" => {
                let set = match call.owner {
                    Owner::Set(set) => Some(set),
                    Owner::Deployment(_) => None,
                };
                self.returned(pod, set, now);
            }
            "TakeOffline" => self.returned(pod, None, now),
            "DeleteToRecreate" => {
                let flight = self.leave(pod, now);
                if let Some(out) = flight.out {
                    self.metrics.pod_phase("recreate", "drain", now.duration_since(out));
                }
                self.metrics.pod_updated("recreate", "ok");
            }
            "DeleteSurplus" => drop(self.leave(pod, now)),
            _ => {}
        }
    }

    /// W2: the drain is over, and an update before this one in the same drain came to nothing.
    fn changed(&mut self, pod: Uid, now: Instant) {
        let flight = self.by_pod.entry(pod).or_default();
        if flight.changed {
            self.metrics.pod_updated("in_place", "superseded");
        } else if let Some(out) = flight.out {
            self.metrics.pod_phase("in_place", "drain", now.duration_since(out));
        }
        end_drain(&self.metrics, flight, "timeout", now);
        (flight.changed, flight.changed_at) = (true, Some(now));
    }

    /// W3. A pod that was not changed comes back from a drain that was called off.
    fn returned(&mut self, pod: Uid, set: Option<Uid>, now: Instant) {
        let Some(flight) = self.by_pod.remove(&pod).filter(|flight| flight.changed) else { return };
        self.metrics.pod_updated("in_place", "ok");
        if let Some(changed) = flight.changed_at {
            self.metrics.pod_phase("in_place", "swap", now.duration_since(changed));
        }
        if let Some(set) = set {
            self.returning.entry(set).or_default().push((pod, now));
        }
    }

    /// The pod is deleted after its drain; without a proof that was cut short.
    fn leave(&mut self, pod: Uid, now: Instant) -> Flight {
        let mut flight = self.by_pod.remove(&pod).unwrap_or_default();
        if flight.changed {
            self.metrics.pod_updated("in_place", "superseded");
        }
        end_drain(&self.metrics, &mut flight, "timeout", now);
        flight
    }

    pub(super) fn refused(&self, call: &Call) {
        let mode = match call.decision {
            "UpdateInPlace" => "in_place",
            "UpdateMetadata" => "metadata",
            "DeleteToRecreate" => "recreate",
            _ => return,
        };
        self.metrics.pod_updated(mode, "refused");
    }

    pub(super) fn drained(&mut self, pod: Uid, now: Instant) {
        if let Some(flight) = self.by_pod.get_mut(&pod) {
            end_drain(&self.metrics, flight, "clean", now);
        }
    }

    /// It has been told that the drain takes too long, or that it was cut short.
    pub(super) fn overdue(&mut self, pod: Uid, now: Instant) {
        if let Some(flight) = self.by_pod.get_mut(&pod) {
            end_drain(&self.metrics, flight, "timeout", now);
        }
    }

    /// Which of a set's pods have become Ready since they were put back.
    pub(super) fn look(&mut self, world: &World, set: Uid, now: Instant) {
        let Some(pods) = self.returning.get_mut(&set) else { return };
        pods.retain(|(uid, since)| {
            let Some(record) = world.pods.get(*uid) else { return false };
            if record.pod.is_ready() {
                self.metrics.pod_phase("in_place", "ready", now.duration_since(*since));
            }
            !record.pod.is_ready()
        });
        if pods.is_empty() {
            self.returning.remove(&set);
        }
    }

    pub(super) fn sweep(&mut self, world: &World) {
        let metrics = &self.metrics;
        self.by_pod.retain(|uid, flight| {
            let is_there = world.pods.contains(*uid);
            if !is_there && flight.changed {
                metrics.pod_updated("in_place", "lost");
            }
            is_there
        });
        self.returning.retain(|set, _| world.sets.contains_key(set));
    }
}

/// Counts the end of a drain once.
fn end_drain(metrics: &Metrics, flight: &mut Flight, result: &'static str, now: Instant) {
    if let (Some(out), false) = (flight.out, flight.drained) {
        metrics.drained(result, now.duration_since(out));
        flight.drained = true;
    }
}
