//! What is tested, and its process.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

/// Runs the command and dies with it, or with the process that holds the other end of the pipe.
const KEEPER: &str = r#"
( eval "$1"; echo "the protector has ended with exit code $?" ) </dev/null &
read -r _
kill -s KILL 0
"#;

/// A protector, and how to reach it.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its name: `<name>` in `protect.cafe.dev/<name>`.
    pub name: String,
    /// The shell command that starts it and stays in the foreground. Its environment says where the cluster is
    /// (`KUBECONFIG`) and which pods are meant (`PROTECTOR_NAME`, `PROTECTOR_NAMESPACE`, `PROTECTOR_SELECTOR`,
    /// `PROTECTOR_PORT`).
    pub command: String,
    /// A shell command that prints the addresses that the balancer routes to, or still has requests on.
    pub table_command: Option<String>,
    /// Where the balancer takes HTTP requests for the pods.
    pub front: Option<SocketAddr>,
    /// The port of the pods.
    pub port: u16,
    /// How long any one reaction may take.
    pub patience: Duration,
}

/// The environment of the commands.
#[derive(Debug, Clone)]
pub(super) struct Environment(pub(super) Vec<(&'static str, String)>);

impl Environment {
    pub(super) fn put_on(&self, command: &mut Command) {
        command.envs(self.0.iter().map(|(name, value)| (*name, value)));
    }
}

/// A running protector; it ends with this value.
#[derive(Debug)]
pub(super) struct Running {
    keeper: Child,
}

impl Running {
    pub(super) fn start(command: &str, environment: &Environment, log: &Path) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut keeper = Command::new("sh");
        environment.put_on(&mut keeper);
        keeper
            .args(["-c", KEEPER, "protector", command])
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        Ok(Self { keeper: keeper.spawn().with_context(|| format!("cannot start `{command}`"))? })
    }

    /// Sends a signal to the protector and whatever it has started.
    pub(super) fn signal(&self, signal: Signal) {
        let group = i32::try_from(self.keeper.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            // It may have ended by itself.
            kill_process_group(group, signal).ok();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        self.keeper.wait().ok();
    }
}

/// The last lines of a log.
pub(super) fn tail(log: &PathBuf) -> String {
    const LINES: usize = 12;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(LINES)).map(|line| format!("  | {line}\n")).collect()
}
