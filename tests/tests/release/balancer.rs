//! A stand-in for the controller of a load balancer.

use anyhow::Result;
use cafe_tests::scenario::{Kind, View, Workload};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// Its finalizer and condition.
const LOCK: &str = "protect.cafe.dev/balancer";

/// Stands in for the controller of a load balancer.
pub(crate) struct Balancer<'a>(pub(crate) &'a Workload);

impl Balancer<'_> {
    /// Takes its finalizer.
    pub(crate) async fn lock(&self, pod: &str) -> Result<()> {
        self.patch(pod, json!({ "metadata": { "finalizers": [LOCK] } })).await
    }

    /// Takes its finalizer off.
    pub(crate) async fn unlock(&self, pod: &str) -> Result<()> {
        self.patch(pod, json!({ "metadata": { "finalizers": null } })).await
    }

    /// Takes its finalizer on every pod.
    pub(crate) async fn lock_all(&self) -> Result<()> {
        for pod in self.0.look().await?.identities().keys() {
            self.lock(pod).await?;
        }
        Ok(())
    }

    /// Takes its finalizer off every pod, those included that are going.
    pub(crate) async fn unlock_all(&self) -> Result<()> {
        for pod in self.0.look().await?.pods() {
            self.unlock(pod.name()).await?;
        }
        Ok(())
    }

    async fn patch(&self, pod: &str, patch: Value) -> Result<()> {
        self.0.api(Kind::Pod).patch(pod, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Writes its condition.
    pub(crate) async fn say(&self, pod: &str, status: &str, reason: &str) -> Result<()> {
        let condition = json!({ "type": LOCK, "status": status, "reason": reason });
        let patch = json!({ "status": { "conditions": [condition] } });
        self.0.api(Kind::Pod).patch_status(pod, &PatchParams::default(), &Patch::Strategic(patch)).await?;
        Ok(())
    }
}

/// A pod that is being drained, and the reason its gate gives.
pub(crate) fn draining(view: &View) -> Option<(String, String)> {
    view.pods().find_map(|pod| Some((pod.name().to_owned(), pod.drain()?)))
}

/// Whether the pod is still in this drain and untouched.
pub(crate) fn is_held(view: &View, pod: &str, reason: &str) -> bool {
    let pod = view.pod(pod);
    pod.is_some_and(|pod| {
        pod.drain().as_deref() == Some(reason) && pod.containers()[0].wants.ends_with(":v1")
    })
}
