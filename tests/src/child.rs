//! Programs that a test starts, kills and starts again.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

/// Runs the command and dies with it, or with the process that holds the other end of the pipe, however that ends.
const KEEPER: &str = r#"
( eval "$1"; echo "ended with exit code $?" ) </dev/null &
read -r _
kill -s KILL 0
"#;

/// A running shell command; it is killed, with all that it has started, when this value is dropped.
#[derive(Debug)]
pub struct Child {
    keeper: std::process::Child,
}

impl Child {
    /// Starts the command with these additions to the environment; what it prints is appended to `log`.
    ///
    /// # Errors
    /// When there is no shell, or the log cannot be written.
    pub fn start(command: &str, environment: &[(&str, String)], log: &Path) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "child", command])
            .envs(environment.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn();
        Ok(Self { keeper: keeper.with_context(|| format!("cannot start `{command}`"))? })
    }

    /// Sends a signal to the command and whatever it has started.
    pub fn signal(&self, signal: Signal) {
        let group = i32::try_from(self.keeper.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            // It may have ended by itself.
            kill_process_group(group, signal).ok();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        self.keeper.wait().ok();
    }
}
