//! The simulated kubelets: KWOK stages driven by annotations of the pod.
//!
//! | annotation | effect |
//! |---|---|
//! | `sim.cafe.dev/restart: <duration>` | time between the end of the old container and the start of the new one |
//! | `sim.cafe.dev/stop: <duration>` | time the old container takes to stop, and a deleted pod to go; until then the status shows the new generation as observed and the old container running |
//! | `sim.cafe.dev/ready-delay: <duration>` | time between a container's start and its readiness |
//! | `sim.cafe.dev/spread: <duration>` | comes on top of the restart time and of the time until readiness: a part of it that the pod's uid decides, so that pods which stop together do not start together |
//! | `sim.cafe.dev/image-pull-error: "true"` | the next container waits with `ImagePullBackOff` until this is taken off |
//! | `sim.cafe.dev/crash: "true"` | the next container starts, ends with an error and waits with `CrashLoopBackOff`; it is tried again every 10 s |
//! | `sim.cafe.dev/same-digest: "true"` | the next container's image has the old imageID (two tags of one digest) |
//! | `sim.cafe.dev/lost: "true"` | its kubelet is dead: nothing happens to the pod until this is taken off |
//!
//! They are read when a container starts (stops, is probed), so they change together with the image in one patch of the
//! pod. Native sidecars are treated like containers. Durations are written as in Go: `500ms`, `1m30s`.
//!
//! A node is kept Ready unless it has the annotation `sim.cafe.dev/lost: "true"`; then whoever put that there decides.

use serde_json::{Value, json};

const NEXT: &str = include_str!("stages/next.jq");
const KUBELET: &str = include_str!("stages/kubelet.tpl");

/// The part of a pod's life that a stage belongs to. Cheap to tell, so that `next.jq` runs for few stages per event.
#[derive(Clone, Copy)]
enum Life {
    Unborn,
    Alive,
    Dying,
}

/// The word of `next.jq` that a stage answers to, its delay (jq, a duration), and its patch.
struct Stage {
    life: Life,
    word: &'static str,
    /// What is true of every pod that the word is said of, and cheap to tell (jq): with thousands of pods a simulated kubelet that lets
    /// `next.jq` run for each stage and event falls behind its watch, and what follows is a list of all pods.
    only: Option<&'static str>,
    delay: Option<&'static str>,
    patch: Option<&'static str>,
}

