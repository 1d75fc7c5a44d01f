//! Pods that find no node in their unit.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use cafe_crds::names::ANNOTATION_CEILING;
use cafe_tests::scenario::{Cell, Kind, View, Workload, bed, merge};
use kube::api::{Patch, PatchParams};
use serde_json::json;

/// Long enough for a plan that would move something to do so, after the second that pods wait.
const A_WHILE: Duration = Duration::from_secs(2);

/// Live pods by unit.
fn live(view: &View) -> BTreeMap<&str, usize> {
    let mut units = BTreeMap::new();
    for pod in view.pods().filter(|pod| !pod.is_terminating()) {
        *units.entry(pod.unit()).or_default() += 1;
    }
    units
}

/// What one cell and another have.
fn split<'a>(a: &'a Cell, pods: usize, b: &'a Cell, others: usize) -> BTreeMap<&'a str, usize> {
    [(a.name.as_str(), pods), (b.name.as_str(), others)].into()
}

fn ceiling<'a>(view: &'a View, cell: &Cell) -> &'a str {
    view.set_annotation(&format!("web-{}", cell.name.to_lowercase()), ANNOTATION_CEILING)
}

fn told(web: &Workload, reason: &str) -> usize {
    web.watcher().events().iter().filter(|(told, _)| told == reason).count()
}

/// uids of the pods in service in a cell.
fn serving_in(view: &View, cell: &Cell) -> Vec<String> {
    let there = view.pods().filter(|pod| pod.in_service() && pod.unit() == cell.name);
    there.map(|pod| pod.uid().to_owned()).collect()
}

#[tokio::test]
async fn pods_that_find_no_node_move_once_and_come_back_only_when_somebody_says_so() -> Result<()> {
    let bed = bed().await?;
    let a = Cell::with_room(bed, "Moves-a", 3).await?;
    let b = Cell::with_room(bed, "Moves-b", 100).await?;
    let web = Workload::create(bed, "moves", &Cell::web(10, &[&a, &b])).await?;
    let served_first = |view: &View| serving_in(view, &a).len() == 3;
    let first = serving_in(&web.wait_until("three serve", served_first).await?, &a);
    let view = web.wait_until_settled().await?;
    assert_eq!(view.serving("v1"), split(&a, 3, &b, 7));
    assert_eq!((ceiling(&view, &a), ceiling(&view, &b)), ("3", ""));
    assert_eq!(view.reason("UnitsHealthy"), "UnitCapped");
    web.wait_until("told", |_| told(&web, "PodRescheduled") == 1).await?;

    // Room alone brings nothing back, also when pods die.
    a.set_room(100).await?;
    let victim = view.pods().find(|pod| pod.unit() == b.name).map(|pod| pod.name().to_owned()).unwrap();
    web.delete_pod(&victim).await?;
    let replaced = |view: &View| view.is_settled() && view.pod(&victim).is_none();
    assert_eq!(web.wait_until("replaced", replaced).await?.serving("v1"), split(&a, 3, &b, 7));

    let off = Patch::Merge(json!({ "metadata": { "annotations": { ANNOTATION_CEILING: null } } }));
    web.api(Kind::Set).patch("web-moves-a", &PatchParams::default(), &off).await?;
    let even = |view: &View| view.is_settled() && view.serving("v1") == split(&a, 5, &b, 5);
    let view = web.wait_until("even again", even).await?;
    assert_eq!((ceiling(&view, &a), view.reason("UnitsHealthy")), ("", "AllUnitsHealthy"));
    let kept = serving_in(&view, &a);
    assert!(first.iter().all(|uid| kept.contains(uid)), "a pod that served has moved");
    assert!(web.finish().await?.asked["S13"] > 0);
    Ok(())
}

#[tokio::test]
async fn when_both_units_are_full_pods_wait_and_nothing_goes_back_and_forth() -> Result<()> {
    let bed = bed().await?;
    let a = Cell::with_room(bed, "Full-a", 3).await?;
    let b = Cell::with_room(bed, "Full-b", 4).await?;
    let web = Workload::create(bed, "full", &Cell::web(10, &[&a, &b])).await?;
    let full = |view: &View| view.reason("UnitsHealthy") == "NoRoom";
    let view = web.wait_until("told that there is no room", full).await?;
    assert!(view.message().contains("no other unit takes their places"), "{}", view.message());
    assert!(view.message().contains("kubectl get nodes -L cafe.dev/cell"), "{}", view.message());
    web.stays("where they are", A_WHILE, |view| {
        live(view) == split(&a, 5, &b, 5) && ceiling(view, &a).is_empty() && ceiling(view, &b).is_empty()
    })
    .await?;
    // As soon as one of them has room it takes what the other cannot.
    b.set_room(100).await?;
    let view = web.wait_until_settled().await?;
    assert_eq!((view.serving("v1"), ceiling(&view, &a)), (split(&a, 3, &b, 7), "3"));
    assert!(web.finish().await?.asked["S13"] > 0);
    Ok(())
}

