//! A workload under load.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cafe_tests::node::RealNodes;
use cafe_tests::scenario::{Workload, merge};
use cafe_tests::traffic::{Connection, Ledger, Load, Rate, Stopwatch, reach};
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::Client;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};

use super::manifest::traffic;
use super::report::{Outcome, Samples};

const POLL: Duration = Duration::from_millis(20);
const FIRST_ANSWERS: Duration = Duration::from_secs(30);
/// Lost requests that a message tells one by one.
const TOLD: usize = 5;

/// A CafeDeployment of the application that serves, and nobody asks yet.
pub(super) struct Stage {
    pub(super) workload: Workload,
    stopwatch: Stopwatch,
    client: Client,
    journal: PathBuf,
}

impl Stage {
    /// Creates the namespace, a Service (`service` is merged into its spec) and the CafeDeployment.
    pub(super) async fn set(
        nodes: &'static RealNodes,
        replicas: i32,
        patch: &Value,
        service: &Value,
    ) -> Result<Self> {
        let stage = Self::prepare(nodes, replicas, patch).await?;
        stage.workload.serve("web", service).await?;
        stage.workload.start().await?;
        stage.workload.wait_until_served().await?;
        Ok(stage)
    }

    /// Creates the namespace only.
    pub(super) async fn prepare(nodes: &'static RealNodes, replicas: i32, patch: &Value) -> Result<Self> {
        let client = nodes.bed().client().await?;
        let journal = unique(&nodes.bed().dir().join("journal"))?;
        let mut manifest = traffic(replicas, &journal);
        merge(&mut manifest, patch);
        let workload = Workload::open(nodes.bed(), "traffic", &manifest).await?;
        let stopwatch = Stopwatch::start(&client, workload.namespace());
        Ok(Self { workload, stopwatch, client, journal })
    }

    /// Where the Service is.
    pub(super) async fn service(&self) -> Result<SocketAddr> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), self.workload.namespace());
        let ip = services.get("web").await?.spec.and_then(|spec| spec.cluster_ip);
        Ok(SocketAddr::new(ip.context("the Service has no address")?.parse()?, 80))
    }

    /// Begins to ask at this address.
    pub(super) async fn ask(self, address: SocketAddr) -> Result<Play> {
        let Self { workload, stopwatch, client, journal } = self;
        let play = Play { workload, stopwatch, client, journal, load: Load::start(address, Rate::default()) };
        play.wait_for_answers().await?;
        Ok(play)
    }
}

/// A CafeDeployment of the application, clients on its Service, and a stopwatch.
pub(super) struct Play {
    pub(super) workload: Workload,
    pub(super) stopwatch: Stopwatch,
    client: Client,
    journal: PathBuf,
    load: Load,
}

impl Play {
    /// Installs `replicas` pods, changed by `patch`, waits until they serve, and begins to ask their Service.
    pub(super) async fn open(nodes: &'static RealNodes, replicas: i32, patch: &Value) -> Result<Self> {
        let stage = Stage::set(nodes, replicas, patch, &json!({})).await?;
        let address = stage.service().await?;
        stage.ask(address).await
    }

