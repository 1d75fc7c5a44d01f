//! A controller beside the bed's own: one process for one namespace, behind a server that stands before the API server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::{Bed, kubeconfig};

/// The shipped binary, alone in a namespace, without a lease. It is killed when the value is dropped.
#[derive(Debug)]
pub struct LoneController<'a> {
    bed: &'a Bed,
    component: String,
}

impl Drop for LoneController<'_> {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

impl<'a> LoneController<'a> {
    /// Starts it. `name` must be new in this bed; `server` speaks plain HTTP. Does not wait until it watches.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(
        bed: &'a Bed,
        name: &str,
        binary: &Path,
        server: SocketAddr,
        namespace: &str,
    ) -> Result<Self> {
        let kubeconfig = bed.dir.join(format!("{name}.kubeconfig"));
        kubeconfig::write_plain(&kubeconfig, &format!("http://{server}"))?;
        let mut command = Command::new(binary);
        command
            .current_dir(&bed.dir)
            .env_remove("KUBECONFIG")
            .arg("run")
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--identity", name, "--watch-namespaces", namespace, "--no-leader-election"])
            .args(["--admin-address", "127.0.0.1:0"]);
        bed.processes.start(name, &mut command)?;
        Ok(Self { bed, component: name.to_owned() })
    }

    /// Kills it in the middle of whatever it does, and returns when it is gone.
    ///
    /// # Errors
    /// When it does not go.
    pub fn kill(&self) -> Result<()> {
        self.bed.processes.stop(&self.component, Duration::ZERO)
    }

    /// An error, with the end of its log, when it has ended.
    ///
    /// # Errors
    /// When it has ended.
    pub fn check_alive(&self) -> Result<()> {
        self.bed.processes.check_alive(&self.component)
    }

    /// Its log file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.bed.log(&self.component)
    }
}
