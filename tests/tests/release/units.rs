//! Units that come, go and change, live.

use std::collections::BTreeMap;

use anyhow::Result;
use cafe_tests::scenario::{Kind, Pod, View, Workload, bed, merge, web};
use serde_json::{Value, json};

use crate::restart::uids;
use crate::story::since_out;

/// What is changed, the pods that each unit has then, and how many of them have moved.
type Step = (Value, &'static [(&'static str, usize)], usize);

/// `web` over three cells.
fn wide(replicas: i32) -> Value {
    let mut manifest = web(replicas);
    merge(&mut manifest, &json!({ "spec": { "topology": { "values": ["CellA", "CellB", "CellC"] } } }));
    manifest
}

async fn reshape(web: &Workload, topology: Value) -> Result<()> {
    web.patch(json!({ "spec": { "topology": topology } })).await
}

/// Pods in service by unit, whatever they run.
fn sizes(view: &View) -> BTreeMap<&str, usize> {
    let mut sizes = BTreeMap::new();
    for pod in view.pods().filter(|pod| pod.in_service()) {
        *sizes.entry(pod.unit()).or_default() += 1;
    }
    sizes
}

/// These pods, all in service, and nobody else.
fn has<'a>(expected: &'a [(&'a str, usize)]) -> impl Fn(&View) -> bool + 'a {
    move |view| {
        let expected: BTreeMap<&str, usize> = expected.iter().copied().collect();
        view.is_observed() && sizes(view) == expected && view.pods.len() == expected.values().sum::<usize>()
    }
}

/// What is told of the units.
fn told(view: &View) -> (&str, &str) {
    let conditions = view.deployment["status"]["conditions"].as_array();
    let units = conditions.into_iter().flatten().find(|c| c["type"] == "UnitsHealthy").unwrap();
    (units["status"].as_str().unwrap(), units["reason"].as_str().unwrap())
}

/// Every pod that has gone was out of traffic first, and as many new ones served before.
async fn moved(web: &Workload, before: &View, moves: usize) -> Result<()> {
    let view = web.look().await?;
    let (was, now) = (uids(before), uids(&view));
    let gone: Vec<&String> = was.difference(&now).collect();
    assert_eq!(gone.len(), moves, "pods that moved");
    for uid in gone {
        assert_eq!(since_out(web, uid), ["out", "unserved", "terminating"], "{uid}");
    }
    Ok(())
}

#[tokio::test]
async fn units_are_added_reordered_renamed_and_removed_with_the_fewest_moves() -> Result<()> {
    let web = Workload::install(bed().await?, "units", &web(6)).await?;
    let steps: [Step; 4] = [
        // Added in front, in another order.
        (json!(["CellC", "CellB", "CellA"]), &[("CellA", 2), ("CellB", 2), ("CellC", 2)], 2),
        (json!(["CellB", "CellA", "CellC"]), &[("CellA", 2), ("CellB", 2), ("CellC", 2)], 0),
        (json!(["CellB", "CellC"]), &[("CellB", 3), ("CellC", 3)], 2),
        // Another name is another unit.
        (json!(["CellA", "CellC"]), &[("CellA", 3), ("CellC", 3)], 3),
    ];
    for (values, expected, moves) in steps {
        let before = web.look().await?;
        reshape(&web, json!({ "values": values })).await?;
        let there =
            |view: &View| view.is_settled() && has(expected)(view) && view.sets.len() == expected.len();
        web.wait_until(&format!("over {values}"), there).await?;
        moved(&web, &before, moves).await?;
    }
    assert_eq!(web.finish().await?.most_out, 0, "each place was taken before the old pod left");
    Ok(())
}

#[tokio::test]
async fn pins_are_changed_live_in_pods_and_in_percent() -> Result<()> {
    let web = Workload::install(bed().await?, "pins", &wide(10)).await?;
    let steps: [Step; 4] = [
        (json!({ "CellB": 6 }), &[("CellA", 2), ("CellB", 6), ("CellC", 2)], 3),
        (json!({ "CellB": "60%", "CellC": "25%" }), &[("CellA", 2), ("CellB", 6), ("CellC", 2)], 0),
        (json!({ "CellB": "25%", "CellC": "75%" }), &[("CellB", 3), ("CellC", 7)], 5),
        (json!({ "CellA": 0, "CellB": null, "CellC": null }), &[("CellB", 5), ("CellC", 5)], 2),
    ];
    for (pins, expected, moves) in steps {
        let before = web.look().await?;
        reshape(&web, json!({ "unitReplicas": pins })).await?;
        web.wait_until(&format!("pinned to {pins}"), |view| view.is_settled() && has(expected)(view)).await?;
        moved(&web, &before, moves).await?;
    }
    assert_eq!(web.finish().await?.most_out, 0);
    Ok(())
}

#[tokio::test]
async fn whatever_total_is_set_pins_that_do_not_fit_give_way_and_are_told() -> Result<()> {
    let mut manifest = web(10);
    let pins = json!({ "spec": { "topology": { "unitReplicas": { "CellA": 4, "CellB": 6 } } } });
    merge(&mut manifest, &pins);
    let web = Workload::install(bed().await?, "misfit", &manifest).await?;
    assert_eq!(told(&web.look().await?).0, "True");
    for (total, expected) in [(5, [("CellA", 2), ("CellB", 3)]), (13, [("CellA", 6), ("CellB", 7)])] {
        web.scale(total).await?;
        let there = |view: &View| has(&expected)(view) && told(view) == ("False", "PinsDoNotFit");
        web.wait_until(&format!("{total} pods"), there).await?;
    }
    web.scale(10).await?;
    let fits =
        |view: &View| view.is_settled() && has(&[("CellA", 4), ("CellB", 6)])(view) && told(view).0 == "True";
    web.wait_until("as pinned", fits).await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_unit_that_is_replaced_at_a_gate_passes_no_gate() -> Result<()> {
    let web = Workload::install(bed().await?, "unit-gate", &web(8)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    reshape(&web, json!({ "values": ["CellA", "CellC"] })).await?;
    let at =
        |token: &'static str, view: &View| view.waits_at(token) && has(&[("CellA", 4), ("CellC", 4)])(view);
    let view = web.wait_until("moved, at the gate", |view| at("2/1", view) && view.sets.len() == 2).await?;
    assert_eq!(view.serving("v2"), [("CellA", 1)].into(), "the updated pod of the unit that went is gone");
    web.confirm("2/1").await?;
    let view = web.wait_until("at the next gate", |view| at("2/2", view)).await?;
    assert_eq!(view.serving_in_all("v2"), 5);
    web.confirm("2/all").await?;
    assert_eq!(web.wait_until_settled().await?.serving("v2"), [("CellA", 4), ("CellC", 4)].into());
    assert!(web.finish().await?.most_out <= 2);
    Ok(())
}

#[tokio::test]
async fn a_unit_comes_and_another_goes_in_the_middle_of_a_group() -> Result<()> {
    let mut manifest = crate::web_with_grace(12);
    merge(&mut manifest, &json!({ "spec": { "strategy": { "maxUnavailable": 2 } } }));
    let web = Workload::install(bed().await?, "unit-group", &manifest).await?;
    web.release_with("v2", &[("restart", "200ms")]).await?;
    web.wait_for_gate("2/1").await?;
    web.confirm("2/1").await?;
    let at_work = |view: &View| view.group() == 2 && view.pods().any(|pod| pod.drain().is_some());
    web.wait_until("in group 2", at_work).await?;
    reshape(&web, json!({ "values": ["CellC", "CellA"] })).await?;
    let at_gate = |view: &View| view.waits_at("2/2") && has(&[("CellA", 6), ("CellC", 6)])(view);
    let view = web.wait_until("at the gate of group 2", at_gate).await?;
    assert_eq!(view.serving("v2").get("CellC"), None, "the new unit begins at the base");
    assert!((1..=3).contains(&view.serving_in_all("v2")), "{:?}", view.serving("v2"));
    web.confirm("2/all").await?;
    assert_eq!(web.wait_until_settled().await?.serving("v2"), [("CellA", 6), ("CellC", 6)].into());
    assert!(web.finish().await?.most_out <= 2);
    Ok(())
}

#[tokio::test]
async fn a_unit_that_has_no_room_keeps_the_old_pods_serving() -> Result<()> {
    let web = Workload::install(bed().await?, "no-room", &web(4)).await?;
    let before = uids(&web.look().await?);
    // No node is in this cell.
    reshape(&web, json!({ "values": ["CellA", "Nowhere"] })).await?;
    let waits = |view: &View| view.pods().filter(|pod| pod.unit() == "Nowhere").count() == 2;
    let view = web.wait_until("new pods that find no node", waits).await?;
    assert!(before.is_subset(&uids(&view)));
    let serve =
        |view: &View| view.pods().filter(|pod| before.contains(pod.uid()) && pod.in_service()).count() == 4;
    web.stays("the old ones serve", std::time::Duration::from_millis(1500), serve).await?;
    reshape(&web, json!({ "values": ["CellA", "CellB"] })).await?;
    let back = |view: &View| view.is_settled() && uids(view) == before && view.sets.len() == 2;
    web.wait_until("back", back).await?;
    assert_eq!(web.finish().await?.most_out, 0);
    Ok(())
}

#[tokio::test]
async fn scaling_in_takes_the_cheapest_pods_and_leaves_the_dear_ones() -> Result<()> {
    let web = Workload::install(bed().await?, "cost", &web(6)).await?;
    let view = web.look().await?;
    let first =
        |unit: &str| view.pods().find(|pod| pod.unit() == unit).map(|pod| pod.name().to_owned()).unwrap();
    let cheap = [first("CellA"), first("CellB")];
    for name in &cheap {
        let cost =
            json!({ "metadata": { "annotations": { "controller.kubernetes.io/pod-deletion-cost": "-7" } } });
        let patch = kube::api::Patch::Merge(cost);
        web.api(Kind::Pod).patch(name, &kube::api::PatchParams::default(), &patch).await?;
    }
    web.scale(4).await?;
    let view = web.wait_until("smaller", |view| view.is_settled() && view.pods.len() == 4).await?;
    assert!(view.pods().map(Pod::name).all(|name| !cheap.iter().any(|c| c == name)));
    web.finish().await?;
    Ok(())
}
