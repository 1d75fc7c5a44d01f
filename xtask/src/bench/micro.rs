//! `cargo xtask bench micro`: what the steps of the controller cost, each as a multiple of a yardstick that was timed in the same minutes.

mod times;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use cafe_tests::bed::controller;
use serde_json::{Value, json};

use super::{gate, table, write};
use crate::check::workspace;

pub(crate) use times::Times;

/// How criterion measures: enough for a least time that comes again, and not for its statistics of the rest.
const SETTINGS: [&str; 9] = [
    "--noplot",
    "--warm-up-time",
    "0.1",
    "--measurement-time",
    "0.3",
    "--sample-size",
    "20",
    "--nresamples",
    "1001",
];
/// Rounds of all benchmarks, each of whose least times count: what disturbs one for a second makes it slower, and seldom comes back with
/// every round. A yardstick that was disturbed would flatter its step.
const ROUNDS: usize = 3;
/// Rounds at most, where something seems to have become worse.
const MOST_ROUNDS: usize = 8;

/// Time what the controller does for one event, a plan of up to 100,000 pods and the bodies of its writes, each beside a yardstick that
/// depends on the machine and not on Cafe's code. Needs no cluster; a minute, when it is built.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fail when a ratio is worse by more than a quarter than in this earlier result (a file of `--out`, of this or of `bench`).
    #[arg(long, value_name = "FILE")]
    gate: Option<PathBuf>,
    /// Where to write ratios and times as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Measures and tells.
///
/// # Errors
/// When the benchmarks do not run, or the gate is closed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let before = args.gate.as_deref().map(gate::read).transpose()?;
    let times = measure(before.as_ref())?;
    println!("\n{}", table::aligned(&times.rows()));
    let now = result(&times);
    if let Some(file) = &args.out {
        write(file, &format!("{now:#}\n"))?;
    }
    before.map_or(Ok(()), |before| gate::judge(&before, &now))
}

/// Runs the benchmarks in rounds, and in some more as long as something seems to be worse than `before`.
pub(crate) fn measure(before: Option<&Value>) -> Result<Times> {
    println!("micro-benchmarks, optimised");
    let mut times = once()?;
    for round in 1..MOST_ROUNDS {
        let worse = before.map(|before| gate::worse_ratios(before, &result(&times))).unwrap_or_default();
        if round >= ROUNDS && worse.is_empty() {
            break;
        }
        if round >= ROUNDS {
            println!("  another round, as the machine may have been busy: {}", worse.join(", "));
        }
        times.keep_least(&once()?);
    }
    Ok(times)
}

/// A result that has nothing else.
fn result(times: &Times) -> Value {
    json!({ "micro": times.json() })
}

fn once() -> Result<Times> {
    // A folder of its own: what an earlier run has left would be taken for a result of this one.
    let folder = tempfile::tempdir()?;
    // With the features of what is given out, not with those that tests add.
    for (package, bench) in [("cafe-controller", "events"), ("cafe-planner", "plan")] {
        play(package, bench, folder.path())?;
    }
    Times::read(folder.path())
}

/// Builds a benchmark before the eyes of whoever waits, and runs it without the words of criterion unless it fails.
fn play(package: &str, bench: &str, folder: &Path) -> Result<()> {
    let cargo = || {
        let mut command = controller::cargo();
        command
            .current_dir(workspace())
            .args(["bench", "--quiet", "--locked", "--package", package, "--bench", bench])
            .env("CRITERION_HOME", folder)
            .stdin(Stdio::null());
        command
    };
    let built = cargo().arg("--no-run").status().context("cannot run cargo")?;
    ensure!(built.success(), "the benchmark {bench} of {package} does not compile");
    let ran = cargo().arg("--").args(SETTINGS).output().context("cannot run cargo")?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success(), "the benchmark {bench} of {package} fails:\n{said}");
    Ok(())
}
