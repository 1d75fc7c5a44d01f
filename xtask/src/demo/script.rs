//! The commands a person types, run exactly as they are shown.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use cafe_tests::bed::Bed;
use tokio::process::Command;

use super::narration::Narrator;

/// The demo's shell: in the root of the checkout, with the bed's cluster and its kubectl.
pub(super) struct Script {
    root: PathBuf,
    kubeconfig: PathBuf,
    path: std::ffi::OsString,
    asks: bool,
}

impl Script {
    /// A shell for this bed; with `asks`, a person is asked before a step.
    pub(super) fn new(bed: &Bed, asks: bool) -> Self {
        let kubectl = bed.components().path("kubectl");
        let mut path = kubectl.parent().map(|folder| folder.as_os_str().to_owned()).unwrap_or_default();
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        Self { root: crate::check::workspace(), kubeconfig: bed.kubeconfig(), path, asks }
    }

    /// Runs a command and returns what it printed.
    pub(super) async fn output(&self, command: &str) -> Result<String> {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&self.root).stdin(Stdio::null()).kill_on_drop(true);
        shell.env("KUBECONFIG", &self.kubeconfig).env("PATH", &self.path);
        let output = shell.output().await.context("cannot run sh")?;
        if !output.status.success() {
            bail!("`{command}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Asks a person to let the command just shown run; does nothing when nobody is to be asked.
    pub(super) async fn ask(&self, narrator: &Narrator) -> Result<()> {
        if !self.asks {
            return Ok(());
        }
        narrator.question("  Enter runs it, Ctrl-C stops: ");
        let read = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
        if read == 0 {
            bail!("standard input ended before an answer came: give --yes to go on without questions");
        }
        Ok(())
    }
}
