//! Many CafeDeployments over many units: whether all of it comes about, what it costs when nothing happens, and when all are released at once.
//!
//! Counts are checked. Seconds and memory are told, as they belong to the machine.

mod release;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use kube::core::ApiResource;
use serde::Serialize;
use serde_json::{Value, json};

use crate::bed::audit::{Entry, Reader};
use crate::bed::{Bed, CONTROLLER, usage};
use crate::scenario::{Kind, Pod, condition, merge, minimal};

pub use release::Released;

/// Creations on their way at once.
const AT_ONCE: usize = 16;
const POLL: Duration = Duration::from_secs(1);
/// Objects per page of a list.
const PAGE: u32 = 500;

/// How much of everything.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Size {
    /// Units, of one node each. At most 64.
    pub units: usize,
    /// CafeDeployments, each over all units.
    pub deployments: usize,
    /// Pods of all CafeDeployments together, divided evenly.
    pub pods: usize,
}

/// What is played.
#[derive(Clone, Copy, Debug)]
pub struct Play {
    /// How long to watch that nothing is written.
    pub idle: Duration,
    /// How long any one step may take.
    pub patience: Duration,
    /// Release every CafeDeployment at once afterwards.
    pub release: bool,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Figures {
    /// Seconds from the first CafeDeployment until every pod served and every CafeDeployment was Ready.
    pub converge_seconds: f64,
    /// Writes of the controller until then.
    pub converge_writes: usize,
    /// CPU seconds of the controller until then.
    pub converge_cpu_seconds: f64,
    /// The most memory that the controller had in use, in MiB.
    pub peak_rss_mib: f64,
    /// Memory in use when nothing happened, in MiB.
    pub idle_rss_mib: f64,
    /// Seconds that were watched while nothing happened.
    pub idle_seconds: f64,
    /// CPU seconds of the controller in that time.
    pub idle_cpu_seconds: f64,
    /// The same in thousandths of a processor.
    pub idle_mcpu: f64,
    /// Writes per minute in that time, the lease left out.
    pub idle_writes_per_minute: f64,
    /// Renewals of the lease per minute in that time.
    pub lease_writes_per_minute: f64,
    /// The release of all CafeDeployments at once.
    pub released: Option<Released>,
}

impl Size {
    /// The cells of a bed for it.
    #[must_use]
    pub fn cells(&self) -> Vec<String> {
        (1..=self.units).map(|number| format!("Unit-{number:02}")).collect()
    }

