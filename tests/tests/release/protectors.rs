use std::time::Duration;

use anyhow::Result;
use cafe_tests::scenario::{Pod, View, Workload, bed, merge, web};
use serde_json::{Value, json};

use crate::balancer::{Balancer, draining, is_held};
use crate::cells;

fn locked(manifest: &mut Value) {
    merge(manifest, &json!({ "spec": { "strategy": { "maxUnavailable": 1 } } }));
}

#[tokio::test]
async fn a_protector_with_a_condition_holds_a_drain_until_it_answers_this_very_drain() -> Result<()> {
    let mut manifest = web(2);
    locked(&mut manifest);
    let web = Workload::install(bed().await?, "answer", &manifest).await?;
    let balancer = Balancer(&web);
    for pod in web.look().await?.identities().keys() {
        balancer.lock(pod).await?;
        balancer.say(pod, "True", "Registered").await?;
    }
    web.release("v2").await?;
    for _ in 0..2 {
        let view = web.wait_until("draining", |view| draining(view).is_some()).await?;
        let (pod, reason) = draining(&view).unwrap();
        let held = |view: &View| is_held(view, &pod, &reason);
        web.stays("held", Duration::from_millis(500), held).await?;
        // The answer to an older question.
        balancer.say(&pod, "False", "Drain_00000000").await?;
        web.stays("held", Duration::from_millis(500), held).await?;
        balancer.say(&pod, "False", &reason).await?;
        let served = |view: &View| {
            view.pod(&pod).is_some_and(|p| p.in_service() && p.containers()[0].runs.ends_with(":v2"))
        };
        web.wait_until("updated", served).await?;
        balancer.say(&pod, "True", "Registered").await?;
    }
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(1, 1));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_protector_without_a_condition_answers_by_taking_its_finalizer_off() -> Result<()> {
    let mut manifest = web(2);
    locked(&mut manifest);
    merge(&mut manifest, &json!({ "spec": { "traffic": { "protectors": ["balancer"] } } }));
    let web = Workload::create(bed().await?, "finalizer", &manifest).await?;
    let balancer = Balancer(&web);
    let view =
        web.wait_until("serving", |view| view.pods.len() == 2 && view.pods().all(Pod::in_service)).await?;
    // The protector is declared: a pod is not done before it has its lock.
    assert!(!view.is_settled(), "{}", view.message());
    for pod in view.identities().keys() {
        balancer.lock(pod).await?;
    }
    web.wait_until_settled().await?;
    web.release("v2").await?;
    for _ in 0..2 {
        let view = web.wait_until("draining", |view| draining(view).is_some()).await?;
        let (pod, reason) = draining(&view).unwrap();
        web.stays("held", Duration::from_millis(500), |view| is_held(view, &pod, &reason)).await?;
        balancer.unlock(&pod).await?;
        let served = |view: &View| {
            view.pod(&pod).is_some_and(|p| p.in_service() && p.containers()[0].runs.ends_with(":v2"))
        };
        web.wait_until("updated", served).await?;
        let others_wait = |view: &View| view.pods().filter(|p| p.name() != pod).all(|p| p.drain().is_none());
        web.stays("the next pod waits for the lock", Duration::from_millis(300), others_wait).await?;
        balancer.lock(&pod).await?;
    }
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(1, 1));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_drain_that_is_called_off_puts_the_pod_back_without_a_restart() -> Result<()> {
    let mut manifest = web(4);
    locked(&mut manifest);
    let web = Workload::install(bed().await?, "called-off", &manifest).await?;
    let balancer = Balancer(&web);
    let before = web.look().await?.identities();
    for pod in before.keys() {
        balancer.lock(pod).await?;
    }
    web.release("v2").await?;
    web.wait_until("draining", |view| draining(view).is_some()).await?;
    web.roll_back().await?;
    let view = web.wait_until_settled().await?;
    assert!(view.pods().all(|pod| pod.restarts() == 0 && pod.in_service()));
    assert_eq!(view.identities(), before);
    let verdict = web.finish().await?;
    assert!(verdict.updates.is_empty(), "{:?}", verdict.updates);
    assert_eq!(verdict.drains.len(), 1);
    for pod in before.keys() {
        balancer.unlock(pod).await?;
    }
    Ok(())
}

#[tokio::test]
async fn scale_in_waits_for_the_protector_too() -> Result<()> {
    let web = Workload::install(bed().await?, "scale-in", &web(4)).await?;
    let balancer = Balancer(&web);
    for pod in web.look().await?.identities().keys() {
        balancer.lock(pod).await?;
    }
    web.scale(2).await?;
    let drained = |view: &View| view.pods().filter(|pod| pod.drain().is_some()).count() == 2;
    let view = web.wait_until("draining", drained).await?;
    web.stays("held", Duration::from_millis(500), |view| view.pods().all(|p| !p.is_terminating())).await?;
    for pod in view.pods().filter(|pod| pod.drain().is_some()) {
        balancer.unlock(pod.name()).await?;
    }
    web.wait_until("gone", |view| view.is_settled() && view.pods.len() == 2).await?;
    web.finish().await?;
    for pod in web.look().await?.identities().keys() {
        balancer.unlock(pod).await?;
    }
    Ok(())
}
