//! The processes of a bed: started detached, known by pid files, never mistaken for others.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process_group};

const POLL: Duration = Duration::from_millis(5);
const EXEC_TIMEOUT: Duration = Duration::from_secs(10);
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// The processes that belong to one folder.
#[derive(Debug, Clone)]
pub(super) struct Processes {
    dir: PathBuf,
}

impl Processes {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(super) fn log(&self, component: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{component}.log"))
    }

    fn pid_file(&self, component: &str) -> PathBuf {
        self.dir.join("run").join(format!("{component}.pid"))
    }

    /// The component's process, if it is alive and really ours: a pid may have been given to someone else since.
    pub(super) fn pid(&self, component: &str) -> Option<u32> {
        self.recorded_pid(component).filter(|pid| self.is_ours(*pid))
    }

    /// The components that were started and not stopped.
    pub(super) fn all(&self) -> Result<Vec<String>> {
        let files = match fs::read_dir(self.dir.join("run")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            files => files?,
        };
        let name =
            |file: &fs::DirEntry| file.file_name().to_str()?.strip_suffix(".pid").map(ToOwned::to_owned);
        let names = files.map(|file| Ok(name(&file?)));
        names.filter_map(Result::transpose).collect()
    }

    fn recorded_pid(&self, component: &str) -> Option<u32> {
        fs::read_to_string(self.pid_file(component)).ok()?.trim().parse().ok()
    }

    /// Every component of a bed names a file below its folder on the command line.
    fn is_ours(&self, pid: u32) -> bool {
        // With the slash, so that a folder is not taken for another whose name merely begins like it.
        let below = self.dir.join("");
        let below = below.as_os_str().as_encoded_bytes();
        command_line(pid).is_some_and(|line| line.windows(below.len()).any(|window| window == below))
    }

    /// Starts a component unless it is alive; says whether it was started.
    pub(super) fn start(&self, component: &str, command: &mut Command) -> Result<bool> {
        if self.pid(component).is_some() {
            return Ok(false);
        }
        if let Some(pid) = self.recorded_pid(component) {
            // One that was killed a moment ago may still hold its port.
            wait_until(KILL_TIMEOUT, || !is_ending(pid));
        }
        for folder in ["logs", "run"] {
            fs::create_dir_all(self.dir.join(folder))?;
        }
        let log = OpenOptions::new().create(true).append(true).open(self.log(component))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        leave_settings_of_tests(command);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {component} ({})", command.get_program().display()))?;
        let pid = child.id();
        fs::write(self.pid_file(component), pid.to_string())?;
        // On a busy machine the new command line shows up a moment after the program has been started.
        wait_until(EXEC_TIMEOUT, || self.is_ours(pid) || !matches!(child.try_wait(), Ok(None)));
        // Someone must collect the exit status, or a killed component stays behind as a zombie while we live.
        std::thread::spawn(move || child.wait());
        Ok(true)
    }

    /// Asks a component to stop and makes it stop after `patience`; without patience it is killed at once.
    pub(super) fn stop(&self, component: &str, patience: Duration) -> Result<()> {
        if let Some(pid) = self.pid(component) {
            if !patience.is_zero() {
                signal(pid, Signal::TERM)?;
            }
            if !wait_until(patience, || has_ended(pid)) {
                signal(pid, Signal::KILL)?;
                if !wait_until(KILL_TIMEOUT, || has_ended(pid)) {
                    bail!("{component} (pid {pid}) does not end, even when killed");
                }
            }
        }
        match fs::remove_file(self.pid_file(component)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// An error when the component has died, with the end of its log.
    pub(super) fn check_alive(&self, component: &str) -> Result<()> {
        if self.pid(component).is_some() {
            return Ok(());
        }
        Err(self.failure(component, "has ended"))
    }

    /// An error about a component, with the end of its log.
    pub(super) fn failure(&self, component: &str, what: &str) -> anyhow::Error {
        let log = self.log(component);
        let tail = tail(&log).unwrap_or_default();
        anyhow!("{component} {what}; the end of its log {}:\n{tail}", log.display())
    }
}

/// What is meant for a test (`CAFE_CRASH`) would be refused by the programs under test as a setting that they do not know.
fn leave_settings_of_tests(command: &mut Command) {
    let given: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
    for (name, _) in std::env::vars_os().filter(|(name, _)| !given.contains(name)) {
        if name.as_encoded_bytes().starts_with(b"CAFE_") {
            command.env_remove(name);
        }
    }
}

/// Empty for a process that is ending, or is a zombie.
fn command_line(pid: u32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/cmdline")).ok()
}

fn is_ending(pid: u32) -> bool {
    command_line(pid).is_some_and(|line| line.is_empty()) && !has_ended(pid)
}

/// Whether the process holds nothing any more. A killed process loses its command line first and its ports with its
/// last thread; a zombie of which only the first thread is left has no ports.
fn has_ended(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    state.starts_with(['Z', 'X']) && threads <= 1
}

/// Whether the condition came to hold in time.
fn wait_until(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + timeout;
    while !condition() {
        if Instant::now() >= end {
            return false;
        }
        #[allow(clippy::disallowed_methods)] // Processes are started and stopped without a runtime.
        std::thread::sleep(POLL);
    }
    true
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Ok(());
    };
    match kill_process_group(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot send {signal:?} to process {pid:?}")),
    }
}

fn tail(file: &Path) -> std::io::Result<String> {
    const BYTES: u64 = 2000;
    let mut file = File::open(file)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}
