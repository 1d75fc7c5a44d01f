//! S12, S13, S18, S19: owners, units, figures, removal.

use cafe_invariants::Rule::{S12, S13, S18, S19};
use cafe_invariants::record::Deployment;
use cafe_invariants::{Kind, Verb};

use super::story::Story;

#[test]
fn s12_a_pod_with_two_controllers_is_found() {
    Story::new().holds(S12);
    Story::new().pod("a1", |p| p.controllers = 2).breaks(S12, "it has 2 controllers");
}

#[test]
fn s12_a_write_to_a_pod_of_nobody_is_found_unless_it_adopts_it() {
    let mut story = Story::new();
    story.write(Kind::Pod, Verb::Change, "stranger", |w| {
        let body = w.body.as_mut().unwrap();
        (body.adopts, body.version) = (true, Some(1));
    });
    story.holds(S12);

    let mut story = Story::new();
    story.write(Kind::Pod, Verb::Change, "stranger", |w| w.body.as_mut().unwrap().version = Some(1));
    story.breaks(S12, "it belongs to no set of ours, and we wrote to it");
}

/// Unit a has two nodes, and one pod that finds no place.
fn unschedulable() -> Story {
    let mut story = Story::new();
    story.node("n1", "a", true).node("n2", "a", true).node("n3", "b", false);
    story.pod("a2", |p| p.ready = false);
    story
}

#[test]
fn s13_an_unschedulable_pod_gives_its_place_away() {
    unschedulable().set("a", |s| s.ceiling = Some(1)).holds(S13);
}

#[test]
fn s13_a_place_that_serves_is_found() {
    unschedulable()
        .set("a", |s| s.ceiling = Some(0))
        .breaks(S13, "a unit is capped at 0 while 1 of its pods serve");
}

#[test]
fn s13_moving_out_of_a_unit_whose_nodes_are_down_is_found() {
    let mut story = unschedulable();
    story.node("n1", "a", false).set("a", |s| s.ceiling = Some(1)).holds(S13);

    let mut story = unschedulable();
    story.node("n1", "a", false).node("n2", "a", false).set("a", |s| s.ceiling = Some(1));
    story.breaks(S13, "a unit loses places while 2 of its 2 nodes are not ready");
}

fn counted(story: &mut Story, replicas: i64, updated: i64) -> &mut Story {
    story.set("a", |s| {
        (s.counts.replicas, s.counts.ready, s.counts.available) = (replicas, 2, 2);
        (s.counts.updated, s.counts.updated_available) = (updated, updated);
    })
}

#[test]
fn s18_figures_that_the_pods_bear_out_are_sound() {
    let mut story = Story::releasing();
    story.move_pod("a", "a1");
    counted(&mut story, 2, 1).holds(S18);
}

#[test]
fn s18_pods_that_are_called_updated_and_are_not_are_found() {
    let mut story = Story::releasing();
    story.set("a", |s| {
        (s.counts.replicas, s.counts.ready, s.counts.available, s.counts.updated) = (2, 2, 2, 1);
    });
    story.breaks(S18, "the status says 1 updated pods, there are 0 to 0");
}

#[test]
fn s18_figures_over_all_units_are_held_against_the_pods_too() {
    let mut story = Story::new();
    story
        .deployment(|d| {
            (d.counts.replicas, d.counts.ready, d.counts.available, d.counts.updated) = (4, 4, 4, 4);
        })
        .holds(S18);
    story.deployment(|d| d.counts.available = 5);
    story.breaks(S18, "the status says 5 available pods, there are 0 to 4");
}

#[test]
fn s18_figures_that_were_right_a_moment_ago_are_sound_and_older_ones_are_not() {
    let one = |d: &mut Deployment| {
        (d.counts.replicas, d.counts.ready, d.counts.available, d.counts.updated) = (1, 1, 1, 1);
    };
    // All four pods have just been created: when the status was decided, unit b may have had none yet.
    Story::lagging().wait(4999).deployment(one).holds(S18);

    let mut story = Story::lagging();
    story.wait(5000).deployment(one);
    assert_eq!(story.found(), [S18; 3]);
}

#[test]
fn s18_at_rest_every_figure_is_right() {
    let mut story = Story::new();
    story.at_rest();
    assert!(story.found().iter().all(|rule| *rule == S18) && !story.found().is_empty());
}

#[test]
fn s18_an_observed_generation_that_runs_ahead_or_back_is_found() {
    let mut story = Story::new();
    story.deployment(|d| (d.generation, d.observed) = (2, Some(2))).holds(S18);
    story.deployment(|d| d.observed = Some(1)).breaks(S18, "observedGeneration went back from 2 to 1");

    let mut story = Story::new();
    story.set("a", |s| s.observed = Some(2)).breaks(S18, "observedGeneration 2 is ahead of generation 1");
}

#[test]
fn s18_a_status_that_somebody_else_takes_away_is_no_fault_of_ours() {
    let mut story = Story::new();
    story.deployment(|d| d.observed = None).breaks(S18, "observedGeneration went back from 1 to 0");

    let mut story = Story::new();
    story.lose_status().holds(S18);
    story.deployment(|d| (d.generation, d.observed) = (3, Some(3))).holds(S18);
    story.deployment(|d| d.observed = Some(2)).breaks(S18, "observedGeneration went back from 3 to 2");
}

#[test]
fn s19_a_unit_goes_once_it_is_empty() {
    let mut story = Story::new();
    story.set("b", |s| s.replicas = 0);
    for pod in ["b1", "b2"] {
        story.reserve("b", &[pod], "").drain(pod).pod(pod, |p| p.terminating = true).gone(pod);
    }
    story.write(Kind::Set, Verb::Delete, "web-b", |_| {}).holds(S19);
}

#[test]
fn s19_a_unit_that_goes_with_pods_that_serve_is_found() {
    let mut story = Story::new();
    story
        .write(Kind::Set, Verb::Delete, "web-b", |_| {})
        .breaks(S19, "its set is deleted while 2 of its pods serve");
}

#[test]
fn s19_a_pod_of_another_workload_that_is_deleted_along_is_found() {
    let mut story = Story::new();
    story.set("b", |s| s.deleting = true).write(Kind::Pod, Verb::Delete, "b1", |_| {}).holds(S19);

    let mut story = Story::new();
    story.set("b", |s| s.deleting = true).write(Kind::Pod, Verb::Delete, "a1", |_| {});
    story.breaks(S19, "we deleted it, and its set is not of the workload that goes");
}
