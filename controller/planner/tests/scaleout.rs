//! `groupScaleOut`: pods that do not exist yet come in groups, with the same gates.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use cafe_crds::{
    condition::ConditionStatus,
    deployment::{OnFailure, ReleaseState, Strategy},
    intstr::IntOrPercent::Int,
};
use cafe_planner::{deployment::DeploymentSpec, revision::Outcome};
use simulator::{Cluster, cells};

fn fours() -> Strategy {
    Strategy { batch_size: Some(Int(4)), group_scale_out: true, ..Strategy::default() }
}

/// Ten pods over two cells, none of them created yet.
fn new() -> Cluster {
    Cluster::new(10, 2, fours())
}

/// The same, installed with every gate confirmed, and no order left.
fn installed() -> Cluster {
    let mut cluster = new();
    cluster.confirm_all().settle().assert_converged();
    cluster.edit(|spec| spec.release = None).settle();
    cluster
}

/// Installed, and scaled out to 20: it stands at the first gate.
fn at_the_gate() -> Cluster {
    let mut cluster = installed();
    cluster.scale(20).settle();
    assert_eq!((cluster.live(), cluster.token().as_deref()), (vec![7, 7], Some("1/4")));
    cluster
}

fn pin(spec: &mut DeploymentSpec, pods: i32) {
    spec.topology.unit_replicas.insert("CellA".into(), Int(pods));
}

fn available(cluster: &Cluster) -> (ConditionStatus, &str) {
    let conditions = &cluster.deployment.status.conditions;
    let found = conditions.iter().find(|c| c.type_ == "Available").unwrap();
    (found.status, found.reason.as_str())
}

#[test]
fn the_first_creation_goes_group_by_group() {
    let mut cluster = new();
    for (live, token) in [([1, 1], "1/1"), ([3, 3], "1/2")] {
        cluster.settle();
        assert_eq!((cluster.live(), cluster.token().as_deref()), (live.into(), Some(token)));
        assert_eq!(cluster.state(), ReleaseState::WaitingForConfirmation);
        cluster.assert_rests();
        cluster.confirm(token);
    }
    cluster.settle().assert_converged();
    assert_eq!((cluster.live(), cluster.release().summary.as_deref()), (vec![5, 5], Some("3/3")));
    let told = |reason| cluster.told(reason);
    assert_eq!((told("GroupStarted"), told("GroupCompleted"), told("Confirmed")), (3, 3, 2));
    assert_eq!((told("WaitingForConfirmation"), told("ReleaseCompleted"), told("UnitCreated")), (2, 1, 2));
    assert_eq!(told("ScaledOut"), 4);
}

#[test]
fn at_the_gate_of_a_first_creation_the_conditions_say_what_is_there_and_the_message_what_to_do() {
    let mut cluster = new();
    cluster.settle();
    assert_eq!(available(&cluster), (ConditionStatus::False, "WaitingForConfirmation"));
    let message = cluster.message().to_owned();
    assert!(message.contains("2 of 10 pods let in") && message.contains("\"confirm\":\"1/1\""), "{message}");
    cluster.confirm("1/all").settle();
    assert_eq!(available(&cluster), (ConditionStatus::True, "MinimumReplicasAvailable"));
}

#[test]
fn a_scale_out_continues_the_numbers_of_the_revision() {
    let mut cluster = at_the_gate();
    assert_eq!(cluster.release().groups.last().unwrap().number, 6);
    assert!(cluster.release().scale_out);
    let message = cluster.message();
    assert!(message.contains("next: CellA 2, CellB 2; 14 of 20 pods let in"), "{message}");
    cluster.assert_rests();
    cluster.confirm("1/4").settle();
    assert_eq!((cluster.live(), cluster.token().as_deref()), (vec![9, 9], Some("1/5")));
    cluster.confirm("1/5").settle();
    cluster.assert_converged();
    assert_eq!((cluster.live(), cluster.release().summary.as_deref()), (vec![10, 10], Some("6/6")));
    assert_eq!((cluster.told("ReleaseStarted"), cluster.told("ReleaseCompleted")), (1, 2));
}

