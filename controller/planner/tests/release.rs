//! Releases told from beginning to end, in a cluster in memory: groups, gates, tokens, pauses and newer templates.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use cafe_crds::{
    deployment::{ReleaseState, Strategy, UpgradeType},
    intstr::IntOrPercent::{self, Int, Percent},
};
use cafe_planner::set::Action;
use simulator::{Cluster, Planner, Template};

/// Groups of four, confirmed, as in the talks.
fn fours() -> Strategy {
    Strategy { batch_size: Some(Int(4)), ..Strategy::default() }
}

fn batches(size: IntOrPercent) -> Strategy {
    Strategy { batch_size: Some(size), ..Strategy::default() }
}

/// Ten pods over two cells at revision 1, and revision 2 at its first gate.
fn at_the_first_gate() -> Cluster {
    let mut cluster = Cluster::installed(10, 2, fours());
    cluster.apply_image(2).settle();
    assert_eq!(cluster.token().as_deref(), Some("2/1"));
    cluster
}

#[test]
fn the_first_install_needs_no_confirmation() {
    let cluster = Cluster::installed(10, 2, fours());
    assert_eq!(cluster.live(), [5, 5]);
    assert_eq!(cluster.told("WaitingForConfirmation"), 0);
}

#[test]
fn ten_pods_over_two_cells_go_one_and_one_then_two_and_two_twice_with_a_stop_after_each_but_the_last() {
    let mut cluster = Cluster::installed(10, 2, fours());
    cluster.quiet = true;
    cluster.apply_image(2).settle();
    assert_eq!((cluster.updated(), cluster.token().as_deref()), (vec![1, 1], Some("2/1")));
    cluster.confirm_next().settle();
    assert_eq!((cluster.updated(), cluster.token().as_deref()), (vec![3, 3], Some("2/2")));
    cluster.confirm_next().settle();
    cluster.assert_converged();
    assert_eq!(cluster.updated(), [5, 5]);
}

#[test]
fn an_update_in_place_costs_three_writes_to_the_pod_and_one_restart() {
    let mut cluster = Cluster::installed(10, 2, fours());
    cluster.quiet = true;
    let pods: Vec<_> = cluster.pods.keys().copied().collect();
    cluster.pods.values_mut().for_each(|p| (p.writes, p.starts) = (0, 0));
    cluster.apply_image(2).confirm_all().settle().assert_converged();
    assert_eq!(cluster.pods.keys().copied().collect::<Vec<_>>(), pods, "the same pods");
    assert!(cluster.pods.values().all(|p| (p.writes, p.starts) == (3, 1)), "{:?}", cluster.writes);
}

#[test]
fn every_pod_tells_the_group_that_moved_it() {
    let mut cluster = Cluster::installed(10, 2, fours());
    cluster.apply_image(2).confirm_all().settle();
    let of = |group: &str| cluster.pods.values().filter(|p| p.group.as_deref() == Some(group)).count();
    assert_eq!((of("2-1"), of("2-2"), of("2-3")), (2, 4, 4));
}

#[test]
fn the_exact_token_opens_its_gate_and_no_other() {
    let mut cluster = at_the_first_gate();
    cluster.confirm("2/1").settle();
    assert_eq!(cluster.token().as_deref(), Some("2/2"));
    assert_eq!((cluster.release().confirmed_through, cluster.told("Confirmed")), (1, 1));
    assert_eq!(cluster.release().last_action.as_ref().unwrap().token, "2/1");
}

#[test]
fn the_token_all_opens_every_gate_of_its_revision() {
    let mut cluster = at_the_first_gate();
    cluster.confirm_all().settle();
    cluster.assert_converged();
    assert_eq!(cluster.told("Confirmed"), 2);
}

#[test]
fn the_token_all_of_one_revision_opens_no_gate_of_the_next() {
    let mut cluster = at_the_first_gate();
    cluster.confirm_all().settle();
    cluster.apply_image(3).settle();
    assert_eq!((cluster.updated(), cluster.token().as_deref()), (vec![1, 1], Some("3/1")));
}

#[test]
fn a_token_that_opens_no_gate_is_told_once_and_changes_nothing() {
    for token in ["2/2", "2/9", "1/1", "1/all", "9/1", "nonsense", "2", "/", "2/", "2/x", "-2/1", "2/1 "] {
        let mut cluster = at_the_first_gate();
        cluster.confirm(token).settle();
        assert_eq!((cluster.updated(), cluster.token().as_deref()), (vec![1, 1], Some("2/1")), "{token:?}");
        assert_eq!(cluster.told("ConfirmIgnored"), 1, "{token:?}");
        cluster.restart();
        cluster.settle();
        assert_eq!(cluster.told("ConfirmIgnored"), 1, "{token:?}");
    }
}

#[test]
fn a_token_that_has_been_followed_is_not_called_ignored() {
    let mut cluster = at_the_first_gate();
    cluster.confirm("2/1").settle();
    cluster.confirm("2/2").settle();
    cluster.assert_converged();
    assert_eq!(cluster.told("ConfirmIgnored"), 0);
}

