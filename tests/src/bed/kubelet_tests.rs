//! The simulated kubelets, on a real control plane: what a controller sees of them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::Bed;
use crate::scenario::{Kind, Watcher};

const GATE: &str = "cafe.dev/serving";

/// One pod, `web`, in a namespace of its own; sometimes others beside it.
struct Stage {
    namespace: String,
    pods: Api<Pod>,
    client: kube::Client,
    watcher: Watcher,
}

impl Stage {
    async fn set() -> Self {
        let bed = Bed::shared().await.unwrap();
        let namespace = bed.namespace("kubelet").await.unwrap();
        let client = bed.client().await.unwrap();
        let watcher = Watcher::start(&client, &namespace).await.unwrap();
        Self { pods: Api::namespaced(client.clone(), &namespace), client, namespace, watcher }
    }

    async fn create(&self, name: &str, annotations: Value, spec: Value) {
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": name, "labels": { "app": "web" }, "annotations": annotations },
            "spec": { "containers": [{ "name": "app", "image": "app:v1" }] },
        });
        for (key, value) in spec.as_object().unwrap() {
            pod["spec"][key] = value.clone();
        }
        self.pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    }

    /// The pod as soon as `condition` holds; panics with the pod after half a minute.
    async fn until(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        self.other_until("web", what, condition).await
    }

    async fn other_until(&self, name: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let pod = serde_json::to_value(self.pods.get(name).await.unwrap()).unwrap();
            if condition(&pod) {
                return pod;
            }
            assert!(Instant::now() < end, "not {what}: {pod:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_gone(&self) {
        let end = Instant::now() + Duration::from_secs(30);
        while self.pods.get_opt("web").await.unwrap().is_some() {
            assert!(Instant::now() < end, "the pod does not go");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_ready(&self) -> Value {
        self.until("ready", |pod| is(pod, "Ready", "True")).await
    }

    /// Every version of the pod up to this one, in order.
    async fn versions(&self, last: &Value) -> Vec<Value> {
        let last: u64 = last["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        while self.watcher.version_of(Kind::Pod, "web").is_none_or(|seen| seen < last) {
            assert!(Instant::now() < end, "the watch does not bring version {last}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let history = self.watcher.history();
        let of_pod = history.iter().filter(|seen| seen.kind == Kind::Pod && seen.name == "web");
        of_pod.filter(|seen| seen.version <= last).map(|seen| Value::clone(&seen.object)).collect()
    }

    async fn patch(&self, patch: Value) {
        self.patch_other("web", patch).await;
    }

    async fn patch_other(&self, name: &str, patch: Value) {
        self.pods.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
    }

    /// W2: another image, and the annotations that tell the kubelet what to do with it.
    async fn update(&self, image: &str, annotations: Value) {
        self.update_other("web", image, annotations).await;
    }

    async fn update_other(&self, name: &str, image: &str, annotations: Value) {
        let patch = json!({
            "metadata": { "annotations": annotations },
            "spec": { "containers": [{ "name": "app", "image": image }] },
        });
        self.patch_other(name, patch).await;
    }

    async fn gate(&self, status: &str) {
        self.gate_of("web", status).await;
    }

    async fn gate_of(&self, name: &str, status: &str) {
        let condition = json!({ "type": GATE, "status": status });
        let patch = json!({ "status": { "conditions": [condition] } });
        self.pods.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
    }
}

fn condition<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.and_then(|all| all.iter().find(|condition| condition["type"] == name)).unwrap_or(&Value::Null)
}

fn is(pod: &Value, name: &str, status: &str) -> bool {
    condition(pod, name)["status"] == status
}

fn app(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

/// When its container was started: its ID ends with that, in milliseconds.
fn start(pod: &Value) -> u64 {
    app(pod)["containerID"].as_str().unwrap().rsplit('/').next().unwrap().parse().unwrap()
}

/// When its container was stopped, in milliseconds, if it ever was.
fn stop(pod: &Value) -> Option<u64> {
    let terminated = |state: &str| app(pod)[state]["terminated"]["message"].as_str()?.parse().ok();
    terminated("state").or_else(|| terminated("lastState"))
}

fn is_stopped(pod: &Value) -> bool {
    !app(pod)["state"]["terminated"].is_null()
}

fn waits(pod: &Value, reason: &str) -> bool {
    app(pod)["state"]["waiting"]["reason"] == reason
}

#[tokio::test]
async fn ready_follows_the_gate_in_the_kubelets_own_words() {
    let stage = Stage::set().await;
    stage.create("web", json!({}), json!({ "readinessGates": [{ "conditionType": GATE }] })).await;
    let pod = stage.until("started", |pod| is(pod, "ContainersReady", "True")).await;
    assert_eq!(condition(&pod, "Ready")["reason"], "ReadinessGatesNotReady");
    stage.gate("True").await;
    stage.until_ready().await;
    stage.gate("False").await;
    let pod = stage.until("out", |pod| is(pod, "Ready", "False")).await;
    assert_eq!(
        condition(&pod, "Ready")["message"],
        "the status of pod readiness gate \"cafe.dev/serving\" is not \"True\", but False"
    );
    assert_eq!(app(&pod)["ready"], true);
}

#[tokio::test]
async fn a_ready_false_in_the_kubelets_words_is_left_alone() {
    let stage = Stage::set().await;
    let gates = json!({ "readinessGates": [{ "conditionType": GATE }] });
    for name in ["web", "mark"] {
        stage.create(name, json!({}), gates.clone()).await;
        stage.other_until(name, "started", |pod| is(pod, "ContainersReady", "True")).await;
        stage.gate_of(name, "True").await;
        stage.other_until(name, "ready", |pod| is(pod, "Ready", "True")).await;
    }
    let pod = stage.until_ready().await;
    let now = "2026-01-01T00:00:00Z";
    let drained = json!({ "status": { "conditions": [
        { "type": GATE, "status": "False" },
        { "type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady",
          "message": "the status of pod readiness gate \"cafe.dev/serving\" is not \"True\", but False",
          "lastTransitionTime": now, "observedGeneration": pod["metadata"]["generation"] },
    ]}});
    let written =
        stage.pods.patch_status("web", &PatchParams::default(), &Patch::Strategic(drained)).await.unwrap();
    // The kubelet hears of all pods in one stream: once it has answered these, it has let the former pass.
    for (gate, ready) in [("False", "False"), ("True", "True"), ("False", "False")] {
        stage.gate_of("mark", gate).await;
        stage.other_until("mark", "answered", |pod| is(pod, "Ready", ready)).await;
    }
    let later = stage.pods.get("web").await.unwrap();
    assert_eq!(later.metadata.resource_version, written.metadata.resource_version);
}

#[tokio::test]
async fn a_new_image_is_a_new_container_after_the_restart_time() {
    let stage = Stage::set().await;
    for name in ["web", "clock", "later"] {
        stage.create(name, json!({}), json!({})).await;
        stage.other_until(name, "ready", |pod| is(pod, "Ready", "True")).await;
    }
    let before = stage.until_ready().await;
    stage.update("app:v2", json!({ "sim.cafe.dev/restart": "2s" })).await;
    stage.until("stopped", |pod| stop(pod).is_some()).await;
    // Some time later another pod begins to wait as long, and then this one is written to.
    stage.update_other("clock", "app:v2", json!({ "sim.cafe.dev/restart": "1500ms" })).await;
    stage.other_until("clock", "started again", |pod| app(pod)["restartCount"] == 1).await;
    stage.update_other("later", "app:v2", json!({ "sim.cafe.dev/restart": "2s" })).await;
    stage.other_until("later", "stopped", |pod| stop(pod).is_some()).await;
    stage.patch(json!({ "metadata": { "labels": { "touched": "yes" } } })).await;
    let after = stage.until("started again", |pod| app(pod)["restartCount"] == 1).await;
    let later = stage.other_until("later", "started again", |pod| app(pod)["restartCount"] == 1).await;
    let versions = stage.versions(&after).await;
    let stopped = versions.iter().find(|pod| is_stopped(pod)).unwrap();
    assert!(is(stopped, "Ready", "False"));
    assert_eq!(stopped["status"]["observedGeneration"], stopped["metadata"]["generation"]);
    assert!(start(&after) >= stop(stopped).unwrap() + 2_000, "{} after {stopped:#}", start(&after));
    // A write in between does not begin the wait anew.
    assert!(start(&after) < start(&later), "{} before {}", start(&after), start(&later));
    assert_eq!(app(&after)["image"], "app:v2");
    assert_eq!(app(&after)["restartCount"], 1);
    assert_ne!(app(&after)["containerID"], app(&before)["containerID"]);
    assert_ne!(app(&after)["imageID"], app(&before)["imageID"]);
    assert_eq!(after["status"]["podIP"], before["status"]["podIP"]);
}

#[tokio::test]
async fn the_restart_time_is_spread_by_the_pods_uid() {
    let stage = Stage::set().await;
    for name in ["web", "clock", "later"] {
        stage.create(name, json!({}), json!({})).await;
        stage.other_until(name, "ready", |pod| is(pod, "Ready", "True")).await;
        let times = json!({ "sim.cafe.dev/restart": "100ms", "sim.cafe.dev/spread": "2s" });
        stage.update_other(name, "app:v2", times).await;
        let after = stage.other_until(name, "started again", |pod| app(pod)["restartCount"] == 1).await;
        let uid = after["metadata"]["uid"].as_str().unwrap();
        let part = u64::from_str_radix(&uid[uid.len() - 4..], 16).unwrap() * 2_000 / 65_536;
        let waited = start(&after) - stop(&after).unwrap();
        assert!(waited >= 100 + part, "{waited} ms, of which {part} are its own");
    }
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_left_by_the_next_update() {
    let stage = Stage::set().await;
    stage.create("web", json!({}), json!({})).await;
    let before = stage.until_ready().await;
    stage.update("app:v2", json!({ "sim.cafe.dev/image-pull-error": "true" })).await;
    let pod = stage.until("in back-off", |pod| waits(pod, "ImagePullBackOff")).await;
    assert!(is(&pod, "Ready", "False"));
    assert_eq!(app(&pod)["containerID"], app(&before)["containerID"]);
    stage.update("app:v3", json!({})).await;
    stage
        .until("about the newer image", |pod| {
            app(pod)["state"]["waiting"]["message"].as_str().unwrap_or_default().contains("app:v3")
        })
        .await;
    stage.update("app:v1", json!({ "sim.cafe.dev/image-pull-error": null })).await;
    let pod = stage.until_ready().await;
    assert_eq!((&app(&pod)["image"], &app(&pod)["restartCount"]), (&json!("app:v1"), &json!(1)));
}

#[tokio::test]
async fn a_crashing_container_is_left_by_the_next_update() {
    let stage = Stage::set().await;
    stage.create("web", json!({}), json!({})).await;
    stage.until_ready().await;
    stage.update("app:v2", json!({ "sim.cafe.dev/crash": "true" })).await;
    let pod = stage.until("in back-off", |pod| waits(pod, "CrashLoopBackOff")).await;
    assert_eq!((&app(&pod)["image"], &app(&pod)["restartCount"]), (&json!("app:v2"), &json!(1)));
    assert_eq!(app(&pod)["lastState"]["terminated"]["exitCode"], 1);
    assert!(is(&pod, "Ready", "False"));
    stage.update("app:v1", json!({ "sim.cafe.dev/crash": null })).await;
    let pod = stage.until_ready().await;
    assert_eq!((&app(&pod)["image"], &app(&pod)["restartCount"]), (&json!("app:v1"), &json!(2)));
}

#[tokio::test]
async fn a_pod_is_born_with_a_failing_image_and_recovers() {
    let stage = Stage::set().await;
    stage.create("web", json!({ "sim.cafe.dev/image-pull-error": "true" }), json!({})).await;
    let pod = stage.until("in back-off", |pod| waits(pod, "ImagePullBackOff")).await;
    assert_eq!(pod["status"]["phase"], "Pending");
    stage.update("app:v2", json!({ "sim.cafe.dev/image-pull-error": null })).await;
    let pod = stage.until_ready().await;
    assert_eq!((&pod["status"]["phase"], &app(&pod)["restartCount"]), (&json!("Running"), &json!(0)));
}

#[tokio::test]
async fn a_pod_is_born_crashing_and_recovers() {
    let stage = Stage::set().await;
    stage.create("web", json!({ "sim.cafe.dev/crash": "true" }), json!({})).await;
    stage.until("in back-off", |pod| waits(pod, "CrashLoopBackOff")).await;
    stage.update("app:v2", json!({ "sim.cafe.dev/crash": null })).await;
    assert_eq!(app(&stage.until_ready().await)["restartCount"], 1);
}

#[tokio::test]
async fn a_probe_succeeds_late_at_birth_and_after_an_update() {
    let stage = Stage::set().await;
    stage.create("web", json!({ "sim.cafe.dev/ready-delay": "300ms" }), json!({})).await;
    stage.until_ready().await;
    stage.update("app:v2", json!({})).await;
    let last = stage.until("ready", |pod| app(pod)["image"] == "app:v2" && is(pod, "Ready", "True")).await;
    let versions = stage.versions(&last).await;
    for image in ["app:v1", "app:v2"] {
        let runs = |pod: &&Value| app(pod)["image"] == image && !app(pod)["state"]["running"].is_null();
        let first = versions.iter().find(runs).unwrap();
        assert_eq!((&app(first)["started"], &app(first)["ready"]), (&json!(true), &json!(false)), "{image}");
        assert!(!is(first, "Ready", "True"), "{image}");
    }
}

#[tokio::test]
async fn two_tags_of_one_digest_share_their_image_id() {
    let stage = Stage::set().await;
    stage.create("web", json!({}), json!({})).await;
    let before = stage.until_ready().await;
    stage.update("app:v2", json!({ "sim.cafe.dev/same-digest": "true" })).await;
    let after = stage.until("new", |pod| app(pod)["restartCount"] == 1 && is(pod, "Ready", "True")).await;
    assert_eq!(app(&after)["image"], "app:v2");
    assert_eq!(app(&after)["imageID"], app(&before)["imageID"]);
    assert_ne!(app(&after)["containerID"], app(&before)["containerID"]);
}

#[tokio::test]
async fn a_native_sidecar_changes_its_image_without_touching_the_others() {
    let stage = Stage::set().await;
    let init = json!({ "initContainers": [
        { "name": "setup", "image": "setup:v1" },
        { "name": "proxy", "image": "proxy:v1", "restartPolicy": "Always" },
    ]});
    stage.create("web", json!({}), init).await;
    let before = stage.until_ready().await;
    assert_eq!(before["status"]["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    stage.patch(json!({ "spec": { "initContainers": [{ "name": "proxy", "image": "proxy:v2" }] } })).await;
    let proxy = |pod: &Value| pod["status"]["initContainerStatuses"][1].clone();
    let after = stage.until("new", |pod| proxy(pod)["restartCount"] == 1 && is(pod, "Ready", "True")).await;
    assert_eq!(proxy(&after)["image"], "proxy:v2");
    assert_eq!(app(&after), app(&before));
    assert_eq!(after["status"]["initContainerStatuses"][0], before["status"]["initContainerStatuses"][0]);
}

#[tokio::test]
async fn a_slow_stop_shows_the_new_generation_while_the_old_container_runs() {
    let stage = Stage::set().await;
    stage.create("web", json!({ "sim.cafe.dev/stop": "500ms" }), json!({})).await;
    let before = stage.until_ready().await;
    stage.update("app:v2", json!({})).await;
    let observed = |pod: &Value| pod["status"]["observedGeneration"] == pod["metadata"]["generation"];
    let pod = stage.until("observed", observed).await;
    assert!(is(&pod, "Ready", "True"));
    assert_eq!(app(&pod)["containerID"], app(&before)["containerID"]);
    stage.until("new", |pod| app(pod)["image"] == "app:v2" && is(pod, "Ready", "True")).await;
}

#[tokio::test]
async fn a_deleted_pod_stops_at_once_and_goes_when_its_finalizers_are_gone() {
    let stage = Stage::set().await;
    stage.create("web", json!({}), json!({})).await;
    stage.until_ready().await;
    stage.patch(json!({ "metadata": { "finalizers": ["protect.cafe.dev/test"] } })).await;
    stage.pods.delete("web", &DeleteParams::default()).await.unwrap();
    let pod = stage.until("stopped", is_stopped).await;
    assert!(is(&pod, "Ready", "False"));
    let patch = json!({ "metadata": { "finalizers": null } });
    stage.pods.patch("web", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    stage.until_gone().await;
}

#[tokio::test]
async fn endpoints_follow_readiness_and_no_two_pods_share_an_address() {
    let stage = Stage::set().await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web" },
        "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80 }] },
    });
    let services: Api<k8s_openapi::api::core::v1::Service> =
        Api::namespaced(stage.client.clone(), &stage.namespace);
    services.create(&PostParams::default(), &serde_json::from_value(service).unwrap()).await.unwrap();
    stage.create("web", json!({}), json!({ "readinessGates": [{ "conditionType": GATE }] })).await;
    for number in 0..11 {
        stage.create(&format!("other-{number}"), json!({}), json!({})).await;
    }
    stage.until("started", |pod| is(pod, "ContainersReady", "True")).await;
    for (gate, serving) in [("True", 12), ("False", 11)] {
        stage.gate(gate).await;
        let addresses = serving_addresses(&stage, serving).await;
        let unique: std::collections::BTreeSet<_> = addresses.iter().collect();
        assert_eq!(unique.len(), addresses.len(), "{addresses:?}");
    }
}

/// The addresses of all endpoints, once that many of them serve.
async fn serving_addresses(stage: &Stage, serving: usize) -> Vec<String> {
    let slices: Api<EndpointSlice> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let items = slices.list(&ListParams::default()).await.unwrap().items;
        let endpoints: Vec<_> =
            items.into_iter().flat_map(|slice| slice.endpoints.into_iter().flatten()).collect();
        let serves = |endpoint: &&k8s_openapi::api::discovery::v1::Endpoint| {
            endpoint.conditions.as_ref().and_then(|conditions| conditions.serving) == Some(true)
        };
        if endpoints.len() == 12 && endpoints.iter().filter(serves).count() == serving {
            return endpoints.into_iter().flat_map(|endpoint| endpoint.addresses).collect();
        }
        assert!(Instant::now() < end, "not {serving} of {} endpoints serve", endpoints.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_deletion_that_comes_late_does_not_hit_the_pod_that_has_the_name_now() {
    let stage = Stage::set().await;
    stage.create("web", json!({}), json!({})).await;
    stage.until("there", |pod| !pod["status"]["podIP"].is_null()).await;
    let kubelet = Bed::shared().await.unwrap().kubelet_client().await.unwrap();
    let pods: Api<Pod> = Api::namespaced(kubelet, &stage.namespace);
    // The API server takes a moment to work by a policy that is new.
    let end = Instant::now() + Duration::from_secs(30);
    let tried = DeleteParams { dry_run: true, ..DeleteParams::default().grace_period(0) };
    while pods.delete("web", &tried).await.is_ok() {
        assert!(Instant::now() < end, "nobody refuses it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let late = pods.delete("web", &DeleteParams::default().grace_period(0)).await.unwrap_err();
    assert!(late.to_string().contains("is being deleted"), "{late}");
    // One that is being deleted goes.
    stage.pods.delete("web", &DeleteParams::default()).await.unwrap();
    stage.until_gone().await;
}
