//! S3 and S14: what is stopped, and who runs.

use cafe_invariants::record::{Gate, Protector};
use cafe_invariants::{
    Kind,
    Rule::{S3, S14},
    Verb,
};

use super::story::Story;

fn reserved() -> Story {
    let mut story = Story::releasing();
    story.reserve("a", &["a1"], "v2");
    story
}

#[test]
fn s3_an_update_after_a_drain_loses_nothing() {
    let mut story = Story::releasing();
    story.move_pod("a", "a1").holds(S3);
}

#[test]
fn s3_an_update_of_a_pod_that_serves_is_found() {
    reserved()
        .update("a1", "v2")
        .breaks(S3, "its images were changed while its gate was not closed by a drain");
}

#[test]
fn s3_an_update_before_ready_is_false_is_found() {
    let mut story = reserved();
    story.pod("a1", |p| p.gate = Gate::Draining("Drain_1".into())).slice("a1", Some(false)).wait(3000);
    story.update("a1", "v2").breaks(S3, "its images were changed while it was Ready");
}

#[test]
fn s3_an_update_while_an_endpoint_serves_is_found() {
    let mut story = reserved();
    story.take_out("a1").wait(9000).update("a1", "v2");
    story.breaks(S3, "its images were changed while 1 endpoints stood for it");
}

#[test]
fn s3_with_mode_unselect_the_endpoint_must_be_gone() {
    let mut story = reserved();
    story.set("a", |s| s.unselect = true).take_out("a1").slice("a1", None).wait(3000).update("a1", "v2");
    story.holds(S3);

    let mut story = reserved();
    story.set("a", |s| s.unselect = true).drain("a1").update("a1", "v2");
    story.breaks(S3, "its images were changed while 1 endpoints stood for it");
}

#[test]
fn s3_an_answer_to_an_older_drain_is_worthless() {
    let answer = |drain: &str| vec![Protector { holds: true, answered: Some(drain.into()) }];
    let mut story = reserved();
    story.drain("a1").pod("a1", |p| p.protectors = answer("Drain_1")).wait(3000).update("a1", "v2").holds(S3);

    let mut story = reserved();
    story.drain("a1").pod("a1", |p| p.protectors = answer("Drain_0")).wait(3000).update("a1", "v2");
    story.breaks(S3, "its images were changed although 1 protectors had not answered this drain");
}

#[test]
fn s3_a_drain_that_somebody_cut_short_waits_for_nobody() {
    let mut story = reserved();
    story.take_out("a1").pod("a1", |p| p.force_drain = Some("1".into())).update("a1", "v2").holds(S3);
}

#[test]
fn s3_a_policy_cuts_a_drain_short_when_its_time_is_over_and_not_before() {
    let mut story = reserved();
    story
        .set("a", |s| s.forces_after = Some(60_000))
        .take_out("a1")
        .wait(60_000)
        .update("a1", "v2")
        .holds(S3);

    let mut story = reserved();
    story.set("a", |s| s.forces_after = Some(60_000)).take_out("a1").wait(59_999).update("a1", "v2");
    story.breaks(S3, "its images were changed while 1 endpoints stood for it");
}

#[test]
fn s3_a_pod_that_is_offline_is_not_drained_for_an_update() {
    let mut story = reserved();
    story.pod("a1", |p| (p.gate, p.ready) = (Gate::Offline, false)).slice("a1", Some(false)).wait(9000);
    story.update("a1", "v2").breaks(S3, "its images were changed while its gate was not closed by a drain");
}

#[test]
fn s3_an_update_within_the_grace_period_is_found() {
    let mut story = reserved();
    story.take_out("a1").slice("a1", Some(false)).wait(2999).update("a1", "v2");
    story.breaks(S3, "its images were changed 2999 ms after it was drained, the grace period is 3000 ms");
}

#[test]
fn s3_an_endpoint_that_comes_back_during_the_update_is_found() {
    let mut story = reserved();
    story.drain("a1").update("a1", "v2").slice("a1", Some(true));
    story.breaks(S3, "an endpoint serves it again before its gate is open");
}

#[test]
fn s3_a_deletion_of_ours_needs_a_drain_and_one_of_others_does_not() {
    let mut story = reserved();
    story.write(Kind::Pod, Verb::Delete, "a1", |w| w.ours = false).pod("a1", |p| p.terminating = true);
    story.holds(S14);

    let mut story = reserved();
    story.write(Kind::Pod, Verb::Delete, "a1", |_| {}).pod("a1", |p| p.terminating = true);
    story.breaks(S3, "it was deleted while its gate was not closed by a drain");
}

#[test]
fn s3_a_container_that_starts_again_under_traffic_is_found() {
    let mut story = reserved();
    story.pod("a1", |p| p.containers[0].id = "2".into());
    story.breaks(S3, "a container was started again while its gate was not closed by a drain");
}

#[test]
fn s14_a_pod_of_the_same_claim_runs_after_the_other_has_ended() {
    let mut story = Story::new();
    story.pod("a1", |p| p.claims = vec!["data-1".into()]);
    story.pod("a1", |p| (p.terminating, p.finished) = (true, true));
    story.born("a3", "a", "v1").pod("a3", |p| p.claims = vec!["data-1".into()]).holds(S14);
}

#[test]
fn s14_two_pods_that_run_on_one_claim_are_found() {
    let mut story = Story::new();
    story.pod("a1", |p| p.claims = vec!["data-1".into()]).pod("a1", |p| p.terminating = true);
    story.born("a3", "a", "v1").pod("a3", |p| p.claims = vec!["data-1".into()]);
    story.breaks(S14, "another pod of the same identity still runs");
}

#[test]
fn s14_a_forced_deletion_on_a_node_that_may_live_is_found() {
    let mut story = Story::new();
    story.pod("a1", |p| p.node = "".into());
    story.write(Kind::Pod, Verb::Delete, "a1", |w| w.body.as_mut().unwrap().forced = true).holds(S14);

    let mut story = Story::new();
    story.write(Kind::Pod, Verb::Delete, "a1", |w| w.body.as_mut().unwrap().forced = true);
    story.breaks(S14, "we deleted it by force, and its node is not known to be dead");
}

#[test]
fn s14_a_pod_that_changes_its_address_is_found() {
    let mut story = Story::new();
    story.pod("a1", |p| p.address = "10.0.0.99".into()).breaks(S14, "its address changed");
}
