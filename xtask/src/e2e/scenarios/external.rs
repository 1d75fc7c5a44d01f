//! Traffic that no Service carries: a load balancer with a protector.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cafe_tests::node::RealNodes;
use cafe_tests::scenario::Pod;
use serde_json::json;

use super::super::play::Stage;
use super::super::report::Outcome;

const PROTECTOR: &str = "protector-haproxy";
const BALANCER: &str = "haproxy";
/// The protector's name, and so that of its finalizer.
const NAME: &str = "edge";
const FINALIZER: &str = "protect.cafe.dev/edge";
const LISTENS_AT: &str = "127.0.0.1:8000";

/// The example's own configuration, with a socket of its own and an address that only this namespace reaches.
const CONFIGURATION: &str = include_str!("../../../../examples/protector-haproxy/haproxy.cfg");
/// All that a protector needs, from the example's own manifest.
const RIGHTS: &str = include_str!("../../../../examples/protector-haproxy/deploy.yaml");

/// Clients come through HAProxy, which knows the pods' addresses from the protector alone. In the middle of a release the
/// protector is killed: what it has locked stays in service until it is back.
pub(super) async fn play(nodes: &'static RealNodes, protector: Option<&Path>) -> Result<Outcome> {
    let binary = protector.context("the protector is not built")?;
    let protectors = json!({ "spec": { "traffic": { "protectors": [NAME] } } });
    let stage = Stage::prepare(nodes, 4, &protectors).await?;
    let edge = Edge::new(nodes, stage.workload.namespace(), binary).await?;
    edge.start_balancer()?;
    edge.start_protector()?;
    stage.workload.serve("web", &json!({})).await?;
    stage.workload.start().await?;
    stage.workload.wait_until_served().await?;
    let play = stage.ask(LISTENS_AT.parse::<SocketAddr>()?).await?;

    play.workload.release("v2").await?;
    play.workload.wait_until("draining", |view| view.pods().any(|pod| pod.drain().is_some())).await?;
    edge.kill_protector()?;
    edge.start_protector()?;
    play.workload.wait_until_settled().await?;
    if !play.is_lossless() {
        return play.close().await;
    }
    for pod in play.workload.look().await?.pods() {
        ensure!(is_locked(pod), "{} is back without its lock", pod.name());
    }

    // Without its protector a pod that is locked is not touched.
    edge.kill_protector()?;
    play.workload.release("v1").await?;
    play.workload.wait_until("draining", |view| view.pods().any(|pod| pod.drain().is_some())).await?;
    let untouched = |view: &cafe_tests::scenario::View| {
        view.pods().all(|pod| pod.containers().iter().all(|c| c.wants == c.runs))
    };
    play.workload.stays("locked", Duration::from_secs(6), untouched).await?;
    edge.start_protector()?;
    play.workload.wait_until_settled().await?;
    play.workload.scale(2).await?;
    play.workload.wait_until_settled().await?;
    let outcome = play.close().await;
    edge.stop()?;
    outcome
}

fn is_locked(pod: Pod<'_>) -> bool {
    let finalizers = pod.0.pointer("/metadata/finalizers").and_then(serde_json::Value::as_array);
    finalizers.into_iter().flatten().any(|finalizer| finalizer == FINALIZER) && pod.has(FINALIZER)
}

/// HAProxy and its protector, as programs of the bed.
struct Edge {
    nodes: &'static RealNodes,
    namespace: String,
    binary: PathBuf,
    kubeconfig: PathBuf,
    dir: PathBuf,
}

impl Edge {
    async fn new(nodes: &'static RealNodes, namespace: &str, binary: &Path) -> Result<Self> {
        let bed = nodes.bed();
        // The account and its rights come first in the manifest; the balancer's own pods are left out.
        let rights: Vec<&str> = RIGHTS.split("\n---\n").take(3).collect();
        let rights = rights.join("\n---\n").replace("namespace: default", &format!("namespace: {namespace}"));
        bed.apply(&rights, Some(namespace)).await?;
        let kubeconfig = bed.account(namespace, NAME).await?;
        let dir = bed.dir().join("edge");
        fs::create_dir_all(&dir)?;
        Ok(Self { nodes, namespace: namespace.to_owned(), binary: binary.to_owned(), kubeconfig, dir })
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("admin.sock")
    }

    fn start_balancer(&self) -> Result<()> {
        let socket = self.socket().display().to_string();
        let configuration = CONFIGURATION
            .replace("/run/haproxy/admin.sock", &socket)
            .replace("bind :8000", &format!("bind {LISTENS_AT}"));
        let file = self.dir.join("haproxy.cfg");
        fs::write(&file, configuration)?;
        // In the foreground, without a master: one process to know and to stop.
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&file).env("PATH", "/usr/local/sbin:/usr/sbin:/usr/bin");
        self.nodes.bed().start(BALANCER, &mut command).map(drop)
    }

    fn start_protector(&self) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command.env("KUBECONFIG", &self.kubeconfig).arg("run").arg("--socket").arg(self.socket()).args([
            "--name",
            NAME,
            "--namespace",
            &self.namespace,
            "--selector",
            "app=web",
            "--port",
            "8080",
        ]);
        self.nodes.bed().start(PROTECTOR, &mut command).map(drop)
    }

    fn kill_protector(&self) -> Result<()> {
        self.nodes.bed().stop(PROTECTOR, Duration::ZERO)
    }

    fn stop(&self) -> Result<()> {
        self.kill_protector()?;
        self.nodes.bed().stop(BALANCER, Duration::ZERO)
    }
}
