//! A pod as far as a bystander looks who counts many: decoding whole pods would take the CPU that is measured.

use kube::api::Object;
use serde::Deserialize;

/// A pod, for a watch.
pub type SlimPod = Object<Spec, Status>;

/// What it is to run.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Spec {
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Container {
    #[serde(default)]
    image: String,
}

/// What is said of it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Condition {
    r#type: String,
    status: String,
}

/// The image of its first container, empty when it has none.
#[must_use]
pub fn image(pod: &SlimPod) -> &str {
    pod.spec.containers.first().map(|container| container.image.as_str()).unwrap_or_default()
}

/// Whether a condition is True. Of a pod that is going none counts, whatever its kubelet last said: it serves no more.
#[must_use]
pub fn has(pod: &SlimPod, condition: &str) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().any(|c| c.r#type == condition && c.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_that_is_going_serves_no_more_whatever_its_conditions_say() {
        let pod = |metadata| -> SlimPod {
            serde_json::from_value(json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                "spec": { "containers": [{ "name": "app", "image": "web:1" }] },
                "status": { "conditions": [{ "type": "Ready", "status": "True" }, { "type": "Other", "status": "False" }] },
            }))
            .unwrap()
        };
        let stays = pod(json!({ "name": "web-1" }));
        assert_eq!((image(&stays), has(&stays, "Ready"), has(&stays, "Other")), ("web:1", true, false));
        let goes = pod(json!({ "name": "web-1", "deletionTimestamp": "2026-01-01T00:00:00Z" }));
        assert!(!has(&goes, "Ready"));
    }
}
