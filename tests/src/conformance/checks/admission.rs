//! Into the table.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::conformance::actor::{Actor, FOREIGN, REFUSES_LOCK, SELECTOR};
use crate::conformance::pod::{has_finalizer, said};
use crate::conformance::stage::Stage;

/// How long something that must not happen is given to happen, once the protector has dealt with a later pod.
const WINDOW: Duration = Duration::from_millis(700);

pub(super) async fn registers(stage: &mut Stage) -> Result<()> {
    let first = stage.registered().await?;
    // One that becomes wanted bit by bit.
    let second = stage.pod().await?;
    second.open().await?;
    second.containers(false).await?;
    second.containers(true).await?;
    stage.until_registered(&second).await?;
    stage.until_registered(&first).await
}

pub(super) async fn locks_first(stage: &mut Stage) -> Result<()> {
    let refused = stage.pod_with(json!({ "labels": { REFUSES_LOCK: "true" } })).await?;
    refused.containers(true).await?;
    refused.open().await?;
    // It has seen the pod when it has dealt with one that came later.
    let later = stage.registered().await?;
    let lock = stage.lock.clone();
    let says_true = |pod: &Value| {
        said(pod, &lock).is_some_and(|(status, _)| status == "True") && !has_finalizer(pod, &lock)
    };
    let silent = |pod: Option<&Value>| pod.is_some_and(|pod| !says_true(pod));
    stage.stays(&refused, "its condition says True without the finalizer", WINDOW, silent).await?;
    if stage.is_in_table(&refused).await? {
        bail!("{} is in the balancer's table, although its lock was refused", refused.name());
    }
    // Refused for now is not refused for ever.
    refused.metadata(json!({ "labels": { REFUSES_LOCK: null } })).await?;
    stage.until_registered(&refused).await?;
    stage.until_registered(&later).await
}

pub(super) async fn leaves_alone(stage: &mut Stage) -> Result<()> {
    let unwanted = unwanted(stage).await?;
    stage.registered().await?;
    let lock = stage.lock.clone();
    let untouched =
        |pod: Option<&Value>| pod.is_some_and(|pod| !has_finalizer(pod, &lock) && said(pod, &lock).is_none());
    for (why, actor) in &unwanted {
        stage.stays(actor, &format!("a pod was touched that {why}"), WINDOW / 6, untouched).await?;
        if stage.is_in_table(actor).await? {
            bail!("the balancer has a pod in its table that {why}: {}", actor.name());
        }
    }
    Ok(())
}

async fn unwanted(stage: &mut Stage) -> Result<Vec<(&'static str, Actor)>> {
    let mut pods = Vec::new();
    let without_gate = stage.pod().await?;
    without_gate.containers(true).await?;
    pods.push(("has no gate yet", without_gate));
    let drained = stage.pod().await?;
    drained.containers(true).await?;
    drained.drain().await?;
    pods.push(("is being drained", drained));
    let unready = stage.pod().await?;
    unready.containers(false).await?;
    unready.open().await?;
    pods.push(("has containers that are not ready", unready));
    let homeless = stage.pod().await?;
    homeless.containers_without_address().await?;
    homeless.open().await?;
    pods.push(("has no address", homeless));
    let stranger = stage.pod_with(json!({ "labels": { SELECTOR.0: "something-else" } })).await?;
    stranger.containers(true).await?;
    stranger.open().await?;
    pods.push(("does not carry the label", stranger));
    let leaving = stage.pod_with(json!({ "finalizers": [FOREIGN] })).await?;
    leaving.delete().await?;
    leaving.containers(true).await?;
    leaving.open().await?;
    pods.push(("is being deleted", leaving));
    Ok(pods)
}
