//! What the balancer routes to, seen from outside, and held against the pods.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::pod::has_finalizer;
use super::subject::Environment;
use crate::scenario::Pod;

const INTERVAL: Duration = Duration::from_millis(100);

/// The command that prints the table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) command: String,
    pub(super) environment: Environment,
}

impl Table {
    /// The addresses in the table now.
    pub(super) async fn read(&self) -> Result<BTreeSet<IpAddr>> {
        let mut shell = Command::new("sh");
        shell.args(["-c", &self.command]);
        shell.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        let output = tokio::process::Command::from(shell).output().await?;
        if !output.status.success() {
            bail!("`{}` failed: {}", self.command, String::from_utf8_lossy(&output.stderr));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines
            .map(|line| line.parse().with_context(|| format!("`{}` prints {line:?}", self.command)))
            .collect()
    }
}

#[derive(Debug, Default)]
struct Notes {
    holes: BTreeSet<String>,
    /// Every pod that had an address.
    known: BTreeMap<IpAddr, String>,
}

/// Reads the table again and again: whatever is in it must be locked.
#[derive(Debug)]
pub(super) struct Sentry {
    notes: Arc<Mutex<Notes>>,
    task: JoinHandle<()>,
}

impl Drop for Sentry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sentry {
    pub(super) fn post(table: Table, pods: Api<DynamicObject>, lock: String) -> Self {
        let shared = Arc::new(Mutex::new(Notes::default()));
        let notes = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut interval = tokio::time::interval(INTERVAL);
            loop {
                interval.tick().await;
                let mut known = lock_notes(&notes).known.clone();
                // While the balancer is being restarted there is no table.
                if let Ok(holes) = look(&table, &pods, &lock, &mut known).await {
                    let mut notes = lock_notes(&notes);
                    notes.known = known;
                    notes.holes.extend(holes);
                }
            }
        });
        Self { notes: shared, task }
    }

    /// What was found since the last call.
    pub(super) fn report(&self) -> Vec<String> {
        std::mem::take(&mut lock_notes(&self.notes).holes).into_iter().collect()
    }

    /// Knows no pod any more.
    pub(super) fn forget(&self) {
        *lock_notes(&self.notes) = Notes::default();
    }
}

fn lock_notes(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The table is read between two looks at the pods. What neither look excuses was a hole while the table was read.
pub(super) async fn look(
    table: &Table,
    pods: &Api<DynamicObject>,
    lock: &str,
    known: &mut BTreeMap<IpAddr, String>,
) -> Result<Vec<String>> {
    let before = by_address(pods).await?;
    let routed = table.read().await?;
    let after = by_address(pods).await?;
    known.extend(before.iter().chain(&after).map(|(address, pod)| (*address, name(pod))));
    let unlocked = |pod: Option<&Value>| pod.is_none_or(|pod| !has_finalizer(pod, lock));
    let version = |pod: Option<&Value>| pod.map(|pod| pod.pointer("/metadata/resourceVersion").cloned());
    let holes = routed.iter().filter_map(|address| {
        let (old, new) = (before.get(address), after.get(address));
        let name = known.get(address)?;
        let open = unlocked(old) && unlocked(new) && version(old) == version(new);
        open.then(|| {
            format!(
                "the balancer has {address} in its table, and its pod {name} does not carry the finalizer"
            )
        })
    });
    Ok(holes.collect())
}

fn name(pod: &Value) -> String {
    Pod(pod).name().to_owned()
}

async fn by_address(pods: &Api<DynamicObject>) -> Result<BTreeMap<IpAddr, Value>> {
    let mut found = BTreeMap::new();
    for pod in pods.list(&ListParams::default()).await? {
        let address =
            pod.data.pointer("/status/podIP").and_then(Value::as_str).and_then(|ip| ip.parse().ok());
        if let Some(address) = address {
            let name = pod.name_any();
            found.insert(address, serde_json::to_value(pod).with_context(|| format!("cannot read {name}"))?);
        }
    }
    Ok(found)
}