const STAGES: [Stage; 8] = [
    Stage {
        life: Life::Unborn,
        word: "start",
        only: None,
        delay: None,
        patch: Some(include_str!("stages/start.tpl")),
    },
    Stage {
        life: Life::Alive,
        word: "refresh",
        only: Some(NOT_AT_REST),
        delay: None,
        patch: Some(include_str!("stages/refresh.tpl")),
    },
    Stage {
        life: Life::Alive,
        word: "stop",
        only: Some(OTHER_IMAGES),
        delay: Some(r#"milliseconds("stop") | in_milliseconds"#),
        patch: Some(include_str!("stages/stop.tpl")),
    },
    Stage {
        life: Life::Alive,
        word: "run",
        only: Some("any(reported[]; .state.running == null)"),
        delay: Some(RUN_DELAY),
        patch: Some(include_str!("stages/run.tpl")),
    },
    Stage {
        life: Life::Alive,
        word: "crash",
        only: Some("any(reported[]; .started != true)"),
        delay: Some(r#""100ms""#),
        patch: Some(include_str!("stages/crash.tpl")),
    },
    Stage {
        life: Life::Alive,
        word: "probe",
        only: Some("any(reported[]; .ready | not)"),
        delay: Some(PROBE_DELAY),
        patch: Some(include_str!("stages/probe.tpl")),
    },
    Stage {
        life: Life::Dying,
        word: "terminate",
        only: None,
        delay: None,
        patch: Some(include_str!("stages/terminate.tpl")),
    },
    Stage {
        life: Life::Dying,
        word: "delete",
        only: None,
        delay: Some(r#"milliseconds("stop") | in_milliseconds"#),
        patch: None,
    },
];

/// What the kubelet has reported of all containers: the one definition that `only` may use.
const REPORTED: &str =
    "def reported: (.status.initContainerStatuses // []) + (.status.containerStatuses // []);";

/// The status is about another generation, or some condition is missing or not True.
const NOT_AT_REST: &str = r#"
.status.observedGeneration != .metadata.generation
or ["Ready", "ContainersReady", (.spec.readinessGates // [])[].conditionType] - [(.status.conditions // [])[].type] != []
or any((.status.conditions // [])[];
    .status != "True" or .type == "Ready" and (.lastTransitionTime == null or .observedGeneration == null))
"#;

/// Some container is not known to run the image that it is to.
const OTHER_IMAGES: &str =
    "[.spec | ((.initContainers // []) + .containers)[] | [.name, .image]] != [reported[] | [.name, .image]]";

/// A crashed container is tried again after the kubelet's first back-off, unless it is to crash no more or has another
/// image; all others start when `sim.cafe.dev/restart` has passed since they stopped.
const RUN_DELAY: &str = r#"
wanted as $wanted
| [statuses[].state.terminated.message | strings | tonumber] as $stopped
| [statuses[] | select(.state.waiting.reason == "CrashLoopBackOff" and .image == $wanted[.name])] as $crashed
| if $stopped != [] then ($stopped | max) + milliseconds("restart") + spread
  elif $crashed != [] and says("crash") and (pull_again | not) then
      ($crashed | map(.lastState.terminated.message | tonumber) | min) + 10000
  else 0 end
| if . == 0 then "0ms" else . - now * 1000 | in_milliseconds end
"#;

/// The container's ID ends with the moment of its start in milliseconds.
const PROBE_DELAY: &str = r#"
milliseconds("ready-delay") as $all | spread as $spread
| [unprobed[] | .containerID | split("/") | last | tonumber] | max + $all + $spread - now * 1000 | in_milliseconds
"#;

/// The configuration file for `kwok`: its options and all stages. Documents in JSON, which is YAML too.
#[must_use]
pub fn kwok_configuration() -> String {
    let options = json!({
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokConfiguration",
        // KWOK fills in no defaults once there are options, so all that must not be zero stand here.
        "options": {
            "podPlayStageParallelism": 16,
            "nodePlayStageParallelism": 4,
            "nodeLeaseParallelism": 4,
            "podsOnNodeSyncParallelism": 4,
            "enablePodsOnNodeSyncListPager": true,
        },
    });
    let stages = STAGES.iter().map(Stage::document);
    [options, node_stage()]
        .into_iter()
        .chain(stages)
        .map(|document| format!("{document:#}\n"))
        .collect::<Vec<_>>()
        .join("---\n")
}

/// KWOK manages the pods of nodes only when it has a stage for nodes.
fn node_stage() -> Value {
    json!({
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": { "name": "node-ready" },
        "spec": {
            "resourceRef": { "apiGroup": "v1", "kind": "Node" },
            "selector": { "matchExpressions": [{ "key": NODE_READY, "operator": "In", "values": ["false"] }]},
            "next": { "patches": [{
                "subresource": "status",
                "type": "strategic",
                "template": include_str!("stages/node.tpl"),
            }]},
        },
    })
}

const NODE_READY: &str = r#"
.metadata.annotations["sim.cafe.dev/lost"] == "true" or any((.status.conditions // [])[]; .type == "Ready" and .status == "True")
"#;

impl Life {
    fn expressions(self) -> Vec<Value> {
        let (deletion, address) = match self {
            Self::Unborn => ("DoesNotExist", Some("DoesNotExist")),
            Self::Alive => ("DoesNotExist", Some("Exists")),
            Self::Dying => ("Exists", None),
        };
        let mut expressions = vec![json!({ "key": ".metadata.deletionTimestamp", "operator": deletion })];
        expressions.extend(address.map(|operator| json!({ "key": ".status.podIP", "operator": operator })));
        expressions
    }
}

impl Stage {
    fn document(&self) -> Value {
        let next = match &self.patch {
            Some(patch) => json!({ "patches": [{
                "subresource": "status",
                "type": "strategic",
                "template": format!("{KUBELET}{patch}"),
            }]}),
            None => json!({ "delete": true }),
        };
        let mut expressions = self.life.expressions();
        let only = self.only.map(|only| format!("{REPORTED} {only}"));
        expressions.extend(only.map(|key| json!({ "key": key, "operator": "In", "values": ["true"] })));
        expressions.push(json!({ "key": format!("{NEXT}\nnext"), "operator": "In", "values": [self.word] }));
        let mut spec = json!({
            "resourceRef": { "apiGroup": "v1", "kind": "Pod" },
            "selector": { "matchExpressions": expressions },
            "next": next,
        });
        if let (Some(delay), Some(spec)) = (self.delay, spec.as_object_mut()) {
            let expression = format!("{NEXT}\n{delay}");
            spec.insert(
                "delay".to_owned(),
                json!({ "durationMilliseconds": 0, "durationFrom": { "expressionFrom": expression } }),
            );
        }
        json!({
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "Stage",
            "metadata": { "name": format!("pod-{}", self.word) },
            "spec": spec,
        })
    }
}
