//! Deleted, by whomever and whenever.

use anyhow::Result;
use serde_json::json;

use crate::conformance::actor::FOREIGN;
use crate::conformance::stage::Stage;

pub(super) async fn in_every_state(stage: &mut Stage) -> Result<()> {
    let serving = stage.registered().await?;
    let draining = stage.registered().await?;
    draining.drain().await?;
    let drained = stage.registered().await?;
    let reason = drained.drain().await?;
    stage.until_answered(&drained, &reason).await?;
    let returning = stage.registered().await?;
    let reason = returning.drain().await?;
    stage.until_answered(&returning, &reason).await?;
    returning.open().await?;
    let failed = stage.registered().await?;
    failed.containers(false).await?;
    let fresh = stage.wanted().await?;
    let all = [serving, draining, drained, returning, failed, fresh];
    for actor in &all {
        actor.delete().await?;
    }
    for actor in &all {
        stage.until_let_go(actor).await?;
        stage.until(actor, "the pod is gone", |pod| pod.is_none()).await?;
    }
    outlasted_by_others(stage).await
}

/// Somebody else's finalizer keeps the pod there after ours is gone.
async fn outlasted_by_others(stage: &mut Stage) -> Result<()> {
    let actor = stage.pod_with(json!({ "finalizers": [FOREIGN] })).await?;
    actor.containers(true).await?;
    actor.open().await?;
    stage.until_registered(&actor).await?;
    actor.delete().await?;
    stage.until_let_go(&actor).await?;
    // Whatever is said now, it is not wanted back.
    actor.drain().await?;
    actor.open().await?;
    stage.until_let_go(&actor).await
}

pub(super) async fn while_dead(stage: &mut Stage) -> Result<()> {
    let (stays, drained) = (stage.registered().await?, stage.registered().await?);
    let (deleted, failed) = (stage.registered().await?, stage.registered().await?);
    stage.kill();
    let reason = drained.drain().await?;
    deleted.delete().await?;
    failed.containers(false).await?;
    let new = stage.wanted().await?;
    stage.inspect().await?;
    stage.start()?;
    stage.until_answered(&drained, &reason).await?;
    stage.until_let_go(&deleted).await?;
    stage.until_registered(&new).await?;
    stage.until_registered(&stays).await?;
    stage.until_in_table(&failed, false).await
}