#[test]
fn an_early_token_opens_its_gate_on_arrival() {
    let mut cluster = at_the_first_gate();
    cluster.confirm("2/2").settle();
    assert_eq!(cluster.token().as_deref(), Some("2/1"));
    cluster.edit(|spec| spec.strategy.need_waiting_for_confirm = false).settle();
    cluster.assert_converged();
}

#[test]
fn a_future_token_never_meets_its_number() {
    let mut cluster = at_the_first_gate();
    cluster.confirm("3/all").settle();
    cluster.apply_image(3).settle();
    assert_eq!((cluster.updated(), cluster.token().as_deref()), (vec![1, 1], Some("4/1")));
}

#[test]
fn without_confirmation_the_groups_follow_one_another() {
    let mut cluster = Cluster::installed(10, 2, Strategy { need_waiting_for_confirm: false, ..fours() });
    cluster.quiet = true;
    cluster.apply_image(2).settle();
    cluster.assert_converged();
    assert_eq!((cluster.told("GroupCompleted"), cluster.told("WaitingForConfirmation")), (1 + 3, 0));
    assert_eq!(cluster.release().confirmed_through, 2);
}

#[test]
fn without_a_beta_group_the_first_group_is_a_batch() {
    let mut cluster =
        Cluster::installed(10, 2, Strategy { upgrade_type: UpgradeType::Batch, ..batches(Percent(30)) });
    cluster.apply_image(2).settle();
    assert_eq!(cluster.updated(), [2, 1]);
    cluster.confirm_next().settle();
    assert_eq!(cluster.updated(), [3, 3]);
}

#[test]
fn without_a_batch_size_all_the_rest_is_one_group() {
    let mut cluster = Cluster::installed(7, 3, Strategy::default());
    cluster.apply_image(2).settle();
    assert_eq!((cluster.updated(), cluster.release().group_total), (vec![1, 1, 1], 2));
    cluster.confirm_next().settle();
    cluster.assert_converged();
}

#[test]
fn a_pause_holds_the_next_pod_and_lets_those_in_flight_finish() {
    let mut cluster = Cluster::installed(10, 2, Strategy { max_unavailable: Int(1), ..batches(Int(8)) });
    cluster.apply_image(2).settle();
    cluster.confirm_next();
    cluster.run_until("a pod is drained", |c| c.in_service() < 10);
    cluster.pause(true).settle();
    assert_eq!((cluster.state(), cluster.in_service()), (ReleaseState::Paused, 10));
    assert_eq!(cluster.updated().iter().sum::<i32>(), 3, "the pod in flight finished");
    cluster.assert_rests();
    cluster.pause(false).settle();
    cluster.assert_converged();
    assert_eq!((cluster.told("ReleasePaused"), cluster.told("ReleaseResumed")), (1, 1));
}

#[test]
fn a_pause_holds_a_gate_although_its_token_is_there() {
    let mut cluster = at_the_first_gate();
    cluster.pause(true).confirm("2/1").settle();
    assert_eq!((cluster.updated(), cluster.state()), (vec![1, 1], ReleaseState::Paused));
    cluster.pause(false).settle();
    assert_eq!(cluster.updated(), [3, 3]);
}

#[test]
fn a_pause_lets_pods_that_have_just_been_born_enter_service() {
    let mut cluster = Cluster::new(4, 1, Strategy::default());
    cluster.full_units.insert("CellA".into());
    cluster.settle();
    cluster.apply_image(2).pause(true).settle();
    cluster.full_units.clear();
    cluster.settle();
    assert_eq!(cluster.in_service(), 4, "{}", cluster.story());
    cluster.pause(false).settle();
    cluster.assert_converged();
}

#[test]
fn a_third_template_supersedes_the_second_at_a_gate_from_the_same_base() {
    let mut cluster = at_the_first_gate();
    cluster.apply_image(3).settle();
    assert_eq!(cluster.told("ReleaseSuperseded"), 1);
    let release = cluster.release();
    assert_eq!((release.revision, release.from_revision, release.group), (3, Some(1), 1));
    // The superseded pods go first.
    assert_eq!(cluster.updated(), [1, 1]);
    assert!(cluster.pods.values().all(|p| p.pod.containers[0].image != "app:2".into()));
    cluster.confirm_all().settle();
    cluster.assert_converged();
}

#[test]
fn a_third_template_supersedes_the_second_in_the_middle_of_a_group() {
    let mut cluster = at_the_first_gate();
    cluster.confirm_next();
    cluster.run_until("a pod of group 2 is being updated", |c| c.updated().iter().sum::<i32>() == 3);
    cluster.apply_image(3).settle();
    assert_eq!((cluster.updated(), cluster.token().as_deref()), (vec![1, 1], Some("3/1")));
    cluster.confirm_all().settle();
    cluster.assert_converged();
}

