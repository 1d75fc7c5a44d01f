//! `cargo xtask test`: everything that must hold.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use cafe_tests::bed::components::Components;
use cafe_tests::bed::controller;
use serde::Deserialize;

/// The crate whose tests need a control plane.
const SCENARIOS: &str = "cafe-tests";

/// Run the tests: units, properties, models, and the scenarios on a real control plane.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only tests whose name contains this.
    filter: Option<String>,

    /// Leave out the scenarios that need a control plane.
    #[arg(long)]
    fast: bool,
}

/// Prepares what the tests need and runs them. Ends in the lines of the test runner.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut command = Command::new("cargo");
    command.current_dir(crate::check::workspace()).args([
        "test",
        "--workspace",
        "--locked",
        "--no-fail-fast",
    ]);
    if args.fast {
        command.args(fast_targets()?);
    } else {
        phase("Kubernetes components", || Components::locate()?.ensure())?;
        phase("controller", || controller::build(false).map(|_| ()))?;
    }
    command.args(args.filter.as_deref());
    let status = command.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("tests failed");
    }
    Ok(())
}

fn phase(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    work().with_context(|| format!("preparing the tests: {name}"))?;
    eprintln!("{name:<24}ready   {:>7.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Names every target but the scenarios. Leaving out the whole package instead would change the features that the
/// dependencies are built with, and build them twice.
fn fast_targets() -> Result<Vec<String>> {
    let output = Command::new("cargo")
        .current_dir(crate::check::workspace())
        .args(["metadata", "--no-deps", "--format-version=1", "--locked"])
        .output()
        .context("cannot run cargo")?;
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("cannot read the answer of `cargo metadata`")?;
    Ok(targets_without_scenarios(&metadata))
}

fn targets_without_scenarios(metadata: &Metadata) -> Vec<String> {
    let packages = metadata.packages.iter().filter(|package| package.name != SCENARIOS);
    let tests = packages
        .flat_map(|package| &package.targets)
        .filter(|target| target.kind.iter().any(|kind| kind == "test"));
    let named = tests.flat_map(|target| ["--test".to_owned(), target.name.clone()]);
    ["--lib", "--bins"].map(str::to_owned).into_iter().chain(named).collect()
}

/// The part of `cargo metadata` that matters here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_run_leaves_out_only_the_scenarios() {
        let metadata = serde_json::json!({"packages": [
            {"name": "cafe-planner", "targets": [{"name": "cafe_planner", "kind": ["lib"]}, {"name": "golden", "kind": ["test"]}]},
            {"name": "cafe-tests", "targets": [{"name": "cafe_tests", "kind": ["lib"]}, {"name": "release", "kind": ["test"]}]},
        ]});
        let metadata: Metadata = serde_json::from_value(metadata).unwrap();
        assert_eq!(targets_without_scenarios(&metadata), ["--lib", "--bins", "--test", "golden"]);
    }
}
