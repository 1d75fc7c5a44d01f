//! Putting the parts together: connect, elect, watch, turn.

use std::sync::Arc;

use anyhow::Context as _;
use cafe_process::{connect::Settings, definitions, log::Level, rights, stop::told_to_stop, version};
use kube::Client;
use tokio::sync::watch as signal;

use crate::{
    AGENT,
    admin::{self, Health},
    args::RunArgs,
    client,
    engine::{Engine, Parts},
    lease::{Claim, Election},
    metrics::Metrics,
    report::Reporter,
    watch,
};

/// The first minor version of Kubernetes whose API server streams lists by default.
const STREAMS_LISTS: u32 = 34;

/// What the rules of the chart say, which are those of this binary.
const WORKLOADS: &str = include_str!("../../charts/cafe/files/rules/workloads.yaml");
const CLUSTER: &str = include_str!("../../charts/cafe/files/rules/cluster.yaml");
const LEASE: &str = include_str!("../../charts/cafe/files/rules/lease.yaml");

/// Runs the controller until SIGTERM or SIGINT.
pub(crate) async fn run(args: RunArgs, level: Level) -> anyhow::Result<()> {
    let agent = format!("{AGENT} ({})", args.identity);
    let settings = Settings::read(args.kubeconfig.as_deref(), &agent).await?;
    let client = settings.client()?;
    let kubernetes = settings.greet(&client).await?;
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
    let admin = admin::start(args.admin_address, metrics.clone(), health.clone(), level)?;
    tracing::info!(address = %admin.address(), "serves probes and metrics");
    let stop = told_to_stop();
    let mut stop = std::pin::pin!(stop);
    let sees_nodes = tokio::select! {
        () = &mut stop => return Ok(()),
        checked = check(&client, &args) => checked?,
    };
    let (ended, stopped) = signal::channel(false);
    let (claim, election) = elect(&args, &client, stopped);
    let client = client::of_claim_holder(&settings, claim.clone())?;

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
    let result = engine.run(stop).await;
    // Only now, with no write in flight, is the lease given back.
    ended.send_replace(true);
    if let Some(election) = election {
        election.await.context("the election broke off")?;
    }
    admin.stop();
    result.map_err(Into::into)
}

/// Whether the cluster has what this process needs; answers whether it may see the nodes, without which it can do in namespaces.
async fn check(client: &Client, args: &RunArgs) -> anyhow::Result<bool> {
    definitions::require(client).await?;
    let namespaces = &args.watch_namespaces;
    let mut needed = Vec::new();
    for namespace in namespaces {
        needed.extend(rights::of_rules(WORKLOADS, Some(namespace))?);
    }
    if namespaces.is_empty() {
        needed.extend(rights::of_rules(WORKLOADS, None)?);
        needed.extend(rights::of_rules(CLUSTER, None)?);
    }
    if !args.no_leader_election {
        needed.extend(rights::of_rules(LEASE, Some(&args.namespace))?);
    }
    rights::require(client, env!("CARGO_PKG_NAME"), needed).await?;
    if namespaces.is_empty() {
        return Ok(true);
    }
    let sees_nodes = rights::missing(client, rights::of_rules(CLUSTER, None)?).await?.is_empty();
    if !sees_nodes {
        tracing::warn!(
            "may not get, list and watch nodes: goes on without; units without nodes are not told from full ones, and autoReschedule moves \
             nothing (the chart grants it with rbac.readNodes=true)"
        );
    }
    Ok(sees_nodes)
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
