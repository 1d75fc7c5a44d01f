//! Out of the table and back.

use anyhow::Result;

use crate::conformance::stage::Stage;

pub(super) async fn answers(stage: &mut Stage) -> Result<()> {
    let (one, two) = (stage.registered().await?, stage.registered().await?);
    let reason = one.drain().await?;
    stage.until_answered(&one, &reason).await?;
    // The other was not asked.
    stage.until_registered(&two).await
}

pub(super) async fn answers_anew(stage: &mut Stage) -> Result<()> {
    let actor = stage.registered().await?;
    for _ in 0..2 {
        let reason = actor.drain().await?;
        stage.until_answered(&actor, &reason).await?;
    }
    actor.open().await?;
    stage.until_registered(&actor).await?;
    let reason = actor.drain().await?;
    stage.until_answered(&actor, &reason).await?;
    actor.close("Offline").await?;
    stage.until_answered(&actor, "Offline").await
}

pub(super) async fn returns(stage: &mut Stage) -> Result<()> {
    let actor = stage.registered().await?;
    for _ in 0..3 {
        let reason = actor.drain().await?;
        stage.until_answered(&actor, &reason).await?;
        actor.open().await?;
        stage.until_registered(&actor).await?;
        // Called off before, while or after it is answered.
        actor.drain().await?;
        actor.open().await?;
        stage.until_registered(&actor).await?;
    }
    Ok(())
}

pub(super) async fn containers_fail(stage: &mut Stage) -> Result<()> {
    let actor = stage.registered().await?;
    actor.containers(false).await?;
    stage.until_in_table(&actor, false).await?;
    actor.containers(true).await?;
    stage.until_registered(&actor).await?;
    // Drained while its containers are not ready.
    actor.containers(false).await?;
    let reason = actor.drain().await?;
    stage.until_answered(&actor, &reason).await?;
    actor.containers(true).await?;
    actor.open().await?;
    stage.until_registered(&actor).await
}
