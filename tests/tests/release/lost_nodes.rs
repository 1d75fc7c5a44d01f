//! Nodes that die with their pods, and come back.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use cafe_crds::names::ANNOTATION_CEILING;
use cafe_tests::scenario::{Cell, Kind, View, Workload, bed, merge};
use serde_json::json;

/// uids of all pods that ever were.
fn ever(web: &Workload) -> BTreeSet<String> {
    let history = web.watcher().history();
    let pods = history.iter().filter(|seen| seen.kind == Kind::Pod);
    pods.map(|seen| cafe_tests::scenario::Pod(&seen.object).uid().to_owned()).collect()
}

fn serving(view: &View) -> BTreeSet<String> {
    view.pods().filter(|pod| pod.in_service()).map(|pod| pod.uid().to_owned()).collect()
}

#[tokio::test]
async fn a_lost_cell_is_replaced_once_and_its_return_kills_nothing() -> Result<()> {
    let bed = bed().await?;
    let a = Cell::with_room(bed, "Lost-a", 100).await?;
    let b = Cell::with_room(bed, "Lost-b", 100).await?;
    let web = Workload::install(bed, "lost-cell", &Cell::web(10, &[&a, &b])).await?;
    let before = ever(&web);
    a.lose().await?;
    let survivors = serving(&web.wait_until("half is out", |view| serving(view).len() == 5).await?);
    // Evicted, stuck on the dead node, and replaced at once: the replacements find no node.
    let replaced = |view: &View| {
        let going = view.pods().filter(|pod| pod.is_terminating()).count();
        view.reason("UnitsHealthy") == "UnitLost" && going == 5 && view.pods.len() == 15
    };
    web.wait_until("replaced", replaced).await?;
    let ceiling = |view: &View| view.set_annotation("web-lost-a", ANNOTATION_CEILING).to_owned();
    web.stays("in its unit", Duration::from_secs(2), |view| {
        ceiling(view).is_empty() && view.pods.len() == 15 && serving(view) == survivors
    })
    .await?;
    // A second is less than the scheduler may need for the node that is back: it is given as long as the test lasts.
    web.patch(json!({ "spec": { "topology": { "autoReschedule": { "initialDelaySeconds": 600 } } } }))
        .await?;
    web.wait_until("told", View::is_observed).await?;
    a.come_back().await?;
    let view = web.wait_until("whole again", |view| view.is_settled() && view.pods.len() == 10).await?;
    assert!(survivors.is_subset(&serving(&view)), "a pod that served is gone");
    assert_eq!(ever(&web).len(), before.len() + 5, "each lost pod is replaced once");
    assert_eq!((view.reason("UnitsHealthy"), ceiling(&view).as_str()), ("AllUnitsHealthy", ""));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_node_that_comes_back_before_its_pods_are_evicted_has_them_all() -> Result<()> {
    let bed = bed().await?;
    let a = Cell::with_room(bed, "Back-a", 100).await?;
    let b = Cell::with_room(bed, "Back-b", 100).await?;
    let mut manifest = Cell::web(6, &[&a, &b]);
    // Five minutes, as Kubernetes gives every pod.
    let tolerations = json!([{ "key": "sim.cafe.dev/own", "operator": "Exists" }]);
    merge(&mut manifest, &json!({ "spec": { "template": { "spec": { "tolerations": tolerations } } } }));
    let web = Workload::install(bed, "back", &manifest).await?;
    let before = ever(&web);
    a.lose().await?;
    let out =
        |view: &View| view.has("Available", "False") && view.deployment["status"]["availableReplicas"] == 3;
    web.wait_until("unavailable", out).await?;
    // Nothing that serves is taken out while half is: a release waits.
    web.release("v2").await?;
    let survivors = serving(&web.look().await?);
    let still = |view: &View| survivors.is_subset(&serving(view));
    web.stays("serving", Duration::from_secs(1), still).await?;
    a.come_back().await?;
    web.wait_for_gate("2/1").await?;
    web.confirm("2/all").await?;
    web.wait_until_settled().await?;
    assert_eq!(ever(&web), before, "no pod was replaced");
    web.finish().await?;
    Ok(())
}
