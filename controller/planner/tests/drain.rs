//! The lossless protocol: what a drain waits for, and what it survives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use cafe_crds::{deployment::Strategy, intstr::IntOrPercent::Int};
use cafe_planner::set::Action;
use simulator::{Cluster, Planner, Protector};

fn protected() -> Cluster {
    let mut cluster = Cluster::installed(4, 2, Strategy { max_unavailable: Int(1), ..Strategy::default() });
    cluster.protect("slb").settle();
    cluster.assert_converged();
    cluster
}

#[test]
fn the_grace_is_waited_out_after_everything_is_drained() {
    let mut cluster = Cluster::installed(2, 1, Strategy::default());
    cluster.edit(|spec| spec.traffic.grace_seconds = 30).settle();
    cluster.apply_image(2).run_for(29);
    assert_eq!((cluster.in_service(), cluster.updated()), (1, vec![0]));
    cluster.run_for(1);
    assert_eq!((cluster.in_service(), cluster.updated()), (2, vec![1]));
}

#[test]
fn a_protector_holds_the_drain_until_it_answers() {
    let mut cluster = protected();
    cluster.set_protector("slb", Protector::Silent).apply_image(2).settle();
    assert_eq!((cluster.in_service(), cluster.updated()), (3, vec![0, 0]));
    cluster.assert_rests();
    cluster.set_protector("slb", Protector::Prompt).settle();
    assert_eq!((cluster.in_service(), cluster.updated()), (4, vec![1, 1]));
}

#[test]
fn a_set_is_ready_but_while_its_pods_move() {
    let ready = |cluster: &Cluster| -> Vec<String> {
        let conditions = cluster.sets.iter().flat_map(|s| &s.status.conditions);
        conditions.map(|c| format!("{} {:?}", c.type_, c.status)).collect()
    };
    let mut cluster = protected();
    assert_eq!(ready(&cluster), ["Ready True", "Ready True"]);
    cluster.set_protector("slb", Protector::Silent).apply_image(2).settle();
    let moving = ready(&cluster);
    assert!(
        moving.contains(&"Reconciling True".to_owned()) && moving.contains(&"Ready False".to_owned()),
        "{moving:?}"
    );
    cluster.set_protector("slb", Protector::Prompt).settle();
    assert_eq!(ready(&cluster), ["Ready True", "Ready True"], "at a gate every unit is where it is to be");
}

#[test]
fn an_answer_to_an_earlier_drain_is_worth_nothing() {
    let mut cluster = protected();
    cluster.apply_image(2);
    cluster.run_until("the protector has answered", |c| {
        c.in_service() == 3 && c.pods.values().any(|p| !p.serving && c.moves().is_empty() && p.pod.scheduled)
    });
    // The drain is called off; its protector falls silent before it has the pod back.
    cluster.set_protector("slb", Protector::Silent).apply_image(1).settle();
    assert_eq!(cluster.in_service(), 4);
    cluster.apply_image(2).settle();
    assert_eq!(cluster.updated(), [0, 0], "{}", cluster.story());
    cluster.set_protector("slb", Protector::Prompt).settle();
    assert_eq!(cluster.updated(), [1, 1]);
}

#[test]
fn a_protector_that_does_not_take_a_pod_back_holds_the_next() {
    let mut cluster = protected();
    cluster.apply_image(2);
    cluster.run_until("a pod runs the new image", |c| c.updated().iter().sum::<i32>() == 1);
    cluster.set_protector("slb", Protector::Silent).settle();
    assert_eq!((cluster.updated().iter().sum::<i32>(), cluster.token()), (1, None));
    cluster.assert_rests();
    cluster.set_protector("slb", Protector::Prompt).settle();
    assert_eq!(cluster.token().as_deref(), Some("2/1"));
}

#[test]
fn a_protector_nobody_declared_is_waited_for_in_a_drain() {
    let mut cluster = Cluster::installed(2, 1, Strategy::default());
    cluster.set_protector("mesh", Protector::Prompt).settle();
    cluster.set_protector("mesh", Protector::Silent).apply_image(2).settle();
    assert_eq!(cluster.updated(), [0]);
    cluster.set_protector("mesh", Protector::Prompt).settle();
    assert_eq!(cluster.updated(), [1]);
}

#[test]
fn no_pod_is_taken_out_while_the_journal_that_gives_it_back_is_on_its_way() {
    let mut cluster = Cluster::installed(4, 1, Strategy { max_unavailable: Int(1), ..Strategy::default() });
    cluster.apply_image(2);
    cluster.run_until("a pod is reserved", |c| !c.sets[0].journal.is_empty());
    let (set, reserved) = (cluster.sets[0].uid, cluster.sets[0].journal[0].uid);
    let other = cluster.pods.keys().copied().find(|uid| *uid != reserved).unwrap();
    cluster.sicken(other, true);
    while let Some(step) = cluster.moves().first().copied() {
        cluster.make(step);
    }
    cluster.send(Planner::Set(set));
    cluster.sicken(other, false);
    while let Some(step) = cluster.moves().first().copied() {
        cluster.make(step);
    }
    let plan = cluster.plan_set(set);
    assert!(!plan.actions.iter().any(|a| matches!(a, Action::TakeOut { .. })), "{plan:?}");
}

#[test]
fn a_quick_change_of_mind_between_two_images_ends_at_the_last() {
    for middle in [0, 1, 2, 3] {
        let mut cluster =
            Cluster::installed(2, 1, Strategy { need_waiting_for_confirm: false, ..Strategy::default() });
        cluster.apply_image(2);
        cluster.run_until("the image is written", |c| c.writes.contains_key("W2"));
        for _ in 0..middle {
            if let Some(step) = cluster.moves().first().copied() {
                cluster.make(step);
            }
        }
        cluster.apply_image(1).settle();
        cluster.assert_converged();
        cluster.apply_image(3).settle();
        cluster.assert_converged();
    }
}

#[test]
fn a_controller_that_dies_after_any_action_of_a_release_picks_it_up() {
    let whole = {
        let mut cluster = protected();
        let before = cluster.actions;
        cluster.apply_image(2).confirm_all().settle().assert_converged();
        cluster.actions - before
    };
    for n in 1..=whole {
        let mut cluster = protected();
        cluster.pods.values_mut().for_each(|p| (p.writes, p.starts) = (0, 0));
        cluster.quiet = true;
        cluster.apply_image(2).confirm_all();
        cluster.dies_after = Some(n);
        cluster.settle();
        cluster.assert_converged();
        assert!(cluster.pods.values().all(|p| p.starts == 1), "{n}: restarted once\n{}", cluster.story());
        // A pod whose last write's outcome is unknown is touched once more.
        assert!(cluster.pods.values().all(|p| p.writes <= 4), "{n}\n{}", cluster.story());
    }
}

#[test]
fn a_controller_that_dies_after_every_few_actions_still_ends() {
    for every in 1..12 {
        let mut cluster = protected();
        cluster.apply_image(2).confirm_all();
        for _ in 0..200 {
            cluster.dies_after = Some(every);
            cluster.run_for(2);
        }
        cluster.dies_after = None;
        cluster.settle();
        cluster.assert_converged();
    }
}