#[test]
fn a_template_that_changes_and_changes_back_at_once_starts_nothing() {
    let mut cluster = Cluster::installed(10, 2, fours());
    cluster.apply_image(2).confirm_all().settle();
    cluster.apply_image(3);
    assert!(cluster.run_planner(Planner::Deployment, 1) > 0, "the revision is created");
    cluster.apply_image(2).settle();
    cluster.assert_converged();
    assert_eq!((cluster.release().revision, cluster.updated()), (2, vec![5, 5]));
    cluster.apply_image(3).settle();
    assert_eq!((cluster.token().as_deref(), cluster.updated()), (Some("3/1"), vec![1, 1]));
}

#[test]
fn a_change_of_batch_size_plans_only_groups_that_have_not_started() {
    let mut cluster = at_the_first_gate();
    cluster.edit(|spec| spec.strategy.batch_size = Some(Int(2))).settle();
    assert_eq!((cluster.release().group, cluster.release().group_total), (1, 5));
    cluster.confirm_next().settle();
    assert_eq!(cluster.updated(), [2, 2]);
    cluster.edit(|spec| spec.strategy.batch_size = None).settle();
    assert_eq!((cluster.release().group, cluster.release().group_total), (2, 3));
    cluster.confirm_next().settle();
    cluster.assert_converged();
}

#[test]
fn one_pod_at_a_time_over_three_units_still_finishes() {
    let strategy =
        Strategy { max_unavailable: Int(1), need_waiting_for_confirm: false, ..Strategy::default() };
    let mut cluster = Cluster::installed(9, 3, strategy);
    cluster.quiet = true;
    cluster.apply_image(2).settle();
    cluster.assert_converged();
}

#[test]
fn a_change_of_labels_moves_group_by_group_without_a_drain_or_a_restart() {
    let mut cluster = Cluster::installed(10, 2, fours());
    cluster.pods.values_mut().for_each(|p| (p.writes, p.starts) = (0, 0));
    cluster.quiet = true;
    cluster.apply_template(Template { label: 1, ..Template::image(1) }).settle();
    assert_eq!((cluster.updated(), cluster.token().as_deref()), (vec![1, 1], Some("2/1")));
    cluster.confirm_all().settle();
    cluster.assert_converged();
    assert!(cluster.pods.values().all(|p| (p.writes, p.starts) == (1, 0)), "one write each");
    assert!(!cluster.writes.contains_key("W1"));
}

#[test]
fn a_change_that_cannot_go_in_place_recreates_the_pods() {
    let mut cluster = Cluster::installed(10, 2, fours());
    let before: Vec<_> = cluster.pods.keys().copied().collect();
    cluster.quiet = true;
    cluster.apply_template(Template { rest: 1, ..Template::image(1) }).settle();
    assert_eq!((cluster.updated(), cluster.token().as_deref()), (vec![1, 1], Some("2/1")));
    cluster.confirm_all().settle();
    cluster.assert_converged();
    assert!(before.iter().all(|uid| !cluster.pods.contains_key(uid)));
    assert_eq!(cluster.writes["delete pod"], 10, "each pod once");
}

#[test]
fn the_policy_recreate_makes_new_pods_even_for_an_image() {
    let mut cluster = Cluster::installed(4, 2, Strategy::default());
    cluster.edit(|spec| spec.strategy.pod_update_policy = cafe_crds::deployment::PodUpdatePolicy::Recreate);
    cluster.quiet = true;
    cluster.apply_image(2).confirm_all().settle();
    cluster.assert_converged();
    assert_eq!((cluster.writes["delete pod"], cluster.writes.get("W2")), (4, None));
}

#[test]
fn min_ready_seconds_delay_the_group() {
    let mut cluster = Cluster::installed(4, 2, Strategy::default());
    cluster.edit(|spec| spec.min_ready_seconds = 30).settle();
    cluster.apply_image(2).run_for(20);
    assert_eq!((cluster.updated(), cluster.token()), (vec![1, 0], None));
    cluster.run_for(60);
    assert_eq!((cluster.updated(), cluster.token().as_deref()), (vec![1, 1], Some("2/1")));
}

#[test]
fn nothing_is_written_at_rest() {
    let mut cluster = at_the_first_gate();
    let before = cluster.actions;
    for _ in 0..10 {
        cluster.run_for(60);
    }
    assert_eq!(cluster.actions, before);
}

#[test]
fn a_drain_lost_from_the_journal_is_taken_in_once_and_finished() {
    let mut cluster = Cluster::installed(4, 1, Strategy::default());
    cluster.apply_image(2);
    cluster.run_until("a pod is drained", |c| c.in_service() < 4);
    let set = cluster.sets[0].uid;
    cluster.sets[0].journal.clear();
    let plan = cluster.plan_set(set);
    let status = plan.actions.iter().find_map(|a| match a {
        Action::WriteStatus { status, .. } => Some(status),
        _ => None,
    });
    assert_eq!(status.unwrap().in_flight.len(), 1);
    cluster.confirm_all().settle();
    cluster.assert_converged();
}
