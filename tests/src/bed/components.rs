//! The Kubernetes binaries: built once from `tests/controlplane/go.mod`, kept in a cache keyed by its hash.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::go_build;

/// A binary and the Go package it is built from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binary {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
}

/// Everything a bed needs.
const BINARIES: [Binary; 7] = [
    Binary { name: "kube-apiserver", package: "k8s.io/kubernetes/cmd/kube-apiserver" },
    Binary { name: "kube-controller-manager", package: "k8s.io/kubernetes/cmd/kube-controller-manager" },
    Binary { name: "kube-scheduler", package: "k8s.io/kubernetes/cmd/kube-scheduler" },
    Binary { name: "kubectl", package: "k8s.io/kubernetes/cmd/kubectl" },
    Binary { name: "kwok", package: "sigs.k8s.io/kwok/cmd/kwok" },
    Binary { name: "helm", package: "helm.sh/helm/v4/cmd/helm" },
    Binary { name: "etcd", package: "go.etcd.io/etcd/server/v3" },
];

/// Where the binaries are.
#[derive(Debug, Clone)]
pub struct Components {
    /// `KUBEBUILDER_ASSETS`, asked first.
    assets: Option<PathBuf>,
    cache: PathBuf,
}

impl Components {
    /// Where the components are, or will be once they are built.
    ///
    /// # Errors
    /// When there is no place for a cache, or `KUBEBUILDER_ASSETS` names no folder.
    pub fn locate() -> Result<Self> {
        Ok(Self { assets: assets()?, cache: cache_root()?.join("controlplane").join(hash(&module_dir())?) })
    }

    /// Builds what neither `KUBEBUILDER_ASSETS` nor the cache has, with progress on stderr. Only one process builds at
    /// a time, others wait for it.
    ///
    /// # Errors
    /// When Go is missing or too old, the build fails, or the cache cannot be written.
    pub fn ensure(&self) -> Result<()> {
        if self.missing().is_empty() {
            return Ok(());
        }
        let _lock = self.lock()?;
        // Another process may have built them while we waited.
        let missing = self.missing();
        if missing.is_empty() { Ok(()) } else { self.build(&module_dir(), &missing) }
    }

    /// The path of a binary: `etcd`, `kube-apiserver`, `kubectl`, `helm`, ...
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        let asset = self.assets.as_ref().map(|assets| assets.join(name)).filter(|file| file.is_file());
        asset.unwrap_or_else(|| self.bin().join(name))
    }

    fn bin(&self) -> PathBuf {
        self.cache.join("bin")
    }

    fn missing(&self) -> Vec<Binary> {
        BINARIES.into_iter().filter(|binary| !self.path(binary.name).is_file()).collect()
    }

    fn lock(&self) -> Result<File> {
        fs::create_dir_all(&self.cache)
            .with_context(|| format!("cannot create the cache folder {}", self.cache.display()))?;
        let file = File::create(self.cache.join("lock"))?;
        if file.try_lock().is_err() {
            eprintln!("Waiting for another process that is building the Kubernetes components ...");
            file.lock().context("cannot lock the cache of Kubernetes components")?;
        }
        Ok(file)
    }

    fn build(&self, module: &Path, missing: &[Binary]) -> Result<()> {
        // Built aside and moved, so that an interrupted build never leaves half a binary in place.
        let aside = self.cache.join("building");
        fs::create_dir_all(&aside)?;
        fs::create_dir_all(self.bin())?;
        go_build::build(module, missing, &aside)?;
        for binary in missing {
            fs::rename(aside.join(binary.name), self.bin().join(binary.name))
                .with_context(|| format!("the build made no binary `{}`", binary.name))?;
        }
        fs::remove_dir_all(&aside)?;
        Ok(())
    }
}

/// The module that pins the versions.
fn module_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("controlplane")
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

fn cache_root() -> Result<PathBuf> {
    if let Some(cache) =
        std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute())
    {
        return Ok(cache.join("cafe"));
    }
    let home = std::env::home_dir().context("no home folder for the cache: set HOME or XDG_CACHE_HOME")?;
    Ok(home.join(".cache/cafe"))
}

fn hash(module: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    for file in ["go.mod", "go.sum"] {
        let file = module.join(file);
        hasher.update(fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?);
    }
    Ok(hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}
