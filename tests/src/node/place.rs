//! The place of real nodes: a folder, and namespaces of their own for network, mounts and processes.
//!
//! Whatever runs in the place is below one process. When that ends, the kernel ends everything else in it and takes its
//! mounts away, containers included; what is left are a named network namespace, empty cgroups and the folder, and the next
//! run in the same folder removes what a killed one left.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use tokio::signal::unix::{SignalKind, signal};

use super::machine::containers;
use super::nodes::BED;

const CGROUPS: &str = "/sys/fs/cgroup";
/// The parent of the cgroups of all containers that a kubelet runs.
const PARENT: &str = "k8s.io";
const MARK: &str = "real-nodes.lock";
/// How long what runs in the place may take to end by itself once it was told to.
const PATIENCE: Duration = Duration::from_secs(10);
/// Keeps its own process as the first of the namespace, so that orphans are collected, and runs the rest as a child.
/// What the system keeps in these folders is hidden from the nodes, and what they write there goes with them.
const INIT: &str = r#"
for folder in /run /var/log /var/lib/cni /var/lib/kubelet; do
  mkdir -p "$folder" && mount -t tmpfs -o mode=755 tmpfs "$folder" || exit 1
done
"$@"
exit $?
"#;
/// Made on the host for a mount point; removed again when empty.
const MOUNT_POINTS: [&str; 2] = ["/var/lib/cni", "/var/lib/kubelet"];

/// A folder that belongs to this process while the value lives, with a network namespace named after it.
#[derive(Debug)]
pub struct Place {
    dir: PathBuf,
    name: String,
    /// Held for its lock.
    _mark: File,
}

impl Place {
    /// Takes the folder; what an earlier run left there goes first.
    ///
    /// # Errors
    /// When another run holds the folder, it is somebody else's, or the namespace cannot be made.
    pub fn take(dir: &Path) -> Result<Self> {
        let dir = std::path::absolute(dir)?;
        let mark = dir.join(MARK);
        let is_empty = fs::read_dir(&dir).map_or(true, |mut entries| entries.next().is_none());
        if !is_empty && !mark.exists() {
            bail!("{} holds something else: give another --dir", dir.display());
        }
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let file = File::options().create(true).truncate(false).write(true).open(&mark)?;
        if file.try_lock().is_err() {
            bail!("another run uses {}: wait for it, or give another --dir", dir.display());
        }
        let place = Self { name: Self::name_of(&dir), dir, _mark: file };
        place.clear()?;
        run(Command::new("ip").args(["netns", "add", &place.name]))?;
        Ok(place)
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The name of the network namespace: the same for the same folder, so that a later run finds what an earlier one left.
    fn name_of(dir: &Path) -> String {
        let hash = Sha256::digest(dir.as_os_str().as_encoded_bytes());
        let hex: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("cafe-{hex}")
    }

    /// Runs a program in the place until it ends. A Ctrl-C in the terminal reaches it by itself; when it does not end
    /// soon, or this process is told to terminate, it is killed with everything below it. When this process is killed,
    /// the kernel does the same.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn run(&self, program: &Path, args: &[String]) -> Result<ExitStatus> {
        let mut command = tokio::process::Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"])
            .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["nsenter", &format!("--net=/run/netns/{}", self.name)])
            .args(["sh", "-c", INIT, "init"])
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut child =
            command.spawn().context("cannot run `setpriv`, `unshare` and `nsenter` (util-linux)")?;
        tokio::select! {
            status = child.wait() => return Ok(status?),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => child.start_kill()?,
        }
        if let Ok(status) = tokio::time::timeout(PATIENCE, child.wait()).await {
            return Ok(status?);
        }
        child.start_kill()?;
        Ok(child.wait().await?)
    }

    /// Removes the namespace, the cgroups and the folder.
    ///
    /// # Errors
    /// When something cannot be removed; the next run in this folder tries again.
    pub fn remove(&self) -> Result<()> {
        self.clear()?;
        fs::remove_dir_all(&self.dir).with_context(|| format!("cannot remove {}", self.dir.display()))
    }

    fn clear(&self) -> Result<()> {
        if Path::new("/run/netns").join(&self.name).exists() {
            run(Command::new("ip").args(["netns", "delete", &self.name]))?;
        }
        let containers = containers(&self.dir.join(BED));
        for parent in cgroup_roots(Path::new(CGROUPS)).map(|root| root.join(PARENT)) {
            for id in &containers {
                remove_cgroup(&parent.join(id))?;
            }
            // Only when empty: others run containers as well.
            let _ = fs::remove_dir(parent);
        }
        for folder in MOUNT_POINTS {
            // Only when empty.
            let _ = fs::remove_dir(folder);
        }
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.is_dir() {
                fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            } else if !path.ends_with(MARK) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// The one hierarchy of version 2, or one per controller with version 1.
fn cgroup_roots(top: &Path) -> impl Iterator<Item = PathBuf> {
    let folders = fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path());
    [top.to_owned()].into_iter().chain(folders.filter(|path| path.is_dir() && !path.is_symlink()))
}

/// A cgroup is removed with `rmdir`; its files are not files. It is busy until the last killed process is gone.
fn remove_cgroup(dir: &Path) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ResourceBusy && Instant::now() < end => {
                std::thread::yield_now();
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot remove the cgroup {}", dir.display()));
            }
        }
    }
}

/// Runs a command to its end; an error carries what it said.
pub(super) fn run(command: &mut Command) -> Result<Vec<u8>> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        bail!("{shown} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_other_things_in_it_is_never_taken() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
        let error = Place::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains("holds something else"), "{error}");
        assert!(dir.path().join("thesis.txt").exists());
    }

    #[test]
    fn one_folder_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let mark = File::create(dir.path().join(MARK)).unwrap();
        mark.lock().unwrap();
        let error = Place::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains("another run uses"), "{error}");
    }

    #[test]
    fn two_folders_have_two_names() {
        assert_eq!(Place::name_of(Path::new("/a")), Place::name_of(Path::new("/a")));
        assert_ne!(Place::name_of(Path::new("/a")), Place::name_of(Path::new("/b")));
    }
}
