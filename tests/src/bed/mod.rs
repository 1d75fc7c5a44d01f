//! A Kubernetes of its own, in one folder.

mod account;
pub mod audit;
mod certificates;
mod client;
pub mod cold_start;
pub mod components;
pub mod control_plane;
pub mod controller;
mod go_build;
mod install;
mod kubeconfig;
#[cfg(test)]
mod kubelet_tests;
mod late_deletions;
mod lifecycle;
#[cfg(test)]
mod lifecycle_tests;
mod lone_controller;
pub mod metrics_api;
pub(crate) mod nodes;
mod options;
mod ports;
mod process;
mod replace;
mod shared;
pub mod stages;
mod state;
mod store;
pub(crate) mod tls;
pub mod usage;
mod watchdog;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

pub use lone_controller::LoneController;
pub use nodes::CELL_LABEL;
pub use options::{LIFTED, Options};

use crate::bed::components::Components;
use crate::bed::process::Processes;
use crate::bed::watchdog::Watchdog;

/// The account that the controller runs under, as the API server calls it.
pub const CONTROLLER: &str = "system:serviceaccount:cafe-system:cafe-controller";

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

    /// The kubeconfig of another user that the bed knows, e.g. `kube-proxy`.
    pub(crate) fn kubeconfig_of(&self, user: &str) -> PathBuf {
        self.dir.join(format!("{user}.kubeconfig"))
    }

    /// The certificate of the bed's authority.
    pub(crate) fn authority(&self) -> PathBuf {
        self.dir.join("certificates/ca.crt")
    }

    /// Starts a program as one of the bed's processes unless it is alive, and says whether it was started. Its command
    /// line must name a file below [`Bed::dir`]: that is how it is told from others.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, component: &str, command: &mut Command) -> Result<bool> {
        self.processes.start(component, command)
    }

    /// Stops a program that [`Bed::start`] started: asked first, killed after `patience`.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&self, component: &str, patience: Duration) -> Result<()> {
        self.processes.stop(component, patience)
    }

    /// That a program which [`Bed::start`] started is alive.
    ///
    /// # Errors
    /// When it has ended, with the end of its log.
    pub fn check(&self, component: &str) -> Result<()> {
        self.processes.check_alive(component)
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
