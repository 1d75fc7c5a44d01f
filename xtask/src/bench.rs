//! `cargo xtask bench`: Cafe beside its peers, in one run on one machine. Counts and ratios decide, seconds are told.

mod calibration;
mod counting;
mod course;
mod gate;
mod growth;
mod micro;
mod peer;
mod pods;
mod replay;
mod report;
mod restart;
mod subject;
mod table;
mod thousands;
mod webhook;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use cafe_tests::bed::{Bed, LIFTED, Options, controller};

use self::calibration::Calibration;
use self::course::Course;
use self::peer::CloneSet;
use self::report::{Figures, Report, Run};
use self::subject::Subject;

/// A run in which the machine's own speed changed by more than this share says nothing, and is played again.
const DRIFT: f64 = 0.15;
/// How often a subject is played again because of that, before its figures are told with a warning.
const ATTEMPTS: usize = 3;
/// Requests per second and burst that Kubernetes ships its controllers with.
const AS_SHIPPED: (u16, u16) = (20, 30);

/// Measure Cafe, and peers where asked, on a control plane of its own: writes per pod, time against what the API server
/// can do, CPU and memory; the micro-benchmarks before. `micro` is those alone, `thousands` plays many units and many CafeDeployments
/// instead, `replay` shows the controller more pods than a machine has room for, `growth` plots how cost grows, `webhook` times reviews.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Pods of the workload.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(8..))]
    pods: u32,
    /// Pods of the large workload, which is Cafe's alone and shows how cost grows; 0 leaves it out, as `--quick` does.
    #[arg(long, default_value_t = 10_000)]
    large: u32,
    /// One release of each kind instead of three, and no large workload: under ten minutes.
    #[arg(long)]
    quick: bool,
    /// Also measure a Deployment, with the limits of its controllers as shipped and lifted.
    #[arg(long)]
    peer_deployment: bool,
    /// Also measure a CloneSet, with this kruise-manager, its limits as shipped and lifted.
    #[arg(long, value_name = "BINARY", requires = "peer_crds")]
    peer_cloneset: Option<PathBuf>,
    /// The folder with the definitions of that peer.
    #[arg(long, value_name = "FOLDER", requires = "peer_cloneset")]
    peer_crds: Option<PathBuf>,
    /// Leave the micro-benchmarks out.
    #[arg(long, conflicts_with = "gate")]
    no_micro: bool,
    /// Fail when a ratio is worse by more than a quarter than in this earlier result (a file of `--out`), or a count is above its goal.
    #[arg(long, value_name = "FILE")]
    gate: Option<PathBuf>,
    /// Where to write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where to write the table as Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Growth(growth::Args),
    Micro(micro::Args),
    Replay(replay::Args),
    Thousands(thousands::Args),
    Webhook(webhook::Args),
}

/// Plays everything and removes it again.
///
/// # Errors
/// When a subject does not do its work, more pods were out of service than its budget allows, or the gate is closed.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        Some(What::Growth(args)) => return growth::run(args),
        Some(What::Micro(args)) => return micro::run(args),
        Some(What::Replay(args)) => return replay::run(args),
        Some(What::Thousands(args)) => return thousands::run(args),
        Some(What::Webhook(args)) => return webhook::run(args),
        None => {}
    }
    let before = args.gate.as_deref().map(gate::read).transpose()?;
    let subjects = subjects(args)?;
    // First: with its benchmarks cargo builds a controller too, that has what only tests need, in the place of the one that is given out.
    let micro = if args.no_micro { micro::Times::default() } else { micro::measure(before.as_ref())? };
    let binary = controller::build(true)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let bench = Bench { binary, pods: args.pods as usize, repeats: if args.quick { 1 } else { 3 } };
    let report = runtime.block_on(async {
        let mut report = Report { micro, ..Report::default() };
        for subject in &subjects {
            report.add(bench.subject(subject).await?);
        }
        if args.large > 0 && !args.quick {
            report.add_large(args.large, bench.large(args.large as usize).await?);
        }
        anyhow::Ok(report)
    })?;
    println!("\n{}\n{}", table::terminal(&report), table::aligned(&report.micro.rows()));
    if let Some(file) = &args.markdown {
        write(file, &table::markdown(&report))?;
    }
    if let Some(file) = &args.out {
        write(file, &format!("{:#}\n", report.json()))?;
    }
    match before {
        Some(before) => gate::judge(&before, &report.json()),
        None => Ok(()),
    }
}

fn write(file: &PathBuf, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Cafe last: what a machine does to everybody when it gets warm must not flatter it.
fn subjects(args: &Args) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    if args.peer_deployment {
        subjects.extend([Subject::Deployment { limits: AS_SHIPPED }, Subject::Deployment { limits: LIFTED }]);
    }
    if let (Some(binary), Some(crds)) = (&args.peer_cloneset, &args.peer_crds) {
        let peer = CloneSet::new(binary, crds)?;
        subjects.extend([Subject::CloneSet(peer.clone(), false), Subject::CloneSet(peer, true)]);
    }
    subjects.push(Subject::Cafe);
    Ok(subjects)
}

struct Bench {
    binary: PathBuf,
    pods: usize,
    repeats: usize,
}

impl Bench {
    /// Times the subject on one bed and counts on another: counting costs the API server time.
    async fn subject(&self, subject: &Subject) -> Result<Run> {
        println!("{}: {} pods", subject.title(), self.pods);
        let mut figures = self.timed(subject).await?;
        let bed = self.bed(subject, true).await?;
        counting::play(&bed, subject, self.pods, &mut figures).await?;
        bed.down()?;
        Ok(Run { name: subject.key(), title: subject.title(), figures })
    }

    async fn timed(&self, subject: &Subject) -> Result<Figures> {
        for attempt in 1..=ATTEMPTS {
            let bed = self.bed(subject, false).await?;
            let fixture = calibration::Fixture::create(&bed).await?;
            let before = fixture.calibrate().await?;
            let course = Course { bed: &bed, subject, pods: self.pods, repeats: self.repeats };
            let mut figures = course.play(&before).await?;
            let after = fixture.calibrate().await?;
            bed.down()?;
            figures.calibration = Some(Calibration::between(&before, &after));
            let drift = before.drift(&after);
            figures.drift = Some(drift);
            if drift <= DRIFT {
                return Ok(figures);
            }
            println!(
                "  the machine's speed went from {:.0} to {:.0} writes/s meanwhile: these figures say nothing",
                before.writes_per_s, after.writes_per_s
            );
            if attempt == ATTEMPTS {
                return Ok(figures);
            }
        }
        bail!("no attempt was made")
    }

    /// Memory and CPU of a workload so large that they show how cost grows.
    async fn large(&self, pods: usize) -> Result<Figures> {
        println!("{}: {pods} pods", Subject::Cafe.title());
        let bed = self.bed(&Subject::Cafe, false).await?;
        let course = Course { bed: &bed, subject: &Subject::Cafe, pods, repeats: 1 };
        let figures = course.play_large().await?;
        bed.down()?;
        Ok(figures)
    }

    async fn bed(&self, subject: &Subject, audit: bool) -> Result<Bed> {
        let bed = Bed::temporary()?;
        let options = Options {
            cells: vec!["CellA".into()],
            nodes: 50,
            controller: matches!(subject, Subject::Cafe).then(|| self.binary.clone()),
            audit,
            durable: true,
            manager_limits: subject.manager_limits(),
            ..Options::default()
        };
        bed.up(&options).await?;
        if let Subject::CloneSet(peer, lifted) = subject {
            peer.start(&bed, *lifted).await?;
        }
        Ok(bed)
    }
}
