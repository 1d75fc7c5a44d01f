//! The part that runs in the namespaces.

use std::path::Path;

use anyhow::{Context, Result, bail};
use cafe_tests::node::{BED, RealNodes};
use tokio::signal::unix::{SignalKind, signal};

use super::Args;
use super::report::Report;
use super::scenarios::{self, Scenario};
use super::telling::Telling;

/// The archive of images in the place.
pub(super) const IMAGES: &str = "images.tar";

/// Brings the nodes up, plays, reports.
pub(super) async fn run(args: &Args, controller: &Path) -> Result<()> {
    let telling = Telling::new();
    let played = tokio::select! {
        played = play(&telling, args, controller) => played,
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
    telling.chapter("Starting Kubernetes with two real nodes");
    let place = std::path::absolute(&args.dir)?;
    let nodes = RealNodes::up(&place, &place.join(IMAGES), Some(controller.to_owned())).await?;
    // The scenarios share it until the process ends.
    let nodes: &'static RealNodes = Box::leak(Box::new(nodes));
    let version = nodes.bed().client().await?.apiserver_version().await?.git_version;
    telling
        .line("nodes", &format!("cella-1 and cellb-1 are ready: kubelet {version}, containerd, kube-proxy"));

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
    report.finish(telling.elapsed());
    telling.chapter("Summary");
    report.summary().lines().for_each(|line| telling.text(line));
    if let Some(out) = &args.out {
        let json = serde_json::to_vec_pretty(&report)?;
        std::fs::write(out, json).with_context(|| format!("cannot write {}", out.display()))?;
    }
    if !failed.is_empty() {
        bail!("{} of {} scenarios failed: {}", failed.len(), chosen.len(), failed.join(", "));
    }
    Ok(())
}

/// Until Ctrl-C.
async fn hold(telling: &Telling, args: &Args) -> Result<()> {
    telling.chapter("Left running until Ctrl-C");
    let bed = args.dir.join(BED);
    telling.text("Enter it from another root shell:");
    telling.text("  nsenter --all --target $(pgrep --newest --full 'e2e --inside')");
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