#[tokio::test]
async fn a_pinned_unit_keeps_its_pods_and_a_change_of_pins_ends_a_ceiling() -> Result<()> {
    let bed = bed().await?;
    let a = Cell::with_room(bed, "Pinned-a", 3).await?;
    let b = Cell::with_room(bed, "Pinned-b", 100).await?;
    let mut manifest = Cell::web(10, &[&a, &b]);
    merge(&mut manifest, &json!({ "spec": { "topology": { "unitReplicas": { (a.name.as_str()): 4 } } } }));
    let web = Workload::create(bed, "pinned", &manifest).await?;
    let held =
        |view: &View| view.reason("UnitsHealthy") == "NoRoom" && view.message().contains("it is pinned");
    web.wait_until("told that it is pinned", held).await?;
    web.stays("pinned", A_WHILE, |view| live(view) == split(&a, 4, &b, 6) && ceiling(view, &a).is_empty())
        .await?;

    web.patch(json!({ "spec": { "topology": { "unitReplicas": null } } })).await?;
    let moved = |view: &View| view.is_settled() && ceiling(view, &a) == "3";
    assert_eq!(web.wait_until("moved", moved).await?.serving("v1"), split(&a, 3, &b, 7));
    a.set_room(100).await?;
    web.patch(json!({ "spec": { "topology": { "unitReplicas": { (b.name.as_str()): "40%" } } } })).await?;
    let pinned = |view: &View| view.is_settled() && view.serving("v1") == split(&a, 6, &b, 4);
    assert_eq!(ceiling(&web.wait_until("as pinned", pinned).await?, &a), "");
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn pods_that_move_at_a_gate_pass_none() -> Result<()> {
    let bed = bed().await?;
    let a = Cell::with_room(bed, "Gate-a", 5).await?;
    let b = Cell::with_room(bed, "Gate-b", 100).await?;
    let web = Workload::install(bed, "move-gate", &Cell::web(10, &[&a, &b])).await?;
    let mut template = web.template("v2", &[]);
    merge(&mut template, &json!({ "spec": { "tolerations": web.first_template()["spec"]["tolerations"] } }));
    web.set_template(&template).await?;
    web.wait_for_gate("2/1").await?;
    web.confirm("2/1").await?;
    let view = web.wait_for_gate("2/2").await?;
    assert_eq!(view.serving("v2"), split(&a, 3, &b, 3));
    // One of either revision dies, and its place on the node is gone.
    a.set_room(3).await?;
    for tag in [":v1", ":v2"] {
        let dies = |pod: &cafe_tests::scenario::Pod<'_>| {
            pod.unit() == a.name && pod.containers()[0].runs.ends_with(tag)
        };
        let name = view.pods().find(dies).map(|pod| pod.name().to_owned()).unwrap();
        web.delete_pod(&name).await?;
    }
    // The full unit keeps as many updated pods as were let into it, so its last old one is updated in place of the one that died.
    let moved = |view: &View| {
        let revisions = (view.serving_in_all("v1"), view.serving_in_all("v2"));
        view.waits_at("2/2") && revisions == (4, 6) && live(view) == split(&a, 3, &b, 7)
    };
    assert_eq!(ceiling(&web.wait_until("moved", moved).await?, &a), "3");
    web.confirm("2/all").await?;
    assert_eq!(web.wait_until_settled().await?.serving("v2"), split(&a, 3, &b, 7));
    assert!(web.finish().await?.asked["S13"] > 0);
    Ok(())
}

#[tokio::test]
async fn a_value_that_no_node_carries_is_named_until_one_does() -> Result<()> {
    let bed = bed().await?;
    let a = Cell::with_room(bed, "Named-a", 100).await?;
    let b = Cell::empty(bed, "Named-b").await?;
    let mut manifest = Cell::web(4, &[&a, &b]);
    merge(&mut manifest, &json!({ "spec": { "topology": { "autoReschedule": null } } }));
    let web = Workload::create(bed, "named", &manifest).await?;
    let named = |view: &View| view.has("UnitsHealthy", "False") && view.reason("UnitsHealthy") == "NoNodes";
    let view = web.wait_until("named", named).await?;
    let conditions = view.deployment["status"]["conditions"].as_array().unwrap();
    let condition = conditions.iter().find(|c| c["type"] == "UnitsHealthy").unwrap();
    let message = condition["message"].as_str().unwrap();
    assert!(message.contains("cafe.dev/cell with the value Named-b:"), "{message}");
    assert!(message.contains("kubectl get nodes -L cafe.dev/cell"), "{message}");
    b.add_node(100).await?;
    let view = web.wait_until_settled().await?;
    assert_eq!((view.reason("UnitsHealthy"), view.serving("v1")), ("AllUnitsHealthy", split(&a, 2, &b, 2)));
    web.finish().await?;
    Ok(())
}
