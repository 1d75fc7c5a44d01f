//! What is read of a pod, and the three patches that are ever written to one.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// Readiness gate and condition: True while the pod may take traffic.
const GATE: &str = "cafe.dev/serving";
/// What the finalizers and conditions of all protectors start with.
const PREFIX: &str = "protect.cafe.dev/";
const FIELD_MANAGER: &str = "protector-haproxy";
/// The client has no limit of its own.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a write was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The pod has changed since it was looked at, or is gone: its next version brings it up again.
    #[error("the pod has changed in between")]
    Outdated,
    /// The API server does not answer.
    #[error("the API server gave no answer within {CALL_TIMEOUT:?}")]
    Timeout,
    /// The API server refuses it, or cannot be reached.
    #[error("cannot write the pod: {0}")]
    Refused(Box<kube::Error>),
}

/// The pods of a namespace, and the name under which they are protected.
pub(crate) struct Pods {
    api: Api<Pod>,
    lock: String,
}

impl Pods {
    pub(crate) fn new(api: Api<Pod>, protector: &str) -> Self {
        Self { api, lock: format!("{PREFIX}{protector}") }
    }

    /// The name of the finalizer, which is also that of the condition.
    pub(crate) fn lock_name(&self) -> &str {
        &self.lock
    }

    /// Whether the pod carries our finalizer.
    pub(crate) fn is_locked(&self, pod: &Pod) -> bool {
        pod.metadata.finalizers.iter().flatten().any(|finalizer| *finalizer == self.lock)
    }

    /// Whether our condition on the pod reads so.
    pub(crate) fn says(&self, pod: &Pod, status: &str, reason: &str) -> bool {
        let said = condition(pod, &self.lock);
        said.is_some_and(|said| said.status == status && said.reason.as_deref().unwrap_or_default() == reason)
    }

    /// Adds our finalizer, unless the pod has changed: then it may not be wanted any more. Returns the pod with it.
    ///
    /// In the same write the condition says that the pod is not registered yet: a finalizer without a condition would be
    /// taken for both.
    pub(crate) async fn lock(&self, pod: &Pod, reason: &str) -> Result<Pod, WriteError> {
        let condition = self.condition("False", reason, "HAProxy does not route to the pod yet");
        // The strategic merge of `finalizers` adds to the list.
        let patch =
            json!({ "metadata": { "finalizers": [self.lock] }, "status": { "conditions": [condition] } });
        self.patch(pod, Some("status"), patch).await
    }

    /// Takes our finalizer off and leaves those of others.
    pub(crate) async fn unlock(&self, pod: &Pod) -> Result<(), WriteError> {
        let patch = json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": [self.lock] } });
        self.patch(pod, None, patch).await.map(|_| ())
    }

    /// Writes our condition and leaves those of others.
    pub(crate) async fn say(
        &self,
        pod: &Pod,
        status: &str,
        reason: &str,
        why: &str,
    ) -> Result<(), WriteError> {
        let condition = self.condition(status, reason, why);
        let patch = json!({ "metadata": {}, "status": { "conditions": [condition] } });
        self.patch(pod, Some("status"), patch).await.map(|_| ())
    }

    /// All fields: those that a patch leaves out would keep what they had.
    fn condition(&self, status: &str, reason: &str, why: &str) -> Value {
        #[allow(clippy::disallowed_methods)] // For people who read the condition; nothing is decided by it.
        let now = Time(Timestamp::now());
        json!({ "type": self.lock, "status": status, "reason": reason, "message": why, "lastTransitionTime": now })
    }

    /// Every write names the version of the pod that it was decided on.
    async fn patch(&self, pod: &Pod, subresource: Option<&str>, mut patch: Value) -> Result<Pod, WriteError> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        if let Some(metadata) = patch.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("uid".into(), json!(pod.metadata.uid));
            metadata.insert("resourceVersion".into(), json!(pod.metadata.resource_version));
        }
        let (params, patch) = (PatchParams::apply(FIELD_MANAGER), Patch::Strategic(patch));
        let answer = match subresource {
            Some(_) => tokio::time::timeout(CALL_TIMEOUT, self.api.patch_status(name, &params, &patch)).await,
            None => tokio::time::timeout(CALL_TIMEOUT, self.api.patch(name, &params, &patch)).await,
        };
        match answer {
            Err(_) => Err(WriteError::Timeout),
            Ok(Err(kube::Error::Api(status))) if status.is_conflict() || status.is_not_found() => {
                Err(WriteError::Outdated)
            }
            Ok(answer) => answer.map_err(|error| WriteError::Refused(Box::new(error))),
        }
    }
}

/// Whether the pod may get requests: the gate is open, its containers are ready, it stays. Not its condition Ready,
/// which may itself be waiting for a protector.
pub(crate) fn may_serve(pod: &Pod) -> bool {
    is_true(pod, GATE) && is_true(pod, "ContainersReady") && !is_deleting(pod) && address(pod).is_some()
}

/// The reason on the gate: what an answer to a drain must repeat.
pub(crate) fn gate_reason(pod: &Pod) -> &str {
    condition(pod, GATE).and_then(|gate| gate.reason.as_deref()).unwrap_or_default()
}

pub(crate) fn is_deleting(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether the containers of a deleted pod have had all the time they get.
pub(crate) fn is_past_grace(pod: &Pod) -> bool {
    #[allow(clippy::disallowed_methods)] // The API says until when the containers may run.
    let now = Timestamp::now();
    pod.metadata.deletion_timestamp.as_ref().is_some_and(|Time(end)| *end < now)
}

pub(crate) fn address(pod: &Pod) -> Option<IpAddr> {
    pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
}

pub(crate) fn has_labels(pod: &Pod, labels: &[(String, String)]) -> bool {
    let own = pod.metadata.labels.as_ref();
    labels.iter().all(|(key, value)| own.is_some_and(|own| own.get(key) == Some(value)))
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

fn is_true(pod: &Pod, kind: &str) -> bool {
    condition(pod, kind).is_some_and(|condition| condition.status == "True")
}
