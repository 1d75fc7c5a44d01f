//! Ends a temporary bed with the process that made it, even when that process is killed.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Waits until the pipe to its maker closes, kills what the pid files name (and still is a process of this bed), and
/// removes the folder. A component may write for a moment longer, so removing is tried again.
const SCRIPT: &str = r#"
read -r _
for file in "$1"/run/*.pid; do
  pid=$(cat "$file" 2>/dev/null) || continue
  grep -qF "$1/" "/proc/$pid/cmdline" 2>/dev/null && kill -s KILL -- "-$pid" 2>/dev/null
done
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  rm -rf "$1" 2>/dev/null && exit 0
  sleep 0.1
done
"#;

/// A shell that sleeps on a pipe. The pipe closes when this value is dropped or its process ends, in whatever way.
#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    pub(super) fn start(dir: &Path) -> Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "bed-watchdog"])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C in the terminal is for the tests; the watchdog must outlive them.
            .process_group(0)
            .spawn()
            .context("cannot start the watchdog of a temporary bed: is `sh` on the PATH?")?;
        Ok(Self { shell })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
