//! Bad moments.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::conformance::actor::Actor;
use crate::conformance::pod::has_finalizer;
use crate::conformance::stage::Stage;

/// Pauses between a wish and whatever comes in between, in milliseconds.
const MOMENTS: [u64; 8] = [0, 1, 2, 5, 10, 20, 50, 150];

async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

pub(super) async fn gate_flips(stage: &mut Stage) -> Result<()> {
    let actor = stage.wanted().await?;
    for moment in MOMENTS {
        let reason = actor.drain().await?;
        pause(moment).await;
        actor.open().await?;
        pause(moment).await;
        let newer = actor.drain().await?;
        stage.until_answered(&actor, &newer).await.with_context(|| format!("{reason} was called off"))?;
        actor.open().await?;
        pause(moment).await;
        actor.containers(false).await?;
        pause(moment).await;
        actor.containers(true).await?;
        stage.until_registered(&actor).await?;
    }
    Ok(())
}

/// The protector is stopped with a pod in hand that it wants; when it goes on, the pod is being drained.
pub(super) async fn late_lock(stage: &mut Stage) -> Result<()> {
    // Stopped before the wish, it meets wish and drain one after the other, however slow the machine is.
    stopped_over_a_drain(stage, None).await?;
    for moment in MOMENTS {
        stopped_over_a_drain(stage, Some(moment)).await?;
    }
    Ok(())
}

/// Stopped so many milliseconds after the wish; `None`: before it.
async fn stopped_over_a_drain(stage: &mut Stage, moment: Option<u64>) -> Result<()> {
    let lock = stage.lock.clone();
    let actor = stage.pod().await?;
    actor.containers(true).await?;
    if moment.is_none() {
        stage.freeze();
    }
    actor.open().await?;
    if let Some(moment) = moment {
        pause(moment).await;
        stage.freeze();
    }
    let was_locked = stage.see(&actor).is_some_and(|pod| has_finalizer(&pod, &lock));
    let reason = actor.drain().await?;
    stage.thaw();
    // A later pod shows that it has gone on.
    stage.registered().await?;
    if was_locked || stage.see(&actor).is_some_and(|pod| has_finalizer(&pod, &lock)) {
        stage.until_answered(&actor, &reason).await?;
    }
    Ok(())
}

/// What is asked of a pod, and what must have come of it.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Serve,
    Drain,
    Delete,
}

/// Asked first, killed, asked then.
const STORIES: [(Wish, Wish); 6] = [
    (Wish::Serve, Wish::Serve),
    (Wish::Serve, Wish::Drain),
    (Wish::Drain, Wish::Drain),
    (Wish::Drain, Wish::Serve),
    (Wish::Drain, Wish::Delete),
    (Wish::Delete, Wish::Delete),
];

pub(super) async fn killed(stage: &mut Stage) -> Result<()> {
    for (first, then) in STORIES {
        for moment in MOMENTS {
            let story = || format!("{first:?}, killed after {moment} ms, {then:?}");
            live(stage, first, then, moment).await.with_context(story)?;
        }
    }
    Ok(())
}

async fn live(stage: &mut Stage, first: Wish, then: Wish, moment: u64) -> Result<()> {
    let actor = match first {
        Wish::Serve => stage.pod().await?,
        Wish::Drain | Wish::Delete => stage.registered().await?,
    };
    actor.containers(true).await?;
    ask(&actor, first).await?;
    pause(moment).await;
    stage.kill();
    stage.inspect().await?;
    let reason = ask(&actor, then).await?;
    stage.inspect().await?;
    stage.start()?;
    match then {
        Wish::Serve => stage.until_registered(&actor).await,
        Wish::Drain => stage.until_answered(&actor, &reason).await,
        Wish::Delete => stage.until(&actor, "the pod is gone", |pod: Option<&Value>| pod.is_none()).await,
    }?;
    actor.delete().await?;
    stage.until_let_go(&actor).await
}

async fn ask(actor: &Actor, wish: Wish) -> Result<String> {
    match wish {
        Wish::Serve => actor.open().await.map(|()| String::new()),
        Wish::Drain => actor.drain().await,
        Wish::Delete => actor.delete().await.map(|()| String::new()),
    }
}
