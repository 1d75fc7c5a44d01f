//! `restartAt`: new pods at the revision they have, among other wishes.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use cafe_tests::scenario::{Pod, View, Workload, bed, solo, web};
use serde_json::json;

use crate::balancer::{Balancer, draining};
use crate::cells;
use crate::story::since_out;

/// Asks for new pods in place of all that are there now.
pub(crate) async fn restart(web: &Workload) -> Result<()> {
    let view = web.look().await?;
    let created = view.pods().filter_map(|pod| pod.0["metadata"]["creationTimestamp"].as_str());
    let newest: jiff::Timestamp = created.max().context("no pod")?.parse()?;
    let moment = newest + Duration::from_secs(1);
    web.patch(json!({ "spec": { "restartAt": moment.to_string() } })).await
}

pub(crate) fn uids(view: &View) -> BTreeSet<String> {
    view.pods().map(|pod| pod.uid().to_owned()).collect()
}

/// Settled with `replicas` pods, none of which was there before.
fn anew<'a>(before: &'a BTreeSet<String>, replicas: usize) -> impl Fn(&View) -> bool + 'a {
    move |view| {
        let now = uids(view);
        view.is_settled() && now.len() == replicas && now.is_disjoint(before)
    }
}

#[tokio::test]
async fn a_restart_drains_every_pod_within_the_budget_and_waits_for_no_gate() -> Result<()> {
    let web = Workload::install(bed().await?, "restart", &web(6)).await?;
    let before = uids(&web.look().await?);
    restart(&web).await?;
    let view = web.wait_until("anew", anew(&before, 6)).await?;
    assert_eq!((view.serving("v1"), view.revision()), (cells(3, 3), 1));
    for uid in &before {
        assert_eq!(since_out(&web, uid), ["out", "unserved", "terminating"]);
    }
    assert!(web.finish().await?.most_out <= 1);
    Ok(())
}

#[tokio::test]
async fn a_restart_waits_until_the_release_has_ended() -> Result<()> {
    let web = Workload::install(bed().await?, "restart-later", &web(4)).await?;
    web.release("v2").await?;
    let before = uids(&web.wait_for_gate("2/1").await?);
    restart(&web).await?;
    let untouched = |view: &View| uids(view) == before && view.pods().all(Pod::in_service);
    web.stays("at the gate", Duration::from_millis(2500), untouched).await?;
    web.confirm("2/all").await?;
    let view = web.wait_until("anew", anew(&before, 4)).await?;
    assert_eq!(view.serving("v2"), cells(2, 2));
    assert!(web.finish().await?.most_out <= 1);
    Ok(())
}

#[tokio::test]
async fn a_restart_that_is_called_off_puts_the_pod_back() -> Result<()> {
    let web = Workload::install(bed().await?, "restart-off", &solo(2)).await?;
    let before = uids(&web.look().await?);
    let balancer = Balancer(&web);
    balancer.lock_all().await?;
    restart(&web).await?;
    web.wait_until("draining", |view| draining(view).is_some()).await?;
    web.patch(json!({ "spec": { "restartAt": null } })).await?;
    let back = |view: &View| view.is_settled() && view.pods().all(Pod::in_service) && view.reserved() == 0;
    let view = web.wait_until("back", back).await?;
    assert_eq!(uids(&view), before);
    assert!(view.pods().all(|pod| pod.restarts() == 0));
    web.finish().await?;
    balancer.unlock_all().await
}

#[tokio::test]
async fn a_drain_for_a_restart_serves_an_update_that_is_wanted_meanwhile() -> Result<()> {
    let web = Workload::install(bed().await?, "restart-update", &solo(2)).await?;
    let before = uids(&web.look().await?);
    let balancer = Balancer(&web);
    balancer.lock_all().await?;
    restart(&web).await?;
    let view = web.wait_until("draining", |view| draining(view).is_some()).await?;
    let (_, reason) = draining(&view).unwrap();
    web.release("v2").await?;
    web.wait_until("taken up", View::is_observed).await?;
    balancer.unlock_all().await?;
    let view = web.wait_until("anew", anew(&before, 2)).await?;
    assert_eq!(view.serving_in_all("v2"), 2);
    let first = view.pods().find(|pod| pod.drain().as_ref() == Some(&reason));
    assert!(first.is_none(), "the drain that was shared is over");
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_drain_for_a_restart_serves_a_deletion_that_is_wanted_meanwhile() -> Result<()> {
    let web = Workload::install(bed().await?, "restart-delete", &solo(2)).await?;
    let before = uids(&web.look().await?);
    let balancer = Balancer(&web);
    balancer.lock_all().await?;
    restart(&web).await?;
    let view = web.wait_until("draining", |view| draining(view).is_some()).await?;
    let out = view.pods().find(|pod| pod.drain().is_some()).map(|pod| pod.uid().to_owned()).unwrap();
    web.scale(1).await?;
    web.wait_until("taken up", View::is_observed).await?;
    balancer.unlock_all().await?;
    web.wait_until("anew", anew(&before, 1)).await?;
    assert_eq!(since_out(&web, &out), ["out", "unserved", "terminating"]);
    web.finish().await?;
    Ok(())
}
