//! `cargo xtask bench thousands`: thousands of pods over many units, what they cost when nothing happens, and a release of all at once.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use cafe_tests::bed::{Bed, Options, controller};
use cafe_tests::thousands::{self, Figures, Play, Size};
use serde_json::json;

/// How long everything may take to come about.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Create many CafeDeployments over many units on a control plane of its own, check that every pod serves in its unit and that the
/// controller rests when nothing happens, release all of them at once, each within its budget, and tell what it costs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Units of each CafeDeployment, one simulated node per unit.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=64))]
    units: u16,
    /// CafeDeployments.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    deployments: u16,
    /// Pods of all CafeDeployments together.
    #[arg(long, default_value_t = 5000)]
    pods: u32,
    /// Seconds to watch that nothing is written.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    idle: u64,
    /// Leave the release of all at once out.
    #[arg(long)]
    no_release: bool,
    /// Where to write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Plays it and removes everything again. Fails when a count is not what it should be; seconds and memory are told only.
pub(crate) fn run(args: &Args) -> Result<()> {
    let controller = controller::build(true)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let size = Size {
        units: args.units.into(),
        deployments: args.deployments.into(),
        pods: usize::try_from(args.pods)?,
    };
    let figures = runtime.block_on(async {
        let bed = Bed::temporary()?;
        let options =
            Options { cells: size.cells(), nodes: 1, controller: Some(controller), ..Options::default() };
        bed.up(&options).await?;
        let idle = Duration::from_secs(args.idle);
        let what = Play { idle, patience: PATIENCE, release: !args.no_release };
        thousands::run(&bed, size, what, &|line| println!("{line}")).await
    })?;
    tell(size, &figures);
    if let Some(out) = &args.out {
        let text = serde_json::to_string_pretty(&json!({ "size": size, "figures": figures }))?;
        fs::write(out, text + "\n").with_context(|| format!("cannot write {}", out.display()))?;
    }
    Ok(())
}

fn tell(size: Size, f: &Figures) {
    let Size { units, deployments, pods } = size;
    println!(
        "{pods} pods of {deployments} CafeDeployments over {units} units, all of them where they should be"
    );
    println!(
        "  until all served     {:.0} s, {} writes, {:.1} CPU seconds of the controller",
        f.converge_seconds, f.converge_writes, f.converge_cpu_seconds
    );
    println!("  memory (RSS)         {:.0} MiB, at most {:.0} MiB", f.idle_rss_mib, f.peak_rss_mib);
    println!(
        "  when nothing happens {:.1} writes a minute and {:.1} of the lease, {:.1} mCPU ({:.2} CPU seconds in {:.0} s)",
        f.idle_writes_per_minute, f.lease_writes_per_minute, f.idle_mcpu, f.idle_cpu_seconds, f.idle_seconds
    );
    if let Some(released) = &f.released {
        println!(
            "  all released at once {:.0} s until all serve and {:.0} s until all say so, {:.2} writes of pods and {:.2} of everything per pod, \
             {:.1} CPU seconds of the controller, at most {:.0} MiB",
            released.seconds,
            released.told_seconds,
            released.writes_of_pods_per_pod,
            released.writes_per_pod,
            released.cpu_seconds,
            released.peak_rss_mib
        );
        println!(
            "  budgets              at most {} pods of one CafeDeployment out of service at once, {} % of what it may",
            released.most_out, released.most_of_budget
        );
    }
}
