//! A Kubernetes of its own, in one folder.

mod account;
pub mod audit;
mod certificates;
mod client;
pub mod components;
mod control_plane;
pub mod controller;
mod go_build;
mod install;
mod kubeconfig;
#[cfg(test)]
mod kubelet_tests;
mod lifecycle;
#[cfg(test)]
mod lifecycle_tests;
mod lone_controller;
mod nodes;
mod options;
mod ports;
mod process;
mod shared;
pub mod stages;
mod state;
mod watchdog;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use lone_controller::LoneController;
pub use nodes::CELL_LABEL;
pub use options::Options;

use crate::bed::components::Components;
use crate::bed::process::Processes;
use crate::bed::watchdog::Watchdog;

/// A local Kubernetes: its folder, its binaries and its processes.
///
/// A bed that was opened by folder outlives this value; a temporary one ends with it, whatever way the process ends.
#[derive(Debug)]
pub struct Bed {
    dir: PathBuf,
    components: Components,
    processes: Processes,
    /// Held for its `Drop`: it stops the processes of a temporary bed and removes the folder.
    _watchdog: Option<Watchdog>,
}

impl Bed {
    /// Opens the bed in `dir`, which need not exist yet. Nothing is started or built.
    ///
    /// # Errors
    /// When the environment names folders that do not exist.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = std::path::absolute(dir.as_ref())?;
        Self::new(dir, None)
    }

    /// A bed in a new temporary folder, not up yet. Processes and folder go when the value is dropped, on a panic, and
    /// when this process is killed.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn temporary() -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("cafe-bed-")
            .tempdir()
            .context("cannot make a temporary folder for the bed")?
            .keep();
        let watchdog = Watchdog::start(&dir)?;
        Self::new(dir, Some(watchdog))
    }

    fn new(dir: PathBuf, watchdog: Option<Watchdog>) -> Result<Self> {
        let components = Components::locate()?;
        let processes = Processes::new(&dir);
        Ok(Self { dir, components, processes, _watchdog: watchdog })
    }

    /// Where a developer's bed is: `.cafe` at the top of the checkout, from whatever folder the command is run.
    #[must_use]
    pub fn default_dir() -> PathBuf {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
        checkout.join(".cafe")
    }

    /// The folder with everything the bed keeps.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The Kubernetes binaries this bed runs.
    #[must_use]
    pub fn components(&self) -> &Components {
        &self.components
    }

    /// The kubeconfig of the cluster's admin. The path is absolute; the file exists once the bed has been up.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("admin.kubeconfig")
    }

    /// The log file of a component: `etcd`, `kube-apiserver`, `controller`, ...
    #[must_use]
    pub fn log(&self, component: &str) -> PathBuf {
        self.processes.log(component)
    }

    /// The process of a component, if it is alive.
    #[must_use]
    pub fn pid(&self, component: &str) -> Option<u32> {
        self.processes.pid(component)
    }

    /// The audit log from its first entry on.
    #[must_use]
    pub fn audit(&self) -> audit::Reader {
        audit::Reader::new(self.dir.join("logs/audit.log"))
    }
}
