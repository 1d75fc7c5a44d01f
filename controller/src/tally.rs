//! Telling the metrics what was carried out: the one place where counters move.
//!
//! Releases, groups and orders are counted when the status write that latches them is acknowledged (`edges`): a status that is
//! written once is counted once, whoever restarts in between. The phases of a pod are timed by this process' own clock (`flights`): a
//! pod whose controller was replaced on the way is counted and not timed. What a CafeDeployment looks like is drawn anew with every
//! plan of it (`figures`).

pub(crate) mod edges;
mod figures;
mod flights;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use cafe_planner::identity::Uid;

use crate::{
    apply::Call,
    client::Outcome,
    metrics::Metrics,
    report::Told,
    world::{Owner, World},
};
use flights::Flights;

/// The kind of an owner, as in metrics.
pub(crate) fn controller(owner: Owner) -> &'static str {
    match owner {
        Owner::Set(_) => "inplaceset",
        Owner::Deployment(_) => "cafedeployment",
    }
}

/// Tells the metrics.
pub(crate) struct Tally {
    metrics: Metrics,
    flights: Flights,
}

impl Tally {
    /// A tally that has seen nothing.
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { metrics: metrics.clone(), flights: Flights::new(metrics) }
    }

    /// A plan was made, `waited` after something had happened.
    pub(crate) fn planned(&mut self, world: &World, owner: Owner, waited: Duration, took: Duration) {
        self.metrics.planned(controller(owner), waited, took);
        match owner {
            Owner::Set(uid) => self.flights.look(world, uid, Instant::now()),
            Owner::Deployment(uid) => figures::draw(world, uid, &self.metrics),
        }
    }

    /// A call is about to be sent.
    pub(crate) fn sent(&mut self, world: &World, call: &Call) {
        self.flights.sent(world, call);
    }

    /// A call was answered, or was not.
    pub(crate) fn answered<T>(&mut self, call: &Call, outcome: &Outcome<T>, took: Duration) {
        self.metrics.api_request(call.verb, call.kind.resource(), outcome.code(), took);
        self.metrics.decided(call.decision, outcome.reason());
        match outcome {
            Outcome::Applied(_) => self.flights.applied(call, Instant::now()),
            // Too late, which is everyday life: looked at again at once.
            Outcome::Conflict | Outcome::Gone => {}
            Outcome::NotApplied(_) => {
                self.flights.refused(call);
                self.metrics.failed(controller(call.owner), outcome.reason());
            }
            Outcome::TooManyRequests { .. } | Outcome::Unknown(_) => {
                self.metrics.failed(controller(call.owner), outcome.reason());
            }
        }
    }

    /// A call has made what it is about true.
    pub(crate) fn applied(&self, world: &World, call: &Call) {
        let Owner::Deployment(uid) = call.owner else { return };
        // Gone by now, and its series with it.
        let Some(record) = world.deployments.get(&uid) else { return };
        let (namespace, name) = (&record.deployment.namespace, &record.deployment.name);
        for edge in &call.edges {
            edge.tell(namespace, name, &self.metrics);
        }
    }

    /// An event was taken by the API server, for the first time: an earlier process has not told of it.
    pub(crate) fn told(&mut self, told: &Told) {
        self.metrics.api_request("create", "events", told.code, told.took);
        if !told.is_new {
            return;
        }
        if let Some(action) = edges::ignored(told.reason, &told.once) {
            self.metrics.ordered(action, edges::UNKNOWN, "ignored");
        }
        if edges::is_overdue(told.reason) {
            self.flights.overdue(told.uid, Instant::now());
        }
    }

    /// A live read has shown these pods drained.
    pub(crate) fn proven(&mut self, pod: Uid) {
        self.flights.drained(pod, Instant::now());
    }

    /// Now and then: forgets pods that are gone.
    pub(crate) fn sweep(&mut self, world: &World) {
        self.flights.sweep(world);
    }
}
