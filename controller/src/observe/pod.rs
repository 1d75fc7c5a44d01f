//! From a pod's JSON to its record.

use cafe_crds::{
    names::{
        ANNOTATION_FORCE_DRAIN, ANNOTATION_IN_PLACE, ANNOTATION_OFFLINE, DRAIN_REASON_PREFIX, GATE,
        LABEL_GROUP, LABEL_REVISION, LABEL_SERVING, PREFIX, PROTECTOR_PREFIX,
    },
    time::Seconds,
};
use cafe_planner::{
    Text,
    identity::Uid,
    pod::{Container, ContainerState, Gate, InPlace, Phase, Pod, Protector, ProtectorCondition, Ran},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde::{Deserialize, Serialize};

use super::{
    Interner,
    records::{resource_version, seconds},
    slim::{ContainerSpec, ContainerStatus, PodCondition, PodObject},
};

/// The annotation by which people say which pods to remove first.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The record of a pod; none for an object without identity.
pub(crate) fn record(object: &PodObject, interner: &mut Interner) -> Option<Pod> {
    let meta = &object.metadata.0;
    let label = |key: &str| meta.labels.as_ref().and_then(|l| l.get(key));
    let annotation = |key: &str| meta.annotations.as_ref().and_then(|a| a.get(key));
    let status = &object.status;
    let conditions = &status.conditions;
    let gate = condition(conditions, GATE);
    Some(Pod {
        name: meta.name.as_deref()?.into(),
        uid: meta.uid.as_deref()?.parse().ok()?,
        rv: resource_version(meta),
        generation: meta.generation.unwrap_or_default(),
        observed_generation: status.observed_generation.unwrap_or_default(),
        created: seconds(meta.creation_timestamp.as_ref()),
        revision: label(LABEL_REVISION).and_then(|hash| hash.parse().ok()),
        group: label(LABEL_GROUP).and_then(|label| group(label)),
        terminating: meta.deletion_timestamp.is_some(),
        scheduled: object.spec.node_name.is_some(),
        unschedulable: condition(conditions, "PodScheduled")
            .filter(|c| is_refused(c))
            .map(|c| seconds(c.last_transition_time.as_ref().or(meta.creation_timestamp.as_ref()))),
        phase: phase(status.phase.as_deref()),
        gate: gate.map_or(Gate::Missing, |c| Gate::parse(&c.status, c.reason.as_deref().unwrap_or_default())),
        gate_editor: object.metadata.1.0.as_deref().map(|name| interner.text(name)),
        gate_since: gate.map_or(Seconds::default(), |c| since(c.last_transition_time.as_ref())),
        selected: label(LABEL_SERVING).is_some_and(|value| value == "true"),
        offline: annotation(ANNOTATION_OFFLINE).is_some_and(|value| value != "false"),
        force_drain: annotation(ANNOTATION_FORCE_DRAIN).and_then(|op| op.parse().ok()),
        ready_since: condition(conditions, "Ready")
            .filter(|c| is_true(c))
            .map(|c| since(c.last_transition_time.as_ref())),
        gate_noticed: condition(conditions, "Ready").is_some_and(is_about_gates)
            || !condition(conditions, "ContainersReady").is_some_and(is_true),
        containers_ready: condition(conditions, "ContainersReady").is_some_and(is_true),
        deletion_cost: annotation(DELETION_COST).and_then(|cost| cost.parse().ok()).unwrap_or_default(),
        protectors: protectors(meta.finalizers.as_deref().unwrap_or_default(), conditions, interner),
        containers: containers(object, interner),
        init_waits: init_waits(object, interner).map(Box::new),
        in_place: annotation(ANNOTATION_IN_PLACE).and_then(|text| in_place(text, interner)).map(Box::new),
    })
}

/// The uid of the controller of an object.
pub(crate) fn controller(meta: &ObjectMeta, kind: &str) -> Option<Uid> {
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    let ours = |o: &&OwnerReference| {
        o.controller == Some(true) && o.kind == kind && o.api_version.starts_with(PREFIX)
    };
    owners.iter().find(ours).and_then(|o| o.uid.parse().ok())
}

/// `7-2`: group 2 of revision 7.
fn group(label: &str) -> Option<(i64, i32)> {
    let (revision, group) = label.split_once('-')?;
    Some((revision.parse().ok()?, group.parse().ok()?))
}

fn phase(text: Option<&str>) -> Phase {
    match text {
        Some("Running") => Phase::Running,
        Some("Failed" | "Succeeded") => Phase::Finished,
        _ => Phase::Pending,
    }
}

fn condition<'a>(conditions: &'a [PodCondition], type_: &str) -> Option<&'a PodCondition> {
    conditions.iter().find(|c| c.type_ == type_)
}

