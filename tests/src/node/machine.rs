//! One real node: its containerd and its kubelet, with folders, sockets, bridge and addresses of their own.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::images;
use super::network::{bridge, node_address, pod_subnet};
use super::place::run;
use super::requirements::NETWORK_PLUGINS;
use crate::bed::Bed;
use crate::bed::components::NodeComponents;

/// The nodes' folder in a bed.
const NODES: &str = "nodes";
/// Where containerd keeps one folder per container, below a node's folder.
const CONTAINERS: &str = "state/io.containerd.runtime.v2.task/k8s.io";
const START: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// A node, by number from 1 on.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) cell: String,
    number: u8,
    dir: PathBuf,
}

impl Machine {
    pub(super) fn new(bed: &Bed, number: u8, cell: &str) -> Self {
        let name = format!("{}-1", cell.to_lowercase());
        let dir = bed.dir().join(NODES).join(&name);
        Self { name, cell: cell.to_owned(), number, dir }
    }

    fn containerd(&self) -> String {
        format!("containerd-{}", self.name)
    }

    pub(super) fn kubelet(&self) -> String {
        format!("kubelet-{}", self.name)
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.join("containerd.sock")
    }

    /// Starts containerd, gives it the images, and starts the kubelet.
    pub(super) async fn start(&self, bed: &Bed, parts: &NodeComponents, images: &[&Path]) -> Result<()> {
        self.write_files(bed)?;
        let containerd = self.containerd();
        let mut command = Command::new(parts.path("containerd"));
        command.arg("--config").arg(self.dir.join("containerd.toml")).env("PATH", search_path(parts)?);
        bed.start(&containerd, &mut command)?;
        let end = Instant::now() + START;
        while UnixStream::connect(self.socket()).is_err() {
            bed.check(&containerd)?;
            if Instant::now() >= end {
                bail!("{containerd} does not answer: see {}", bed.log(&containerd).display());
            }
            tokio::time::sleep(POLL).await;
        }
        for archive in images {
            run(self.images(parts).arg("import").arg(archive))
                .with_context(|| format!("cannot import the images into {}", self.name))?;
        }
        self.start_kubelet(bed, parts)
    }

    /// Gives an image of the node another name as well.
    pub(super) fn tag(&self, parts: &NodeComponents, image: &str, name: &str) -> Result<()> {
        run(self.images(parts).args(["tag", image, name])).map(drop)
    }

    /// containerd's own client, for what the kubelet sees.
    fn images(&self, parts: &NodeComponents) -> Command {
        let mut command = Command::new(parts.path("ctr"));
        command.arg("--address").arg(self.socket()).args(["--namespace", "k8s.io", "images"]);
        command
    }

    /// Starts the kubelet unless it runs.
    pub(super) fn start_kubelet(&self, bed: &Bed, parts: &NodeComponents) -> Result<()> {
        let mut command = Command::new(parts.path("kubelet"));
        command
            .env("PATH", search_path(parts)?)
            .arg(format!("--kubeconfig={}", bed.kubeconfig_of(&self.name).display()))
            .arg(format!("--config={}", self.dir.join("kubelet.json").display()))
            .arg(format!("--root-dir={}", self.dir.join("kubelet").display()))
            .arg(format!("--cert-dir={}", self.dir.join("kubelet/pki").display()))
            .arg(format!("--hostname-override={}", self.name))
            .arg(format!("--node-ip={}", node_address(self.number)))
            .arg(format!("--node-labels=cafe.dev/cell={0},topology.kubernetes.io/zone={0}", self.cell))
            .arg("--v=2");
        bed.start(&self.kubelet(), &mut command).map(drop)
    }

    fn write_files(&self, bed: &Bed) -> Result<()> {
        fs::create_dir_all(self.dir.join("cni"))?;
        fs::write(self.dir.join("containerd.toml"), self.containerd_configuration())?;
        fs::write(self.dir.join("kubelet.json"), self.kubelet_configuration(bed).to_string())?;
        fs::write(self.dir.join("cni/10-bridge.conflist"), self.network_configuration().to_string())?;
        Ok(())
    }

    fn containerd_configuration(&self) -> String {
        let dir = self.dir.display();
        let pause = images::PAUSE;
        format!(
            r#"version = 3
root = "{dir}/containerd"
state = "{dir}/state"
# They would write outside of the node's folder.
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{dir}/containerd.sock"
[plugins."io.containerd.server.v1.ttrpc"]
  address = "{dir}/containerd.sock.ttrpc"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{NETWORK_PLUGINS}"]
  conf_dir = "{dir}/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  SystemdCgroup = false
  Root = "{dir}/runc"
"#
        )
    }

    /// Every setting that is not about paths and addresses keeps the kubelet from managing a machine it does not own:
    /// its cgroups, its disk, its swap.
    fn kubelet_configuration(&self, bed: &Bed) -> Value {
        let socket = format!("unix://{}", self.socket().display());
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": node_address(self.number),
            "port": 10250,
            "healthzPort": 0,
            "readOnlyPort": 0,
            "authentication": {
                "anonymous": { "enabled": false },
                "webhook": { "enabled": false },
                "x509": { "clientCAFile": bed.authority() },
            },
            "authorization": { "mode": "AlwaysAllow" },
            "containerRuntimeEndpoint": socket,
            "imageServiceEndpoint": socket,
            "podLogsDir": self.dir.join("logs"),
            "volumePluginDir": self.dir.join("volume-plugins"),
            "resolvConf": "",
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": false,
            "failCgroupV1": false,
            "failSwapOn": false,
            "enforceNodeAllocatable": [],
            "localStorageCapacityIsolation": false,
            "imageGCHighThresholdPercent": 100,
            "evictionHard": { "memory.available": "1Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
            // Release after release goes back to an image that the container ran minutes ago, and the kubelet holds every
            // such start back, ten seconds first and doubling, as if the container had crashed.
            "crashLoopBackOff": { "maxContainerRestartPeriod": "1s" },
            "serializeImagePulls": false,
            "registerNode": true,
        })
    }

    fn network_configuration(&self) -> Value {
        json!({
            "cniVersion": "1.0.0",
            "name": self.name,
            "plugins": [{
                "type": "bridge",
                "bridge": bridge(self.number),
                "isGateway": true,
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "dataDir": self.dir.join("addresses"),
                    "ranges": [[{ "subnet": pod_subnet(self.number) }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            }],
        })
    }
}

/// containerd finds its shim, and the shim finds runc, on the PATH.
fn search_path(parts: &NodeComponents) -> Result<String> {
    let containerd = parts.path("containerd");
    let folder = containerd.parent().context("containerd has no folder")?;
    Ok(format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", folder.display()))
}

/// The ids of the containers that the nodes of a bed were running when they ended.
pub(super) fn containers(bed: &Path) -> Vec<String> {
    let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().collect::<Vec<_>>();
    let of_node = |node: &fs::DirEntry| entries(&node.path().join(CONTAINERS));
    let ids =
        entries(&bed.join(NODES)).iter().flat_map(of_node).map(|entry| entry.file_name()).collect::<Vec<_>>();
    ids.into_iter().filter_map(|id| id.into_string().ok()).collect()
}
