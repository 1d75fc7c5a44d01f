//! A node whose kubelet falls silent, as the real node lifecycle controller sees it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use cafe_tests::bed::{Bed, Options, controller};
use cafe_tests::scenario::{Kind, Pod, View, Workload, merge, web};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

const NODE: &str = "cella-1";

/// A bed of its own: elsewhere the node lifecycle controller is off. It goes with the process.
async fn bed() -> Result<&'static Bed> {
    let controller = tokio::task::spawn_blocking(|| controller::build(false)).await??;
    let bed: &'static Bed = Box::leak(Box::new(Bed::temporary()?));
    bed.up(&Options { nodes: 2, controller: Some(controller), node_lifecycle: true, ..Options::default() })
        .await?;
    Ok(bed)
}

fn leases(client: &Client) -> Api<Lease> {
    Api::namespaced(client.clone(), "kube-node-lease")
}

/// Whether nothing happens any more to these pods, whatever is asked for.
async fn freeze(web: &Workload, uids: &BTreeSet<String>, frozen: bool) -> Result<()> {
    let lost = Patch::Merge(
        json!({ "metadata": { "annotations": { "sim.cafe.dev/lost": frozen.then_some("true") } } }),
    );
    for pod in web.look().await?.pods().filter(|pod| uids.contains(pod.uid())) {
        web.api(Kind::Pod).patch(pod.name(), &PatchParams::default(), &lost).await?;
    }
    Ok(())
}

/// Takes the node's lease away from its kubelet, which renews it no more.
async fn silence(client: &Client) -> Result<()> {
    let other = json!({ "spec": { "holderIdentity": "nobody", "leaseDurationSeconds": 100_000 } });
    leases(client).patch(NODE, &PatchParams::default(), &Patch::Merge(other)).await?;
    Ok(())
}

/// The kubelet comes back: it makes its lease anew, and says that the node is Ready.
async fn come_back(client: &Client) -> Result<()> {
    leases(client).delete(NODE, &DeleteParams::default()).await?;
    let ready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady" }] } });
    let nodes: Api<Node> = Api::all(client.clone());
    nodes.patch_status(NODE, &PatchParams::default(), &Patch::Strategic(ready)).await?;
    Ok(())
}

/// Pods that leave a node that is not reached one second after that is known.
fn manifest() -> Value {
    let mut manifest = web(6);
    let toleration = |taint: &str| json!({ "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1 });
    let tolerations = ["node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"].map(toleration);
    merge(&mut manifest, &json!({ "spec": { "template": { "spec": { "tolerations": tolerations } } } }));
    manifest
}

fn uids<'a>(pods: impl Iterator<Item = Pod<'a>>) -> BTreeSet<String> {
    pods.map(|pod| pod.uid().to_owned()).collect()
}

fn on_node(view: &View) -> BTreeSet<String> {
    uids(view.pods().filter(|pod| pod.0["spec"]["nodeName"] == NODE))
}

fn ever(web: &Workload) -> BTreeSet<String> {
    let history = web.watcher().history();
    uids(history.iter().filter(|seen| seen.kind == Kind::Pod).map(|seen| Pod(&seen.object)))
}

#[tokio::test]
async fn pods_of_a_silent_node_are_replaced_once_and_its_return_kills_nothing_that_serves() -> Result<()> {
    let bed = bed().await?;
    let client = bed.client().await?;
    let web = Workload::install(bed, "silent", &manifest()).await?;
    let (before, lost) = (ever(&web), on_node(&web.look().await?));
    ensure!(!lost.is_empty(), "no pod runs on {NODE}");
    freeze(&web, &lost, true).await?;
    silence(&client).await?;
    let serving = |view: &View| uids(view.pods().filter(|pod| pod.in_service()));
    let replaced = |view: &View| {
        let going = uids(view.pods().filter(|pod| pod.is_terminating()));
        going == lost && serving(view).len() == 6 && serving(view).is_disjoint(&lost)
    };
    let view = web
        .wait_until("replaced", replaced)
        .await
        .context("the node lifecycle controller evicts the pods")?;
    let survivors = serving(&view);
    assert_eq!(view.pods.len(), 6 + lost.len());
    come_back(&client).await?;
    freeze(&web, &lost, false).await?;
    let view = web.wait_until("whole again", |view| view.is_settled() && view.pods.len() == 6).await?;
    assert_eq!(serving(&view), survivors, "a pod that served is gone");
    assert_eq!(ever(&web).len(), before.len() + lost.len(), "each lost pod is replaced once");
    web.finish().await?;
    Ok(())
}
