//! What people and pipelines do to a workload.

use std::sync::PoisonError;

use anyhow::{Context, Result};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Value, json};

use super::Workload;
use crate::scenario::manifest::{image, merge};
use crate::scenario::watcher::Kind;

impl Workload {
    /// Merges `patch` into the object.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn patch(&self, patch: Value) -> Result<()> {
        let api = self.api(self.kind);
        let answer = api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        self.note(&answer)
    }

    /// Applies `fields` (what stands below `spec`) on the server's side in the name of `manager`.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn apply(&self, manager: &str, fields: Value) -> Result<()> {
        let object = json!({
            "apiVersion": "cafe.dev/v1alpha1", "kind": self.manifest.get("kind"),
            "metadata": { "name": self.name }, "spec": fields,
        });
        let api = self.api(self.kind);
        let answer = api.patch(&self.name, &PatchParams::apply(manager), &Patch::Apply(object)).await?;
        self.note(&answer)
    }

    /// Writes a confirm token.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn confirm(&self, token: &str) -> Result<()> {
        self.patch(json!({ "spec": { "release": { "confirm": token } } })).await
    }

    /// Sets `spec.replicas` by the scale subresource.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn scale(&self, replicas: i32) -> Result<()> {
        let patch = json!({ "spec": { "replicas": replicas } });
        self.api(self.kind).patch_scale(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        self.note(&self.api(self.kind).get(&self.name).await?)
    }

    /// Replaces the pod template.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn set_template(&self, template: &Value) -> Result<()> {
        let patch = json!([{ "op": "replace", "path": "/spec/template", "value": template }]);
        let patch: Patch<Value> = Patch::Json(serde_json::from_value(patch)?);
        let answer = self.api(self.kind).patch(&self.name, &PatchParams::default(), &patch).await?;
        self.note(&answer)
    }

    /// The template that was installed first.
    #[must_use]
    pub fn first_template(&self) -> Value {
        self.manifest.pointer("/spec/template").cloned().unwrap_or_default()
    }

    /// The template that was installed first, with this tag in every container and what the simulated kubelet shall do.
    #[must_use]
    pub fn template(&self, tag: &str, sim: &[(&str, &str)]) -> Value {
        let mut template = self.first_template();
        for list in ["/spec/containers", "/spec/initContainers"] {
            let containers = template.pointer_mut(list).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
                container.insert("image".to_owned(), image(tag).into());
            }
        }
        let annotations: serde_json::Map<String, Value> =
            sim.iter().map(|(key, value)| (format!("sim.cafe.dev/{key}"), (*value).into())).collect();
        merge(&mut template, &json!({ "metadata": { "annotations": annotations } }));
        template
    }

    /// Starts a release of the image with this tag.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn release(&self, tag: &str) -> Result<()> {
        self.set_template(&self.template(tag, &[])).await
    }

    /// As [`Workload::release`], with what the simulated kubelet shall do with the new containers.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn release_with(&self, tag: &str, sim: &[(&str, &str)]) -> Result<()> {
        self.set_template(&self.template(tag, sim)).await
    }

    /// Puts the template back that was installed first.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn roll_back(&self) -> Result<()> {
        self.set_template(&self.first_template()).await
    }

    /// Orders something of the release in hand, besides what has been ordered before.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn order(&self, orders: Value) -> Result<()> {
        self.patch(json!({ "spec": { "release": orders } })).await
    }

    /// Writes an annotation of every pod that is there now, or takes it off.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn annotate_pods(&self, key: &str, value: Option<&str>) -> Result<()> {
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { key: value } } }));
        for pod in self.look().await?.identities().keys() {
            self.api(Kind::Pod).patch(pod, &PatchParams::default(), &patch).await?;
        }
        Ok(())
    }

    /// Takes the status of the CafeDeployment and of its InPlaceSets away, as a restore from a backup does.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn lose_status(&self) -> Result<()> {
        let (params, nothing) = (PatchParams::default(), Patch::Merge(json!({ "status": null })));
        for set in self.api(Kind::Set).list(&ListParams::default()).await? {
            self.bereave(set.metadata.uid);
            let name = set.metadata.name.context("a set without a name")?;
            self.api(Kind::Set).patch_status(&name, &params, &nothing).await?;
        }
        self.bereave(self.api(self.kind).get(&self.name).await?.metadata.uid);
        let answer = self.api(self.kind).patch_status(&self.name, &params, &nothing).await?;
        self.note(&answer)
    }

    fn bereave(&self, uid: Option<String>) {
        self.bereft.lock().unwrap_or_else(PoisonError::into_inner).extend(uid);
    }

    /// Deletes a pod, as `kubectl delete pod` does.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub async fn delete_pod(&self, name: &str) -> Result<()> {
        let uid = self.give_up(name).await?;
        let preconditions = Preconditions { uid: Some(uid), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        self.api(Kind::Pod).delete(name, &params).await?;
        Ok(())
    }

    /// Evicts a pod, as `kubectl drain` does.
    ///
    /// # Errors
    /// When the API server denies it, as it does for a PodDisruptionBudget.
    pub async fn evict_pod(&self, name: &str) -> Result<()> {
        self.give_up(name).await?;
        let pods: Api<k8s_openapi::api::core::v1::Pod> =
            Api::namespaced(self.bed.impatient_client().await?, &self.namespace);
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": { "name": name, "namespace": self.namespace },
        });
        let _: Value = pods.create_subresource("eviction", name, &PostParams::default(), &eviction).await?;
        Ok(())
    }

    /// From now on the pod may be deleted at any moment by somebody else.
    async fn give_up(&self, name: &str) -> Result<String> {
        let pod = self.api(Kind::Pod).get(name).await?;
        let uid = pod.metadata.uid.context("a pod without a uid")?;
        self.killed.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.clone());
        Ok(uid)
    }
}
