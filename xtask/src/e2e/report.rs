//! The figures of a run.

use std::fmt::Write;

use anyhow::Result;
use cafe_tests::traffic::Spread;
use serde::Serialize;

use super::manifest::GRACE_SECONDS;

/// What one scenario came to.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Outcome {
    /// Pods updated in place.
    pub(super) updates: usize,
    /// Requests sent.
    pub(super) requests: usize,
    /// Requests without a right answer.
    pub(super) lost: usize,
    /// The most pods out of service at once.
    pub(super) max_unavailable: usize,
    /// Whether this is the run that must lose requests.
    #[serde(skip)]
    pub(super) is_proof: bool,
    #[serde(skip)]
    pub(super) samples: Samples,
}

/// Durations in microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples {
    /// W2 until the new containers are ready.
    pub(super) swap: Vec<u64>,
    /// W1 until W2.
    pub(super) drain: Vec<u64>,
    /// W1 until no endpoint serves the pod.
    pub(super) endpoints: Vec<u64>,
    /// W1 until the pod is back.
    pub(super) total: Vec<u64>,
    /// W1 until the last new connection.
    pub(super) propagation: Vec<u64>,
    /// W1 until the last request over a connection that was kept alive.
    pub(super) kept_alive: Vec<u64>,
    /// A request until its answer.
    pub(super) latency: Vec<u64>,
}

impl Outcome {
    /// Adds another one: counts add up, the worst stays the worst.
    pub(super) fn absorb(&mut self, other: Self) {
        self.updates += other.updates;
        self.requests += other.requests;
        self.lost += other.lost;
        self.max_unavailable = self.max_unavailable.max(other.max_unavailable);
        self.samples.absorb(other.samples);
    }

    /// For people.
    pub(super) fn line(&self, seconds: f64) -> String {
        let Self { updates, requests, lost, max_unavailable, .. } = self;
        format!(
            "{updates} pods updated, {requests} requests, {lost} lost, at most {max_unavailable} pods out, {seconds:.0} s"
        )
    }
}

impl Samples {
    fn absorb(&mut self, other: Self) {
        self.swap.extend(other.swap);
        self.drain.extend(other.drain);
        self.endpoints.extend(other.endpoints);
        self.total.extend(other.total);
        self.propagation.extend(other.propagation);
        self.kept_alive.extend(other.kept_alive);
        self.latency.extend(other.latency);
    }
}

#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    held: bool,
    seconds: f64,
    #[serde(flatten)]
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The run without a drain: what these clients see when nobody protects them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Proof {
    updates: usize,
    requests: usize,
    lost: usize,
}

/// What is written to `--out`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    updates: usize,
    requests: usize,
    lost: usize,
    max_unavailable: usize,
    grace_seconds: u32,
    swap_ms: Spread,
    drain_ms: Spread,
    endpoints_ms: Spread,
    propagation_ms: Spread,
    kept_alive_ms: Spread,
    total_ms: Spread,
    latency_ms: Spread,
    seconds: f64,
    proof: Proof,
    scenarios: Vec<Entry>,
    #[serde(skip)]
    all: Outcome,
}

impl Report {
    /// Takes down what a scenario came to.
    pub(super) fn add(&mut self, name: &str, seconds: f64, outcome: Result<Outcome>) {
        let (outcome, error) = match outcome {
            Ok(outcome) => (outcome, None),
            Err(error) => (Outcome::default(), Some(format!("{error:#}"))),
        };
        if outcome.is_proof {
            let Outcome { updates, requests, lost, .. } = outcome;
            self.proof = Proof { updates, requests, lost };
        } else {
            self.all.absorb(outcome.clone());
        }
        let seconds = (seconds * 10.0).round() / 10.0;
        self.scenarios.push(Entry { name: name.to_owned(), held: error.is_none(), seconds, outcome, error });
    }

    /// Computes the figures.
    pub(super) fn finish(&mut self, seconds: f64) {
        let Outcome { updates, requests, lost, max_unavailable, .. } = self.all;
        (self.updates, self.requests, self.lost) = (updates, requests, lost);
        self.max_unavailable = max_unavailable;
        self.grace_seconds = GRACE_SECONDS;
        self.seconds = (seconds * 10.0).round() / 10.0;
        let samples = &self.all.samples;
        let of = |values: &Vec<u64>| Spread::of(values.iter().copied());
        self.swap_ms = of(&samples.swap);
        self.drain_ms = of(&samples.drain);
        self.endpoints_ms = of(&samples.endpoints);
        self.propagation_ms = of(&samples.propagation);
        self.kept_alive_ms = of(&samples.kept_alive);
        self.total_ms = of(&samples.total);
        self.latency_ms = of(&samples.latency);
    }

    /// For people.
    pub(super) fn summary(&self) -> String {
        let mut text = String::new();
        for entry in &self.scenarios {
            let verdict = if entry.held { "ok" } else { "FAILED" };
            let _ = writeln!(text, "{verdict:<8}{:<22}{}", entry.name, entry.outcome.line(entry.seconds));
        }
        let _ = writeln!(text, "\n{:<38}{:>9}{:>9}{:>9}", "milliseconds", "p50", "p99", "max");
        let rows = [
            ("W2 to new containers ready", self.swap_ms),
            ("W1 to no endpoint", self.endpoints_ms),
            ("W1 to the last new connection", self.propagation_ms),
            ("W1 to the last kept-alive request", self.kept_alive_ms),
            ("W1 to W2 (drain with grace)", self.drain_ms),
            ("W1 to back in service", self.total_ms),
            ("request to answer", self.latency_ms),
        ];
        for (name, spread) in rows {
            let _ = writeln!(text, "{name:<38}{:>9.1}{:>9.1}{:>9.1}", spread.p50, spread.p99, spread.max);
        }
        let Proof { updates, requests, lost } = self.proof;
        if updates > 0 {
            let _ =
                writeln!(text, "\nwithout a drain: {updates} pods updated, {requests} requests, {lost} lost");
        }
        let _ = writeln!(
            text,
            "with Cafe: {} pods updated in place, {} requests, {} lost, {:.0} s",
            self.updates, self.requests, self.lost, self.seconds
        );
        text
    }
}
