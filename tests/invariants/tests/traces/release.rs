//! S4 to S9: groups, gates, pauses, rollbacks, failures.

use cafe_invariants::Rule::{S2, S4, S5, S6, S7, S8, S9};
use cafe_invariants::record::{Deployment, Release, Revision};

use super::story::Story;

fn release(d: &mut Deployment) -> &mut Release {
    d.release.as_mut().unwrap()
}

/// The beta group is done and its gate is announced.
fn at_gate() -> Story {
    let mut story = Story::releasing();
    story.move_pod("a", "a1").move_pod("b", "b1");
    story.deployment(|d| {
        (d.counts.replicas, d.counts.ready, d.counts.available) = (4, 4, 4);
        (d.counts.updated, d.counts.updated_available) = (2, 2);
        release(d).waiting = true;
    });
    story
}

fn pass(d: &mut Deployment) {
    let release = release(d);
    (release.group, release.waiting) = (2, false);
    release.quota.iter_mut().for_each(|q| q.updated = 2);
}

#[test]
fn s4_the_beta_group_moves_one_pod_of_each_unit() {
    Story::releasing().move_pod("a", "a1").move_pod("b", "b1").holds(S4);
}

#[test]
fn s4_a_second_pod_of_the_beta_group_is_found_when_it_is_reserved() {
    let mut story = Story::releasing();
    story.move_pod("a", "a1").reserve("a", &["a2"], "v2");
    story.breaks(S4, "2 pods are at the target or reserved for it, the gates let 1 in");
}

#[test]
fn s4_a_pod_that_is_born_past_the_gate_is_found() {
    let mut story = Story::releasing();
    story.move_pod("a", "a1").pod("a2", |p| p.terminating = true).born("a3", "a", "v1").holds(S4);

    let mut story = Story::releasing();
    story.move_pod("a", "a1").pod("a2", |p| p.terminating = true).born("a3", "a", "v2");
    story.breaks(S4, "2 pods are at the target or reserved for it, the gates let 1 in");
}

#[test]
fn s4_what_scaling_has_lowered_counts_once_the_set_has_heard() {
    let lower = |d: &mut Deployment| release(d).quota[0].updated = 0;
    let mut story = Story::releasing();
    story.reserve("a", &["a1"], "v2").drain("a1").deployment(lower).update("a1", "v2").holds(S4);

    let mut story = Story::releasing();
    story.reserve("a", &["a1"], "v2").drain("a1").deployment(lower).set("a", |s| s.generation += 1);
    story.update("a1", "v2");
    story.breaks(S4, "1 pods are at the target or reserved for it, the gates let 0 in");
}

#[test]
fn s4_a_pod_that_moves_with_a_group_not_yet_open_is_found() {
    let mut story = Story::releasing();
    story.reserve("a", &["a1"], "v2").drain("a1").pod("a1", |p| p.group = Some((2, 2)));
    story.breaks(S4, "it moved with group 2, the group in hand is 1");
}

#[test]
fn s4_a_pod_that_changes_its_group_is_found() {
    let mut story = at_gate();
    story.deployment(|d| d.confirm = Some("2/1".into())).deployment(pass);
    story.pod("a1", |p| p.group = Some((2, 2)));
    story.breaks(S4, "it changed from group 1 to group 2 of one release");
}

#[test]
fn s5_pods_in_flight_finish_in_a_pause() {
    let mut story = Story::releasing();
    story.reserve("a", &["a1"], "v2").set("a", |s| s.paused = true);
    story.drain("a1").update("a1", "v2").put_back("a1").let_go("a", "a1").holds(S2);
}

#[test]
fn s5_a_pod_that_is_reserved_in_a_pause_is_found() {
    let mut story = Story::releasing();
    story.set("a", |s| s.paused = true).reserve("a", &["a1"], "v2");
    story.breaks(S5, "1 pods are reserved in a pause");
}

#[test]
fn s5_a_surplus_pod_goes_in_a_pause_too() {
    let mut story = Story::releasing();
    story
        .set("a", |s| (s.replicas, s.partition, s.paused) = (1, 0, true))
        .reserve("a", &["a1"], "")
        .holds(S5);
}

