//! Releases on a real control plane, as operators and pipelines see them. Each test has a namespace of its own in one
//! shared bed, and ends with a replay of everything that happened there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod autoscaler;
mod balancer;
mod changes;
mod ci;
mod claims;
mod confirm;
mod containers;
mod deletion;
mod disruption;
mod endpoints;
mod failure;
mod groups;
mod hands;
mod history;
mod leaving;
mod lingering;
mod lost_nodes;
mod matrix;
mod minds;
mod node_lifecycle;
mod offline;
mod people;
mod placement;
mod pods;
mod protectors;
mod records;
mod reschedule;
mod restart;
mod rollback;
mod scaleout;
mod scaling;
mod sets;
mod several;
mod story;
mod timeouts;
mod units;
mod unselect;

use std::collections::BTreeMap;

use cafe_tests::scenario::{View, merge, web};
use serde_json::{Value, json};

/// Pods of CellA and CellB.
fn cells(a: usize, b: usize) -> BTreeMap<&'static str, usize> {
    [("CellA", a), ("CellB", b)].into_iter().filter(|(_, n)| *n > 0).collect()
}

/// A group of the plan.
fn group(state: &str, units: &[i64]) -> (String, Vec<i64>) {
    (state.to_owned(), units.to_vec())
}

/// Whether the first pod in trouble is told of in the message.
fn is_stuck(view: &View, reason: &str) -> bool {
    view.is_observed() && view.message().contains(reason)
}

/// `web` for tests that move pods which have only just come into service: their endpoints may not be published yet when
/// they are taken out again, and the publication that is late must fall into the grace.
fn web_with_grace(replicas: i32) -> Value {
    let mut manifest = web(replicas);
    merge(&mut manifest, &json!({ "spec": { "traffic": { "graceSeconds": 1 } } }));
    manifest
}
