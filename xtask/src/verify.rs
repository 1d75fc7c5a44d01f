//! `cargo xtask verify --audit-log FILE`: the invariants on what a cluster has recorded.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use cafe_invariants::{Log, Report, Rule};

/// Evaluate the invariants S1 to S22 on a Kubernetes audit log.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The log, one JSON event per line (levels Request or RequestResponse). Several files of one log may be given.
    #[arg(long, required = true, num_args = 1..)]
    audit_log: Vec<PathBuf>,

    /// The account of the controller.
    #[arg(long, default_value = cafe_tests::bed::CONTROLLER)]
    account: String,
}

/// Reads the log and prints what was found. Fails when a rule was broken.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut log = Log::default();
    for path in &args.audit_log {
        eprintln!("reading {}", path.display());
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        log.read(BufReader::new(file), |user| user == args.account)
            .with_context(|| format!("{} is no audit log", path.display()))?;
    }
    let (events, ours) = (log.events, log.ours);
    if ours == 0 {
        bail!(
            "{events} events, none of them a write of {}; name the account of the controller with --account",
            args.account
        );
    }
    println!("{events} events, {ours} of them writes of {}", args.account);
    let report = log.judge();
    describe(&report);
    for violation in &report.violations {
        println!("{violation}");
    }
    match report.violations.len() {
        0 => println!("nothing found in {events} events"),
        found => bail!("{found} violations in {events} events"),
    }
    Ok(())
}

/// What was evaluated, and what the log cannot show.
fn describe(report: &Report) {
    let asked: Vec<String> = report.asked.iter().map(|(rule, times)| format!("{rule} {times}")).collect();
    println!("evaluated: {}", asked.join(", "));
    if !report.complete {
        println!(
            "the log does not show every version of pods, EndpointSlices, InPlaceSets and CafeDeployments from their creation on: \
             rules that count pods are left out (record these kinds at level RequestResponse)"
        );
    }
    for rule in Rule::ALL.iter().filter(|rule| !report.asked.contains_key(rule)) {
        println!("{rule} not evaluated: {}", rule.statement());
    }
}
