//! S1, S2, S20, S21: how many pods may be out, reserved, granted, there.

use cafe_invariants::Rule::{S1, S2, S20, S21};
use cafe_invariants::record::{Gate, Pod};

use super::story::Story;

#[test]
fn s1_one_pod_of_each_unit_is_within_the_budget() {
    let mut story = Story::releasing();
    story.reserve("a", &["a1"], "v2").reserve("b", &["b1"], "v2").take_out("a1").take_out("b1").holds(S1);
}

#[test]
fn s1_a_second_pod_of_a_unit_is_over_its_grant() {
    let mut story = Story::releasing();
    story.set("b", |s| s.grant = 0).set("a", |s| (s.grant, s.partition) = (2, 0));
    story.deployment(|d| d.release.as_mut().unwrap().quota[0].updated = 2);
    story.reserve("a", &["a1", "a2"], "v2").take_out("a1").take_out("a2").holds(S1);

    let mut story = Story::releasing();
    story.set("a", |s| s.partition = 0).reserve("a", &["a1"], "v2").take_out("a1");
    // Reserved while it was broken, which is free; taken out when it served again, which is not.
    story.pod("a2", |p| p.ready = false).reserve("a", &["a2"], "v2").pod("a2", |p| p.ready = true);
    story.take_out("a2").breaks(S1, "2 pods that served are out at once, the budget is 1");
}

#[test]
fn s1_a_pod_reserved_under_a_larger_grant_may_still_be_taken_out() {
    let mut story = Story::releasing();
    story.set("b", |s| s.grant = 0).set("a", |s| (s.grant, s.partition) = (2, 0));
    story.reserve("a", &["a1", "a2"], "v2").set("a", |s| s.grant = 1);
    story.take_out("a1").take_out("a2").holds(S1);
}

#[test]
fn s1_a_person_who_takes_a_pod_offline_spends_no_budget_of_ours() {
    let offline = |p: &mut Pod| (p.gate, p.ready) = (Gate::Offline, false);
    let mut story = Story::releasing();
    story.reserve("a", &["a1"], "v2").pod("a2", offline).pod("b2", offline).take_out("a1").holds(S1);
    // It is unavailable all the same: nothing more is taken out beside it.
    let mut story = Story::releasing();
    story.pod("a2", offline).reserve("a", &["a1"], "v2");
    story.breaks(S2, "a pod that serves is reserved, with which 2 are out and the grant is 1");
}

#[test]
fn s2_a_serving_pod_is_reserved_within_the_grant() {
    Story::releasing().reserve("a", &["a1"], "v2").holds(S2);
}

#[test]
fn s2_a_serving_pod_beyond_the_grant_is_found() {
    let mut story = Story::releasing();
    story.set("a", |s| s.partition = 0).reserve("a", &["a1", "a2"], "v2");
    story.breaks(S2, "a pod that serves is reserved, with which 2 are out and the grant is 1");
}

#[test]
fn s2_a_serving_pod_while_another_is_broken_is_found_and_the_broken_one_is_free() {
    let mut story = Story::releasing();
    story.pod("a2", |p| p.ready = false).reserve("a", &["a2"], "v2").holds(S2);

    let mut story = Story::releasing();
    story.pod("a2", |p| p.ready = false).reserve("a", &["a1"], "v2");
    story.breaks(S2, "a pod that serves is reserved, with which 2 are out and the grant is 1");
}

#[test]
fn s2_a_surplus_pod_is_free_only_within_the_grant() {
    let mut story = Story::releasing();
    story.set("a", |s| (s.replicas, s.partition, s.grant) = (1, 0, 0)).reserve("a", &["a2"], "").holds(S2);

    let mut story = Story::releasing();
    story.set("a", |s| (s.replicas, s.partition, s.grant) = (1, 0, 0)).reserve("a", &["a1", "a2"], "");
    story.breaks(S2, "a pod that serves is reserved, with which 1 are out and the grant is 0");
}

#[test]
fn s2_a_reservation_that_others_took_away_covers_what_was_on_its_way_and_nothing_later() {
    let reserved = || {
        let mut story = Story::releasing();
        story.reserve("a", &["a1"], "v2");
        story
    };
    reserved().lose_status_of("a").take_out("a1").holds(S2);
    let unreserved = "it was taken out of traffic without a reservation";
    reserved().lose_status_of("a").take_out("a2").breaks(S2, unreserved);
    // The controller has written the status again without it.
    reserved().lose_status_of("a").set("a", |_| {}).take_out("a1").breaks(S2, unreserved);
}

#[test]
fn s2_a_drain_without_a_reservation_is_found() {
    let mut story = Story::releasing();
    story.take_out("a1").breaks(S2, "it was taken out of traffic without a reservation");
}

#[test]
fn s2_a_journal_with_a_pod_twice_is_found() {
    let mut story = Story::releasing();
    story.pod("a1", |p| p.ready = false).reserve("a", &["a1", "a1"], "v2");
    story.breaks(S2, "the journal names a pod twice or holds 2 entries, more than the 500 it may");
}

#[test]
fn s20_a_grant_moves_by_shrinking_first() {
    Story::releasing().set("b", |s| s.grant = 0).set("a", |s| s.grant = 2).holds(S20);
}

#[test]
fn s20_a_grant_that_grows_first_is_found() {
    let mut story = Story::releasing();
    story.set("a", |s| s.grant = 2).breaks(S20, "the grants add up to 3, the budget is 2");
}

#[test]
fn s20_a_smaller_budget_is_no_fault_of_the_grants_that_stand() {
    let mut story = Story::releasing();
    story.deployment(|d| (d.generation, d.observed, d.budget) = (2, Some(2), 1));
    story.set("a", |s| s.grant = 0).holds(S20);
    story.set("a", |s| s.grant = 1).breaks(S20, "the grants add up to 2, the budget is 1");
}

#[test]
fn s21_a_replacement_is_born_while_the_old_pod_terminates() {
    Story::new().pod("a1", |p| p.terminating = true).born("a3", "a", "v1").holds(S21);
}

#[test]
fn s21_a_pod_too_many_is_found() {
    Story::new().born("a3", "a", "v1").breaks(S21, "3 pods live, 2 are wanted");
}
