//! One pod. The test is its controller and its kubelet: nobody else writes to it but the protector.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use cafe_crds::names::{DRAIN_REASON_PREFIX, GATE};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::app::App;

/// The label that the protector is told to look for.
pub(super) const SELECTOR: (&str, &str) = ("app", "conformance");
/// With this label a pod takes no lock.
pub(super) const REFUSES_LOCK: &str = "conformance/refuse-lock";
/// A finalizer and a condition of somebody else.
pub(super) const FOREIGN: &str = "conformance/other";

/// The versions of pods that the test has made.
pub(super) type Written = Arc<Mutex<BTreeSet<u64>>>;

static DRAINS: AtomicU32 = AtomicU32::new(1);
static ADDRESSES: AtomicU32 = AtomicU32::new(0);

/// A pod with something that answers at its address.
#[derive(Debug)]
pub(super) struct Actor {
    name: String,
    app: App,
    pods: Api<DynamicObject>,
    written: Written,
}

impl Actor {
    /// Creates a pod that has no gate, no address and no ready container yet.
    pub(super) async fn create(
        pods: &Api<DynamicObject>,
        written: &Written,
        port: u16,
        metadata: Value,
    ) -> Result<Self> {
        let app = free_address(port).await?;
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "generateName": "pod-", "labels": { SELECTOR.0: SELECTOR.1 } },
            "spec": {
                // Nobody binds it to a node, so no kubelet plays it.
                "schedulerName": "conformance",
                "readinessGates": [{ "conditionType": GATE }],
                "containers": [{ "name": "app", "image": "example.org/web:1" }],
            },
        });
        crate::scenario::merge(&mut pod, &json!({ "metadata": metadata }));
        let created = pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
        let name = created.metadata.name.clone().context("the API server gave the pod no name")?;
        let actor = Self { name, app, pods: pods.clone(), written: Arc::clone(written) };
        actor.note(&created)?;
        Ok(actor)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn app(&self) -> &App {
        &self.app
    }

    pub(super) fn app_mut(&mut self) -> &mut App {
        &mut self.app
    }

    pub(super) fn address(&self) -> IpAddr {
        self.app.address()
    }

    /// The kubelet: the containers run and are ready, or not, and the pod has its address.
    pub(super) async fn containers(&self, ready: bool) -> Result<()> {
        let address = self.address().to_string();
        let status = if ready { "True" } else { "False" };
        self.status(json!({
            "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
            "conditions": [{ "type": "ContainersReady", "status": status, "reason": null }],
        }))
        .await
    }

    /// The containers are ready, and the pod has no address yet.
    pub(super) async fn containers_without_address(&self) -> Result<()> {
        let ready = json!({ "type": "ContainersReady", "status": "True" });
        self.status(json!({ "phase": "Running", "conditions": [ready] })).await
    }

    /// The controller opens the gate.
    pub(super) async fn open(&self) -> Result<()> {
        self.gate("True", "Serving").await
    }

    /// The controller asks for a drain; the reason that an answer must repeat.
    pub(super) async fn drain(&self) -> Result<String> {
        let op = DRAINS.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b1);
        let reason = format!("{DRAIN_REASON_PREFIX}{op:08x}");
        self.gate("False", &reason).await?;
        Ok(reason)
    }

    /// Closes the gate with a reason that is no drain.
    pub(super) async fn close(&self, reason: &str) -> Result<()> {
        self.gate("False", reason).await
    }

    async fn gate(&self, status: &str, reason: &str) -> Result<()> {
        self.status(json!({ "conditions": [{ "type": GATE, "status": status, "reason": reason }] })).await
    }

    async fn status(&self, status: Value) -> Result<()> {
        let patch = Patch::Strategic(json!({ "status": status }));
        let written = self.pods.patch_status(&self.name, &PatchParams::default(), &patch).await?;
        self.note(&written)
    }

    /// Any change of metadata, as somebody else would make it.
    pub(super) async fn metadata(&self, metadata: Value) -> Result<()> {
        let patch = Patch::Strategic(json!({ "metadata": metadata }));
        self.note(&self.pods.patch(&self.name, &PatchParams::default(), &patch).await?)
    }

    /// A condition of somebody else.
    pub(super) async fn foreign_condition(&self, reason: &str) -> Result<()> {
        self.status(json!({ "conditions": [{ "type": FOREIGN, "status": "True", "reason": reason }] })).await
    }

    /// Somebody deletes the pod.
    pub(super) async fn delete(&self) -> Result<()> {
        match self.pods.delete(&self.name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            answer => Ok(answer.map(|_| ())?),
        }
    }

    fn note(&self, object: &DynamicObject) -> Result<()> {
        let version = object.metadata.resource_version.as_deref().unwrap_or_default().parse()?;
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(version);
        Ok(())
    }
}

/// Something that answers at an address of this machine which nobody else uses.
async fn free_address(port: u16) -> Result<App> {
    const TRIES: u32 = 2000;
    let first = std::process::id().wrapping_mul(251);
    let mut last = None;
    for _ in 0..TRIES {
        let [.., b, c] =
            (first.wrapping_add(ADDRESSES.fetch_add(1, Ordering::Relaxed)) % 64000).to_be_bytes();
        let address = Ipv4Addr::new(127, 77, b, c);
        match App::start(SocketAddr::from((address, port))).await {
            Ok(app) => return Ok(app),
            Err(error) => last = Some(error),
        }
    }
    bail!("no address below 127.77.0.0/16 has port {port} free: {last:?}; choose another port")
}
