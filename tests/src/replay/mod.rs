//! More pods than a machine has room for, before a controller as it ships: what it costs to know them.
//!
//! A bed has the real CafeDeployments and InPlaceSets and, of each InPlaceSet, one real pod. A server stands before its API server and answers
//! the watches of pods and EndpointSlices with copies of those, made while they are sent; everything else (definitions, rights, lease, nodes,
//! the objects of Cafe and their statuses) is the API server's own. First the controller settles there, until nothing is left to write; then it
//! is started anew and measured. Nothing but statuses may be written.

mod herd;
mod mold;
mod server;
mod stage;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use self::server::Server;
use self::stage::Stage;
use crate::bed::cold_start::ColdStart;
use crate::bed::{Bed, Options, usage};

/// Pods that a node takes.
const PODS_PER_NODE: usize = 110;
/// Nodes that a bed has room for.
const MOST_NODES: usize = 900;
/// After this long without a write nothing is left to be written.
const QUIET: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(100);

/// How much of everything.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Size {
    /// CafeDeployments.
    pub deployments: usize,
    /// Units of each, so many InPlaceSets it has.
    pub units: usize,
    /// Pods of all of them together.
    pub pods: usize,
    /// Each pod has a native sidecar as well.
    pub sidecar: bool,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Figures {
    /// The start that was measured: the controller had nothing left to write.
    pub start: ColdStart,
    /// MiB of pods and EndpointSlices that it was sent until then.
    pub streamed_mib: f64,
    /// CPU seconds from then on until it rested: its first plans.
    pub first_plans_cpu_seconds: f64,
    /// CPU at rest, in thousandths of a processor.
    pub idle_mcpu: f64,
    /// Memory in use at rest, in MiB.
    pub idle_rss_mib: f64,
    /// The most memory in use, in MiB.
    pub peak_rss_mib: f64,
    /// Statuses that were written after all.
    pub status_writes: usize,
    /// The start before that, which found no status of these pods.
    pub first_start: ColdStart,
    /// The most memory that it had in use until everything was written, in MiB.
    pub settling_peak_rss_mib: f64,
}

impl Size {
    /// A bed for it, without a controller yet.
    #[must_use]
    pub fn options(&self, controller: &Path) -> Options {
        Options {
            cells: self.cells(),
            nodes: self.nodes(),
            controller: Some(controller.to_owned()),
            audit: false,
            ..Options::default()
        }
    }

    fn cells(&self) -> Vec<String> {
        (1..=self.units).map(|number| format!("Cell{number}")).collect()
    }

    /// Nodes of each cell.
    fn nodes(&self) -> usize {
        self.pods.div_ceil(PODS_PER_NODE).min(MOST_NODES).div_ceil(self.units.max(1))
    }

    /// InPlaceSets.
    fn sets(&self) -> usize {
        self.deployments * self.units
    }

    /// Pods of each CafeDeployment.
    fn shares(&self) -> Vec<usize> {
        let more = self.pods % self.deployments.max(1);
        (0..self.deployments).map(|n| self.pods / self.deployments + usize::from(n < more)).collect()
    }
}

/// Plays it on a bed with [`Size::options`], in which nobody else works; watches for `idle` that nothing happens. The bed's controller is gone
/// afterwards.
///
/// # Errors
/// When something does not come about within `patience`, the controller asks what is not answered, or writes anything but a status.
pub async fn run(
    bed: &Bed,
    controller: &Path,
    size: Size,
    idle: Duration,
    patience: Duration,
    tell: &(dyn Fn(String) + Sync),
) -> Result<Figures> {
    ensure!(size.pods >= size.sets(), "each of {} InPlaceSets has at least one pod", size.sets());
    let stage = Stage::create(bed, size, patience).await?;
    let herds = stage.grow(patience).await?;
    bed.end_controller()?;
    let server = Server::start(bed, herds).await?;
    tell(format!("{} InPlaceSets want {} pods, which are made up from here on", size.sets(), size.pods));

    let first_start = bed.cold_start(controller, Some(&server.kubeconfig), patience).await?;
    stage.until_all_serve(size.pods, patience).await?;
    quiet(bed, &server, patience).await?;
    let settling_peak_rss_mib = usage::peak_rss_mib(pid(bed)?)?;
    tell(format!("all are known and every status is written; first start {:.1} s", first_start.seconds));
    bed.end_controller()?;

    let before = server.streamed();
    server.writes();
    let start = bed.cold_start(controller, Some(&server.kubeconfig), patience).await?;
    let streamed_mib = (server.streamed() - before) as f64 / f64::from(1 << 20);
    let pid = pid(bed)?;
    let mut writes = quiet(bed, &server, patience).await?;
    let (began, cpu) = (Instant::now(), usage::cpu_seconds(pid)?);
    tokio::time::sleep(idle).await;
    let idle_mcpu = (usage::cpu_seconds(pid)? - cpu) / began.elapsed().as_secs_f64() * 1000.0;
    writes.extend(server.writes());
    server.check()?;
    bed.check("controller")?;
    let others: Vec<&String> = writes.iter().filter(|write| !write.contains("/status")).collect();
    ensure!(others.is_empty(), "the controller writes although nothing is to be done: {others:#?}");
    stage.until_all_serve(size.pods, patience).await?;
    Ok(Figures {
        start,
        streamed_mib,
        first_plans_cpu_seconds: cpu - start.cpu_seconds,
        idle_mcpu,
        idle_rss_mib: usage::rss_mib(pid)?,
        peak_rss_mib: usage::peak_rss_mib(pid)?,
        status_writes: writes.len(),
        first_start,
        settling_peak_rss_mib,
    })
}

fn pid(bed: &Bed) -> Result<u32> {
    bed.controller_pid().context("the controller has ended")
}

/// Waits until nothing has been written for a while, and returns what was written until then.
async fn quiet(bed: &Bed, server: &Server, patience: Duration) -> Result<Vec<String>> {
    let end = Instant::now() + patience;
    let (mut all, mut last) = (Vec::new(), Instant::now());
    while last.elapsed() < QUIET {
        server.check()?;
        bed.check("controller")?;
        let writes = server.writes();
        if !writes.is_empty() {
            last = Instant::now();
        }
        all.extend(writes);
        ensure!(Instant::now() < end, "the controller goes on writing");
        tokio::time::sleep(POLL).await;
    }
    Ok(all)
}
