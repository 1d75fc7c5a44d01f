//! The reference stories.

pub(crate) mod bereft;
pub(crate) mod create;
pub(crate) mod drained;
pub(crate) mod protector;
pub(crate) mod recreate;
pub(crate) mod release;
pub(crate) mod rename;
pub(crate) mod rollback;
pub(crate) mod scale_in;
pub(crate) mod supersede;
pub(crate) mod volumes;

use cafe_tests::scenario::{merge, web};
use serde_json::{Value, json};

/// A workload whose groups after the first are of one pod each, one pod out at a time.
fn one_by_one(replicas: i32) -> Value {
    let mut manifest = web(replicas);
    merge(&mut manifest, &json!({ "spec": { "strategy": { "batchSize": 1, "maxUnavailable": 1 } } }));
    manifest
}
