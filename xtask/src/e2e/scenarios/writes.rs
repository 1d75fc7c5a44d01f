//! Who writes a pod during an update.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use cafe_tests::bed::audit::{Entry, Reader};
use cafe_tests::node::RealNodes;
use cafe_tests::scenario::{Gate, Kind, Pod, Workload};
use serde_json::json;

use super::super::play::Play;
use super::super::report::Outcome;
use super::super::telling::Telling;

const PODS: usize = 4;
const TAGS: [&str; 2] = ["v2", "v1"];
/// Longer than the ten seconds after which a kubelet compares what it wrote last with what it sees.
const GRACE: u32 = 11;
const CONTROLLER: &str = "system:serviceaccount:cafe-system:cafe-controller";
const KUBELET: &str = "system:node:";

/// The API server's audit log shows three writes of the controller per pod, and one of the kubelet between W1 and W2: Ready
/// False. Every ten seconds the kubelet compares the API with what it wrote last and puts that back; the drains here last
/// longer, and it must find nothing to put back.
pub(super) async fn play(telling: &Telling, nodes: &'static RealNodes) -> Result<Outcome> {
    let patch = json!({ "spec": { "traffic": { "graceSeconds": GRACE } } });
    let play = Play::open(nodes, 4, &patch).await?;
    let mut log = nodes.bed().audit();
    log.skip()?;
    for tag in TAGS {
        play.workload.release(tag).await?;
        play.workload.wait_until_settled().await?;
    }
    let namespace = play.workload.namespace();
    let entries = complete(&mut log, namespace).await?;
    let mut drains = 0;
    for (pod, ours) in steps(&entries, namespace) {
        ensure!(ours.len() == 3 * TAGS.len(), "{pod}: {} writes of the controller: {ours:#?}", ours.len());
        for cycle in ours.chunks(3) {
            let [w1, w2, w3] = cycle else { continue };
            let paths = [w1, w2, w3].map(|entry| entry.subresource.as_str());
            ensure!(paths == ["status", "", "status"], "{pod}: not W1, W2, W3: {cycle:#?}");
            let between = |entry: &&Entry| entry.received > w1.received && entry.received < w2.received;
            let of_kubelet =
                |entry: &&Entry| entry.user.starts_with(KUBELET) && is_write_of(entry, namespace, pod);
            let foreign: Vec<&Entry> = entries.iter().filter(of_kubelet).filter(between).collect();
            ensure!(foreign.len() == 1, "the kubelet wrote {pod} between W1 and W2: {foreign:#?}");
            drains += 1;
        }
    }
    telling.line("writes", &format!("one write of a kubelet in each of {drains} drains of {GRACE} s"));
    ensure_never_ready_again(&play.workload)?;
    play.close().await
}

/// The log is written in batches: until the last write of every pod is in it.
async fn complete(log: &mut Reader, namespace: &str) -> Result<Vec<Entry>> {
    let mut entries = log.entries()?;
    let is_complete = |entries: &[Entry]| {
        let steps = steps(entries, namespace);
        steps.len() == PODS && steps.values().all(|of_pod| of_pod.len() >= 3 * TAGS.len())
    };
    let rest = async {
        while !is_complete(&entries) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            entries.extend(log.entries()?);
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(30), rest).await??;
    Ok(entries)
}

/// Once out of the traffic, a pod is not Ready before its gate is open again.
fn ensure_never_ready_again(workload: &Workload) -> Result<()> {
    let history = workload.watcher().history();
    let mut last: BTreeMap<&str, Pod<'_>> = BTreeMap::new();
    for seen in history.iter().filter(|seen| seen.kind == Kind::Pod) {
        let pod = Pod(&seen.object);
        let Some(before) = last.insert(&seen.name, pod) else { continue };
        let was_out = matches!(before.gate(), Gate::False(_)) && !before.is_ready();
        let is_shut = matches!(pod.gate(), Gate::False(_));
        ensure!(
            !(was_out && is_shut && pod.is_ready()),
            "{} is Ready in its drain: {}",
            seen.name,
            pod.line()
        );
    }
    Ok(())
}

/// The controller's writes by pod, in order.
fn steps<'a>(entries: &'a [Entry], namespace: &str) -> BTreeMap<&'a str, Vec<&'a Entry>> {
    let mut steps: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        if entry.user == CONTROLLER && is_write_of(entry, namespace, &entry.name) {
            steps.entry(&entry.name).or_default().push(entry);
        }
    }
    steps.values_mut().for_each(|of_pod| of_pod.sort_by_key(|entry| entry.received));
    steps
}

fn is_write_of(entry: &Entry, namespace: &str, pod: &str) -> bool {
    entry.is_write()
        && entry.code < 300
        && entry.resource == "pods"
        && entry.namespace == namespace
        && entry.name == pod
}
