//! S10, S15, S16, S17, S22: requests.

use cafe_invariants::Rule::{S10, S15, S16, S17, S22};
use cafe_invariants::{Body, Kind, Verb, Write};

use super::story::Story;

fn body(write: &mut Write) -> &mut Body {
    write.body.as_mut().unwrap()
}

#[test]
fn s10_a_write_with_uid_and_version_is_as_it_should_be() {
    Story::new()
        .write(Kind::Pod, Verb::Change, "a1", |_| {})
        .write(Kind::Pod, Verb::Create, "a9", |_| {})
        .holds(S10);
}

#[test]
fn s10_a_write_without_uid_or_version_is_found() {
    for (verb, kind, name) in [
        (Verb::Change, Kind::Pod, "a1"),
        (Verb::Delete, Kind::Pod, "a1"),
        (Verb::Change, Kind::Set, "web-a"),
        (Verb::Change, Kind::Deployment, "web"),
    ] {
        let mut story = Story::new();
        story.write(kind, verb, name, |w| body(w).version = None);
        story.breaks(S10, "the write carries no resourceVersion");
        let mut story = Story::new();
        story.write(kind, verb, name, |w| body(w).uid = None).breaks(S10, "the write carries no uid");
    }
}

#[test]
fn s10_a_refused_write_on_an_old_version_is_no_fault_and_an_accepted_one_is() {
    let mut story = Story::new();
    story
        .write(Kind::Pod, Verb::Change, "a1", |w| (w.accepted, body(w).version) = (false, Some(1)))
        .holds(S10);

    let mut story = Story::new();
    story.write(Kind::Pod, Verb::Change, "a1", |w| body(w).version = Some(1));
    story.breaks(S10, "a write decided on version 1 was accepted on version 3");
}

#[test]
fn s15_a_write_that_mentions_finalizers_is_found() {
    Story::new().write(Kind::Pod, Verb::Change, "a1", |_| {}).holds(S15);
    let mut story = Story::new();
    story.write(Kind::Pod, Verb::Change, "a1", |w| body(w).finalizers = true);
    story.breaks(S15, "we changed its finalizers");
}

#[test]
fn s15_a_finalizer_that_changes_with_our_write_is_found_and_with_theirs_is_not() {
    let add = |p: &mut cafe_invariants::record::Pod| p.finalizers.push("protect.cafe.dev/lb".into());
    let mut story = Story::attributed();
    story.pod("a1", add).write(Kind::Pod, Verb::Change, "a1", |_| {}).pod("a1", |_| {}).holds(S15);

    let mut story = Story::attributed();
    story
        .write(Kind::Pod, Verb::Change, "a1", |_| {})
        .pod("a1", add)
        .breaks(S15, "we changed its finalizers");
}

#[test]
fn s16_the_holder_writes_until_its_lease_ends() {
    let mut story = Story::new();
    story.renew("replica-1", "one").wait(10_000).renew("replica-1", "one").wait(15_500);
    story.write(Kind::Pod, Verb::Change, "a1", |_| {}).holds(S16);
}

#[test]
fn s16_a_write_after_the_lease_has_ended_is_found() {
    let mut story = Story::new();
    story.renew("replica-1", "one").wait(16_001).write(Kind::Pod, Verb::Change, "a1", |_| {});
    story.breaks(S16, "a write arrived 1001 ms after the writer's claim had ended");
}

#[test]
fn s16_a_write_after_another_replica_has_taken_over_is_found_even_when_it_is_refused() {
    let mut story = Story::new();
    story.renew("replica-1", "one").wait(5000).renew("replica-2", "two").wait(2000);
    story.write(Kind::Pod, Verb::Change, "a1", |w| w.client = "replica-2".into()).holds(S16);
    story.write(Kind::Pod, Verb::Change, "a1", |w| w.accepted = false);
    story.breaks(S16, "a write arrived 2000 ms after the writer's claim had ended");
}

/// Everything asked for is done and said, and every write of ours is told.
fn at_goal() -> Story {
    let mut story = Story::attributed();
    for unit in super::story::UNITS {
        story.set(unit, |s| {
            (s.counts.replicas, s.counts.ready, s.counts.available) = (2, 2, 2);
            (s.counts.updated, s.counts.updated_available) = (2, 2);
        });
    }
    story.deployment(|d| {
        (d.counts.replicas, d.counts.ready, d.counts.available) = (4, 4, 4);
        (d.counts.updated, d.counts.updated_available) = (4, 4);
        d.says_ready = true;
    });
    story
}

fn status_write(story: &mut Story) {
    story.write(Kind::Set, Verb::Change, "web-a", |_| {}).set("a", |_| {});
}

#[test]
fn s17_a_few_reports_after_the_goal_and_new_ones_after_every_change_are_no_unrest() {
    let mut story = at_goal();
    for _ in 0..4 {
        status_write(&mut story);
    }
    story.pod("a1", |_| {});
    status_write(&mut story);
    story.holds(S17);
}

#[test]
fn s17_a_controller_that_writes_on_at_the_goal_is_found() {
    let mut story = at_goal();
    for _ in 0..5 {
        status_write(&mut story);
    }
    story.breaks(S17, "5 writes at the goal, with nothing to cause them");
}

#[test]
fn s17_a_write_that_changes_nothing_is_found() {
    let mut story = Story::new();
    story.write(Kind::Pod, Verb::Change, "a1", |w| w.object.version = body(w).version.unwrap());
    story.breaks(S17, "a write changed nothing");
}

#[test]
fn s22_writes_stay_in_the_namespace_of_a_workload() {
    let mut story = Story::new();
    story.write(Kind::Pod, Verb::Create, "a9", |_| {});
    story.write(Kind::Lease, Verb::Create, "cafe", |w| w.object.namespace = "cafe-system".into());
    story.write(Kind::Event, Verb::Create, "e", |w| w.object.namespace = "other".into()).holds(S22);
}

#[test]
fn s22_a_pod_in_another_namespace_is_found() {
    let mut story = Story::new();
    story.write(Kind::Pod, Verb::Create, "a9", |w| w.object.namespace = "other".into());
    story.breaks(S22, "we wrote to a namespace without a workload");
}

#[test]
fn s22_an_object_of_a_foreign_kind_or_without_a_namespace_is_found() {
    let mut story = Story::new();
    story
        .write(Kind::Other, Verb::Create, "secret", |_| {})
        .breaks(S22, "we wrote to a kind that is none of ours");
    let mut story = Story::new();
    story.write(Kind::Revision, Verb::Create, "r", |w| w.object.namespace = "".into());
    story.breaks(S22, "we wrote to an object without a namespace");
}

#[test]
fn s22_a_request_that_the_server_gave_up_on_is_found() {
    let mut story = Story::new();
    story.write(Kind::Pod, Verb::Create, "a9", |w| (w.accepted, w.panicked) = (false, true));
    story.breaks(S22, "the API server gave up on the request");
}
