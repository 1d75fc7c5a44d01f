//! `cargo xtask bench replay`: what it costs the controller to know more pods than a machine has room for.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use cafe_tests::bed::{Bed, controller};
use cafe_tests::replay::{self, Figures, Size};
use serde_json::json;

/// How long any one step may take.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Start the controller before a control plane whose pods and EndpointSlices are made up while they are sent, everything else being real, and
/// tell what it takes until all are known, at rest, and in memory. Fails when anything but a status is written.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pods of all CafeDeployments together.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(20..=1_000_000))]
    pods: u32,
    /// Give each pod a native sidecar: two containers to know instead of one.
    #[arg(long)]
    sidecar: bool,
    /// Seconds to watch the CPU at rest.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    idle: u64,
    /// Where to write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Plays it and removes everything again.
pub(crate) fn run(args: &Args) -> Result<()> {
    let controller = controller::build(true)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let size = size(args.pods, args.sidecar)?;
    let figures = runtime.block_on(play(&controller, size, Duration::from_secs(args.idle)))?;
    tell(size, &figures);
    if let Some(out) = &args.out {
        let text = serde_json::to_string_pretty(&json!({ "size": size, "figures": figures }))?;
        fs::write(out, text + "\n").with_context(|| format!("cannot write {}", out.display()))?;
    }
    Ok(())
}

/// So many pods of four CafeDeployments over five units each.
pub(crate) fn size(pods: u32, sidecar: bool) -> Result<Size> {
    Ok(Size { deployments: 4, units: 5, pods: usize::try_from(pods)?, sidecar })
}

/// On a control plane of its own.
pub(crate) async fn play(controller: &Path, size: Size, idle: Duration) -> Result<Figures> {
    println!("replayed: {} pods", size.pods);
    let bed = Bed::temporary()?;
    bed.up(&size.options(controller)).await?;
    let figures = replay::run(&bed, controller, size, idle, PATIENCE, &|line| println!("  {line}")).await?;
    bed.down()?;
    Ok(figures)
}

fn tell(size: Size, f: &Figures) {
    let Size { deployments, units, pods, sidecar: _ } = size;
    println!(
        "{pods} pods of {deployments} CafeDeployments over {units} units, none of which the controller wrote"
    );
    println!(
        "  until all were known {:.2} s, {:.2} CPU seconds, {:.0} MiB sent; first plans {:.2} CPU seconds more",
        f.start.seconds, f.start.cpu_seconds, f.streamed_mib, f.first_plans_cpu_seconds
    );
    println!(
        "  memory (RSS)         {:.1} MiB when all were known, {:.1} MiB at rest, at most {:.1} MiB",
        f.start.rss_mib, f.idle_rss_mib, f.peak_rss_mib
    );
    println!(
        "  at rest              {:.1} mCPU, {} statuses written since the start",
        f.idle_mcpu, f.status_writes
    );
    println!(
        "  the start before     {:.2} s, {:.2} CPU seconds, at most {:.1} MiB until every status was written",
        f.first_start.seconds, f.first_start.cpu_seconds, f.settling_peak_rss_mib
    );
}