#[test]
fn s5_a_pause_is_acknowledged_when_every_set_has_heard() {
    let mut story = Story::releasing();
    story.set("a", |s| s.paused = true).set("b", |s| s.paused = true).deployment(|d| d.says_paused = true);
    story.holds(S5);

    let mut story = Story::releasing();
    story.set("a", |s| s.paused = true).set_unheard("b", |s| s.paused = true);
    story.deployment(|d| d.says_paused = true).breaks(S5, "the pause is acknowledged while 1 sets have not");
}

#[test]
fn s6_a_gate_opens_by_its_token_or_by_all() {
    for token in ["2/1", "2/all"] {
        at_gate().deployment(|d| d.confirm = Some(token.into())).deployment(pass).holds(S6);
    }
}

#[test]
fn s6_a_gate_that_opens_by_another_token_or_none_is_found() {
    for token in [None, Some("2/2"), Some("1/1"), Some("2/ALL"), Some("2")] {
        let mut story = at_gate();
        story.deployment(|d| d.confirm = token.map(Into::into)).deployment(pass);
        story.breaks(S6, "gate 1 was passed without its token");
    }
}

#[test]
fn s6_without_confirmation_a_gate_opens_by_itself_but_not_in_a_pause() {
    at_gate().deployment(|d| d.needs_confirm = false).deployment(pass).holds(S6);

    let mut story = at_gate();
    story.deployment(|d| (d.needs_confirm, d.paused) = (false, true)).deployment(pass);
    story.breaks(S6, "gate 1 was passed in a pause");
}

#[test]
fn s6_a_group_that_is_skipped_is_found() {
    let mut story = at_gate();
    story.deployment(|d| d.confirm = Some("2/all".into())).deployment(|d| {
        pass(d);
        release(d).group = 3;
    });
    story.breaks(S6, "the release went from group 1 to group 3");
}

#[test]
fn s6_a_gate_before_its_group_is_complete_is_found() {
    let mut story = Story::releasing();
    story.move_pod("a", "a1").deployment(|d| {
        (d.counts.replicas, d.counts.ready, d.counts.available) = (4, 4, 4);
        (d.counts.updated, d.counts.updated_available) = (1, 1);
        release(d).waiting = true;
    });
    story.breaks(S6, "gate 1 was passed with 1 pods done of 2");
}

#[test]
fn s6_a_release_that_completes_at_a_gate_is_found() {
    let mut story = at_gate();
    story.deployment(|d| release(d).completed = true);
    story.breaks(S6, "the release is complete, and nobody passed gate 1");
}

/// The release is complete; where new pods go in groups, more are wanted.
fn complete() -> Story {
    let mut story = at_gate();
    story.deployment(|d| d.confirm = Some("2/1".into())).deployment(pass);
    story.set("a", |s| s.partition = 0).set("b", |s| s.partition = 0);
    story.move_pod("a", "a2").move_pod("b", "b2").deployment(|d| {
        (d.counts.updated, d.counts.updated_available) = (4, 4);
        release(d).completed = true;
    });
    story.deployment(|d| (d.groups_scale_out, d.replicas) = (true, 8));
    story
}

fn take_up(d: &mut Deployment) {
    let release = release(d);
    (release.completed, release.scale_out, release.group, release.total) = (false, true, 3, 4);
    release.quota.iter_mut().for_each(|q| (q.replicas, q.updated) = (3, 3));
}

#[test]
fn s6_a_release_that_has_completed_is_taken_up_again_to_add_pods_and_for_nothing_else() {
    complete().deployment(take_up).holds(S6);

    let mut story = complete();
    story.deployment(|d| {
        take_up(d);
        release(d).scale_out = false;
    });
    story.breaks(S6, "the release went from group 2 to group 3");
}

#[test]
fn s6_the_gate_of_a_scale_out_falls_with_what_it_guards() {
    let end = |d: &mut Deployment| (release(d).completed, release(d).waiting) = (true, false);
    let mut story = complete();
    story.deployment(take_up).deployment(|d| d.replicas = 6).deployment(end).holds(S6);

    let mut story = complete();
    story.deployment(take_up).deployment(end);
    story.breaks(S6, "the release is complete, and nobody passed gate 3");
}