fn is_true(condition: &PodCondition) -> bool {
    condition.status == "True"
}

/// The words of the kubelet when readiness gates alone keep a pod from being Ready.
fn is_about_gates(ready: &PodCondition) -> bool {
    ready.status == "False" && ready.reason.as_deref() == Some("ReadinessGatesNotReady")
}

fn is_refused(scheduled: &PodCondition) -> bool {
    scheduled.status == "False" && scheduled.reason.as_deref() == Some("Unschedulable")
}

fn since(time: Option<&Time>) -> Seconds {
    seconds(time)
}

fn containers(object: &PodObject, interner: &mut Interner) -> Box<[Container]> {
    let sidecars =
        object.spec.init_containers.iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let status = &object.status;
    let mut all: Vec<Container> =
        object.spec.containers.iter().map(|c| container(c, &status.container_statuses, interner)).collect();
    all.extend(sidecars.map(|c| container(c, &status.init_container_statuses, interner)));
    all.into()
}

/// Init containers that end before the others start, in their order: the first that waits holds the rest.
fn init_waits(object: &PodObject, interner: &mut Interner) -> Option<(Text, Text)> {
    let ends = |name: &str| {
        let spec = object.spec.init_containers.iter().find(|c| c.name == name);
        spec.is_some_and(|c| c.restart_policy.as_deref() != Some("Always"))
    };
    let statuses = object.status.init_container_statuses.iter().filter(|s| ends(&s.name));
    let mut waits = statuses.filter_map(|s| Some((&s.name, waits_for(s)?)));
    waits.next().map(|(name, reason)| (interner.text(name), interner.text(reason)))
}

fn waits_for(status: &ContainerStatus) -> Option<&str> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    Some(waiting.reason.as_deref().unwrap_or("Waiting"))
}

fn container(spec: &ContainerSpec, statuses: &[ContainerStatus], interner: &mut Interner) -> Container {
    let status = statuses.iter().find(|s| s.name == spec.name);
    let state = status.and_then(|s| s.state.as_ref());
    let state = ContainerState {
        name: interner.text(&spec.name),
        wants: interner.text(spec.image.as_deref().unwrap_or_default()),
        image: interner.text(status.map_or("", |s| &s.image)),
        running: state.is_some_and(|s| s.running.is_some()),
        ready: status.is_some_and(|s| s.ready),
        waiting: status.and_then(waits_for).map(|reason| interner.text(reason)),
    };
    Container {
        id: status.and_then(|s| s.container_id.as_deref()).unwrap_or_default().into(),
        state: interner.state(state),
    }
}

fn protectors(
    finalizers: &[String],
    conditions: &[PodCondition],
    interner: &mut Interner,
) -> Box<[Protector]> {
    let held = finalizers.iter().filter_map(|f| f.strip_prefix(PROTECTOR_PREFIX));
    let told = conditions.iter().filter_map(|c| c.type_.strip_prefix(PROTECTOR_PREFIX));
    let mut names: Vec<&str> = held.clone().chain(told).collect();
    names.sort_unstable();
    names.dedup();
    let one = |name: &str| Protector {
        name: interner.text(name),
        finalizer: held.clone().any(|f| f == name),
        condition: conditions
            .iter()
            .find(|c| c.type_.strip_prefix(PROTECTOR_PREFIX) == Some(name))
            .map(answer),
    };
    names.into_iter().map(one).collect()
}

