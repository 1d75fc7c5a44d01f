//! Putting the parts together: connect, elect, watch, turn.

use std::sync::Arc;

use anyhow::Context as _;
use cafe_process::{connect::Settings, definitions, log::Level, stop::Stop, version};
use kube::Client;
use tokio::sync::watch as signal;

use crate::{
    AGENT,
    admin::{self, Health},
    args::RunArgs,
    engine::{Engine, Parts},
    lease::{Claim, Election},
    metrics::Metrics,
    needs,
    report::Reporter,
    watch, wire,
};

/// The first minor version of Kubernetes whose API server streams lists by default.
const STREAMS_LISTS: u32 = 34;

/// Runs the controller until it is told to stop.
pub(crate) async fn run(args: RunArgs, level: Level, mut stop: Stop) -> anyhow::Result<()> {
    // Probes are answered from here on, however long the API server may take.
    let metrics = Metrics::default();
    let health = Arc::new(Health::default());
    let admin = admin::start(args.admin_address, metrics.clone(), health.clone(), level)?;
    tracing::info!(address = %admin.address(), "serves probes and metrics");
    let agent = format!("{AGENT} ({})", args.identity);
    let settings = Settings::read(args.kubeconfig.as_deref(), &agent).await?;
    let client = settings.client()?;
    let Some(kubernetes) = stop.or(settings.greet(&client)).await.transpose()? else { return Ok(()) };
    let streaming =
        kubernetes.minor.trim_end_matches('+').parse().is_ok_and(|minor: u32| minor >= STREAMS_LISTS);
    tracing::info!(
        version = version::VERSION,
        revision = version::REVISION,
        kubernetes = kubernetes.git_version,
        identity = args.identity,
        "starting"
    );

    let Some(sees_nodes) = stop.or(check(&client, &args)).await.transpose()? else { return Ok(()) };
    let (ended, stopped) = signal::channel(false);
    let (claim, election) = elect(&args, &client, stopped);
    let client = wire::of_claim_holder(&settings, claim.clone())?;

    let mut namespaces = args.watch_namespaces;
    // One that is named twice is watched once.
    namespaces.sort_unstable();
    namespaces.dedup();
    let scope = watch::Scope { namespaces, nodes: sees_nodes };
    let engine = Engine::new(Parts {
        frames: watch::all(&client, &scope, streaming),
        reporter: Reporter::new(client.clone(), args.identity.clone()),
        window: usize::from(args.writes_in_flight),
        client,
        claim,
        metrics,
        health,
        watches: watch::count(&scope),
        trusts_stamps: args.trust_author_stamps,
        sees_nodes,
    });
    let result = engine.run(stop.told()).await;
    // Only now, with no write in flight, is the lease given back.
    ended.send_replace(true);
    if let Some(election) = election {
        election.await.context("the election broke off")?;
    }
    admin.stop();
    result.map_err(Into::into)
}

/// Whether the cluster has what this process needs; answers whether it may see the nodes.
async fn check(client: &Client, args: &RunArgs) -> anyhow::Result<bool> {
    // At the same time: after a crash pods may wait for this process.
    let (definitions, sees_nodes) = tokio::join!(definitions::require(client), needs::require(client, args));
    definitions?;
    Ok(sees_nodes?)
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