#[test]
fn s7_a_pod_is_born_at_the_base_or_at_the_target_and_nothing_else() {
    let mut story = Story::releasing();
    story.pod("a1", |p| p.terminating = true).born("a3", "a", "v1").holds(S7);

    let mut story = Story::releasing();
    story.pod("a1", |p| p.terminating = true).born("a3", "a", "v0");
    story.breaks(S7, "it is at a revision that is neither the base nor the target");
}

#[test]
fn s7_a_set_alone_moves_to_a_template_that_its_status_has_not_heard_of() {
    let alone = |story: &mut Story| {
        story.set("a", |s| s.owner = None).reserve("a", &["a1"], "v3").drain("a1");
    };
    let mut story = Story::new();
    alone(&mut story);
    story.set_unheard("a", |s| s.images = vec!["v3".into()]).update("a1", "v3").holds(S2);

    let mut story = Story::new();
    alone(&mut story);
    story.update("a1", "v3").breaks(S7, "it is at a revision that is neither the base nor the target");
}

#[test]
fn s7_a_superseded_pod_goes_before_one_at_the_base() {
    let superseded = |story: &mut Story| {
        story.move_pod("a", "a1").set("a", |s| {
            s.generation += 1;
            (s.target, s.images) = (Revision::of("v3"), vec!["v3".into()]);
        });
    };
    let mut story = Story::releasing();
    superseded(&mut story);
    story.reserve("a", &["a1"], "v3").holds(S7);

    let mut story = Story::releasing();
    superseded(&mut story);
    story.reserve("a", &["a2"], "v3");
    story.breaks(S7, "a pod at the base is reserved before 1 superseded ones");
}

/// The rollback from v2 to v1 after the beta group has moved a1.
fn rolling_back() -> Story {
    rolling_back_from(Story::releasing())
}

fn rolling_back_from(mut story: Story) -> Story {
    story.move_pod("a", "a1").deployment(|d| {
        d.target = Revision::of("v1");
        let quota = release(d).quota.clone();
        d.release = Some(Release {
            revision: 3,
            has_base: true,
            rollback: true,
            group: 1,
            total: 1,
            quota,
            ..Release::default()
        });
    });
    for unit in super::story::UNITS {
        story.set(unit, |s| {
            s.generation += 1;
            s.partition = 0;
            (s.target, s.images) = (Revision::of("v1"), vec!["v1".into()]);
        });
    }
    story
}

#[test]
fn s8_a_rollback_moves_what_is_not_there() {
    rolling_back().reserve("a", &["a1"], "v1").holds(S8);
}

#[test]
fn s8_a_rollback_that_touches_a_good_pod_is_found() {
    rolling_back()
        .reserve("a", &["a2"], "v1")
        .breaks(S8, "a rollback touches it, and it is at the target already");
}

#[test]
fn s8_a_rollback_brings_back_a_good_pod_that_was_found_drained() {
    let mut story = Story::attributed();
    story.release();
    // No write of ours is told: the drain is somebody else's.
    let mut story = rolling_back_from(story);
    story.take_out("b1").reserve("b", &["b1"], "v1").holds(S2);
}

/// a1 is updated and does not come up.
fn failing(seconds: i64) -> Story {
    let mut story = Story::releasing();
    story.reserve("a", &["a1"], "v2").drain("a1").update("a1", "v2").wait(seconds * 1000);
    story
}

#[test]
fn s9_the_group_goes_on_while_the_failure_is_young() {
    failing(600).reserve("b", &["b1"], "v2").holds(S9);
}

#[test]
fn s9_a_reservation_after_an_old_failure_is_found() {
    failing(601).reserve("b", &["b1"], "v2").breaks(
        S9,
        "a pod that serves is reserved while an updated pod has been unavailable for 601 s, the window is 600 s",
    );
}

#[test]
fn s9_a_broken_pod_is_free_also_after_an_old_failure() {
    failing(601).pod("b1", |p| p.ready = false).reserve("b", &["b1"], "v2").holds(S9);
}
