//! `go build` with progress one can watch.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::store::Binary;

const KUBERNETES: &str = "k8s.io/kubernetes";
const ETCD: &str = "go.etcd.io/etcd/server/v3";

/// Builds the binaries into `out`; `what` says so to who waits.
pub(super) fn build(module: &Path, what: &str, binaries: &[Binary], out: &Path) -> Result<()> {
    check_go(module)?;
    eprintln!("Building {what} ...");
    let packages: Vec<&str> = binaries.iter().map(|binary| binary.package).collect();
    let mut progress = Progress::start(count_packages(module, &packages)?);
    // etcd's binary would be named after its package, `server`.
    let (etcd, others): (Vec<&str>, Vec<&str>) = packages.into_iter().partition(|package| *package == ETCD);
    if !others.is_empty() {
        let flags = format!("-s -w {}", version_flags(module));
        // With the slash, go takes it for a folder.
        run(module, &flags, out.join("").as_os_str(), &others, &mut progress)?;
    }
    if !etcd.is_empty() {
        run(module, "-s -w", out.join("etcd").as_os_str(), &etcd, &mut progress)?;
    }
    progress.finish();
    Ok(())
}

fn run(module: &Path, flags: &str, out: &OsStr, packages: &[&str], progress: &mut Progress) -> Result<()> {
    let mut child = go(module)
        .args(["build", "-v", "-trimpath", "-ldflags", flags, "-o"])
        .arg(out)
        .args(packages)
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run `go build`")?;
    let mut complaints = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines() {
            let line = line?;
            if line.starts_with("go: downloading") {
                progress.note(&line);
            } else if line.contains(' ') {
                complaints.push(line);
            } else {
                progress.compiled(&line);
            }
        }
    }
    if !child.wait()?.success() {
        bail!("`go build` failed:\n{}", complaints.join("\n"));
    }
    Ok(())
}

fn go(module: &Path) -> Command {
    let mut go = Command::new("go");
    go.current_dir(module);
    go
}

/// A clear word before a long build: Go must be there, and new enough for the module.
fn check_go(module: &Path) -> Result<()> {
    let wanted = directive(module, "go ")
        .with_context(|| format!("{}/go.mod names no Go version", module.display()))?;
    let advice = format!(
        "Install Go {wanted} or later from https://go.dev/dl (or set KUBEBUILDER_ASSETS for etcd, kube-apiserver and \
         kubectl; the other components still need Go)"
    );
    let Ok(installed) = Command::new("go").args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").output()
    else {
        bail!("Go is missing, and the Kubernetes components are built with it. {advice}.");
    };
    let found = String::from_utf8_lossy(&installed.stdout).trim().trim_start_matches("go").to_owned();
    // From 1.21 on, go fetches the toolchain that a module asks for by itself, unless it is told not to.
    let usable = go(module).args(["env", "GOVERSION"]).output()?;
    if version(&found) < version("1.21") || !usable.status.success() {
        let reason = String::from_utf8_lossy(&usable.stderr).trim().to_owned();
        bail!("Go {found} is too old to build the Kubernetes components. {advice}. {reason}");
    }
    Ok(())
}

/// The first two numbers of a version.
fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split(['.', 'r', 'b', ' ']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// The rest of the first line of go.mod that starts with `key`.
fn directive(module: &Path, key: &str) -> Result<String> {
    let file = fs::read_to_string(module.join("go.mod"))?;
    let value = file.lines().find_map(|line| line.trim().strip_prefix(key));
    value.map(|value| value.trim().to_owned()).with_context(|| format!("go.mod has no line `{key}`"))
}

/// What Kubernetes' own build writes into its binaries; without it the API server calls itself v0.0.0.
/// Empty for a module without Kubernetes.
fn version_flags(module: &Path) -> String {
    let Ok(version) = directive(module, &format!("{KUBERNETES} ")) else { return String::new() };
    let version = version.split_whitespace().next().unwrap_or_default();
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or("0"), numbers.next().unwrap_or("0"));
    let package = "k8s.io/component-base/version";
    format!("-X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}")
}

fn count_packages(module: &Path, packages: &[&str]) -> Result<u64> {
    let output = go(module)
        .args(["list", "-deps"])
        .args(packages)
        .env("CGO_ENABLED", "0")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run `go list`")?;
    if !output.status.success() {
        bail!("`go list` failed: are the modules of {}/go.mod reachable?", module.display());
    }
    Ok(output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() as u64)
}

/// A bar on a terminal, a line every ten seconds elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    compiled: u64,
    total: u64,
    started: Instant,
    reported: Instant,
}

const REPORT_EVERY: Duration = Duration::from_secs(10);

impl Progress {
    fn start(total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            if let Ok(style) =
                ProgressStyle::with_template("{elapsed_precise} [{bar:40}] {pos}/{len} {wide_msg}")
            {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        let now = Instant::now();
        Self { bar, compiled: 0, total, started: now, reported: now }
    }

    fn compiled(&mut self, package: &str) {
        self.compiled += 1;
        if let Some(bar) = &self.bar {
            bar.set_position(self.compiled.min(self.total));
        }
        self.note(package);
    }

    fn note(&mut self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        } else if self.reported.elapsed() >= REPORT_EVERY {
            self.reported = Instant::now();
            let (compiled, total) = (self.compiled, self.total);
            eprintln!("  {:>4} s  {compiled} of {total} packages compiled", self.started.elapsed().as_secs());
        }
    }

    fn finish(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("Built in {} s.", self.started.elapsed().as_secs());
    }
}
