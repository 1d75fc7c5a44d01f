//! The Kubernetes binaries, built once: those of the control plane from `tests/controlplane/go.mod`, and, only when real
//! nodes are asked for, those of a node, whose container runtime has a module of its own (`tests/node/go.mod`).

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::store::{Binary, Store};

/// Everything a bed needs.
const CONTROL_PLANE: [Binary; 7] = [
    Binary { name: "kube-apiserver", package: "k8s.io/kubernetes/cmd/kube-apiserver" },
    Binary { name: "kube-controller-manager", package: "k8s.io/kubernetes/cmd/kube-controller-manager" },
    Binary { name: "kube-scheduler", package: "k8s.io/kubernetes/cmd/kube-scheduler" },
    Binary { name: "kubectl", package: "k8s.io/kubernetes/cmd/kubectl" },
    Binary { name: "kwok", package: "sigs.k8s.io/kwok/cmd/kwok" },
    Binary { name: "helm", package: "helm.sh/helm/v4/cmd/helm" },
    Binary { name: "etcd", package: "go.etcd.io/etcd/server/v3" },
];

/// What a real node needs of Kubernetes: the same module, so that it is of the control plane's version.
const NODE: [Binary; 2] = [
    Binary { name: "kubelet", package: "k8s.io/kubernetes/cmd/kubelet" },
    Binary { name: "kube-proxy", package: "k8s.io/kubernetes/cmd/kube-proxy" },
];

/// What runs a real node's containers; it does not compile against the module graph of Kubernetes.
const RUNTIME: [Binary; 3] = [
    Binary { name: "containerd", package: "github.com/containerd/containerd/v2/cmd/containerd" },
    Binary {
        name: "containerd-shim-runc-v2",
        package: "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    },
    Binary { name: "ctr", package: "github.com/containerd/containerd/v2/cmd/ctr" },
];

/// Where the binaries are.
#[derive(Debug, Clone)]
pub struct Components {
    /// `KUBEBUILDER_ASSETS`, asked first.
    assets: Option<PathBuf>,
    store: Store,
}

impl Components {
    /// Where the components are, or will be once they are built.
    ///
    /// # Errors
    /// When there is no place for a cache, or `KUBEBUILDER_ASSETS` names no folder.
    pub fn locate() -> Result<Self> {
        let what = "the Kubernetes components, once (about six minutes on two cores)";
        Ok(Self { assets: assets()?, store: Store::locate("controlplane", what)? })
    }

    /// Builds what neither `KUBEBUILDER_ASSETS` nor the cache has, with progress on stderr. Only one process builds at
    /// a time, others wait for it.
    ///
    /// # Errors
    /// When Go is missing or too old, the build fails, or the cache cannot be written.
    pub fn ensure(&self) -> Result<()> {
        self.store.ensure(|| self.missing(&CONTROL_PLANE))
    }

    /// The path of a binary: `etcd`, `kube-apiserver`, `kubectl`, `helm`, ...
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        let asset = self.assets.as_ref().map(|assets| assets.join(name)).filter(|file| file.is_file());
        asset.unwrap_or_else(|| self.store.path(name))
    }

    fn missing(&self, binaries: &[Binary]) -> Vec<Binary> {
        binaries.iter().filter(|binary| !self.path(binary.name).is_file()).copied().collect()
    }
}

/// Where the binaries of a real node are.
#[derive(Debug, Clone)]
pub struct NodeComponents {
    kubernetes: Components,
    runtime: Store,
}

impl NodeComponents {
    /// Where the components are, or will be once they are built.
    ///
    /// # Errors
    /// As [`Components::locate`].
    pub fn locate() -> Result<Self> {
        let what = "containerd, once (about two minutes on two cores)";
        Ok(Self { kubernetes: Components::locate()?, runtime: Store::locate("node", what)? })
    }

    /// Builds what is missing of the control plane and of the node, as [`Components::ensure`] does.
    ///
    /// # Errors
    /// As [`Components::ensure`].
    pub fn ensure(&self) -> Result<()> {
        let kubernetes = &self.kubernetes;
        kubernetes
            .store
            .ensure(|| [kubernetes.missing(&CONTROL_PLANE), kubernetes.missing(&NODE)].concat())?;
        let missing = |binary: &&Binary| !self.runtime.path(binary.name).is_file();
        self.runtime.ensure(|| RUNTIME.iter().filter(missing).copied().collect())
    }

    /// The path of a binary: `kubelet`, `kube-proxy`, `containerd`, `ctr`, ...
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        let is_runtime = RUNTIME.iter().any(|binary| binary.name == name);
        if is_runtime { self.runtime.path(name) } else { self.kubernetes.path(name) }
    }
}

fn assets() -> Result<Option<PathBuf>> {
    let Some(assets) = std::env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let assets = std::path::absolute(assets)?;
    if !assets.is_dir() {
        bail!("KUBEBUILDER_ASSETS names {}, which is no folder: correct or unset it", assets.display());
    }
    Ok(Some(assets))
}
