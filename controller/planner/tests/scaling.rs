//! Scaling, dying pods and changing units in the middle of releases: no gate is passed, no hole is torn.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use cafe_crds::{
    deployment::{ReleaseState, Strategy},
    intstr::IntOrPercent::{self, Int},
};
use cafe_planner::deployment::DeploymentSpec;
use simulator::{Cluster, cells};

fn fours() -> Strategy {
    Strategy { batch_size: Some(Int(4)), ..Strategy::default() }
}

fn at_the_first_gate() -> Cluster {
    let mut cluster = Cluster::installed(10, 2, fours());
    cluster.apply_image(2).settle();
    cluster
}

/// CellA gets a size of its own.
fn pin(spec: &mut DeploymentSpec, pods: i32) {
    spec.topology.unit_replicas.insert("CellA".into(), Int(pods));
}

#[test]
fn plain_scaling_is_not_gated_and_tears_no_hole() {
    let mut cluster = Cluster::installed(10, 2, fours());
    for replicas in [4, 11, 3, 0, 6] {
        cluster.scale(replicas).settle();
        cluster.assert_converged();
    }
    assert_eq!(cluster.told("ReleaseStarted"), 1);
}

#[test]
fn pods_added_at_a_gate_are_born_at_the_base() {
    let mut cluster = at_the_first_gate();
    cluster.scale(16).settle();
    assert_eq!((cluster.live(), cluster.updated()), (vec![8, 8], vec![1, 1]));
    assert_eq!((cluster.token().as_deref(), cluster.in_service()), (Some("2/1"), 16));
    cluster.confirm_all().settle();
    cluster.assert_converged();
}

#[test]
fn scaling_in_at_a_gate_passes_no_gate() {
    let mut cluster = at_the_first_gate();
    cluster.scale(4).settle();
    assert_eq!((cluster.live(), cluster.updated()), (vec![2, 2], vec![1, 1]));
    assert_eq!(cluster.token().as_deref(), Some("2/1"));
    cluster.confirm_next().settle();
    cluster.assert_converged();
}

#[test]
fn a_gate_that_was_announced_stands_even_when_no_old_pod_is_left() {
    let mut cluster = at_the_first_gate();
    cluster.scale(2).settle();
    assert_eq!((cluster.updated(), cluster.state()), (vec![1, 1], ReleaseState::WaitingForConfirmation));
    assert!(cluster.message().contains("no pod is left to move"), "{}", cluster.message());
    cluster.confirm_next().settle();
    cluster.assert_converged();
}

#[test]
fn scaling_to_nothing_and_back_at_a_gate_keeps_the_gate() {
    let mut cluster = at_the_first_gate();
    cluster.scale(0).settle();
    assert_eq!((cluster.pods.len(), cluster.token().as_deref()), (0, Some("2/1")));
    cluster.scale(10).settle();
    assert_eq!((cluster.updated(), cluster.in_service()), (vec![0, 0], 10));
    assert_eq!(cluster.token().as_deref(), Some("2/1"));
    cluster.confirm_all().settle();
    cluster.assert_converged();
}

#[test]
fn scaling_in_the_middle_of_a_group_passes_no_gate() {
    for replicas in [4, 6, 9, 14, 20] {
        let mut cluster = at_the_first_gate();
        cluster.confirm_next();
        cluster.run_until("group 2 moves", |c| c.updated().iter().sum::<i32>() == 3);
        cluster.scale(replicas).settle();
        assert_eq!(cluster.token().as_deref(), Some("2/2"), "{}", cluster.story());
        assert!(cluster.updated().iter().sum::<i32>() <= 6);
        cluster.confirm_all().settle();
        cluster.assert_converged();
    }
}

#[test]
fn a_scale_in_with_a_release_under_it_keeps_the_set_in_service() {
    let strategy =
        Strategy { max_unavailable: Int(1), need_waiting_for_confirm: false, ..Strategy::default() };
    let mut cluster = Cluster::installed(10, 1, strategy);
    cluster.scale(5).apply_image(2);
    cluster.quiet = true;
    cluster.settle();
    cluster.assert_converged();
}