    /// Pods of each CafeDeployment.
    fn shares(&self) -> Vec<usize> {
        let more = self.pods % self.deployments.max(1);
        let share = |number| self.pods / self.deployments + usize::from(number < more);
        (0..self.deployments).map(share).collect()
    }
}

/// Creates everything in a new namespace of the bed, waits until it serves, checks that it is what was asked for, watches for
/// a while that nothing is written, and releases all of it where asked. The bed needs [`Size::cells`] and a controller, and nobody else who works in it.
///
/// # Errors
/// When it does not come about in time, something is not where it should be, the controller writes without need, or a release takes more pods
/// out of service than its budget allows; at once when the controller ends, with the end of its log.
pub async fn run(bed: &Bed, size: Size, what: Play, tell: &(dyn Fn(String) + Sync)) -> Result<Figures> {
    let pid = bed.controller_pid().context("the bed has no controller")?;
    tokio::select! {
        // Whatever else goes wrong when it has died, that it has is why.
        played = play(bed, size, what, tell) => played.map_err(|error| bed.check("controller").err().unwrap_or(error)),
        died = death(bed, pid) => Err(died),
    }
}

/// Waits until the controller is no more the process that it was, and says how it ended.
async fn death(bed: &Bed, pid: u32) -> anyhow::Error {
    loop {
        if let Err(ended) = bed.check("controller") {
            return ended;
        }
        if bed.controller_pid() != Some(pid) {
            return anyhow::anyhow!("the controller was started again");
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn play(bed: &Bed, size: Size, what: Play, tell: &(dyn Fn(String) + Sync)) -> Result<Figures> {
    let Play { idle, patience, release } = what;
    let client = bed.client().await?;
    let namespace = bed.namespace("thousands").await?;
    let stage = Stage { bed, client, namespace, size, tell };
    let mut log = bed.audit().at_end()?;
    let pid = bed.controller_pid().context("the bed has no controller")?;
    let (began, cpu) = (Instant::now(), usage::cpu_seconds(pid)?);
    stage.create().await?;
    tokio::time::timeout(patience, stage.converge(began))
        .await
        .context("not everything serves in time")??;
    let converge_seconds = began.elapsed().as_secs_f64();
    let converge_cpu_seconds = usage::cpu_seconds(pid)? - cpu;
    let mut writes = stage.writes(&mut log, "converged").await?;
    stage.check().await?;
    writes.extend(stage.quiet(&mut log, patience).await?);
    let (began, cpu) = (Instant::now(), usage::cpu_seconds(pid)?);
    tokio::time::sleep(idle).await;
    let (idle_seconds, idle_cpu_seconds) = (began.elapsed().as_secs_f64(), usage::cpu_seconds(pid)? - cpu);
    let (leases, others): (Vec<Entry>, Vec<Entry>) =
        stage.writes(&mut log, "idle").await?.into_iter().partition(is_lease);
    ensure!(others.is_empty(), "the controller writes although nothing happens: {others:#?}");
    let per_minute = |count: usize| count as f64 * 60.0 / idle_seconds;
    let mut figures = Figures {
        converge_seconds,
        converge_writes: writes.iter().filter(|entry| !is_lease(entry)).count(),
        converge_cpu_seconds,
        peak_rss_mib: usage::peak_rss_mib(pid)?,
        idle_rss_mib: usage::rss_mib(pid)?,
        idle_seconds,
        idle_cpu_seconds,
        idle_mcpu: idle_cpu_seconds / idle_seconds * 1000.0,
        idle_writes_per_minute: per_minute(others.len()),
        lease_writes_per_minute: per_minute(leases.len()),
        released: None,
    };
    if release {
        figures.released = Some(release::play(&stage, &mut log, patience).await?);
    }
    Ok(figures)
}

fn is_lease(entry: &Entry) -> bool {
    entry.resource == "leases"
}

struct Stage<'a> {
    bed: &'a Bed,
    client: Client,
    namespace: String,
    size: Size,
    tell: &'a (dyn Fn(String) + Sync),
}

impl Stage<'_> {
    fn api(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, resource)
    }

    async fn create(&self) -> Result<()> {
        let api = self.api(&Kind::Deployment.resource());
        let cells = self.size.cells();
        let objects = self.size.shares().into_iter().enumerate().map(|(number, pods)| {
            let mut object = minimal("CafeDeployment", &format!("app-{number:03}"));
            merge(
                &mut object,
                &json!({ "spec": {
                    "replicas": pods,
                    "strategy": { "needWaitingForConfirm": false },
                    "topology": { "unitType": "Cell", "values": cells },
                    "traffic": { "graceSeconds": 0 },
                }}),
            );
            object
        });
        stream::iter(objects)
            .map(|object| {
                let api = &api;
                async move {
                    api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
                    Ok(())
                }
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Waits until every CafeDeployment says that it is done.
    async fn converge(&self, began: Instant) -> Result<()> {
        loop {
            let all = self.list(Kind::Deployment).await?;
            let available = |object: &Value| {
                object.pointer("/status/availableReplicas").and_then(Value::as_u64).unwrap_or_default()
            };
            let is_ready = |object: &&Value| {
                let observed = object.pointer("/status/observedGeneration");
                observed.is_some_and(|seen| Some(seen) == object.pointer("/metadata/generation"))
                    && condition(object, "Ready").is_some_and(|c| c.get("status") == Some(&json!("True")))
            };
            let ready = all.iter().filter(is_ready).count();
            let available: u64 = all.iter().map(available).sum();
            (self.tell)(format!(
                "{:4.0} s: {ready} of {} CafeDeployments ready, {available} of {} pods available",
                began.elapsed().as_secs_f64(),
                self.size.deployments,
                self.size.pods
            ));
            if ready == self.size.deployments && available == self.size.pods as u64 {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// That every pod serves in its unit, and the units of each CafeDeployment differ by one at most.
    async fn check(&self) -> Result<()> {
        let sets = self.list(Kind::Set).await?.len();
        let wanted = self.size.deployments * self.size.units;
        ensure!(sets == wanted, "{sets} InPlaceSets, not {wanted}");
        let pods = self.list(Kind::Pod).await?;
        ensure!(pods.len() == self.size.pods, "{} pods, not {}", pods.len(), self.size.pods);
        let mut units: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for pod in pods.iter().map(Pod) {
            ensure!(pod.in_service(), "{} does not serve", pod.line());
            let node = pod.0.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
            let home = format!("{}-1", pod.unit().to_lowercase());
            ensure!(node == home, "{} runs on {node}, not on {home}", pod.name());
            *units.entry(pod.label("app")).or_default().entry(pod.unit()).or_default() += 1;
        }
        for (app, units) in units {
            let least =
                if units.len() < self.size.units { 0 } else { units.values().copied().min().unwrap_or(0) };
            let most = units.values().copied().max().unwrap_or(0);
            ensure!(most - least <= 1, "{app} is not spread evenly: {units:?}");
        }
        Ok(())
    }

    async fn list(&self, kind: Kind) -> Result<Vec<Value>> {
        let api = self.api(&kind.resource());
        let mut params = ListParams::default().limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page = api.list(&params).await?;
            for object in page.items {
                all.push(serde_json::to_value(object)?);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(all),
            }
        }
    }

    /// What the controller has written since the last look, leases included.
    async fn writes(&self, log: &mut Reader, mark: &str) -> Result<Vec<Entry>> {
        let mark = format!("{}-{mark}", self.namespace);
        let entries = self.bed.entries_until_now(log, &mark).await?;
        Ok(entries.into_iter().filter(|entry| entry.user == CONTROLLER && entry.is_write()).collect())
    }

    /// Waits until everything is written that the changes so far have caused: figures and events may follow for a second.
    async fn quiet(&self, log: &mut Reader, patience: Duration) -> Result<Vec<Entry>> {
        let end = Instant::now() + patience;
        let mut before = Vec::new();
        for round in 0.. {
            tokio::time::sleep(Duration::from_millis(2500)).await;
            let writes = self.writes(log, &format!("quiet-{round}")).await?;
            if writes.iter().all(is_lease) {
                break;
            }
            before.extend(writes);
            ensure!(Instant::now() < end, "the controller goes on writing");
        }
        Ok(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_divided_over_the_deployments() {
        let size = Size { units: 3, deployments: 3, pods: 11 };
        assert_eq!(size.shares(), [4, 4, 3]);
        assert_eq!(size.cells(), ["Unit-01", "Unit-02", "Unit-03"]);
    }
}
