//! Putting the parts together: connect, elect, watch, turn.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use kube::Client;
use tokio::sync::watch as signal;

use crate::{
    admin::{self, Health},
    args::RunArgs,
    client,
    engine::{Engine, Parts},
    lease::{Claim, Election},
    metrics::Metrics,
    report::Reporter,
    version, watch,
};

/// The first minor version of Kubernetes whose API server streams lists by default.
const STREAMS_LISTS: u32 = 34;

/// Runs the controller until SIGTERM or SIGINT.
pub(crate) async fn run(args: RunArgs) -> anyhow::Result<()> {
    let client = client::connect(args.kubeconfig.as_deref().map(Path::new)).await?;
    let kubernetes = client
        .apiserver_version()
        .await
        .context("the API server does not answer: check its address and this client's rights")?;
    let streaming =
        kubernetes.minor.trim_end_matches('+').parse().is_ok_and(|minor: u32| minor >= STREAMS_LISTS);
    tracing::info!(
        version = version::VERSION,
        revision = version::REVISION,
        kubernetes = kubernetes.git_version,
        identity = args.identity,
        "starting"
    );

    let metrics = Metrics::default();
    let health = Arc::new(Health::default());
    let admin = admin::start(args.admin_address, metrics.clone(), health.clone())?;
    tracing::info!(address = %admin.address(), "serves probes and metrics");
    let (stop, stopped) = signal::channel(false);
    let (claim, election) = elect(&args, &client, stopped);

    let watches = watch::count(args.watch_namespaces.len());
    let engine = Engine::new(Parts {
        frames: watch::all(&client, &args.watch_namespaces, streaming),
        reporter: Reporter::new(client.clone(), args.identity.clone()),
        window: usize::from(args.writes_in_flight),
        client,
        claim,
        metrics,
        health,
        watches,
        trusts_stamps: args.trust_author_stamps,
    });
    let ended = engine.run(told_to_stop()).await;
    // Only now, with no write in flight, is the lease given back.
    stop.send_replace(true);
    if let Some(election) = election {
        election.await.context("the election broke off")?;
    }
    admin.stop();
    ended.map_err(Into::into)
}

fn elect(
    args: &RunArgs,
    client: &Client,
    mut stopped: signal::Receiver<bool>,
) -> (Claim, Option<tokio::task::JoinHandle<()>>) {
    if args.no_leader_election {
        return (Claim::always(), None);
    }
    let (election, claim) =
        Election::new(client.clone(), &args.namespace, &args.identity, args.lease_duration());
    let stop = async move {
        // The sender lives until the engine has ended; its loss means the same.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    (claim, Some(tokio::spawn(election.run(stop))))
}

/// Waits for SIGTERM or SIGINT.
pub(crate) async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
