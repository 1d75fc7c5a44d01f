//! Pods.

use std::collections::BTreeSet;

use cafe_crds::names::{
    ANNOTATION_FORCE_DRAIN, GATE, GROUP, LABEL_GROUP, LABEL_REVISION, LABEL_UNIT, OFFLINE_REASON,
    PROTECTOR_PREFIX,
};
use serde_json::Value;

use super::json::{
    condition, containers, controller, controllers, entry, identity, is_deleting, is_true, list, shared, text,
};
use crate::record::{Container, Gate, Pod, Protector, Revision, Text};

pub(super) fn read(value: &Value) -> Pod {
    let owner = controller(value);
    let ours = |(version, kind, _): &(&str, &str, _)| {
        *kind == "InPlaceSet" && version.split('/').next() == Some(GROUP)
    };
    let label = |key| entry(value, "/metadata/labels", key).unwrap_or_default();
    let phase = text(value, "/status/phase");
    let mut finalizers: Vec<Text> =
        list(value, "/metadata/finalizers").filter_map(Value::as_str).map(shared).collect();
    finalizers.sort_unstable();
    Pod {
        identity: identity(value),
        owner: owner.map(|(_, _, uid)| uid),
        of_set: owner.is_some_and(|o| ours(&o)),
        controllers: crate::count(controllers(value)),
        unit: shared(label(LABEL_UNIT)),
        revision: Revision::of(label(LABEL_REVISION)),
        group: group(label(LABEL_GROUP)),
        terminating: is_deleting(value),
        finished: matches!(phase, "Failed" | "Succeeded"),
        running: phase == "Running",
        node: shared(text(value, "/spec/nodeName")),
        address: shared(text(value, "/status/podIP")),
        gate: gate(value),
        ready: is_true(value, "Ready"),
        containers: read_containers(value),
        protectors: protectors(value, &finalizers),
        finalizers,
        claims: list(value, "/spec/volumes")
            .map(|volume| text(volume, "/persistentVolumeClaim/claimName"))
            .filter(|claim| !claim.is_empty())
            .map(shared)
            .collect(),
        force_drain: entry(value, "/metadata/annotations", ANNOTATION_FORCE_DRAIN).map(shared),
    }
}

/// `<revision>-<group>`.
fn group(label: &str) -> Option<(i64, i64)> {
    let (revision, group) = label.split_once('-')?;
    Some((revision.parse().ok()?, group.parse().ok()?))
}

fn gate(value: &Value) -> Gate {
    let Some(gate) = condition(value, GATE) else { return Gate::Missing };
    match (text(gate, "/status"), text(gate, "/reason")) {
        ("True", _) => Gate::True,
        (_, OFFLINE_REASON) => Gate::Offline,
        (_, reason) => Gate::Draining(shared(reason)),
    }
}

fn read_containers(value: &Value) -> Vec<Container> {
    let Some(spec) = value.get("spec") else { return Vec::new() };
    let status = |name: &str| {
        let mut all =
            list(value, "/status/initContainerStatuses").chain(list(value, "/status/containerStatuses"));
        all.find(|status| text(status, "/name") == name)
    };
    let read = |container: &Value| {
        let status = status(text(container, "/name"));
        let of = |pointer| shared(status.map(|s| text(s, pointer)).unwrap_or_default());
        Container {
            name: shared(text(container, "/name")),
            wants: shared(text(container, "/image")),
            runs: of("/imageID"),
            id: of("/containerID"),
            waits: status.is_some_and(|s| s.pointer("/state/waiting").is_some()),
        }
    };
    containers(spec).map(read).collect()
}

fn protectors(value: &Value, finalizers: &[Text]) -> Vec<Protector> {
    let conditions = list(value, "/status/conditions").map(|c| text(c, "/type"));
    let names: BTreeSet<&str> = finalizers
        .iter()
        .map(|name| &**name)
        .chain(conditions)
        .filter(|name| name.starts_with(PROTECTOR_PREFIX))
        .collect();
    let read = |name: &str| {
        let answer = condition(value, name).filter(|c| text(c, "/status") == "False");
        Protector {
            holds: finalizers.iter().any(|held| **held == *name),
            answered: answer.map(|c| shared(text(c, "/reason"))),
        }
    };
    names.into_iter().map(read).collect()
}
