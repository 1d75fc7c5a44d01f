//! Out of the table and back.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::conformance::app::{self, HELD};
use crate::conformance::pod::{has_answered, has_finalizer};
use crate::conformance::stage::Stage;

const WINDOW: Duration = Duration::from_millis(700);

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

pub(super) async fn waits_for_requests(stage: &mut Stage) -> Result<()> {
    let Some(front) = stage.subject.front else { return Ok(()) };
    let patience = stage.subject.patience;
    let actor = stage.registered().await?;
    until_served(stage, front).await?;
    let request = tokio::spawn(app::get(front, HELD));
    tokio::time::timeout(patience, actor.app().until_held())
        .await
        .context("the balancer does not send a request to the only pod it has")??;
    let reason = actor.drain().await?;
    let lock = stage.lock.clone();
    let silent = |pod: Option<&Value>| {
        pod.is_some_and(|pod| has_finalizer(pod, &lock) && !has_answered(pod, &lock, &reason))
    };
    stage
        .stays(&actor, "the drain was answered while a request was still in the pod", WINDOW, silent)
        .await?;
    actor.app().release();
    let answer = tokio::time::timeout(patience, request).await.context("the request does not end")??;
    let from = answer.context("the request that was held by the pod was lost")?;
    ensure!(from == actor.address().to_string(), "the request was answered by {from}");
    stage.until_answered(&actor, &reason).await
}

async fn until_served(stage: &Stage, front: std::net::SocketAddr) -> Result<()> {
    let end = tokio::time::Instant::now() + stage.subject.patience;
    while let Err(error) = app::get(front, "/").await {
        if tokio::time::Instant::now() >= end {
            bail!(
                "the protector says that the pod is registered, and the balancer at {front} says: {error:#}"
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
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
