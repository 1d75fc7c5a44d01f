//! Several replicas of the controller on a real control plane: one writes, the others follow it when it dies, freezes or ends.
#![allow(clippy::unwrap_used)]

mod ground;

use anyhow::Result;
use cafe_tests::bed::audit::Entry;
use cafe_tests::scenario::{View, Workload, web};
use ground::{Ground, Replica};
use jiff::Timestamp;
use serde_json::Value;

fn has_reserved(view: &View) -> bool {
    let reserved =
        |set: &Value| set.pointer("/status/inFlight").and_then(Value::as_array).map_or(0, Vec::len);
    view.sets.iter().any(|set| reserved(set) > 0)
}

/// When a replica took the lease: it writes it for the first time.
fn acquired(entries: &[Entry], by: &Replica) -> Timestamp {
    let lease = |e: &&Entry| by.sent(e) && e.resource == "leases" && e.is_write() && e.code < 300;
    entries.iter().find(lease).unwrap().answered
}

/// Writes of a replica that were carried out.
fn writes<'a>(entries: &'a [Entry], by: &Replica) -> Vec<&'a Entry> {
    let questions = ["selfsubjectaccessreviews"];
    let counts =
        |e: &&Entry| by.sent(e) && e.is_write() && e.code < 300 && !questions.contains(&e.resource.as_str());
    entries.iter().filter(counts).collect()
}

#[tokio::test]
async fn a_leader_killed_in_the_middle_of_a_group_is_followed_and_no_pod_goes_out_twice() -> Result<()> {
    let ground = Ground::take().await?;
    let a = ground.start("a").await?;
    ground.until_led_by("a").await?;
    let _b = ground.start("b").await?;
    let _c = ground.start("c").await?;
    let web = Workload::install(ground.bed, "killed", &web(10)).await?;
    let before = web.look().await?.identities();
    web.release_with("v2", &[("restart", "300ms")]).await?;
    web.wait_for_gate("2/1").await?;
    web.confirm("2/1").await?;
    web.wait_until("at work in group 2", |view| view.group() == 2 && view.is_at_work()).await?;
    a.kill()?;
    web.finish_from_group_two(&before).await
}

#[tokio::test]
async fn a_leader_that_was_frozen_writes_nothing_after_another_has_followed_it() -> Result<()> {
    let ground = Ground::take().await?;
    // Frozen between the reservation and the first write to a pod, or as near to it as a watch shows; then in the middle of a drain.
    for (moment, is_moment) in
        [("reserved", has_reserved as fn(&View) -> bool), ("draining", View::is_at_work)]
    {
        let mut log = ground.bed.audit().at_end()?;
        let a = ground.start("a").await?;
        ground.until_led_by("a").await?;
        let b = ground.start("b").await?;
        let web = Workload::install(ground.bed, moment, &web(8)).await?;
        web.release_with("v2", &[("restart", "300ms")]).await?;
        web.wait_until(moment, is_moment).await?;
        a.freeze()?;
        ground.until_led_by("b").await?;
        web.wait_for_gate("2/1").await?;
        a.thaw()?;
        a.until_ended().await?;
        assert!(a.said("lost the claim"), "it says why it ends:\n{}", a.log());
        web.confirm("2/all").await?;
        let view = web.wait_until_settled().await?;
        assert!(view.pods().all(|pod| pod.restarts() == 1), "no pod is started twice");
        assert!(web.finish().await?.most_out <= 2);

        let entries = ground.entries(&mut log).await?;
        let taken = acquired(&entries, &b);
        assert!(writes(&entries, &a).len() > 10 && writes(&entries, &b).len() > 10, "both have led");
        let late: Vec<_> = writes(&entries, &a).into_iter().filter(|e| e.answered > taken).collect();
        assert!(late.is_empty(), "{late:#?}");

        // Started again by its kubelet it stands by, under its old name.
        let again = ground.start("a").await?;
        ground.until_led_by("b").await?;
        assert!(!again.said("acquired the lease"), "{}", again.log());
    }
    Ok(())
}

#[tokio::test]
async fn a_leader_that_is_told_to_stop_hands_over_without_a_wait_for_the_lease() -> Result<()> {
    let ground = Ground::take().await?;
    let mut log = ground.bed.audit().at_end()?;
    let a = ground.start("a").await?;
    ground.until_led_by("a").await?;
    let b = ground.start("b").await?;
    let web = Workload::install(ground.bed, "handed", &web(6)).await?;
    web.release_with("v2", &[("restart", "300ms")]).await?;
    web.confirm("2/all").await?;
    web.wait_until("at work", View::is_at_work).await?;
    a.terminate()?;
    a.until_ended().await?;
    ground.until_led_by("b").await?;
    web.wait_until_settled().await?;
    assert!(web.finish().await?.most_out <= 1);
    assert!(a.said("gave the lease back") && !a.said("Error"), "{}", a.log());
    let acquired_from_nobody =
        |line: &str| line.contains("acquired the lease") && line.contains(r#""before":"""#);
    assert!(b.log().lines().any(acquired_from_nobody), "it was given back, it did not run out:\n{}", b.log());

    let entries = ground.entries(&mut log).await?;
    let lease = |e: &&Entry| a.sent(e) && e.resource == "leases" && e.is_write() && e.code < 300;
    let given = entries.iter().rfind(lease).expect("it has given the lease back");
    let late = writes(&entries, &a).into_iter().filter(|e| e.received > given.received).count();
    assert_eq!(late, 0, "what a replica has begun is done before it gives the lease back");
    println!("handed over within {}", acquired(&entries, &b).duration_since(given.received));
    Ok(())
}

#[tokio::test]
async fn a_replica_whose_clock_is_days_ahead_takes_nothing_from_a_leader_that_lives() -> Result<()> {
    let ground = Ground::take().await?;
    let mut log = ground.bed.audit().at_end()?;
    let a = ground.start("a").await?;
    ground.until_led_by("a").await?;
    let b = ground.start_days_ahead("b").await?;
    let web = Workload::install(ground.bed, "ahead", &web(4)).await?;
    web.release("v2").await?;
    web.confirm("2/all").await?;
    web.wait_until_settled().await?;
    let entries = ground.entries(&mut log).await?;
    assert_eq!((writes(&entries, &b).len(), a.said("lost the lease")), (0, false));
    a.kill()?;
    ground.until_led_by("b").await?;
    web.roll_back().await?;
    web.wait_until_settled().await?;
    web.finish().await?;
    Ok(())
}
