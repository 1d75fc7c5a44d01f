//! Lines of watches, as an API server sends them: kind by kind, with what the controller does not look at.

use std::ops::Range;

use serde_json::{Value, json};

/// A pod with two containers, probes, variables, volumes and everybody's managed fields: 13 kB.
pub(crate) const POD: &str = include_str!("pod.json");
/// A pod with one container and not much else: 6 kB.
pub(crate) const SMALL_POD: &str = include_str!("small_pod.json");

/// The uid of the InPlaceSet.
pub(crate) const SET: &str = "5d0c2a54-9c1e-4f0b-8a44-1f6f0e9b7a10";
/// What its pods run before anything changes.
pub(crate) const IMAGE: &str = "registry.example.com/shop/web:2026.11.3";

const CREATED: &str = "2026-11-20T08:14:37Z";

/// An event of a watch. What it is about comes after what has happened, as the API server has it: in another order it would be read in
/// two passes.
pub(crate) fn modified(object: &Value) -> String {
    format!(r#"{{"type":"MODIFIED","object":{object}}}"#)
}

/// Pod number `serial` in one of the two forms, at a revision, with this condition as its gate.
pub(crate) fn pod(form: &str, serial: usize, revision: &str, gate: &Value) -> String {
    let marks = [
        ("<name>", name(serial)),
        ("<uid>", uid(serial)),
        ("<rv>", (1_000 + serial).to_string()),
        ("<set>", SET.to_owned()),
        ("<revision>", revision.to_owned()),
        ("<image>", IMAGE.to_owned()),
        ("<container>", format!("{serial:064x}")),
        ("<ip>", address(serial)),
        ("<gate>", gate.to_string()),
    ];
    // The fixtures are broken into lines to be read; an API server sends none of the white space.
    let form: String = form.lines().map(str::trim).collect();
    marks.iter().fold(form, |line, (mark, value)| line.replace(mark, value))
}

/// The gate of a pod that serves.
pub(crate) fn open() -> Value {
    json!({"type": "cafe.dev/serving", "status": "True", "reason": "Serving", "message": "", "lastProbeTime": null, "lastTransitionTime": "2026-11-20T08:14:52Z"})
}

/// An EndpointSlice that lists these pods, of which those `out` serve no longer.
pub(crate) fn slice(pods: Range<usize>, out: &Range<usize>) -> String {
    let uid = format!("a3e1b9d0-0f5c-4c7b-9d11-{:012x}", pods.start);
    let fields = json!({
        "f:addressType": {}, "f:endpoints": {}, "f:ports": {},
        "f:metadata": {
            "f:annotations": {".": {}, "f:endpoints.kubernetes.io/last-change-trigger-time": {}}, "f:generateName": {},
            "f:labels": {".": {}, "f:endpointslice.kubernetes.io/managed-by": {}, "f:kubernetes.io/service-name": {}},
            "f:ownerReferences": {".": {}, "k:{\"uid\":\"0c2a8f0e-7f55-4d0a-a7c0-1b3a4c5d6e7f\"}": {}},
        },
    });
    let endpoint = |serial: usize| {
        let serves = !out.contains(&serial);
        json!({
            "addresses": [address(serial)], "nodeName": format!("node-{:02}", serial % 50), "zone": "CellA",
            "conditions": {"ready": serves, "serving": serves, "terminating": false},
            "targetRef": {"kind": "Pod", "namespace": "shop", "name": name(serial), "uid": self::uid(serial)},
        })
    };
    modified(&json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4",
        "metadata": {
            "name": format!("web-{:05}", pods.start), "generateName": "web-", "namespace": "shop", "uid": uid,
            "resourceVersion": "4000", "generation": 7, "creationTimestamp": CREATED,
            "labels": {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io", "kubernetes.io/service-name": "web"},
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-11-20T09:00:00Z"},
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Service", "name": "web", "uid": "0c2a8f0e-7f55-4d0a-a7c0-1b3a4c5d6e7f",
                "controller": true, "blockOwnerDeletion": true,
            }],
            "managedFields": [{
                "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "discovery.k8s.io/v1",
                "time": CREATED, "fieldsType": "FieldsV1", "fieldsV1": fields,
            }],
        },
        "endpoints": pods.map(endpoint).collect::<Vec<_>>(),
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }))
}

/// The InPlaceSet as it was created, with so many pods, of which a quarter may be out of service.
pub(crate) fn set(pods: usize) -> Value {
    let containers = json!([
        {"name": "app", "image": IMAGE},
        {"name": "log-shipper", "image": "registry.example.com/observability/fluent-bit:4.0.3"},
    ]);
    json!({
        "apiVersion": "cafe.dev/v1alpha1", "kind": "InPlaceSet",
        "metadata": {
            "name": "web", "namespace": "shop", "uid": SET, "resourceVersion": "10", "generation": 1, "creationTimestamp": CREATED,
        },
        "spec": {
            "replicas": pods, "selector": {"matchLabels": {"app": "web"}}, "updateStrategy": {"maxUnavailable": "25%", "group": "2-1"},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}},
        },
    })
}

fn name(serial: usize) -> String {
    format!("web-{serial:05}")
}

/// Spread, as real uids are.
pub(crate) fn uid(serial: usize) -> String {
    let high = cafe_planner::identity::mix(serial as u64 + 1);
    format!("{:08x}-{:04x}-4{:03x}-8000-{serial:012x}", high >> 32, (high >> 16) & 0xffff, high & 0xfff)
}

fn address(serial: usize) -> String {
    format!("10.1.{}.{}", serial / 250, serial % 250 + 1)
}
