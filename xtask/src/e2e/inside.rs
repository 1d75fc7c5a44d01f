//! The part that runs in the namespaces.

use std::path::Path;

use anyhow::{Context, Result, bail};
use cafe_tests::node::{BED, RealNodes};
use tokio::signal::unix::{SignalKind, signal};

use super::report::Report;
use super::scenarios::{self, Scenario};
use super::telling::Telling;
use super::{Args, install};

/// The archive of images in the place.
pub(super) const IMAGES: &str = "images.tar";

/// Brings the nodes up, plays, reports.
pub(super) async fn run(args: &Args, shipped: &Path) -> Result<()> {
    let telling = Telling::new();
    let play = async {
        if args.install {
            play_install(&telling, args, shipped).await
        } else {
            play(&telling, args, shipped).await
        }
    };
    let played = tokio::select! {
        played = play => played,
        stopped = told_to_stop() => return stopped,
    };
    if let Err(error) = &played {
        telling.line("FAILED", &format!("{error:#}"));
    }
    if args.keep {
        hold(&telling, args).await?;
    }
    played
}

async fn play(telling: &Telling, args: &Args, controller: &Path) -> Result<()> {
    let chosen = scenarios::chosen(args.only.as_deref());
    if chosen.is_empty() {
        bail!("no scenario has such a name; there are: {}", scenarios::names());
    }
    let nodes = start(telling, args, &[], Some(controller)).await?;
    let mut report = Report::default();
    let mut failed = Vec::new();
    for Scenario { name, tells, .. } in &chosen {
        telling.chapter(&format!("{name}: {tells}"));
        let began = telling.elapsed();
        let outcome = scenarios::play(name, telling, nodes, args).await;
        let seconds = telling.elapsed() - began;
        match &outcome {
            Ok(outcome) => telling.line(name, &format!("holds: {}", outcome.line(seconds))),
            Err(error) => {
                telling.line(name, &format!("FAILED: {error:#}"));
                failed.push(*name);
            }
        }
        report.add(name, seconds, outcome);
        // What comes next starts with a controller and both kubelets, whatever happened.
        scenarios::restore(nodes).await?;
    }
    tell(telling, args, report)?;
    if !failed.is_empty() {
        bail!("{} of {} scenarios failed: {}", failed.len(), chosen.len(), failed.join(", "));
    }
    Ok(())
}

/// A cluster in which nothing of Cafe is but its image, on every node.
async fn play_install(telling: &Telling, args: &Args, image: &Path) -> Result<()> {
    let nodes = start(telling, args, &[image], None).await?;
    let began = telling.elapsed();
    let outcome = install::play(telling, nodes).await?;
    let mut report = Report::default();
    report.add("install", telling.elapsed() - began, Ok(outcome));
    tell(telling, args, report)
}

async fn start(
    telling: &Telling,
    args: &Args,
    more: &[&Path],
    controller: Option<&Path>,
) -> Result<&'static RealNodes> {
    telling.chapter("Starting Kubernetes with two real nodes");
    let place = std::path::absolute(&args.dir)?;
    let images = place.join(IMAGES);
    let images = [&[images.as_path()], more].concat();
    let nodes = RealNodes::up(&place, &images, controller.map(Path::to_owned)).await?;
    // The scenarios share it until the process ends.
    let nodes: &'static RealNodes = Box::leak(Box::new(nodes));
    let version = nodes.bed().client().await?.apiserver_version().await?.git_version;
    telling
        .line("nodes", &format!("cella-1 and cellb-1 are ready: kubelet {version}, containerd, kube-proxy"));
    Ok(nodes)
}

fn tell(telling: &Telling, args: &Args, mut report: Report) -> Result<()> {
    report.finish(telling.elapsed());
    telling.chapter("Summary");
    report.summary().lines().for_each(|line| telling.text(line));
    if let Some(out) = &args.out {
        let json = serde_json::to_vec_pretty(&report)?;
        std::fs::write(out, json).with_context(|| format!("cannot write {}", out.display()))?;
    }
    Ok(())
}

/// Until Ctrl-C.
async fn hold(telling: &Telling, args: &Args) -> Result<()> {
    telling.chapter("Left running until Ctrl-C");
    let bed = args.dir.join(BED);
    telling.text("Enter it from another root shell:");
    telling.text("  nsenter --all --target $(pgrep --newest --full 'e2e .*--inside')");
    telling.text(&format!("  export KUBECONFIG={}", bed.join("admin.kubeconfig").display()));
    told_to_stop().await
}

async fn told_to_stop() -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    bail!("stopped before the end")
}
