//! A CafeDeployment in a namespace of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::process::Output;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kube::Client;
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use serde_json::{Value, json};

use super::invariants::{self, Verdict};
use super::manifest::image;
use super::object::{Pod, list, number, text};
use super::view::View;
use super::watcher::{Kind, Watcher, version};
use crate::bed::Bed;

/// How long anything may take. Far more than it does, so that a slow machine fails no test.
const DEADLINE: Duration = Duration::from_secs(60);
/// Lines of the controller's log in a dump.
const LOG_LINES: usize = 60;

/// One CafeDeployment, driven as people and pipelines do.
pub struct Workload {
    bed: &'static Bed,
    client: Client,
    namespace: String,
    name: String,
    watcher: Watcher,
    /// The template that was installed first.
    first_template: Value,
    /// uids of pods that were deleted by hand.
    killed: Mutex<BTreeSet<String>>,
    /// The newest version of the CafeDeployment that an answer has shown: conditions wait until it is seen.
    written: AtomicU64,
}

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Workload {
    /// Creates the CafeDeployment and a Service for it in a new namespace, and does not wait for anything.
    ///
    /// # Errors
    /// When the API server refuses an object.
    pub async fn create(bed: &'static Bed, prefix: &str, manifest: &Value) -> Result<Self> {
        let client = bed.client().await?;
        let namespace = bed.namespace(prefix).await?;
        let watcher = Watcher::start(&client, &namespace).await?;
        let workload = Self {
            bed,
            client,
            namespace,
            name: text(manifest, "/metadata/name").to_owned(),
            watcher,
            first_template: manifest.pointer("/spec/template").cloned().unwrap_or_default(),
            killed: Mutex::default(),
            written: AtomicU64::new(0),
        };
        workload.create_service(manifest).await?;
        let object: DynamicObject = serde_json::from_value(manifest.clone())?;
        let created = workload.api(Kind::Deployment).create(&PostParams::default(), &object).await?;
        workload.note(&created)?;
        Ok(workload)
    }

    /// As [`Workload::create`], and waits until every pod serves.
    ///
    /// # Errors
    /// When it does not come so far.
    pub async fn install(bed: &'static Bed, prefix: &str, manifest: &Value) -> Result<Self> {
        let workload = Self::create(bed, prefix, manifest).await?;
        let replicas = manifest.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
        workload
            .wait_until("installed", |view| view.is_settled() && view.endpoints().len() as u64 == replicas)
            .await?;
        Ok(workload)
    }

    async fn create_service(&self, manifest: &Value) -> Result<()> {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": self.name },
            "spec": {
                "selector": manifest.pointer("/spec/selector/matchLabels"),
                "ports": [{ "port": 80, "targetPort": 8080 }],
            },
        });
        let api: Api<k8s_openapi::api::core::v1::Service> =
            Api::namespaced(self.client.clone(), &self.namespace);
        api.create(&PostParams::default(), &serde_json::from_value(service)?).await?;
        Ok(())
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
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind.resource())
    }

    fn note(&self, object: &DynamicObject) -> Result<()> {
        let version = object.metadata.resource_version.as_deref().context("an answer without a version")?;
        self.written.fetch_max(version.parse()?, Ordering::SeqCst);
        Ok(())
    }

    /// Merges `patch` into the CafeDeployment.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn patch(&self, patch: Value) -> Result<()> {
        let api = self.api(Kind::Deployment);
        let answer = api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        self.note(&answer)
    }

    /// Applies `fields` (what stands below `spec`) on the server's side in the name of `manager`.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn apply(&self, manager: &str, fields: Value) -> Result<()> {
        let object = json!({
            "apiVersion": "cafe.dev/v1alpha1", "kind": "CafeDeployment",
            "metadata": { "name": self.name }, "spec": fields,
        });
        let api = self.api(Kind::Deployment);
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
        self.api(Kind::Deployment)
            .patch_scale(&self.name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        self.note(&self.api(Kind::Deployment).get(&self.name).await?)
    }

    /// Replaces the pod template.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn set_template(&self, template: &Value) -> Result<()> {
        let patch = json!([{ "op": "replace", "path": "/spec/template", "value": template }]);
        let patch: Patch<Value> = Patch::Json(serde_json::from_value(patch)?);
        let answer = self.api(Kind::Deployment).patch(&self.name, &PatchParams::default(), &patch).await?;
        self.note(&answer)
    }

    /// The template that was installed first.
    #[must_use]
    pub fn first_template(&self) -> Value {
        self.first_template.clone()
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
        super::manifest::merge(&mut template, &json!({ "metadata": { "annotations": annotations } }));
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

    /// Deletes a pod, as `kubectl delete pod` does.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub async fn delete_pod(&self, name: &str) -> Result<()> {
        let pod = self.api(Kind::Pod).get(name).await?;
        let uid = pod.metadata.uid.context("a pod without a uid")?;
        self.killed.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.clone());
        let preconditions = Preconditions { uid: Some(uid), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        self.api(Kind::Pod).delete(name, &params).await?;
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

    /// What is seen as soon as `condition` holds, on a version that knows of everything written through this value.
    ///
    /// # Errors
    /// After a minute, with everything worth reading.
    pub async fn wait_until(&self, what: &str, condition: impl Fn(&View) -> bool) -> Result<View> {
        let mut changes = self.watcher.changes();
        let wait = async {
            loop {
                changes.borrow_and_update();
                let view = self.watcher.view();
                if self.is_current(&view) && condition(&view) {
                    return Ok(view);
                }
                changes.changed().await?;
            }
        };
        match tokio::time::timeout(DEADLINE, wait).await {
            Ok(view) => view,
            Err(_) => bail!("not {what} after {} s\n{}", DEADLINE.as_secs(), self.dump()),
        }
    }

    /// Watches for as long as `window` that `condition` holds without a break.
    ///
    /// # Errors
    /// As soon as it does not.
    pub async fn stays(&self, what: &str, window: Duration, condition: impl Fn(&View) -> bool) -> Result<()> {
        let mut changes = self.watcher.changes();
        let watch = async {
            loop {
                changes.borrow_and_update();
                let view = self.watcher.view();
                if self.is_current(&view) && !condition(&view) {
                    return Err(anyhow::anyhow!("no longer {what}\n{}", self.dump()));
                }
                changes.changed().await?;
            }
        };
        tokio::time::timeout(window, watch).await.unwrap_or(Ok(()))
    }

    fn is_current(&self, view: &View) -> bool {
        version(&view.deployment) >= self.written.load(Ordering::SeqCst)
    }

    /// Waits until the release stands at the gate of this token, with its pods where they belong.
    ///
    /// # Errors
    /// As [`Workload::wait_until`].
    pub async fn wait_for_gate(&self, token: &str) -> Result<View> {
        self.wait_until(&format!("at gate {token}"), |view| view.waits_at(token)).await?;
        self.look().await
    }

    /// Waits until nothing is left to do.
    ///
    /// # Errors
    /// As [`Workload::wait_until`].
    pub async fn wait_until_settled(&self) -> Result<View> {
        self.wait_until("settled", View::is_settled).await?;
        self.look().await
    }

    /// Waits until exactly these events have been told of the CafeDeployment, from `first` on.
    ///
    /// # Errors
    /// As [`Workload::wait_until`].
    pub async fn wait_for_events(&self, first: usize, expected: &[&str]) -> Result<Vec<(String, String)>> {
        let events = || self.watcher.events().split_off(first.min(self.watcher.events().len()));
        let told = |_: &View| events().len() >= expected.len();
        if let Err(error) = self.wait_until("told so many events", told).await {
            bail!("events {:#?}, expected {expected:#?}\n{error}", events());
        }
        let events = events();
        let reasons: Vec<&str> = events.iter().map(|(reason, _)| reason.as_str()).collect();
        ensure!(reasons == expected, "events {events:#?}, expected {expected:#?}");
        Ok(events)
    }

    /// Reads the objects from the API server, not from the watches, which may be behind one another.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn look(&self) -> Result<View> {
        let deployment = self.api(Kind::Deployment).get(&self.name).await?;
        Ok(View {
            deployment: Arc::new(serde_json::to_value(deployment)?),
            sets: self.read(Kind::Set).await?,
            pods: self.read(Kind::Pod).await?,
            slices: self.read(Kind::Slice).await?,
        })
    }

    async fn read(&self, kind: Kind) -> Result<Vec<Arc<Value>>> {
        let items = self.api(kind).list(&ListParams::default()).await?.items;
        items.into_iter().map(|item| Ok(Arc::new(serde_json::to_value(item)?))).collect()
    }

    /// Replays everything that was seen.
    ///
    /// # Errors
    /// When a rule was broken, with what was seen of the pod or object that broke it.
    pub async fn finish(&self) -> Result<Verdict> {
        let there = self.look().await?;
        let kinds = [(Kind::Set, &there.sets), (Kind::Pod, &there.pods), (Kind::Slice, &there.slices)];
        let seen = |_: &View| {
            kinds.iter().all(|(kind, objects)| {
                objects.iter().all(|object| {
                    let seen = self.watcher.version_of(*kind, text(object, "/metadata/name"));
                    seen.is_some_and(|seen| seen >= version(object))
                })
            })
        };
        self.wait_until("seen by the watches", seen).await?;
        let verdict = invariants::check(&self.watcher.history(), &self.killed());
        ensure!(
            verdict.violations.is_empty(),
            "rules were broken:\n{}\n{}\n{}",
            verdict.violations.join("\n"),
            self.story(),
            self.dump()
        );
        Ok(verdict)
    }

    fn killed(&self) -> BTreeSet<String> {
        self.killed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What happened, in order: what to read when a rule was broken.
    #[must_use]
    pub fn story(&self) -> String {
        let mut lines = String::new();
        let mut last: BTreeMap<(Kind, String), String> = BTreeMap::new();
        for seen in self.watcher.history() {
            let now = match seen.kind {
                Kind::Pod => Pod(&seen.object).line(),
                Kind::Set => set_line(&seen.object),
                Kind::Deployment => deployment_line(&seen.object),
                Kind::Slice | Kind::Event => continue,
            };
            let before = last.insert((seen.kind, seen.name.clone()), now.clone());
            if seen.gone || before.as_ref() != Some(&now) {
                let gone = if seen.gone { "gone " } else { "" };
                let _ = writeln!(lines, "{} {gone}{now}", seen.version);
            }
        }
        lines
    }

    fn dump(&self) -> String {
        let log = std::fs::read_to_string(self.bed.log("controller")).unwrap_or_default();
        let needle = format!("\"{}\"", self.namespace);
        let mut lines: Vec<&str> =
            log.lines().rev().filter(|line| line.contains(&needle)).take(LOG_LINES).collect();
        lines.reverse();
        let events: Vec<String> =
            self.watcher.events().iter().map(|(reason, note)| format!("{reason}: {note}")).collect();
        format!(
            "namespace {}\n{}events:\n{}\ncontroller:\n{}",
            self.namespace,
            self.watcher.view().dump(),
            events.join("\n"),
            lines.join("\n")
        )
    }
}

fn set_line(set: &Value) -> String {
    let entry = |entry: &Value| format!("{}>{}", text(entry, "/podUID"), text(entry, "/to"));
    format!(
        "set {} replicas {} grant {} partition {} reserved {:?}",
        text(set, "/metadata/name"),
        number(set, "/spec/replicas"),
        number(set, "/spec/updateStrategy/maxUnavailable"),
        number(set, "/spec/updateStrategy/partition"),
        list(set, "/status/inFlight").map(entry).collect::<Vec<_>>(),
    )
}

fn deployment_line(deployment: &Value) -> String {
    format!(
        "deployment replicas {} revision {} {} group {} quota {}",
        number(deployment, "/spec/replicas"),
        number(deployment, "/status/release/revision"),
        text(deployment, "/status/release/state"),
        number(deployment, "/status/release/group"),
        deployment.pointer("/status/release/quota").unwrap_or(&Value::Null),
    )
}