#[test]
fn the_gates_of_a_scale_out_after_a_release_have_its_revision_and_their_base_is_what_completed() {
    let mut cluster = installed();
    cluster.apply_image(2).confirm_all().settle();
    cluster.edit(|spec| spec.release = None).scale(20).settle();
    assert_eq!((cluster.live(), cluster.token().as_deref()), (vec![7, 7], Some("2/4")));
    let status = &cluster.deployment.status;
    assert_eq!(status.current_revision, status.update_revision);
    assert_eq!(cluster.updated(), [7, 7]);
    cluster.apply_image(3).settle();
    assert_eq!((cluster.token().as_deref(), cluster.release().from_revision), (Some("3/1"), Some(2)));
    assert_eq!((cluster.live(), cluster.updated()), (vec![7, 7], vec![1, 1]));
    let revision = cluster.revisions.iter().find(|r| r.number == 2).unwrap();
    assert_eq!(revision.outcome, Some(Outcome::Completed), "it was complete before it was scaled out");
    cluster.confirm_all().settle().assert_converged();
    assert_eq!(cluster.live(), [10, 10]);
}

#[test]
fn a_standing_all_covers_a_scale_out() {
    let mut cluster = new();
    cluster.confirm_all().settle();
    cluster.scale(20).settle();
    cluster.assert_converged();
    assert_eq!((cluster.told("WaitingForConfirmation"), cluster.told("GroupStarted")), (0, 6));
}

#[test]
fn without_a_need_for_confirmation_groups_follow_each_other_and_a_pause_holds_them() {
    let mut cluster = Cluster::new(10, 2, Strategy { need_waiting_for_confirm: false, ..fours() });
    cluster.pause(true).settle();
    assert_eq!((cluster.live(), cluster.state()), (vec![0, 0], ReleaseState::Paused), "{}", cluster.story());
    cluster.assert_rests();
    cluster.pause(false).settle();
    cluster.assert_converged();
    assert_eq!((cluster.told("GroupStarted"), cluster.release().group), (3, 3));
    cluster.pause(true).settle();
    cluster.scale(20).settle();
    assert_eq!((cluster.live(), cluster.state()), (vec![5, 5], ReleaseState::Paused), "{}", cluster.story());
    cluster.scale(12).settle();
    assert_eq!(cluster.live(), [5, 5]);
    cluster.pause(false).settle();
    cluster.assert_converged();
}

#[test]
fn growth_in_the_middle_of_a_release_joins_the_groups_that_have_not_started() {
    let mut cluster = installed();
    cluster.apply_image(2).settle();
    cluster.scale(16).settle();
    assert_eq!((cluster.live(), cluster.updated()), (vec![5, 5], vec![1, 1]), "{}", cluster.story());
    let groups: Vec<i32> = cluster.release().groups.iter().map(|g| g.units.values().sum()).collect();
    assert_eq!(groups, [2, 4, 4, 4, 2]);
    cluster.confirm("2/1").settle();
    cluster.confirm("2/2").settle();
    assert_eq!((cluster.live(), cluster.updated()), (vec![5, 5], vec![5, 5]));
    cluster.confirm("2/3").settle();
    assert_eq!((cluster.live(), cluster.updated()), (vec![7, 7], vec![7, 7]), "born at the target");
    cluster.confirm("2/4").settle();
    cluster.assert_converged();
}

#[test]
fn a_scale_out_that_is_taken_back_is_over_and_a_smaller_one_goes_on() {
    let mut cluster = at_the_gate();
    cluster.scale(16).settle();
    assert_eq!((cluster.live(), cluster.release().group_total), (vec![7, 7], 5));
    cluster.scale(14).settle();
    cluster.assert_converged();
    cluster.scale(20).settle();
    assert_eq!((cluster.live(), cluster.token().as_deref()), (vec![9, 9], Some("1/5")));
    cluster.scale(6).settle();
    cluster.assert_converged();
    assert_eq!(cluster.live(), [3, 3]);
}