fn answer(condition: &PodCondition) -> ProtectorCondition {
    if is_true(condition) {
        return ProtectorCondition::True;
    }
    let op = condition.reason.as_deref().and_then(|r| r.strip_prefix(DRAIN_REASON_PREFIX));
    ProtectorCondition::False(op.and_then(|op| op.parse().ok()))
}

/// The annotation `cafe.dev/in-place` as it is written.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    op: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ran: Vec<RanRecord>,
    #[serde(default, skip_serializing_if = "is_zero")]
    fence: u32,
    /// Who was not waited for, when the drain was forced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forced: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<Seconds>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RanRecord {
    container: String,
    #[serde(rename = "containerID")]
    id: String,
    image: String,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Record {
    /// The record of an update to `revision`.
    pub(crate) fn new(in_place: &InPlace, revision: Option<String>, at: Seconds) -> Self {
        let ran = |r: &Ran| RanRecord {
            container: r.container.to_string(),
            id: r.id.to_string(),
            image: r.image.to_string(),
        };
        Self {
            op: in_place.op.to_string(),
            revision,
            ran: in_place.ran.iter().map(ran).collect(),
            fence: in_place.fence,
            forced: in_place.forced.as_deref().map(str::to_owned),
            at: Some(at),
        }
    }
}

fn in_place(text: &str, interner: &mut Interner) -> Option<InPlace> {
    let record: Record = serde_json::from_str(text).ok()?;
    let ran = |r: &RanRecord| Ran {
        container: interner.text(&r.container),
        id: r.id.as_str().into(),
        image: interner.text(&r.image),
    };
    Some(InPlace {
        op: record.op.parse().ok()?,
        ran: record.ran.iter().map(ran).collect(),
        fence: record.fence,
        forced: record.forced.as_deref().map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    fn read(spec: &Value, status: &Value) -> Pod {
        let object = json!({
            "metadata": { "name": "web-1", "uid": "6f1cbb4e-0a1c-4b5e-8a63-0c7d6a0e2f11", "resourceVersion": "7" },
            "spec": spec, "status": status,
        });
        record(&serde_json::from_value(object).unwrap(), &mut Interner::default()).unwrap()
    }

    fn ready(reason: Option<&str>, containers_ready: &str) -> Pod {
        let conditions = json!([
            { "type": "Ready", "status": "False", "reason": reason },
            { "type": "ContainersReady", "status": containers_ready },
        ]);
        read(&json!({ "containers": [] }), &json!({ "conditions": conditions }))
    }

    #[test]
    fn a_closed_gate_is_noticed_when_the_kubelet_says_so_or_cannot_call_the_pod_ready() {
        assert!(ready(Some("ReadinessGatesNotReady"), "True").gate_noticed);
        assert!(ready(None, "False").gate_noticed);
        assert!(!ready(None, "True").gate_noticed);
    }

    #[test]
    fn the_first_plain_init_container_that_waits_is_found_and_sidecars_are_containers() {
        let waiting =
            |name: &str, reason: &str| json!({ "name": name, "state": { "waiting": { "reason": reason } } });
        let pod = read(
            &json!({
                "containers": [{ "name": "app" }],
                "initContainers": [{ "name": "proxy", "restartPolicy": "Always" }, { "name": "migrate" }, { "name": "seed" }],
            }),
            &json!({ "initContainerStatuses": [
                waiting("proxy", "ImagePullBackOff"), waiting("migrate", "CrashLoopBackOff"), waiting("seed", "PodInitializing"),
            ] }),
        );
        assert_eq!(pod.init_waits.as_deref(), Some(&("migrate".into(), "CrashLoopBackOff".into())));
        let sidecar = pod.containers.iter().find(|c| *c.name == *"proxy").unwrap();
        assert_eq!(sidecar.waiting.as_deref(), Some("ImagePullBackOff"));
    }
}
