//! The workload that traffic flows through.

use std::path::Path;

use cafe_tests::scenario::{CONTAINER, image, merge, web};
use serde_json::{Value, json};

/// What Cafe takes when nobody says otherwise, and what is needed here: after the proof that no endpoint serves the pod,
/// kube-proxy may still take a second to program it (`minSyncPeriod`, 1 s), more on a busy machine, and a client or the
/// application ends a kept-alive connection within a second of its first request (`OLDEST` of the client,
/// `--connection-ms` of the application), 200 ms of service included. The run measures both (`propagation_ms`,
/// `kept_alive_ms`, from W1) and shows them beside the drain that they must fit into (`drain_ms`).
pub(super) const GRACE_SECONDS: u32 = 3;

/// Keeps the journals of all pods on the node's disk: it outlives containers and pods.
const JOURNAL: &str = "/journal";

/// A CafeDeployment `web` over both cells, without gates between its groups, half of it out at once at most.
pub(super) fn traffic(replicas: i32, journal: &Path) -> Value {
    let mut manifest = web(replicas);
    merge(
        &mut manifest,
        &json!({ "spec": {
            "template": { "spec": {
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "terminationGracePeriodSeconds": 10,
                "containers": [container(CONTAINER, "v1", 8080)],
                "volumes": [{ "name": "journal", "hostPath": { "path": journal, "type": "DirectoryOrCreate" } }],
            }},
            "strategy": { "needWaitingForConfirm": false, "batchSize": null, "maxUnavailable": "50%" },
            "traffic": { "graceSeconds": GRACE_SECONDS },
        }}),
    );
    manifest
}

/// A container of the application that listens on `port`.
pub(super) fn container(name: &str, tag: &str, port: u16) -> Value {
    json!({
        "name": name,
        "image": image(tag),
        "imagePullPolicy": "IfNotPresent",
        "env": [
            { "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
            { "name": "JOURNAL", "value": format!("{JOURNAL}/{name}") },
            { "name": "PORT", "value": port.to_string() },
        ],
        "ports": [{ "containerPort": port }],
        "readinessProbe": { "httpGet": { "path": "/ready", "port": port }, "periodSeconds": 1 },
        "volumeMounts": [{ "name": "journal", "mountPath": JOURNAL }],
    })
}