#[test]
fn scaling_in_at_the_gate_of_a_first_creation_keeps_the_gate() {
    let mut cluster = new();
    cluster.settle();
    cluster.scale(2).settle();
    assert_eq!((cluster.live(), cluster.token().as_deref()), (vec![1, 1], Some("1/1")));
    cluster.confirm("1/1").settle();
    cluster.assert_converged();
}

#[test]
fn a_move_between_units_waits_at_no_gate() {
    let mut cluster = installed();
    cluster.quiet = true;
    cluster.edit(|spec| pin(spec, 9)).settle();
    cluster.assert_converged();
    assert_eq!(cluster.live(), [9, 1]);
    cluster.edit(|spec| spec.topology = cells(3)).settle();
    cluster.assert_converged();
    assert_eq!(cluster.live(), [4, 3, 3]);
    cluster.edit(|spec| spec.topology = cells(1)).settle();
    cluster.assert_converged();
    assert_eq!(cluster.told("WaitingForConfirmation"), 0);
}

#[test]
fn units_change_while_a_scale_out_waits_and_nothing_is_created_for_it() {
    let mut cluster = at_the_gate();
    cluster.edit(|spec| pin(spec, 16)).settle();
    assert_eq!(
        (cluster.live(), cluster.token().as_deref()),
        (vec![10, 4], Some("1/4")),
        "{}",
        cluster.story()
    );
    cluster.edit(|spec| spec.topology = cells(3)).settle();
    assert_eq!((cluster.live().iter().sum::<i32>(), cluster.in_service()), (14, 14), "{}", cluster.story());
    cluster.edit(|spec| spec.topology = cells(1)).settle();
    assert_eq!((cluster.live(), cluster.token().as_deref()), (vec![14], Some("1/4")), "{}", cluster.story());
    cluster.confirm("1/all").settle();
    cluster.assert_converged();
}

#[test]
fn moves_and_growth_in_one_edit_are_told_apart() {
    let mut cluster = installed();
    cluster.edit(|spec| {
        spec.replicas = 16;
        pin(spec, 12);
    });
    cluster.settle();
    // One pod moves, and the first group of four goes where it is wanted.
    assert_eq!(
        (cluster.live(), cluster.token().as_deref()),
        (vec![10, 4], Some("1/4")),
        "{}",
        cluster.story()
    );
    cluster.confirm("1/4").settle();
    cluster.assert_converged();
}

#[test]
fn an_abort_creates_nothing_further_and_ends_by_a_smaller_size_or_a_retry() {
    let mut cluster = at_the_gate();
    cluster.abort(1).settle();
    assert_eq!((cluster.live(), cluster.state()), (vec![7, 7], ReleaseState::Aborted));
    let message = cluster.message().to_owned();
    assert!(message.contains("--replicas=14") && message.contains("\"retry\":\"1\""), "{message}");
    assert_eq!(available(&cluster), (ConditionStatus::False, "ReleaseAborted"));
    cluster.assert_rests();
    cluster.edit(|spec| spec.release = None).scale(24).settle();
    assert_eq!((cluster.live(), cluster.state()), (vec![7, 7], ReleaseState::Aborted));
    let pods = cluster.pods_in("CellA");
    cluster.lose(pods[0]).settle();
    assert_eq!((cluster.live(), cluster.updated()), (vec![7, 7], vec![7, 7]));

    let mut smaller = cluster.clone();
    smaller.scale(14).settle();
    smaller.assert_converged();

    cluster.retry(1).settle();
    assert_eq!(
        (cluster.live(), cluster.token().as_deref()),
        (vec![8, 8], Some("2/1")),
        "{}",
        cluster.story()
    );
    assert_eq!(cluster.pods.values().map(|p| p.starts).max(), Some(1), "no pod that is there moves");
    cluster.confirm("2/all").settle();
    cluster.assert_converged();
    assert_eq!(cluster.live(), [12, 12]);
}

