use anyhow::Result;
use cafe_crds::names::LABEL_SERVING;
use cafe_tests::scenario::{Gate, Kind, Pod, View, Workload, bed, merge, web};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::balancer::{Balancer, draining};
use crate::cells;
use crate::story::{at_updates, since_out};

/// `web` for load balancers that ignore readiness.
fn unselecting(replicas: i32) -> Value {
    let mut manifest = web(replicas);
    merge(&mut manifest, &json!({ "spec": { "traffic": { "mode": "Unselect" } } }));
    manifest
}

/// Installs it behind a Service that selects on the label.
async fn install(prefix: &str, manifest: &Value) -> Result<Workload> {
    let web = Workload::open(bed().await?, prefix, manifest).await?;
    web.serve("web", &json!({ "selector": { LABEL_SERVING: "true" } })).await?;
    web.start().await?;
    web.wait_until_served().await?;
    Ok(web)
}

fn is_selected(pod: Pod<'_>) -> bool {
    pod.label(LABEL_SERVING) == "true"
}

/// In every version of every pod the label is there exactly when the gate is open: both change in one write.
fn label_follows_gate(web: &Workload) {
    for seen in web.watcher().history().iter().filter(|seen| seen.kind == Kind::Pod) {
        let pod = Pod(&seen.object);
        assert_eq!(is_selected(pod), pod.gate() == Gate::True, "at {}: {}", seen.version, pod.line());
    }
}

#[tokio::test]
async fn the_label_goes_and_comes_with_the_gate_and_no_endpoint_is_left_of_a_pod_that_is_changed()
-> Result<()> {
    let web = install("unselect", &unselecting(4)).await?;
    let before = web.look().await?.identities();
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    web.confirm("2/all").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!((view.serving("v2"), view.identities()), (cells(2, 2), before));
    web.wait_until("served again", |view| view.endpoints().len() == 4).await?;
    let at = at_updates(&web);
    assert_eq!(at.len(), 4);
    assert!(at.values().all(std::collections::BTreeMap::is_empty), "{at:#?}");
    label_follows_gate(&web);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_drain_that_is_called_off_puts_the_label_back() -> Result<()> {
    let web = install("relabel", &unselecting(2)).await?;
    let balancer = Balancer(&web);
    balancer.lock_all().await?;
    web.release("v2").await?;
    let view = web.wait_until("draining", |view| draining(view).is_some()).await?;
    assert!(view.pods().filter(|pod| pod.drain().is_some()).all(|pod| !is_selected(pod)));
    web.roll_back().await?;
    let view = web.wait_until_settled().await?;
    assert!(view.pods().all(|pod| is_selected(pod) && pod.restarts() == 0));
    label_follows_gate(&web);
    web.finish().await?;
    balancer.unlock_all().await
}

#[tokio::test]
async fn scale_in_takes_the_label_off_before_the_pod_goes() -> Result<()> {
    let web = install("unselect-in", &unselecting(4)).await?;
    let before = web.look().await?.identities();
    web.scale(2).await?;
    let view = web.wait_until("smaller", |view| view.is_settled() && view.pods.len() == 2).await?;
    let there: Vec<String> = view.identities().into_keys().collect();
    for (uid, _) in before.into_iter().filter(|(name, _)| !there.contains(name)).map(|(_, id)| id) {
        assert_eq!(since_out(&web, &uid), ["out", "unserved", "terminating"]);
    }
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_that_is_born_is_selected_when_it_serves_and_not_before() -> Result<()> {
    let mut manifest = unselecting(2);
    let slow = json!({ "metadata": { "annotations": { "sim.cafe.dev/ready-delay": "300ms" } } });
    merge(&mut manifest, &json!({ "spec": { "template": slow } }));
    let web = install("unselect-birth", &manifest).await?;
    web.scale(4).await?;
    let grown = |view: &View| view.is_settled() && view.endpoints().len() == 4;
    web.wait_until("grown", grown).await?;
    label_follows_gate(&web);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_label_that_somebody_takes_off_is_put_back() -> Result<()> {
    let web = install("unselect-hand", &unselecting(2)).await?;
    let before = web.look().await?.identities();
    for pod in before.keys() {
        let patch = Patch::Merge(json!({ "metadata": { "labels": { LABEL_SERVING: null } } }));
        web.api(Kind::Pod).patch(pod, &PatchParams::default(), &patch).await?;
    }
    let back = |view: &View| view.pods().all(is_selected) && view.endpoints().len() == 2;
    let view = web.wait_until("selected again", back).await?;
    assert_eq!(view.identities(), before);
    assert!(view.pods().all(|pod| pod.restarts() == 0));
    assert!(web.finish().await?.drains.is_empty());
    Ok(())
}

#[tokio::test]
async fn pods_are_selected_when_the_mode_becomes_unselect_and_none_is_drained_for_it() -> Result<()> {
    let web = Workload::install(bed().await?, "unselect-later", &web(4)).await?;
    assert!(web.look().await?.pods().all(|pod| !is_selected(pod)));
    web.patch(json!({ "spec": { "traffic": { "mode": "Unselect" } } })).await?;
    web.wait_until("selected", |view| view.pods().all(is_selected)).await?;
    let view = web.wait_until_settled().await?;
    assert!(view.pods().all(Pod::in_service));
    assert!(web.finish().await?.drains.is_empty());
    Ok(())
}