#[test]
fn scaling_in_never_takes_the_last_pods_that_serve() {
    let strategy =
        Strategy { max_unavailable: Int(1), need_waiting_for_confirm: false, ..Strategy::default() };
    let mut cluster = Cluster::installed(5, 1, strategy);
    cluster.break_image(2, "CrashLoopBackOff").apply_image(2).settle();
    assert_eq!(cluster.in_service(), 4);
    for replicas in [4, 3, 2, 1] {
        cluster.scale(replicas).settle();
        assert!(cluster.in_service() >= replicas - 1, "{replicas}\n{}", cluster.story());
    }
}

#[test]
fn a_pod_that_dies_comes_back_as_what_its_quota_says() {
    let mut cluster = at_the_first_gate();
    for unit in ["CellA", "CellB"] {
        for uid in cluster.pods_in(unit) {
            for how in [Cluster::lose, Cluster::fail, Cluster::evict] {
                let mut cluster = cluster.clone();
                how(&mut cluster, uid);
                cluster.settle();
                assert_eq!((cluster.updated(), cluster.in_service()), (vec![1, 1], 10));
                assert_eq!(cluster.token().as_deref(), Some("2/1"));
            }
        }
    }
    cluster.confirm_all().settle();
    cluster.assert_converged();
}

#[test]
fn a_pod_that_dies_while_its_group_is_full_of_promises_is_not_born_past_the_gate() {
    let mut cluster = Cluster::installed(6, 1, Strategy { max_unavailable: Int(3), ..Strategy::default() });
    cluster.apply_image(2);
    cluster.run_until("the beta pod is drained", |c| c.in_service() == 5);
    let old = cluster.pods.values().find(|p| p.pod.in_service()).unwrap().pod.uid;
    cluster.lose(old).settle();
    assert_eq!((cluster.updated(), cluster.token().as_deref()), (vec![1], Some("2/1")));
}

#[test]
fn a_pod_that_dies_while_its_group_recreates_makes_no_two_take_turns() {
    let strategy =
        Strategy { batch_size: Some(Int(1)), need_waiting_for_confirm: false, ..Strategy::default() };
    let mut cluster = Cluster::installed(4, 1, strategy);
    cluster.apply_template(simulator::Template { rest: 1, ..simulator::Template::image(1) }).settle();
    cluster.assert_converged();
    assert_eq!(cluster.writes["delete pod"], 4);
}

#[test]
fn a_unit_that_leaves_is_emptied_as_its_pods_find_a_new_home() {
    for budget in [IntOrPercent::Int(1), IntOrPercent::Int(5)] {
        let mut cluster = Cluster::installed(9, 3, Strategy { max_unavailable: budget, ..fours() });
        cluster.quiet = true;
        cluster.edit(|spec| spec.topology = cells(2)).settle();
        cluster.assert_converged();
        assert_eq!((cluster.live(), cluster.told("UnitRemoved")), (vec![5, 4], 1));
        cluster.edit(|spec| spec.topology = cells(3)).settle();
        cluster.assert_converged();
        assert_eq!(cluster.live(), [3, 3, 3]);
    }
}

#[test]
fn pins_move_pods_without_a_hole() {
    let mut cluster = Cluster::installed(10, 2, fours());
    cluster.quiet = true;
    cluster.edit(|spec| pin(spec, 9)).settle();
    cluster.assert_converged();
    assert_eq!(cluster.live(), [9, 1]);
}

#[test]
fn pods_that_find_no_node_in_their_new_unit_keep_the_old_ones_serving() {
    let mut cluster = Cluster::installed(6, 1, fours());
    cluster.quiet = true;
    cluster.full_units.insert("CellB".into());
    cluster.edit(|spec| spec.topology = cells(2)).settle();
    assert_eq!(cluster.in_service(), 6, "{}", cluster.story());
    cluster.full_units.clear();
    cluster.settle();
    cluster.assert_converged();
    assert_eq!(cluster.live(), [3, 3]);
}

#[test]
fn a_unit_leaves_in_the_middle_of_a_release() {
    let mut cluster = Cluster::installed(9, 3, fours());
    cluster.quiet = true;
    cluster.apply_image(2).settle();
    cluster.edit(|spec| spec.topology = cells(2)).settle();
    assert_eq!((cluster.live(), cluster.updated()), (vec![5, 4], vec![1, 1]));
    assert_eq!(cluster.token().as_deref(), Some("2/1"));
    cluster.confirm_all().settle();
    cluster.assert_converged();
}