#[test]
fn an_abort_in_the_last_group_stands_until_its_pods_serve() {
    let mut cluster = installed();
    cluster.full_units = ["CellA".into(), "CellB".into()].into();
    cluster.scale(14).settle();
    cluster.abort(1).settle();
    assert_eq!((cluster.state(), cluster.in_service()), (ReleaseState::Aborted, 10), "{}", cluster.story());
    cluster.assert_rests();
    cluster.full_units.clear();
    cluster.settle();
    cluster.assert_converged();
}

#[test]
fn an_abort_that_stands_holds_a_scale_out_before_its_first_pod() {
    let mut cluster = installed();
    cluster.abort(1).settle();
    cluster.scale(20).settle();
    assert_eq!((cluster.live(), cluster.state()), (vec![5, 5], ReleaseState::Aborted), "{}", cluster.story());
}

#[test]
fn an_aborted_first_creation_stays_as_it_is_until_it_is_retried() {
    let mut cluster = new();
    cluster.settle();
    cluster.abort(1).settle();
    assert_eq!((cluster.live(), cluster.state()), (vec![1, 1], ReleaseState::Aborted));
    cluster.scale(12).settle();
    assert_eq!(cluster.live(), [1, 1]);
    cluster.retry(1).settle();
    assert_eq!(
        (cluster.live(), cluster.token().as_deref()),
        (vec![1, 1], Some("2/1")),
        "{}",
        cluster.story()
    );
    cluster.confirm("2/all").settle();
    cluster.assert_converged();
}

#[test]
fn a_corrected_template_in_the_middle_of_a_first_creation_goes_through_its_groups() {
    let mut cluster = new();
    cluster.settle();
    cluster.confirm("1/1").settle();
    assert_eq!(cluster.live(), [3, 3]);
    cluster.apply_image(2).settle();
    assert_eq!((cluster.live(), cluster.updated()), (vec![3, 3], vec![1, 1]), "{}", cluster.story());
    assert_eq!((cluster.token().as_deref(), cluster.release().from_revision), (Some("2/1"), None));
    // A pod that dies comes back as what it was.
    let old = cluster.revisions.iter().find(|r| r.number == 1).unwrap().hash;
    let victim = cluster.pods.values().find(|p| p.pod.revision == Some(old)).unwrap().pod.uid;
    cluster.lose(victim).settle();
    assert_eq!((cluster.live(), cluster.updated()), (vec![3, 3], vec![1, 1]), "{}", cluster.story());
    cluster.confirm("2/1").settle();
    assert_eq!((cluster.live(), cluster.updated()), (vec![3, 3], vec![3, 3]));
    cluster.confirm("2/all").settle();
    cluster.assert_converged();
}

#[test]
fn a_first_creation_that_cannot_start_is_mended_in_its_beta_group() {
    let mut cluster = new();
    cluster.break_image(1, "ImagePullBackOff").settle();
    assert_eq!((cluster.live(), cluster.state()), (vec![1, 1], ReleaseState::Failed));
    cluster.apply_image(2).settle();
    assert_eq!(
        (cluster.updated(), cluster.token().as_deref()),
        (vec![1, 1], Some("2/1")),
        "{}",
        cluster.story()
    );
    cluster.confirm_all().settle().assert_converged();
}

#[test]
fn a_rollback_serves_at_full_size_without_gates() {
    for by_order in [true, false] {
        let mut cluster = installed();
        cluster.apply_image(2).settle();
        cluster.scale(16).settle();
        assert_eq!(cluster.live(), [5, 5]);
        if by_order {
            cluster.roll_back(2, 1);
        } else {
            cluster.apply_image(1);
        }
        cluster.settle();
        assert_eq!(
            (cluster.live(), cluster.state()),
            (vec![8, 8], ReleaseState::Completed),
            "{}",
            cluster.story()
        );
        assert_eq!((cluster.in_service(), cluster.told("RollbackCompleted")), (16, 1));
        cluster.assert_rests();
    }
}

