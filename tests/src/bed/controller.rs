//! The controller as a process of the bed, with its own account.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::Bed;
use super::control_plane::ControlPlane;
use super::install::CONTROLLER_USER;
use super::process::Processes;
use super::state::State;

/// The name of its pid file and log.
pub(super) const COMPONENT: &str = "controller";
const PACKAGE: &str = "cafe-controller";
/// Stable over restarts, as a pod's name is: the new process may take its own lease back at once.
const IDENTITY: &str = "bed";
const POLL: Duration = Duration::from_millis(20);
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Builds the controller with cargo, which shows its own progress, and returns the binary.
///
/// # Errors
/// When it does not compile.
pub fn build(release: bool) -> Result<PathBuf> {
    let mut command = cargo();
    command.arg("build");
    if release {
        command.arg("--release");
    }
    build_binary(command, PACKAGE, PACKAGE)
}

/// Builds an example, whose binary is named like its package, as [`build`] does.
///
/// # Errors
/// When it does not compile.
pub fn build_example(package: &str) -> Result<PathBuf> {
    let mut command = cargo();
    command.arg("build");
    build_binary(command, package, package)
}

/// Builds a program whose binary is named like its package with the given `cargo build`.
///
/// # Errors
/// When it does not compile.
pub fn build_program(command: Command, package: &str) -> Result<PathBuf> {
    build_binary(command, package, package)
}

/// Runs a `cargo build` for one binary of the workspace and returns where cargo put it.
pub(crate) fn build_binary(mut command: Command, package: &str, name: &str) -> Result<PathBuf> {
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["--package", package, "--bin", name, "--message-format=json-render-diagnostics"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot run cargo")?;
    let mut binary = None;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let artifact: Artifact = serde_json::from_str(&line?).unwrap_or_default();
            binary = artifact.executable.or(binary);
        }
    }
    if !child.wait()?.success() {
        bail!("{package} does not compile");
    }
    binary.with_context(|| format!("cargo built no binary `{name}`"))
}

/// Cargo as a person would call it. What an outer cargo told this program about its own package is left out: build
/// scripts that look at it would run again each time, and half the dependencies with them.
#[must_use]
pub fn cargo() -> Command {
    const ABOUT_THE_CALLER: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_NAME"];
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ABOUT_THE_CALLER.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// The one field of cargo's messages that matters here.
#[derive(Default, Deserialize)]
struct Artifact {
    #[serde(default)]
    executable: Option<PathBuf>,
}

impl Bed {
    /// The controller's process, if it is alive.
    #[must_use]
    pub fn controller_pid(&self) -> Option<u32> {
        self.processes.pid(COMPONENT)
    }

    /// Where the controller serves probes and metrics.
    ///
    /// # Errors
    /// When the bed was never up.
    pub fn controller_address(&self) -> Result<SocketAddr> {
        let state = State::load(&self.dir)?.context("the bed has never been up")?;
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, state.ports.controller)))
    }

    /// Kills the controller in the middle of whatever it does, and returns when it is gone.
    ///
    /// # Errors
    /// When it does not go.
    pub fn kill_controller(&self) -> Result<()> {
        self.processes.stop(COMPONENT, Duration::ZERO)
    }

    /// Starts the controller that [`Bed::up`] was given, unless it runs, and returns when it answers.
    ///
    /// # Errors
    /// When the bed was never up with a controller, or the controller does not start.
    pub async fn start_controller(&self) -> Result<()> {
        let state = State::load(&self.dir)?.context("the bed has never been up")?;
        let binary =
            state.controller.context("the bed has no controller: give one in the options of `up`")?;
        let plane = ControlPlane::prepare(&self.dir, state.ports, &self.components)?;
        ensure(&self.processes, &plane, &binary, START_TIMEOUT).await
    }
}

/// The command that runs the bed's controller.
pub(super) fn command(dir: &Path, binary: &Path, kubeconfig: &Path, address: SocketAddr) -> Command {
    let mut command = Command::new(binary);
    command
        .current_dir(dir)
        .env_remove("KUBECONFIG")
        .arg("run")
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(["--identity", IDENTITY])
        .args(["--admin-address", &address.to_string()]);
    command
}

/// Starts the controller unless this very binary runs already, and waits until its admin port answers.
pub(super) async fn ensure(
    processes: &Processes,
    plane: &ControlPlane<'_>,
    binary: &Path,
    timeout: Duration,
) -> Result<()> {
    if processes.pid(COMPONENT).is_some_and(|pid| !runs(pid, binary)) {
        processes.stop(COMPONENT, Duration::from_secs(5))?;
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, plane.ports.controller));
    let mut command = command(plane.dir, binary, &plane.kubeconfig(CONTROLLER_USER), address);
    processes.start(COMPONENT, &mut command)?;
    let end = Instant::now() + timeout;
    while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
        processes.check_alive(COMPONENT)?;
        if Instant::now() >= end {
            return Err(processes.failure(COMPONENT, "does not answer on its admin port"));
        }
        tokio::time::sleep(POLL).await;
    }
    processes.check_alive(COMPONENT)
}

/// Whether the process runs the binary as it is now: a rebuilt file leaves its old self behind as deleted.
fn runs(pid: u32, binary: &Path) -> bool {
    let now = std::fs::canonicalize(binary).ok();
    std::fs::read_link(format!("/proc/{pid}/exe")).ok() == now
}
