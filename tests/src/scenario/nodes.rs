//! Cells of a scenario's own: their nodes may be full, lost or missing without harm to anybody else.

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::manifest::{merge, web};
use crate::bed::Bed;
use crate::bed::nodes::{self, OWN_TAINT};

/// The taint that the node lifecycle controller puts on a node whose kubelet is silent.
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// One cell with at most one node. Only pods that tolerate the nodes of tests come here; [`Cell::web`] makes such.
pub struct Cell {
    client: Client,
    /// Its label value.
    pub name: String,
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Cell {
    /// A cell of this name, which must be nobody else's, without a node.
    ///
    /// # Errors
    /// When the bed has no client.
    pub async fn empty(bed: &'static Bed, name: &str) -> Result<Self> {
        Ok(Self { client: bed.client().await?, name: name.to_owned() })
    }

    /// A cell with one node that has room for so many pods.
    ///
    /// # Errors
    /// When the API server refuses the node.
    pub async fn with_room(bed: &'static Bed, name: &str, pods: u32) -> Result<Self> {
        let cell = Self::empty(bed, name).await?;
        cell.add_node(pods).await?;
        Ok(cell)
    }

    /// Adds the node.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn add_node(&self, pods: u32) -> Result<()> {
        nodes::add(&self.client, &self.node(), &self.name, pods).await
    }

    fn node(&self) -> String {
        format!("{}-1", self.name.to_lowercase())
    }

    fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// Gives the node room for so many pods. Those that are there stay.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn set_room(&self, pods: u32) -> Result<()> {
        let room = json!({ "pods": pods.to_string() });
        self.patch_status(&json!({ "capacity": room, "allocatable": room })).await
    }

    /// The kubelet of the node dies: nothing happens to its pods any more, and everybody is told what the node lifecycle controller tells
    /// then: node and pods are not Ready, and the pods are evicted once they tolerate it no longer.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn lose(&self) -> Result<()> {
        self.mark_lost(Some("true")).await?;
        self.ready("Unknown").await?;
        let taints = [(OWN_TAINT, "NoSchedule"), (UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")];
        nodes::taint(&self.nodes(), &self.node(), &taints).await
    }

    /// The kubelet comes back, and finishes what it was asked for.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn come_back(&self) -> Result<()> {
        nodes::taint(&self.nodes(), &self.node(), &[(OWN_TAINT, "NoSchedule")]).await?;
        self.ready("True").await?;
        self.mark_lost(None).await
    }

    async fn mark_lost(&self, lost: Option<&str>) -> Result<()> {
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { "sim.cafe.dev/lost": lost } } }));
        let params = PatchParams::default();
        self.nodes().patch(&self.node(), &params, &patch).await?;
        let all: Api<Pod> = Api::all(self.client.clone());
        for pod in all.list(&ListParams::default().fields(&format!("spec.nodeName={}", self.node()))).await? {
            let (name, namespace) =
                (pod.metadata.name.unwrap_or_default(), pod.metadata.namespace.unwrap_or_default());
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
            pods.patch(&name, &params, &patch).await?;
            if lost.is_some() {
                let unready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } });
                pods.patch_status(&name, &params, &Patch::Strategic(unready)).await?;
            }
        }
        Ok(())
    }

    async fn ready(&self, status: &str) -> Result<()> {
        #[allow(clippy::disallowed_methods, reason = "a kubelet reads the clock")]
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        self.patch_status(
            &json!({ "conditions": [{ "type": "Ready", "status": status, "lastTransitionTime": now }] }),
        )
        .await
    }

    async fn patch_status(&self, status: &Value) -> Result<()> {
        let patch = Patch::Strategic(json!({ "status": status }));
        self.nodes().patch_status(&self.node(), &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// As [`web`], over these cells: an unschedulable pod gives its place away after a second, and pods leave a lost node after one.
    #[must_use]
    pub fn web(replicas: i32, cells: &[&Self]) -> Value {
        let values: Vec<&str> = cells.iter().map(|cell| cell.name.as_str()).collect();
        let mut manifest = web(replicas);
        let tolerations = json!([
            { "key": OWN_TAINT, "operator": "Exists" },
            { "key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1 },
        ]);
        let spec = json!({
            "topology": { "values": values, "autoReschedule": { "enable": true, "initialDelaySeconds": 1 } },
            "template": { "spec": { "tolerations": tolerations } },
        });
        merge(&mut manifest, &json!({ "spec": spec }));
        manifest
    }
}
