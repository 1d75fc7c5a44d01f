//! One workload in a namespace of its own.

mod act;
mod record;
mod wait;

use std::collections::BTreeSet;
use std::process::Output;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};

use super::manifest::merge;
use super::object::text;
use super::view::View;
use super::watcher::{Kind, Watcher};
use crate::bed::Bed;
use crate::bed::audit::Reader;

/// One CafeDeployment, or one InPlaceSet that stands alone, driven as people and pipelines do.
pub struct Workload {
    bed: &'static Bed,
    client: Client,
    namespace: String,
    kind: Kind,
    name: String,
    manifest: Value,
    watcher: Watcher,
    /// The audit log from before the first request about it.
    log: Reader,
    /// uids of pods that were deleted by hand.
    killed: Mutex<BTreeSet<String>>,
    /// uids of objects whose status was taken away by hand.
    bereft: Mutex<BTreeSet<String>>,
    /// The newest version of the object that an answer has shown: conditions wait until it is seen.
    written: AtomicU64,
}

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Workload {
    /// A new namespace that is watched, for an object that is not created yet.
    ///
    /// # Errors
    /// When the API server refuses the namespace.
    pub async fn open(bed: &'static Bed, prefix: &str, manifest: &Value) -> Result<Self> {
        let client = bed.client().await?;
        let log = bed.audit().at_end()?;
        let namespace = bed.namespace(prefix).await?;
        let watcher = Watcher::start(&client, &namespace).await?;
        let kind = if text(manifest, "/kind") == "InPlaceSet" { Kind::Set } else { Kind::Deployment };
        Ok(Self {
            bed,
            client,
            namespace,
            kind,
            name: text(manifest, "/metadata/name").to_owned(),
            manifest: manifest.clone(),
            watcher,
            log,
            killed: Mutex::default(),
            bereft: Mutex::default(),
            written: AtomicU64::new(0),
        })
    }

    /// Creates the object and a Service for it in a new namespace, and does not wait for anything.
    ///
    /// # Errors
    /// When the API server refuses an object.
    pub async fn create(bed: &'static Bed, prefix: &str, manifest: &Value) -> Result<Self> {
        let workload = Self::open(bed, prefix, manifest).await?;
        workload.serve("web", &json!({})).await?;
        workload.start().await?;
        Ok(workload)
    }

    /// As [`Workload::create`], and waits until every pod serves.
    ///
    /// # Errors
    /// When it does not come so far.
    pub async fn install(bed: &'static Bed, prefix: &str, manifest: &Value) -> Result<Self> {
        let workload = Self::create(bed, prefix, manifest).await?;
        workload.wait_until_served().await?;
        Ok(workload)
    }

    /// Waits until every pod serves, in the endpoints too.
    ///
    /// # Errors
    /// When it does not come so far.
    pub async fn wait_until_served(&self) -> Result<View> {
        let replicas = self.manifest.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
        let served = |view: &View| {
            let served: BTreeSet<&str> = view.endpoints().into_iter().collect();
            view.is_settled() && served.len() as u64 == replicas
        };
        self.wait_until("installed", served).await
    }

    /// Creates a Service over the pods; `spec` is merged into its spec.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn serve(&self, name: &str, spec: &Value) -> Result<()> {
        let mut service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
            "spec": {
                "selector": self.manifest.pointer("/spec/selector/matchLabels"),
                "ports": [{ "port": 80, "targetPort": 8080 }],
            },
        });
        merge(&mut service, &json!({ "spec": spec }));
        let api: Api<k8s_openapi::api::core::v1::Service> =
            Api::namespaced(self.client.clone(), &self.namespace);
        api.create(&PostParams::default(), &serde_json::from_value(service)?).await?;
        Ok(())
    }

    /// Creates the object.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn start(&self) -> Result<()> {
        let object: DynamicObject = serde_json::from_value(self.manifest.clone())?;
        let created = self.api(self.kind).create(&PostParams::default(), &object).await?;
        self.note(&created)
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What sees everything.
    #[must_use]
    pub fn watcher(&self) -> &Watcher {
        &self.watcher
    }

    /// The objects of a kind in its namespace.
    #[must_use]
    pub fn api(&self, kind: Kind) -> Api<DynamicObject> {
        self.objects(&kind.resource())
    }

    /// The objects of any other kind in its namespace.
    #[must_use]
    pub fn objects(&self, kind: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, kind)
    }

    fn note(&self, object: &DynamicObject) -> Result<()> {
        let version = object.metadata.resource_version.as_deref().context("an answer without a version")?;
        self.written.fetch_max(version.parse()?, Ordering::SeqCst);
        Ok(())
    }

    /// Runs kubectl in the namespace.
    ///
    /// # Errors
    /// When kubectl cannot be run.
    pub async fn kubectl(&self, args: &[&str]) -> Result<Output> {
        self.run("kubectl", args, &[]).await
    }

    /// Runs kubectl in the namespace with `editor` in place of the user's.
    ///
    /// # Errors
    /// When kubectl cannot be run.
    pub async fn edit(&self, editor: &str) -> Result<Output> {
        self.run("kubectl", &["edit", "cafedeployment", &self.name], &[("KUBE_EDITOR", editor)]).await
    }

    /// Runs a command line as a person with the admin's kubeconfig would.
    ///
    /// # Errors
    /// When there is no shell.
    pub async fn shell(&self, line: &str) -> Result<Output> {
        let kubectl = self.bed.components().path("kubectl");
        let folder = kubectl.parent().context("kubectl has no folder")?;
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display());
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", line]).env("PATH", path).env("KUBECONFIG", self.bed.kubeconfig());
        command.output().await.context("cannot run sh")
    }

    async fn run(&self, program: &str, args: &[&str], env: &[(&str, &str)]) -> Result<Output> {
        let mut command = tokio::process::Command::new(self.bed.components().path(program));
        command
            .args(["--namespace", &self.namespace])
            .args(args)
            .envs(env.iter().copied())
            .env("KUBECONFIG", self.bed.kubeconfig())
            .stdin(std::process::Stdio::null());
        command.output().await.with_context(|| format!("cannot run {program}"))
    }
}
