//! Drains that do not end.

use std::time::Duration;

use anyhow::{Result, ensure};
use cafe_tests::scenario::{Kind, View, Workload, bed, merge, solo, web};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::balancer::{Balancer, draining, is_held};
use crate::cells;

fn with_traffic(mut manifest: Value, traffic: &Value) -> Value {
    merge(&mut manifest, &json!({ "spec": { "traffic": traffic } }));
    manifest
}

/// Installs it, locks every pod and gives the pod that a release then drains, with the reason of its gate.
async fn stuck(prefix: &str, manifest: &Value) -> Result<(Workload, String, String)> {
    let web = Workload::install(bed().await?, prefix, manifest).await?;
    Balancer(&web).lock_all().await?;
    web.release("v2").await?;
    let view = web.wait_until("draining", |view| draining(view).is_some()).await?;
    let (pod, reason) = draining(&view).unwrap();
    Ok((web, pod, reason))
}

fn op(reason: &str) -> &str {
    reason.rsplit('_').next().unwrap_or_default()
}

/// The notes of the events of this reason about the pod.
fn told(web: &Workload, pod: &str, reason: &str) -> Vec<String> {
    let events = web.watcher().pod_events(pod).into_iter();
    events.filter(|(r, _)| r == reason).map(|(_, note)| note).collect()
}

async fn force(web: &Workload, pod: &str, op: &str) -> Result<()> {
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { "cafe.dev/force-drain": op } } }));
    web.api(Kind::Pod).patch(pod, &PatchParams::default(), &patch).await?;
    Ok(())
}

#[tokio::test]
async fn a_drain_that_takes_too_long_names_pod_and_protector_and_holds_the_release_until_it_answers()
-> Result<()> {
    let mut manifest = with_traffic(web(6), &json!({ "drainTimeoutSeconds": 1 }));
    merge(&mut manifest, &json!({ "spec": { "strategy": { "maxUnavailable": 1 } } }));
    let (web, pod, reason) = stuck("hold", &manifest).await?;
    let guilty = |text: &str| text.contains(&pod) && text.contains("protector balancer has not answered");
    let stalled = |view: &View| {
        let conditions = view.deployment["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|c| {
            let message = c["message"].as_str().unwrap_or_default();
            c["type"] == "Stalled" && c["reason"] == "DrainTimedOut" && guilty(message)
        })
    };
    let view = web.wait_until("stalled", |v| stalled(v) && guilty(v.message())).await?;
    assert!(view.message().contains(op(&reason)), "{}", view.message());
    let alone = |view: &View| {
        is_held(view, &pod, &reason) && view.pods().filter(|pod| pod.drain().is_some()).count() == 1
    };
    web.stays("held with no other pod", Duration::from_millis(2500), alone).await?;
    let notes = told(&web, &pod, "DrainTimedOut");
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(guilty(&notes[0]), "{}", notes[0]);
    Balancer(&web).unlock_all().await?;
    let view = web.wait_for_gate("2/1").await?;
    assert_eq!((view.serving("v2"), view.has("Stalled", "True")), (cells(1, 1), false));
    web.confirm("2/all").await?;
    web.wait_until_settled().await?;
    assert!(web.finish().await?.most_out <= 1);
    Ok(())
}

#[tokio::test]
async fn a_drain_that_an_endpoint_holds_names_the_endpoints() -> Result<()> {
    let manifest = with_traffic(solo(1), &json!({ "drainTimeoutSeconds": 1 }));
    let web = Workload::install(bed().await?, "hold-endpoint", &manifest).await?;
    let view = web.look().await?;
    let pod = view.pods().next().unwrap();
    let slice = |serving: bool| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": "own" }, "ports": [],
            "endpoints": [{
                "addresses": ["192.0.2.1"], "conditions": { "serving": serving },
                "targetRef": { "kind": "Pod", "name": pod.name(), "uid": pod.uid() },
            }],
        })
    };
    let slices = web.api(Kind::Slice);
    let by_hand = PatchParams::apply("hand").force();
    slices.patch("own", &by_hand, &Patch::Apply(slice(true))).await?;
    web.release("v2").await?;
    let told = |_: &View| {
        let notes = told(&web, pod.name(), "DrainTimedOut");
        // Its other endpoint may have been there still when it was told.
        notes.iter().any(|note| note.contains("EndpointSlices still serve it ("))
    };
    web.wait_until("told of", told).await?;
    slices.patch("own", &by_hand, &Patch::Apply(slice(false))).await?;
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v2"), 1);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_rollback_is_not_held_up_by_a_drain_that_takes_too_long() -> Result<()> {
    let mut manifest = with_traffic(web(6), &json!({ "drainTimeoutSeconds": 1 }));
    merge(&mut manifest, &json!({ "spec": { "strategy": { "maxUnavailable": 1 } } }));
    let (web, pod, _) = stuck("hold-back", &manifest).await?;
    web.wait_until("stalled", |view| view.has("Stalled", "True")).await?;
    web.roll_back().await?;
    let view = web.wait_until_settled().await?;
    assert!(view.pods().all(|pod| pod.restarts() == 0 && pod.in_service()));
    assert!(web.finish().await?.updates.is_empty());
    assert_eq!(told(&web, &pod, "DrainForced"), [""; 0]);
    Balancer(&web).unlock_all().await
}