#[test]
fn a_scale_out_while_an_earlier_revision_serves_by_order_keeps_serving_it() {
    let mut cluster = installed();
    // The gates of the first life were opened one by one; the last token was left behind.
    cluster.confirm("1/2").apply_image(2).settle();
    cluster.order(|orders| orders.rollback = Some(cafe_crds::deployment::RollbackTo { abandon: 2, to: 1 }));
    cluster.settle();
    assert_eq!((cluster.state(), cluster.updated()), (ReleaseState::Completed, vec![0, 0]));
    cluster.scale(20).settle();
    // It opens no gate of the scale-out.
    assert_eq!(
        (cluster.live(), cluster.token().as_deref()),
        (vec![7, 7], Some("1/4")),
        "{}",
        cluster.story()
    );
    cluster.order(|orders| orders.confirm = Some("1/all".to_owned())).settle();
    assert_eq!((cluster.live(), cluster.updated()), (vec![10, 10], vec![0, 0]), "{}", cluster.story());
    assert!(cluster.message().contains("in place of revision 2"), "{}", cluster.message());
    cluster.assert_rests();
}

#[test]
fn a_scale_out_that_fails_holds_and_never_rolls_the_application_back() {
    let mut cluster = installed();
    cluster.apply_image(2).confirm_all().settle();
    cluster.edit(|spec| {
        (spec.release, spec.strategy.on_failure) = (None, OnFailure::Rollback);
    });
    cluster.full_units = ["CellA".into(), "CellB".into()].into();
    cluster.scale(20).settle();
    assert_eq!((cluster.state(), cluster.in_service()), (ReleaseState::Failed, 10), "{}", cluster.story());
    assert!(cluster.message().contains("--replicas=14"), "{}", cluster.message());
    cluster.full_units.clear();
    cluster.settle();
    assert_eq!((cluster.in_service(), cluster.token().as_deref()), (14, Some("2/4")), "{}", cluster.story());
}

#[test]
fn it_may_be_switched_on_and_off_in_the_middle() {
    let mut cluster = at_the_gate();
    cluster.edit(|spec| spec.strategy.group_scale_out = false).settle();
    cluster.assert_converged();
    assert_eq!(cluster.live(), [10, 10]);
    // On again, in the very edit that asks for more.
    cluster.edit(|spec| {
        (spec.strategy.group_scale_out, spec.replicas) = (true, 30);
    });
    cluster.settle();
    assert_eq!(
        (cluster.live(), cluster.token().as_deref()),
        (vec![12, 12], Some("1/5")),
        "{}",
        cluster.story()
    );

    let mut cluster = new();
    cluster.settle();
    cluster.edit(|spec| spec.strategy.group_scale_out = false).settle();
    cluster.assert_converged();

    let mut cluster = Cluster::new(10, 2, Strategy { group_scale_out: false, ..fours() });
    cluster.run_until("the sets are there", |c| c.sets.len() == 2);
    cluster.edit(|spec| spec.strategy.group_scale_out = true).settle();
    cluster.assert_converged();

    let mut cluster = installed();
    cluster.apply_image(2).settle();
    cluster.scale(16).settle();
    cluster.edit(|spec| spec.strategy.group_scale_out = false).settle();
    assert_eq!((cluster.live(), cluster.updated()), (vec![8, 8], vec![1, 1]), "born at the base");
    cluster.confirm_all().settle().assert_converged();
}

