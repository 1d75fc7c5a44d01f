//! `Ready` is never True too early: not between an order and the first pod that follows it.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use cafe_tests::scenario::{Kind, Pod, Workload};
use serde_json::Value;

/// Checks at every version that says `Ready` of its own spec that no pod was left at another image, or was older than
/// `spec.restartAt`.
pub(super) fn never_early(web: &Workload) -> Result<()> {
    let mut pods = BTreeMap::new();
    for seen in web.watcher().history() {
        match seen.kind {
            Kind::Pod if seen.gone => drop(pods.remove(&seen.name)),
            Kind::Pod => drop(pods.insert(seen.name, seen.object)),
            Kind::Deployment if says_ready(&seen.object) => {
                let mut live = pods.values().map(|pod| Pod(pod)).filter(|pod| !pod.is_terminating());
                let behind = live.find(|pod| is_behind(*pod, &seen.object));
                let line = behind.map(Pod::line).unwrap_or_default();
                ensure!(behind.is_none(), "Ready at version {}, although: {line}", seen.version);
            }
            _ => {}
        }
    }
    Ok(())
}

fn says_ready(deployment: &Value) -> bool {
    let mut conditions = deployment["status"]["conditions"].as_array().into_iter().flatten();
    let observed = deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"];
    observed && conditions.any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn is_behind(pod: Pod<'_>, deployment: &Value) -> bool {
    let wanted = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    // Both are moments in UTC with whole seconds, so their texts are in order.
    let restart = deployment["spec"]["restartAt"].as_str().unwrap_or_default();
    let created = pod.0["metadata"]["creationTimestamp"].as_str().unwrap_or_default();
    pod.0["spec"]["containers"][0]["image"] != *wanted || created < restart
}
