//! A bed whose nodes are real.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};

use super::machine::Machine;
use super::network;
use crate::bed::components::NodeComponents;
use crate::bed::{Bed, Options};

const PROXY: &str = "kube-proxy";
const POLL: Duration = Duration::from_millis(100);

/// The folder of the control plane and of the nodes in a place.
pub const BED: &str = "bed";
/// The cells of the nodes, one node each.
pub const CELLS: [&str; 2] = ["CellA", "CellB"];

/// A control plane with two real nodes, one in `CellA` and one in `CellB`. It must be made inside a
/// [`super::Place`], and everything that this process does and starts is inside as well: a client, a load balancer or a
/// protector reaches pods, Services and the API server as a host of the cluster's network does.
///
/// To run a program of your own, give it to [`Bed::start`] (its log and pid file are kept like those of the components,
/// its command line must name a file below [`Bed::dir`]), with the kubeconfig of [`Bed::kubeconfig`] or of an account
/// you make; point a [`crate::traffic::Load`] at whatever address it listens on.
#[derive(Debug)]
pub struct RealNodes {
    bed: Bed,
    parts: NodeComponents,
    machines: Vec<Machine>,
}

impl RealNodes {
    /// Brings up control plane and nodes in the folder of the place, and the controller, if one is given; without one nothing of Cafe
    /// is there, not even its definitions. `images` are archives that containerd takes; one must contain [`super::images::PAUSE`].
    ///
    /// # Errors
    /// When a component does not start or a node does not become ready in time.
    pub async fn up(place: &Path, images: &[&Path], controller: Option<PathBuf>) -> Result<Self> {
        let numbered = || (1..).zip(CELLS);
        network::prepare(numbered().map(|(number, _)| number))?;
        let bed = Bed::open(place.join(BED))?;
        let options = Options {
            nodes: 0,
            address: Some(network::node_address(1)),
            bare: controller.is_none(),
            controller,
            node_lifecycle: true,
            ..Options::default()
        };
        bed.up(&options).await?;
        let parts = NodeComponents::locate()?;
        let machines: Vec<Machine> =
            numbered().map(|(number, cell)| Machine::new(&bed, number, cell)).collect();
        for machine in &machines {
            machine.start(&bed, &parts, images).await?;
        }
        let nodes = Self { bed, parts, machines };
        nodes.start_proxy()?;
        nodes.wait_until_ready(options.timeout).await?;
        Ok(nodes)
    }

    /// Its control plane.
    #[must_use]
    pub fn bed(&self) -> &Bed {
        &self.bed
    }

    /// Kills the kubelet of the node in this cell. Its containers run on.
    ///
    /// # Errors
    /// When there is no such node, or it does not end.
    pub fn kill_kubelet(&self, cell: &str) -> Result<()> {
        self.bed.stop(&self.machine(cell)?.kubelet(), Duration::ZERO)
    }

    /// Starts the kubelet of the node in this cell unless it runs.
    ///
    /// # Errors
    /// When there is no such node, or it cannot be started.
    pub fn start_kubelet(&self, cell: &str) -> Result<()> {
        self.machine(cell)?.start_kubelet(&self.bed, &self.parts)
    }

    /// Gives an image that every node has another name as well.
    ///
    /// # Errors
    /// When a node does not have it.
    pub fn tag(&self, image: &str, name: &str) -> Result<()> {
        self.machines.iter().try_for_each(|machine| machine.tag(&self.parts, image, name))
    }

    /// That everything still runs.
    ///
    /// # Errors
    /// Names the component that has ended, with the end of its log.
    pub fn check(&self) -> Result<()> {
        self.bed.check(PROXY)?;
        self.machines.iter().try_for_each(|machine| self.bed.check(&machine.kubelet()))
    }

    fn machine(&self, cell: &str) -> Result<&Machine> {
        let found = self.machines.iter().find(|machine| machine.cell == cell);
        found.ok_or_else(|| anyhow::anyhow!("no node in cell {cell}"))
    }

    /// One for all nodes: they share the network namespace that it programs.
    fn start_proxy(&self) -> Result<()> {
        let mut command = Command::new(self.parts.path(PROXY));
        let first = self.machines.first().map_or("", |machine| machine.name.as_str());
        command
            .arg(format!("--kubeconfig={}", self.bed.kubeconfig_of(PROXY).display()))
            .args(["--proxy-mode=nftables", "--conntrack-max-per-core=0", "--cluster-cidr=10.244.0.0/16"])
            // Settings of the kernel that a namespace may not change.
            .args(["--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0"])
            .args(["--healthz-bind-address=127.0.0.1:10256", "--metrics-bind-address=127.0.0.1:10249"])
            .arg(format!("--hostname-override={first}"));
        self.bed.start(PROXY, &mut command).map(drop)
    }

    async fn wait_until_ready(&self, timeout: Duration) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.bed.client().await?);
        let end = Instant::now() + timeout;
        loop {
            self.check()?;
            let found = nodes.list(&ListParams::default()).await?.items;
            let ready = found.iter().filter(|node| is_ready(node)).count();
            if ready == self.machines.len() {
                return Ok(());
            }
            if Instant::now() >= end {
                let logs = self.bed.dir().join("logs");
                bail!(
                    "{ready} of {} nodes are ready: see the logs in {}",
                    self.machines.len(),
                    logs.display()
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Ready, and open for pods.
fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let says_so = conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    says_so && taints.is_none_or(Vec::is_empty)
}