#[test]
fn a_set_that_is_deleted_by_hand_comes_back_at_the_size_it_had() {
    let mut gated = at_the_gate();
    gated.delete_set("CellB").settle();
    assert_eq!((gated.live(), gated.token().as_deref()), (vec![7, 7], Some("1/4")), "{}", gated.story());
    let mut complete = installed();
    complete.delete_set("CellA").settle();
    complete.assert_converged();
    assert_eq!(complete.told("WaitingForConfirmation"), 0);
    let mut fresh = new();
    fresh.settle();
    fresh.delete_set("CellA").settle();
    assert_eq!((fresh.live(), fresh.token().as_deref()), (vec![1, 1], Some("1/1")), "{}", fresh.story());
}

#[test]
fn a_lost_status_lets_nothing_in() {
    let lose = |cluster: &mut Cluster| {
        let (live, token) = (cluster.live(), cluster.token());
        cluster.edit(|spec| spec.release = None).lose_status().settle();
        assert_eq!((cluster.live(), cluster.token()), (live, token), "{}", cluster.story());
        cluster.assert_rests();
        cluster.confirm_all().settle().assert_converged();
    };
    lose(new().settle());
    lose(&mut at_the_gate());
    let mut growing = installed();
    growing.apply_image(2).settle();
    growing.scale(16).settle();
    lose(&mut growing);

    let mut complete = installed();
    complete.lose_status().settle().assert_converged();
    complete.confirm("1/3").settle();
    complete.scale(20).settle();
    assert_eq!(
        (complete.live(), complete.token().as_deref()),
        (vec![7, 7], Some("1/4")),
        "{}",
        complete.story()
    );
}

#[test]
fn a_controller_that_dies_after_any_action_lets_nothing_past_a_gate() {
    for n in 1..40 {
        let mut cluster = new();
        cluster.dies_after = Some(n);
        cluster.settle();
        assert_eq!((cluster.live(), cluster.token().as_deref()), (vec![1, 1], Some("1/1")), "{n}");
        cluster.dies_after = Some(n);
        cluster.confirm("1/1").settle();
        assert_eq!((cluster.live(), cluster.token().as_deref()), (vec![3, 3], Some("1/2")), "{n}");
        let mut cluster = installed();
        cluster.dies_after = Some(n);
        cluster.scale(20).settle();
        assert_eq!((cluster.live(), cluster.token().as_deref()), (vec![7, 7], Some("1/4")), "{n}");
    }
}

#[test]
fn pods_that_have_not_been_let_in_take_none_of_the_others_out() {
    let mut cluster = Cluster::new(4, 2, Strategy { batch_size: Some(Int(1)), ..fours() });
    cluster.confirm_all().settle();
    cluster.edit(|spec| spec.release = None).scale(100).settle();
    assert_eq!(cluster.in_service(), 5);
    // A quarter of a hundred would be all of them.
    cluster.apply_image(2).confirm_all();
    while cluster.step() {
        let given: i32 = cluster.let_in().iter().sum();
        assert!(cluster.in_service() >= given.min(5) - (given / 4).max(1), "{}", cluster.story());
    }
    cluster.assert_converged();
}

#[test]
fn a_pod_that_dies_at_a_gate_comes_back_and_no_other_does() {
    let mut cluster = at_the_gate();
    for uid in cluster.pods_in("CellA") {
        for how in [Cluster::lose, Cluster::fail, Cluster::evict] {
            let mut cluster = cluster.clone();
            how(&mut cluster, uid);
            cluster.settle();
            assert_eq!((cluster.live(), cluster.token().as_deref()), (vec![7, 7], Some("1/4")));
        }
    }
    cluster.confirm("1/all").settle();
    cluster.assert_converged();
}

#[test]
fn nothing_waits_where_nothing_is_left_to_create() {
    let mut cluster = Cluster::new(0, 2, fours());
    cluster.settle().assert_converged();
    cluster.scale(2).settle();
    cluster.assert_converged();
    assert_eq!(cluster.told("WaitingForConfirmation"), 0, "two pods are one group");
}
