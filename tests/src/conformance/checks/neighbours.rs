//! Others write to the pods too, and the API server has other work to do.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::conformance::actor::{Actor, FOREIGN};
use crate::conformance::stage::Stage;

/// How long nothing is done to see that nothing is done.
const QUIET: Duration = Duration::from_secs(3);

/// The rules that every write is judged by do the rest.
pub(super) async fn are_untouched(stage: &mut Stage) -> Result<()> {
    let metadata = json!({ "finalizers": [FOREIGN], "annotations": { "team": "blue" } });
    let actor = stage.pod_with(metadata).await?;
    actor.foreign_condition("Initial").await?;
    actor.containers(true).await?;
    actor.open().await?;
    stage.until_registered(&actor).await?;
    let reason = actor.drain().await?;
    stage.until_answered(&actor, &reason).await?;
    actor.open().await?;
    stage.until_registered(&actor).await?;
    actor.delete().await?;
    stage.until_let_go(&actor).await
}

pub(super) async fn conflicts(stage: &mut Stage) -> Result<()> {
    let actor = stage.pod().await?;
    for round in 0..4 {
        let (busy, work) = tokio::join!(disturb(&actor, round), async {
            actor.containers(true).await?;
            actor.open().await?;
            stage.until_registered(&actor).await?;
            let reason = actor.drain().await?;
            stage.until_answered(&actor, &reason).await
        });
        busy?;
        work?;
    }
    Ok(())
}

/// Writes as fast as the API server takes it, all kinds of entries.
async fn disturb(actor: &Actor, round: u32) -> Result<()> {
    for turn in 0..40 {
        let mark = format!("{round}-{turn}");
        match turn % 4 {
            0 => actor.metadata(json!({ "finalizers": [FOREIGN] })).await?,
            1 => actor.foreign_condition(&mark).await?,
            2 => actor.metadata(json!({ "annotations": { "mark": mark } })).await?,
            _ => actor.metadata(json!({ "$deleteFromPrimitiveList/finalizers": [FOREIGN] })).await?,
        }
    }
    Ok(())
}

pub(super) async fn quiet(stage: &mut Stage) -> Result<()> {
    let (serving, drained) = (stage.registered().await?, stage.registered().await?);
    let reason = drained.drain().await?;
    stage.until_answered(&drained, &reason).await?;
    // What is still on its way belongs to what was asked.
    stage.stays(&serving, "the pod is gone", QUIET / 3, |pod| pod.is_some()).await?;
    stage.requests()?;
    stage.stays(&serving, "the pod is gone", QUIET, |pod| pod.is_some()).await?;
    let asked: Vec<String> = stage
        .requests()?
        .iter()
        .filter(|entry| entry.verb != "watch" && entry.resource != "leases")
        .map(|entry| format!("{} {} {}", entry.verb, entry.resource, entry.name))
        .collect();
    ensure!(asked.is_empty(), "in {QUIET:?} without any change it sent: {}", asked.join(", "));
    Ok(())
}
