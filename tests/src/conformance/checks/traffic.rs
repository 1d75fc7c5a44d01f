//! Real requests through the balancer.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::time::Instant;

use crate::conformance::actor::Actor;
use crate::conformance::app::{self, HELD};
use crate::conformance::load::Load;
use crate::conformance::pod::{has_answered, has_finalizer};
use crate::conformance::stage::Stage;

const WINDOW: Duration = Duration::from_millis(700);
const POLL: Duration = Duration::from_millis(20);
/// Pods that are updated in turn, and how often.
const PODS: usize = 3;
const ROUNDS: usize = 5;

pub(super) async fn waits_for_requests(stage: &mut Stage) -> Result<()> {
    let front = stage.front()?;
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

async fn until_served(stage: &Stage, front: SocketAddr) -> Result<()> {
    let end = Instant::now() + stage.subject.patience;
    while let Err(error) = app::get(front, "/").await {
        if Instant::now() >= end {
            bail!(
                "the protector says that the pod is registered, and the balancer at {front} says: {error:#}"
            );
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// All pods are updated again and again, as Cafe does it: the container stops, in the middle of whatever it is doing, as
/// soon as the drain is answered. Each second update the protector is killed while it drains.
pub(super) async fn loses_nothing(stage: &mut Stage) -> Result<()> {
    let front = stage.front()?;
    let mut pods = Vec::new();
    for _ in 0..PODS {
        pods.push(stage.registered().await?);
    }
    until_served(stage, front).await?;
    let load = Load::start(front);
    let mut updates = 0;
    for round in 0..ROUNDS {
        for (index, actor) in pods.iter_mut().enumerate() {
            let kill = (round + index) % 2 == 1;
            update(stage, actor, kill).await.with_context(|| format!("update {updates}"))?;
            updates += 1;
        }
    }
    let counts = load.counts();
    ensure!(counts.lost == 0, "{} of {} requests were lost: {:?}", counts.lost, counts.sent, counts.errors);
    ensure!(counts.sent > updates, "hardly a request was sent");
    stage.note(format!("{updates} updates, {} requests, none lost", counts.sent));
    shows_a_loss(stage, &mut pods, load).await
}

async fn update(stage: &mut Stage, actor: &mut Actor, kill: bool) -> Result<()> {
    let reason = actor.drain().await?;
    if kill {
        stage.kill();
        stage.inspect().await?;
        stage.start()?;
    }
    stage.until_answered(actor, &reason).await?;
    actor.containers(false).await?;
    actor.app_mut().restart().await?;
    actor.containers(true).await?;
    actor.open().await?;
    stage.until_registered(actor).await
}

/// The same without a drain must lose requests, or the figure above means nothing.
async fn shows_a_loss(stage: &Stage, pods: &mut [Actor], load: Load) -> Result<()> {
    let end = Instant::now() + stage.subject.patience;
    while load.counts().lost == 0 {
        ensure!(
            Instant::now() < end,
            "pods are stopped in the middle of requests, and none is lost: no proof"
        );
        for actor in &mut *pods {
            // A pod that the balancer has given up for a moment is passed over.
            if tokio::time::timeout(WINDOW, actor.app().until_busy()).await.is_ok() {
                actor.app_mut().restart().await?;
            }
        }
    }
    load.end().await.map(|_| ())
}