#[tokio::test]
async fn a_drain_is_forced_after_the_time_out_where_that_is_wanted_and_it_is_on_record() -> Result<()> {
    let traffic = json!({ "drainTimeoutSeconds": 1, "onDrainTimeout": "Force" });
    let (web, pod, reason) = stuck("force", &with_traffic(solo(2), &traffic)).await?;
    let view = web.wait_until_settled().await?;
    assert_eq!(view.serving_in_all("v2"), 2);
    for pod in view.pods() {
        let notes = told(&web, pod.name(), "DrainForced");
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("protector balancer"), "{notes:?}");
        let record = pod.0.pointer("/metadata/annotations/cafe.dev~1in-place").unwrap();
        assert!(record.as_str().unwrap().contains("protector balancer"), "{record}");
        assert_eq!(pod.0["metadata"]["finalizers"], json!(["protect.cafe.dev/balancer"]), "the lock stays");
    }
    assert!(told(&web, &pod, "DrainForced")[0].contains(op(&reason)));
    web.finish().await?;
    Balancer(&web).unlock_all().await
}

#[tokio::test]
async fn people_force_the_drain_that_they_name_and_no_other() -> Result<()> {
    let (web, pod, reason) = stuck("force-by-hand", &solo(1)).await?;
    let held = |view: &View| is_held(view, &pod, &reason);
    for other in ["00000000", "", "now", "Drain_00000000"] {
        force(&web, &pod, other).await?;
        web.stays(&format!("held after {other:?}"), Duration::from_millis(300), held).await?;
    }
    assert_eq!(told(&web, &pod, "DrainForced"), [""; 0]);
    force(&web, &pod, op(&reason)).await?;
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v2"), 1);
    web.wait_until("on record", |_| told(&web, &pod, "DrainForced").len() == 1).await?;
    // What is left of the annotation is worth nothing for the next drain.
    web.release("v3").await?;
    let view = web.wait_until("draining", |view| draining(view).is_some()).await?;
    let (_, next) = draining(&view).unwrap();
    assert_ne!(next, reason);
    let held = |view: &View| draining(view).is_some_and(|(_, now)| now == next);
    web.stays("held again", Duration::from_millis(500), held).await?;
    Balancer(&web).unlock_all().await?;
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v3"), 1);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn the_command_in_the_message_forces_the_drain() -> Result<()> {
    let manifest = with_traffic(web(2), &json!({ "drainTimeoutSeconds": 1 }));
    let (web, _, _) = stuck("force-command", &manifest).await?;
    let mut forced = 0;
    // One pod after the other: the budget is one.
    while !web.look().await?.is_settled() {
        let view = web
            .wait_until("stalled or done", |view| view.message().contains("kubectl") || view.is_settled())
            .await?;
        let Some((_, command)) = view.message().split_once("to go on without it: ") else { continue };
        let said = web.shell(command).await?;
        ensure!(said.status.success(), "{command}: {}", String::from_utf8_lossy(&said.stderr));
        forced += 1;
        let old = view.message().to_owned();
        web.wait_until("told something else", |view| view.message() != old).await?;
    }
    assert_eq!((web.look().await?.serving_in_all("v2"), forced), (2, 2));
    web.finish().await?;
    Balancer(&web).unlock_all().await
}
