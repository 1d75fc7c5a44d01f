//! Changes of the spec in the middle of a release: what has started stays, what has not is planned anew.

use anyhow::Result;
use cafe_tests::scenario::{Pod, View, Workload, bed, merge};
use serde_json::json;

use crate::{cells, group, web_with_grace};

fn is_in_group(view: &View, number: i64) -> bool {
    view.is_observed() && view.group() == number && view.pods().any(|pod| pod.drain().is_some())
}

/// Pods of a unit that serve.
fn serving(view: &View, unit: &str) -> usize {
    view.pods().filter(|pod| pod.unit() == unit && pod.in_service()).count()
}

async fn another_batch_size_leaves_the_group_in_hand_as_it_is() -> Result<()> {
    let mut eight = web_with_grace(8);
    merge(&mut eight, &json!({ "spec": { "strategy": { "maxUnavailable": 4 } } }));
    let web = Workload::install(bed().await?, "change-batch", &eight).await?;
    web.release_with("v2", &[("restart", "300ms")]).await?;
    let view = web.wait_for_gate("2/1").await?;
    assert_eq!(view.groups(), [group("Done", &[1, 1]), group("Pending", &[2, 2]), group("Pending", &[1, 1])]);
    web.confirm("2/1").await?;
    web.wait_until("in group 2", |view| is_in_group(view, 2)).await?;
    web.patch(json!({ "spec": { "strategy": { "batchSize": 1 } } })).await?;
    let view = web.wait_for_gate("2/2").await?;
    assert_eq!(view.serving("v2"), cells(3, 3));
    let rest = [group("Pending", &[1]), group("Pending", &[1])];
    assert_eq!(view.groups()[..2], [group("Done", &[1, 1]), group("Done", &[2, 2])]);
    assert_eq!(view.groups()[2..], rest);
    web.confirm("2/2").await?;
    assert_eq!(web.wait_for_gate("2/3").await?.serving_in_all("v2"), 7);
    web.confirm("2/3").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!((view.serving("v2"), view.group()), (cells(4, 4), 4));
    web.finish().await?;
    Ok(())
}

async fn other_pins_and_another_budget_let_no_new_pod_past_a_gate() -> Result<()> {
    let web = Workload::install(bed().await?, "change-pins", &web_with_grace(6)).await?;
    web.release_with("v2", &[("restart", "300ms")]).await?;
    web.wait_for_gate("2/1").await?;
    web.patch(json!({ "spec": { "topology": { "unitReplicas": { "CellA": 4 } } } })).await?;
    let moved = |view: &View| view.waits_at("2/1") && view.pods.len() == 6 && serving(view, "CellA") == 4;
    let view = web.wait_until("moved", |view| moved(view) && view.pods().all(Pod::in_service)).await?;
    assert_eq!((view.serving("v2"), view.serving("v1")), (cells(1, 1), cells(3, 1)));
    assert_eq!(view.groups(), [group("Done", &[1, 1]), group("Pending", &[3, 1])]);
    web.patch(json!({ "spec": { "strategy": { "maxUnavailable": 3 } } })).await?;
    web.confirm("2/1").await?;
    let out = |view: &View| view.pods().filter(|pod| pod.drain().is_some()).count();
    web.wait_until("three are out", |view| is_in_group(view, 2) && out(view) == 3).await?;
    // In the middle of the last group pods move on: those that are new come before a gate of their own.
    web.patch(json!({ "spec": { "topology": { "unitReplicas": { "CellA": 2 } } } })).await?;
    let view = web.wait_for_gate("2/2").await?;
    assert_eq!((view.serving("v2"), view.serving("v1")), (cells(2, 2), cells(0, 2)));
    web.confirm("2/2").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!((view.serving("v2"), view.group()), (cells(2, 4), 3));
    assert!(web.finish().await?.most_out <= 3);
    Ok(())
}

#[tokio::test]
async fn what_is_changed_in_the_middle_of_a_release_concerns_the_groups_to_come() -> Result<()> {
    tokio::try_join!(
        another_batch_size_leaves_the_group_in_hand_as_it_is(),
        other_pins_and_another_budget_let_no_new_pod_past_a_gate(),
    )?;
    Ok(())
}
