//! What is real of a replay: CafeDeployments and InPlaceSets that want all pods, of which a few exist and lend their looks to the others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use super::Size;
use super::herd::Herd;
use crate::bed::Bed;
use crate::scenario::{Kind, condition, image, merge, minimal};

const POLL: Duration = Duration::from_millis(250);

pub(super) struct Stage {
    client: Client,
    namespace: String,
    size: Size,
}

fn resource(group: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind))
}

fn number(object: &Value, pointer: &str) -> u64 {
    object.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

impl Stage {
    /// Creates one pod of each InPlaceSet, by the bed's controller, and waits until all of them serve behind Services.
    pub(super) async fn create(bed: &Bed, size: Size, patience: Duration) -> Result<Self> {
        let stage = Self { client: bed.client().await?, namespace: bed.namespace("replay").await?, size };
        let (services, deployments) =
            (stage.api(&resource("", "Service")), stage.api(&Kind::Deployment.resource()));
        for name in stage.names() {
            let service = json!({
                "metadata": { "name": name },
                "spec": { "selector": { "app": name }, "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }] },
            });
            services.create(&PostParams::default(), &serde_json::from_value(service)?).await?;
            let object = serde_json::from_value(deployment(&name, &size))?;
            deployments.create(&PostParams::default(), &object).await?;
        }
        stage.until_all_serve(size.sets(), patience).await?;
        stage
            .until("in an EndpointSlice each", patience, async || {
                let slices = stage.list(&Kind::Slice.resource()).await?;
                let known: usize = slices.iter().flat_map(crate::scenario::serving).count();
                Ok(known == stage.size.sets())
            })
            .await?;
        Ok(stage)
    }

    /// Asks for all pods and lets no more come about than there are; returns, for each InPlaceSet, what stands for its pods.
    pub(super) async fn grow(&self, patience: Duration) -> Result<Arc<[Herd]>> {
        let full = json!({
            "metadata": { "name": "full" }, "spec": { "hard": { "pods": self.size.sets().to_string() } },
        });
        self.api(&resource("", "ResourceQuota"))
            .create(&PostParams::default(), &serde_json::from_value(full)?)
            .await?;
        let deployments = self.api(&Kind::Deployment.resource());
        for (name, pods) in self.names().zip(self.size.shares()) {
            let patch = Patch::Merge(json!({ "spec": { "replicas": pods } }));
            deployments.patch(&name, &PatchParams::default(), &patch).await?;
        }
        let set_resource = Kind::Set.resource();
        self.until("wanted by InPlaceSets", patience, async || {
            let sets = self.list(&set_resource).await?;
            Ok(sets.iter().map(|set| number(set, "/spec/replicas")).sum::<u64>() == self.size.pods as u64)
        })
        .await?;
        self.herds(&self.list(&set_resource).await?).await
    }

    async fn herds(&self, sets: &[Value]) -> Result<Arc<[Herd]>> {
        let pods = self.list(&Kind::Pod.resource()).await?;
        let slices = self.list(&Kind::Slice.resource()).await?;
        let mut first = 0;
        let herds = sets.iter().map(|set| -> Result<Herd> {
            let uid = set.pointer("/metadata/uid");
            let pod = pods.iter().find(|pod| pod.pointer("/metadata/ownerReferences/0/uid") == uid);
            let count = number(set, "/spec/replicas");
            let herd = Herd::of(
                pod.context("an InPlaceSet without a pod")?,
                &slices,
                first,
                count,
                self.size.nodes() as u64,
            );
            first += count;
            herd
        });
        herds.collect()
    }

    /// Waits until each CafeDeployment says that it is done and so many pods serve.
    pub(super) async fn until_all_serve(&self, pods: usize, patience: Duration) -> Result<()> {
        let resource = Kind::Deployment.resource();
        self.until("in service", patience, async || {
            let all = self.list(&resource).await?;
            let is_done = |object: &Value| {
                let ready = condition(object, "Ready").and_then(|c| c.get("status"));
                let observed = number(object, "/status/observedGeneration");
                ready == Some(&json!("True")) && observed == number(object, "/metadata/generation")
            };
            let available: u64 = all.iter().map(|object| number(object, "/status/availableReplicas")).sum();
            Ok(all.iter().all(is_done) && available == pods as u64)
        })
        .await
    }

    async fn until(
        &self,
        what: &str,
        patience: Duration,
        is_so: impl AsyncFn() -> Result<bool>,
    ) -> Result<()> {
        let end = Instant::now() + patience;
        while !is_so().await? {
            if Instant::now() > end {
                let all = self.list(&Kind::Deployment.resource()).await?;
                let status: Vec<_> = all.iter().map(|object| object.get("status")).collect();
                anyhow::bail!("not all pods are {what} after {} s: {status:#?}", patience.as_secs());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn names(&self) -> impl Iterator<Item = String> + use<> {
        (0..self.size.deployments).map(|number| format!("app-{number:02}"))
    }

    fn api(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, resource)
    }

    async fn list(&self, resource: &ApiResource) -> Result<Vec<Value>> {
        let all = self.api(resource).list(&ListParams::default()).await?;
        let (api_version, kind) = (&resource.api_version, &resource.kind);
        let whole = |object: DynamicObject| {
            let mut object = serde_json::to_value(object)?;
            // In a list they say this once for all.
            merge(&mut object, &json!({ "apiVersion": api_version, "kind": kind }));
            Ok(object)
        };
        all.items.into_iter().map(whole).collect()
    }
}

/// One pod per unit, with as much around its containers as applications have.
fn deployment(name: &str, size: &Size) -> Value {
    let variable = |n: usize| json!({ "name": format!("SETTING_{n}"), "value": format!("value-{n}.{name}.svc.cluster.local") });
    let probe = |path: &str| json!({ "httpGet": { "path": path, "port": 8080 }, "periodSeconds": 10, "timeoutSeconds": 2 });
    let sidecar = json!({
        "name": "proxy", "image": "example.org/proxy:v1", "restartPolicy": "Always",
        "ports": [{ "name": "admin", "containerPort": 15000 }],
        "env": [{ "name": "POD", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }],
    });
    let mut object = minimal("CafeDeployment", name);
    merge(
        &mut object,
        &json!({ "spec": {
            "replicas": size.units,
            "strategy": { "needWaitingForConfirm": false },
            "topology": { "unitType": "Cell", "values": size.cells() },
            "template": {
                "metadata": {
                    "labels": { "app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "replay", "team": "growth" },
                    "annotations": { "prometheus.io/scrape": "true", "prometheus.io/port": "8080" },
                },
                "spec": {
                    "containers": [{
                        "name": "app", "image": image("v1"),
                        "env": (0..12).map(variable).collect::<Vec<_>>(),
                        "ports": [{ "name": "http", "containerPort": 8080 }],
                        "resources": { "requests": { "cpu": "10m", "memory": "16Mi" }, "limits": { "memory": "64Mi" } },
                        "readinessProbe": probe("/ready"), "livenessProbe": probe("/live"),
                        "volumeMounts": [{ "name": "settings", "mountPath": "/etc/app" }],
                    }],
                    "initContainers": if size.sidecar { json!([sidecar]) } else { json!([]) },
                    "volumes": [{ "name": "settings", "emptyDir": {} }],
                },
            },
        }}),
    );
    object
}
