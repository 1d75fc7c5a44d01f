//! How a workload comes into each state.

use anyhow::Result;
use cafe_tests::scenario::{View, Workload, bed, merge};
use serde_json::{Value, json};

use super::{Cell, Stand, State};
use crate::balancer::Balancer;
use crate::web_with_grace;

/// Four pods over two cells: a beta group of one pod in each, gate 2/1, and the rest.
/// Where the group is to fail there is one cell only, so that its first pod is all of the beta group.
fn manifest(state: State) -> Value {
    let mut manifest = web_with_grace(4);
    merge(&mut manifest, &json!({ "spec": { "strategy": { "maxUnavailable": 2 } } }));
    if state == State::Failed {
        merge(&mut manifest, &json!({ "spec": { "topology": { "values": ["CellA"] } } }));
    }
    manifest
}

/// Brings a new workload into the state of the cell.
pub(super) async fn reach(cell: &Cell) -> Result<Stand> {
    let prefix = format!("{:?}-{:?}", cell.state, cell.action).to_lowercase();
    let web = Workload::install(bed().await?, &prefix, &manifest(cell.state)).await?;
    match cell.state {
        State::Complete => complete(&web).await?,
        State::Executing => execute(&web).await?,
        State::Waiting => wait(&web).await?,
        State::Paused => pause(&web).await?,
        State::RollingBack => roll_back(&web).await?,
        State::Aborted => abort(&web).await?,
        State::Failed => fail(&web).await?,
    }
    let before = web.look().await?;
    let template = if cell.state == State::RollingBack { 3 } else { 2 };
    Ok(Stand { web, state: cell.state, template, before })
}

async fn complete(web: &Workload) -> Result<()> {
    web.release("v2").await?;
    web.confirm("2/all").await?;
    web.wait_until("complete", |view| view.is_settled() && view.revision() == 2).await?;
    Ok(())
}

/// Whether both pods of the beta group are out of traffic and held there.
fn both_drain(view: &View) -> bool {
    view.is_observed() && view.pods().filter(|pod| pod.drain().is_some()).count() == 2
}

async fn execute(web: &Workload) -> Result<()> {
    Balancer(web).lock_all().await?;
    web.release("v2").await?;
    web.wait_until("at work", |view| both_drain(view) && view.state() == "Executing").await?;
    Ok(())
}

async fn wait(web: &Workload) -> Result<()> {
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    Ok(())
}

async fn pause(web: &Workload) -> Result<()> {
    wait(web).await?;
    web.patch(json!({ "spec": { "strategy": { "pause": true } } })).await?;
    web.wait_until("held", |view| view.is_observed() && view.state() == "Paused").await?;
    Ok(())
}

/// Over a release that was superseded, so that there are two revisions to go back to.
async fn roll_back(web: &Workload) -> Result<()> {
    web.release("v2").await?;
    web.wait_until("begun", |view| view.revision() == 2).await?;
    web.release("v3").await?;
    web.wait_for_gate("3/1").await?;
    Balancer(web).lock_all().await?;
    web.patch(json!({ "spec": { "release": { "rollback": { "abandon": 3, "to": 1 } } } })).await?;
    web.wait_until("on the way back", |view| both_drain(view) && view.state() == "RollingBack").await?;
    Ok(())
}

async fn abort(web: &Workload) -> Result<()> {
    wait(web).await?;
    web.patch(json!({ "spec": { "release": { "abort": "2" } } })).await?;
    web.wait_until("aborted", |view| view.is_observed() && view.state() == "Aborted").await?;
    Ok(())
}

/// The deadline is short only until it has passed: what comes after has its time.
async fn fail(web: &Workload) -> Result<()> {
    web.release_with("v2", &[("image-pull-error", "true")]).await?;
    let stuck = |view: &View| view.pods().any(|pod| pod.containers()[0].waiting == "ImagePullBackOff");
    web.wait_until("stuck", stuck).await?;
    let failed = |view: &View| view.is_observed() && view.state() == "Failed";
    for deadline in [1, 600] {
        web.patch(json!({ "spec": { "strategy": { "progressDeadlineSeconds": deadline } } })).await?;
        web.wait_until("failed", failed).await?;
    }
    Ok(())
}
