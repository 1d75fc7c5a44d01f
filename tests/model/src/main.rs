//! The search as a program: `cargo xtask model`.

use std::process::ExitCode;

use cafe_model::{
    cases::{ABLATIONS, Ablation, CASES, Case, DEEP},
    search::{Report, search},
    setup::{Rule, Setup},
    state::{Faults, MOST_PODS},
};
use clap::Parser;

/// Search the planner as shipped exhaustively, and see that each rule taken away is missed.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask model", bin_name = "cargo xtask model")]
struct Args {
    /// Also the large searches: minutes, and some gigabytes.
    #[arg(long)]
    deep: bool,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Search only this: a set of so many pods, with the options below.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=MOST_PODS as i64))]
    pods: Option<u8>,
    /// maxUnavailable.
    #[arg(long, default_value_t = 1, requires = "pods")]
    budget: u8,
    /// Times the controller dies and another takes over.
    #[arg(long, default_value_t = 0, requires = "pods")]
    crashes: u8,
    /// Answers to writes that are lost.
    #[arg(long, default_value_t = 0, requires = "pods")]
    lost: u8,
    /// Times another revision is asked for.
    #[arg(long, default_value_t = 0, requires = "pods")]
    changes: u8,
    /// Times the set is paused.
    #[arg(long, default_value_t = 0, requires = "pods")]
    pauses: u8,
    /// Containers that die by themselves.
    #[arg(long, default_value_t = 0, requires = "pods")]
    deaths: u8,
    /// Times the release is aborted.
    #[arg(long, default_value_t = 0, requires = "pods")]
    aborts: u8,
    /// Times the release is rolled back by an order.
    #[arg(long, default_value_t = 0, requires = "pods")]
    rollbacks: u8,
    /// The EndpointSlice controller's own cache lags.
    #[arg(long, requires = "pods")]
    slices_lag: bool,
    /// A replica stands by, whose watches lag one by one, and takes over.
    #[arg(long, requires = "pods")]
    standby: bool,
    /// Rules to take away.
    #[arg(long, requires = "pods", value_delimiter = ',')]
    without: Vec<Rule>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let all_well = match args.pods {
        Some(pods) => explore(&args, pods),
        None => run(&args),
    };
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn explore(args: &Args, pods: u8) -> bool {
    let &Args { crashes, lost, changes, pauses, deaths, aborts, rollbacks, .. } = args;
    let faults = Faults { crashes, lost, changes, pauses, deaths, aborts, rollbacks };
    let mut setup = Setup::new(pods.into(), args.budget.into(), faults);
    if args.slices_lag {
        setup = setup.with_lagging_slices();
    }
    if args.standby {
        setup = setup.with_standby();
    }
    let setup = setup.without(args.without.clone().leak());
    let report = search(setup, args.threads);
    println!("{report}");
    tell(&report);
    report.broken.is_empty()
}

fn run(args: &Args) -> bool {
    let deep = if args.deep { DEEP } else { &[] };
    let sound = CASES.iter().chain(deep).filter(|case| holds(case, args.threads)).count();
    let caught = ABLATIONS.iter().filter(|ablation| is_caught(ablation, args.threads)).count();
    let cases = CASES.len() + deep.len();
    println!(
        "{sound} of {cases} searches hold; rules taken away and missed: {caught} of {}",
        ABLATIONS.len()
    );
    sound == cases && caught == ABLATIONS.len()
}

fn holds(case: &Case, threads: usize) -> bool {
    println!("{}", case.name);
    let report = search(case.setup, threads);
    println!("  {report}");
    tell(&report);
    if report.states != case.states {
        println!("  {} states were expected: has the planner changed?", case.states);
    }
    report.broken.is_empty() && report.done && report.states == case.states
}

fn is_caught(ablation: &Ablation, threads: usize) -> bool {
    println!("without {}", ablation.name);
    let report = search(ablation.setup, threads);
    let caught = report.broken.first().filter(|broken| broken.promise.starts_with(ablation.breaks));
    match caught {
        Some(broken) => println!("  broken in {} steps: {}", broken.steps, broken.promise),
        None => println!("  nothing broke: {report}"),
    }
    caught.is_some()
}

fn tell(report: &Report) {
    for broken in &report.broken {
        println!("BROKEN: {}\n{}", broken.promise, broken.story);
    }
}
