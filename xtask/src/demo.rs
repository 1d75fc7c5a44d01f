//! `cargo xtask demo`: a release of ten pods over two cells, played on a real control plane, told and checked.

mod checks;
mod narration;
mod place;
mod scene;
mod script;
mod story;

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Result, bail};
use cafe_tests::bed::components::Components;
use cafe_tests::bed::{Bed, Options, controller};
use tokio::signal::unix::{SignalKind, signal};

use narration::{Narrator, Tone};
use place::Place;
use script::Script;

/// Play a release of ten pods over two cells on a local Kubernetes, and check what was promised.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on by itself instead of asking before each confirmation.
    #[arg(long)]
    yes: bool,
    /// Leave everything running at the end, to look around.
    #[arg(long)]
    keep: bool,
    /// Where the demo's Kubernetes keeps its data and logs.
    #[arg(long, value_name = "FOLDER", default_value_os_t = Bed::default_dir().join("demo"))]
    dir: PathBuf,
}

/// Builds what is missing, plays the story, and removes everything again. Fails if anything promised did not hold.
pub(crate) fn run(args: &Args) -> Result<()> {
    let narrator = Narrator::new();
    let asks = !args.yes && std::io::stdin().is_terminal();
    if !args.yes && !asks {
        narrator.aside("Standard input is no terminal: goes on by itself, as with --yes.");
    }
    let place = Place::take(&args.dir)?;
    narrator.chapter(
        "Building what is missing (Kubernetes once: about six minutes on two cores; the controller)",
    );
    Components::locate()?.ensure()?;
    narrator.line("kubernetes", "its components are built", Tone::Plain);
    // Not optimised: it then shares its dependencies with this very program, so a first run builds them once.
    let binary = controller::build(false)?;
    narrator.line("controller", "is built", Tone::Plain);

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let played = runtime.block_on(async {
        tokio::select! {
            played = play(&narrator, place.bed(), binary, asks) => played,
            stopped = told_to_stop() => stopped,
        }
    });
    // A question may still wait for an answer; nobody needs it any more.
    runtime.shutdown_background();
    leave(&narrator, &place, args, played.is_err())?;
    played
}

async fn play(narrator: &Narrator, bed: &Bed, binary: PathBuf, asks: bool) -> Result<()> {
    narrator.chapter("Starting Kubernetes");
    bed.up(&Options { controller: Some(binary), ..Options::default() }).await?;
    let version = bed.client().await?.apiserver_version().await?.git_version;
    let up =
        format!("Kubernetes {version} runs: a real control plane, six simulated nodes in CellA and CellB");
    narrator.line("kubernetes", &up, Tone::Plain);
    narrator.line("controller", "Cafe runs with its own account and rights", Tone::Plain);
    story::play(narrator, bed, &Script::new(bed, asks)).await
}

/// Ends with an error when the person or the machine wants the demo to stop.
async fn told_to_stop() -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    bail!("stopped before the end")
}

/// Removes everything, or says how to use what is left running.
fn leave(narrator: &Narrator, place: &Place, args: &Args, failed: bool) -> Result<()> {
    if !args.keep {
        if failed {
            narrator.aside(
                "Everything is removed; run it again with --keep to look into the cluster and its logs.",
            );
        }
        return place.bed().down();
    }
    let (bed, kubectl) = (place.bed(), place.bed().components().path("kubectl"));
    narrator.chapter("Left running");
    narrator.text(&format!("export KUBECONFIG={}", bed.kubeconfig().display()));
    if let Some(folder) = kubectl.parent() {
        narrator.text(&format!("export PATH={}:$PATH   # if you have no kubectl", folder.display()));
    }
    narrator.text(&format!("# logs: {}", bed.dir().join("logs").display()));
    narrator.text(&format!("# stop: cargo xtask down --dir {}", args.dir.display()));
    Ok(())
}
