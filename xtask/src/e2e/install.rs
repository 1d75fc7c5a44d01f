//! The chart and the image as a platform engineer gets them, on real nodes: installed, tested, used, upgraded, removed and installed again,
//! while clients ask an application that is in the middle of its releases.

mod chart;
mod people;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use cafe_tests::node::RealNodes;
use cafe_tests::scenario::View;
use serde_json::{Value, json};

use super::play::Play;
use super::report::Outcome;
use super::telling::Telling;
use chart::Chart;
use people::{PERSON, by_hand};

/// A beta group of two, a group of four, and one of two: gates 1 and 2.
const PODS: i32 = 8;
/// How long clients are served while nothing of Cafe is there.
const ALONE: Duration = Duration::from_secs(5);

/// Plays all of it on one workload, whose every version is judged at the end.
pub(super) async fn play(telling: &Telling, nodes: &'static RealNodes) -> Result<Outcome> {
    let chart = Chart::new(nodes);
    telling.chapter("helm install, helm test");
    chart.install().await?;
    let pods = chart.ready_pods().await?;
    telling.line("install", &format!("{} pods run: {}", pods.len(), pods.join(", ")));
    chart.wait_for_webhook().await?;
    chart.test().await?;
    telling.line("test", "helm test has played a release with a gate");
    telling.line("webhook", &chart.refused().await?);

    let gates = json!({ "spec": { "strategy": { "needWaitingForConfirm": true, "batchSize": 4 } } });
    let play = Play::open(nodes, PODS, &gates).await?;
    people::admit(&play).await?;
    telling.chapter("A release under traffic, confirmed by a person");
    release(telling, &play).await?;
    if play.is_lossless() {
        telling.chapter(
            "helm upgrade in the middle of a release, and the leader deleted in the middle of a group",
        );
        upgrade(telling, &chart, &play).await?;
    }
    if play.is_lossless() {
        telling.chapter("helm uninstall in the middle of a release, and helm install again");
        uninstall(telling, &chart, &play).await?;
    }
    play.close().await
}

/// The record names who opened the gate: the user that the API server has authenticated.
async fn release(telling: &Telling, play: &Play) -> Result<()> {
    play.workload.release("v2").await?;
    play.workload.wait_for_gate("2/1").await?;
    by_hand(play, "2/1").await?;
    play.workload.wait_for_gate("2/2").await?;
    by_hand(play, "2/2").await?;
    play.workload.wait_until_settled().await?;
    let record = people::record(play, "web-2").await?;
    for gate in ["/status/groups/0/gate/by", "/status/groups/1/gate/by"] {
        let by = record.pointer(gate).and_then(Value::as_str);
        ensure!(by == Some(PERSON), "the record names {by:?} at {gate}, and not {PERSON}:\n{record:#}");
    }
    telling.line("release", &format!("web-2 says that {PERSON} has opened both gates"));
    Ok(())
}

/// New replicas of Cafe, the old ones gone, and nothing written to anything of the application. Then the leader goes; at the end the
/// version before the upgrade is back, as quietly.
async fn upgrade(telling: &Telling, chart: &Chart, play: &Play) -> Result<()> {
    play.workload.release("v1").await?;
    let before = versions(&play.workload.wait_for_gate("3/1").await?);
    chart.upgrade().await?;
    let leader = chart.new_leader().await?;
    untouched("helm upgrade", &before, play).await?;
    telling.line("upgrade", &format!("{leader} leads; none of {} objects has changed", before.len()));

    by_hand(play, "3/1").await?;
    play.workload.wait_until("draining", |view| view.pods().any(|pod| pod.drain().is_some())).await?;
    let leader = chart.delete_leader().await?;
    play.workload.wait_for_gate("3/2").await?;
    let next = chart.leader().await?;
    ensure!(next != leader, "{leader} was deleted and still leads");
    telling.line("leader", &format!("{leader} was deleted in the middle of group 2; {next} has finished it"));
    by_hand(play, "3/2").await?;
    let before = versions(&play.workload.wait_until_settled().await?);
    chart.roll_back().await?;
    let leader = chart.old_leader().await?;
    untouched("helm rollback", &before, play).await?;
    telling.line("rollback", &format!("{leader} of the version before leads; no object has changed"));
    Ok(())
}

/// Nothing of the application has another version than before.
async fn untouched(what: &str, before: &BTreeMap<String, String>, play: &Play) -> Result<()> {
    let after = versions(&play.workload.look().await?);
    ensure!(*before == after, "{what} has written to the application:\nbefore {before:?}\nafter {after:?}");
    Ok(())
}

/// While nothing of Cafe is there, pods serve and orders are taken; the next installation finds them.
async fn uninstall(telling: &Telling, chart: &Chart, play: &Play) -> Result<()> {
    play.workload.release("v3").await?;
    let before = play.workload.wait_for_gate("4/1").await?;
    chart.uninstall().await?;
    let (asked, _) = play.so_far();
    // By an admin: what the edit role may do with CafeDeployments went with the chart. Nobody judges it and nobody acts on it.
    play.workload.confirm("4/1").await?;
    let here = |view: &View| view.identities() == before.identities() && view.token() == "4/1";
    play.workload.stays("untouched without Cafe", ALONE, here).await?;
    ensure!(play.so_far().0 > asked, "nobody was answered while Cafe was away");
    telling.line("uninstall", "pods serve, definitions and objects are there, a confirmation is taken");
    chart.install().await?;
    play.workload.wait_for_gate("4/2").await?;
    telling.line("install", "has adopted what it found and gone through the gate that was confirmed");
    people::wait_for_rights(play).await?;
    by_hand(play, "4/2").await?;
    let view = play.workload.wait_until_settled().await?;
    ensure!(view.identities() == before.identities(), "a pod was made anew\n{}", view.dump());
    Ok(())
}

/// The versions of everything that the controller could have written.
fn versions(view: &View) -> BTreeMap<String, String> {
    let all = [&view.deployment].into_iter().chain(&view.sets).chain(&view.pods).chain(&view.revisions);
    let text = |object: &Value, pointer: &str| {
        object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    all.map(|object| {
        let name = format!("{} {}", text(object, "/kind"), text(object, "/metadata/name"));
        (name, text(object, "/metadata/resourceVersion"))
    })
    .collect()
}
