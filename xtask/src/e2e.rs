//! `cargo xtask e2e`: real nodes, real containers, real requests, and none of them lost.

mod inside;
mod install;
mod manifest;
mod play;
mod report;
mod scenarios;
mod telling;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cafe_tests::bed::components::NodeComponents;
use cafe_tests::bed::{Bed, controller};
use cafe_tests::node::{self, Place, app};

use crate::dist;
use telling::Telling;

/// The package of the example that [`scenarios`] put in front of HAProxy.
const PROTECTOR: &str = "protector-haproxy";

/// Prove on real nodes that no request is lost: two kubelets with containers, a Service, and clients that never wait.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pods to update in place in the continuous run, at least.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    updates: u32,
    /// Where to write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only the scenarios whose name contains this.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Instead of the scenarios: the Helm chart with the image of `cargo xtask dist`, installed, tested, upgraded and removed under
    /// traffic.
    #[arg(long, conflicts_with_all = ["updates", "only"])]
    install: bool,
    /// With --install: an archive that `cargo xtask dist` has made, instead of making one.
    #[arg(long, value_name = "FILE", requires = "install")]
    image: Option<PathBuf>,
    /// Instead of building a controller: this one, such as `cargo xtask dist` has made.
    #[arg(long, value_name = "FILE", conflicts_with = "install")]
    controller: Option<PathBuf>,
    /// Leave everything running at the end, or after a failure, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Where the nodes keep their data and logs.
    #[arg(long, value_name = "FOLDER", default_value_os_t = Bed::default_dir().join("e2e"))]
    dir: PathBuf,
    /// Set by this program for the part that runs in the namespaces: the controller, or the archive of the image to install.
    #[arg(long, hide = true, value_name = "FILE")]
    inside: Option<PathBuf>,
    /// As `--inside`: the example of a protector.
    #[arg(long, hide = true, value_name = "PROTECTOR")]
    protector: Option<PathBuf>,
}

/// Runs the scenarios and removes everything again. Fails if a request was lost or anything promised did not hold.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.inside {
        Some(shipped) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let done = runtime.block_on(inside::run(args, shipped));
            runtime.shutdown_background();
            done
        }
        None => outside(args),
    }
}

fn outside(args: &Args) -> Result<()> {
    let telling = Telling::new();
    node::check()?;
    telling.chapter("Building what is missing");
    NodeComponents::locate()?.ensure()?;
    telling.line("kubernetes", "control plane and nodes are built");
    let program = app::build()?;
    telling.line("application", "is built: one static binary for all images");
    let place = Place::take(&args.dir)?;
    app::pack(&place.dir().join(inside::IMAGES), &program)?;
    let arguments = inner_arguments(args, &place, &shipped(args, &telling, &place)?)?;
    // Signals must reach the main thread's child at once, and its life hangs on this thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(place.run(&std::env::current_exe()?, &arguments))?;
    if status.success() {
        return place.remove();
    }
    let logs = keep_logs(&place);
    place.remove()?;
    let logs = logs?;
    bail!("real nodes: not everything held (see above). Logs and journals are in {}", logs.display())
}

/// What is played with, as arguments of the part that runs in the namespaces.
fn shipped(args: &Args, telling: &Telling, place: &Place) -> Result<Vec<String>> {
    if args.install {
        let archive = match &args.image {
            Some(archive) => existing(archive)?,
            None => dist::make(&place.dir().join("dist"))?.archive,
        };
        telling.line("image", &format!("is built: {}", archive.display()));
        return Ok(vec!["--install".to_owned(), "--inside".to_owned(), text(&archive)?]);
    }
    let controller = match &args.controller {
        Some(built) => existing(built)?,
        None => controller::build(true)?,
    };
    telling.line("controller", &format!("is built, as it ships: {}", controller.display()));
    let protector = controller::build_example(PROTECTOR)?;
    telling.line("protector", "is built: examples/protector-haproxy");
    let updates = ["--updates".to_owned(), args.updates.to_string()];
    let built = ["--inside".to_owned(), text(&controller)?, "--protector".to_owned(), text(&protector)?];
    Ok([built.as_slice(), &updates].concat())
}

/// A file that was built already, by its whole path.
fn existing(file: &Path) -> Result<PathBuf> {
    fs::canonicalize(file)
        .with_context(|| format!("cannot find {}: cargo xtask dist makes it", file.display()))
}

fn text(path: &Path) -> Result<String> {
    path.to_str().map(ToOwned::to_owned).context("a path that is no text")
}

fn inner_arguments(args: &Args, place: &Place, shipped: &[String]) -> Result<Vec<String>> {
    let mut arguments = vec!["e2e".to_owned(), "--dir".to_owned(), text(place.dir())?];
    arguments.extend_from_slice(shipped);
    if let Some(out) = &args.out {
        arguments.extend(["--out".to_owned(), text(&std::path::absolute(out)?)?]);
    }
    if let Some(only) = &args.only {
        arguments.extend(["--only".to_owned(), only.clone()]);
    }
    if args.keep {
        arguments.push("--keep".to_owned());
    }
    Ok(arguments)
}

/// Everything else in the place goes; what explains a failure stays beside it until the next failure.
fn keep_logs(place: &Place) -> Result<PathBuf> {
    let kept = place.dir().with_extension("failed");
    if kept.exists() {
        fs::remove_dir_all(&kept)?;
    }
    fs::create_dir_all(&kept)?;
    for folder in ["logs", "journal"] {
        let from = place.dir().join(node::BED).join(folder);
        if from.exists() {
            fs::rename(&from, kept.join(folder))
                .with_context(|| format!("cannot keep {}", from.display()))?;
        }
    }
    // Of the pods on each node.
    for node in fs::read_dir(place.dir().join(node::BED).join("nodes")).into_iter().flatten() {
        let node = node?;
        fs::rename(node.path().join("logs"), kept.join(node.file_name())).ok();
    }
    Ok(kept)
}