    /// Every release starts under load, not before it.
    async fn wait_for_answers(&self) -> Result<()> {
        let some = async {
            while self.load.so_far().0 < 100 {
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(FIRST_ANSWERS, some).await.context("nobody is answered: is kube-proxy at work?")
    }

    /// Requests so far, and those that were lost.
    pub(super) fn so_far(&self) -> (usize, usize) {
        self.load.so_far()
    }

    /// Whether to go on: once a request is lost, [`Play::close`] tells which and why.
    pub(super) fn is_lossless(&self) -> bool {
        self.load.so_far().1 == 0
    }

    /// Stops the clients, replays what the watches saw, compares both ends, and removes the workload. Fails when a
    /// request was lost.
    pub(super) async fn close(self) -> Result<Outcome> {
        let client = self.client.clone();
        let (outcome, ledger, workload, journal) = self.stop().await;
        if outcome.lost > 0 {
            bail!(
                "{} of {} requests were lost:\n{}\n{}",
                outcome.lost,
                outcome.requests,
                lost(&ledger, &journal)?,
                workload.story()
            );
        }
        compare(&ledger, &journal)?;
        workload.finish().await?;
        remove(client, workload.namespace()).await?;
        Ok(outcome)
    }

    /// As [`Play::close`], without a verdict: for the run that must lose.
    pub(super) async fn give_up(self) -> Result<Outcome> {
        let client = self.client.clone();
        let (outcome, _, workload, _) = self.stop().await;
        remove(client, workload.namespace()).await?;
        Ok(outcome)
    }

    async fn stop(self) -> (Outcome, Ledger, Workload, PathBuf) {
        let Self { workload, stopwatch, journal, load, .. } = self;
        let ledger = load.stop().await;
        let timings = stopwatch.timings();
        let samples = Samples {
            propagation: reach(&ledger, &timings.drains, Connection::New),
            kept_alive: reach(&ledger, &timings.drains, Connection::KeptAlive),
            latency: ledger.records.iter().map(|record| record.done - record.sent).collect(),
            swap: timings.swap,
            drain: timings.drain,
            endpoints: timings.endpoints,
            total: timings.total,
        };
        let outcome = Outcome {
            updates: timings.updates,
            requests: ledger.records.len(),
            lost: ledger.lost().count(),
            max_unavailable: timings.max_unavailable,
            is_proof: false,
            samples,
        };
        (outcome, ledger, workload, journal)
    }
}

/// With everything in it; nobody waits for it.
async fn remove(client: Client, namespace: &str) -> Result<()> {
    Api::<Namespace>::all(client).delete(namespace, &DeleteParams::default()).await?;
    Ok(())
}

fn unique(journals: &Path) -> Result<PathBuf> {
    fs::create_dir_all(journals)?;
    let number = fs::read_dir(journals)?.count();
    let journal = journals.join(number.to_string());
    fs::create_dir_all(&journal)?;
    Ok(journal)
}

/// The lines of all pods' journals: file, and what, id and version.
fn journals(journal: &Path) -> Result<Vec<(String, String)>> {
    let mut lines = Vec::new();
    for container in fs::read_dir(journal)? {
        for file in fs::read_dir(container?.path())? {
            let path = file?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            lines.extend(fs::read_to_string(&path)?.lines().map(|line| (name.clone(), line.to_owned())));
        }
    }
    Ok(lines)
}

/// What both ends know of the first lost requests.
fn lost(ledger: &Ledger, journal: &Path) -> Result<String> {
    let lines = journals(journal)?;
    let told = ledger.lost().take(TOLD).map(|record| {
        let of_id = |(pod, line): &(String, String)| {
            line.split(' ').nth(1).is_some_and(|id| id == record.id).then(|| format!("{pod}: {line}"))
        };
        let server: Vec<String> = lines.iter().filter_map(of_id).collect();
        let why = record.answer.as_ref().err().map_or("", String::as_str);
        let (sent, took) = (record.sent, (record.done - record.sent) / 1000);
        format!("{} sent at {sent} us, {took} ms later: {why}; servers: {server:?}", record.id)
    });
    Ok(told.collect::<Vec<_>>().join("\n"))
}

/// Both ends must tell the same story: every answered request was begun and ended exactly once, by the pod that the
/// answer names, and the servers saw no request that the clients do not know to be answered.
fn compare(ledger: &Ledger, journal: &Path) -> Result<()> {
    let answered: BTreeMap<&str, &str> = ledger
        .records
        .iter()
        .filter_map(|record| Some((record.id.as_str(), record.answer.as_ref().ok()?.pod.as_str())))
        .collect();
    let lines = journals(journal)?;
    let mut ended = BTreeSet::new();
    for (pod, line) in &lines {
        let mut words = line.split(' ');
        let (what, id) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match answered.get(id) {
            None => bail!("{pod} was asked {id}, which no client counts as answered"),
            Some(named) if named != pod => bail!("{id} was answered by {named}, but {pod} was asked as well"),
            Some(_) => {}
        }
        if what == "end" && !ended.insert(id) {
            bail!("{id} was answered twice");
        }
    }
    if let Some(id) = answered.keys().find(|id| !ended.contains(*id)) {
        bail!("{id} has an answer, but no pod made one");
    }
    Ok(())
}
