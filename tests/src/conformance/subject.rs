//! What is tested.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

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
pub(super) type Environment = Vec<(&'static str, String)>;

/// The last lines of a log.
pub(super) fn tail(log: &Path) -> String {
    const LINES: usize = 12;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(LINES)).map(|line| format!("  | {line}\n")).collect()
}
