//! `cargo xtask test`: everything that must hold.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use cafe_tests::bed::components::Components;
use cafe_tests::bed::controller;

/// The crates whose tests need a control plane: the beds with their scenarios, and the protector for HAProxy.
const ON_BEDS: [&str; 2] = ["cafe-tests", "protector-haproxy"];

/// Run the tests: units, properties, models, and the scenarios on a real control plane.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only tests whose name contains this.
    filter: Option<String>,

    /// Leave out the tests of the beds and the scenarios, which need a control plane.
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
        command.args(ON_BEDS.iter().flat_map(|name| ["--exclude", name]));
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
