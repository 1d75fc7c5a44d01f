//! The life of a release: abort, rollback by order, retry, failure, restart, in every state.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use cafe_crds::{
    deployment::{OnFailure, PodUpdatePolicy, ReleaseState, Strategy},
    intstr::IntOrPercent::Int,
    time::Seconds,
};
use cafe_planner::revision::Outcome;
use simulator::Cluster;

fn installed() -> Cluster {
    Cluster::installed(10, 2, Strategy { batch_size: Some(Int(4)), ..Strategy::default() })
}

fn outcome(cluster: &Cluster, number: i64) -> Option<Outcome> {
    cluster.revisions.iter().find(|r| r.answers_to(number)).unwrap().outcome
}

/// Brings a cluster into a state.
type Reach = fn(&mut Cluster);

/// Ready pods by the number of their revision.
fn serving(cluster: &Cluster, number: i64) -> usize {
    let hash = cluster.revisions.iter().find(|r| r.answers_to(number)).unwrap().hash;
    cluster.pods.values().filter(|p| p.pod.in_service() && p.pod.revision == Some(hash)).count()
}

#[test]
fn an_aborted_release_stays_where_it_is_and_says_how_to_go_on() {
    let mut cluster = installed();
    cluster.apply_image(2).settle();
    cluster.abort(2).settle();
    assert_eq!(
        (cluster.state(), cluster.updated()),
        (ReleaseState::Aborted, vec![1, 1]),
        "{}",
        cluster.story()
    );
    assert_eq!((cluster.told("ReleaseAborted"), outcome(&cluster, 2)), (1, Some(Outcome::Aborted)));
    assert!(
        cluster.message().contains("\"retry\":\"2\"") && cluster.message().contains("\"abandon\":2,\"to\":1")
    );
    cluster.assert_rests();
    cluster.confirm("2/all").settle();
    assert_eq!(
        (cluster.updated(), cluster.told("ConfirmIgnored")),
        (vec![1, 1], 1),
        "an abort outlives its order"
    );
    cluster.confirm("2/1").pause(true).settle();
    cluster.pause(false).settle();
    assert_eq!((cluster.state(), cluster.updated()), (ReleaseState::Aborted, vec![1, 1]));
}

#[test]
fn aborted_in_the_middle_of_a_group_pods_in_flight_end_and_no_other_starts() {
    for actions in 0..40 {
        let mut cluster = installed();
        cluster.quiet = true;
        cluster.apply_image(2).edit(|spec| spec.strategy.need_waiting_for_confirm = false);
        cluster.run_until("the release has begun", |c| c.release().revision == 2);
        let from = cluster.actions;
        cluster.run_until("a little further", |c| c.actions >= from + actions);
        let started = cluster.sets.iter().map(|s| s.journal.len()).sum::<usize>()
            + cluster.updated().iter().sum::<i32>() as usize;
        cluster.abort(2).settle();
        assert_eq!(
            (cluster.state(), cluster.in_service()),
            (ReleaseState::Aborted, 10),
            "{}",
            cluster.story()
        );
        // What the planners had sent before they heard of it may still start.
        assert!(cluster.updated().iter().sum::<i32>() as usize <= started + 2, "{}", cluster.story());
        assert!(cluster.sets.iter().all(|s| s.journal.is_empty()));
        cluster.assert_rests();
    }
}

#[test]
fn pods_that_are_lost_or_added_after_an_abort_never_pass_its_share() {
    let mut cluster = installed();
    cluster.apply_image(2).settle();
    cluster.confirm_next().settle();
    cluster.abort(2).scale(14).settle();
    assert_eq!((cluster.updated(), cluster.live()), (vec![3, 3], vec![7, 7]), "{}", cluster.story());
    let uid = *cluster.pods.keys().next().unwrap();
    cluster.lose(uid).settle();
    assert_eq!((cluster.updated(), cluster.live()), (vec![3, 3], vec![7, 7]));
}

#[test]
fn a_retry_of_an_aborted_release_is_a_new_release_whose_old_tokens_are_dead() {
    let mut cluster = installed();
    cluster.apply_image(2).settle();
    cluster.confirm("2/all").run_until("the second group has begun", |c| c.release().group == 2);
    cluster.abort(2).settle();
    cluster.retry(2).settle();
    assert_eq!(
        (cluster.release().revision, cluster.token().as_deref()),
        (3, Some("3/1")),
        "{}",
        cluster.story()
    );
    cluster.confirm_all().settle();
    cluster.assert_converged();
    let revision = cluster.revision_of_template().unwrap();
    assert_eq!(
        (revision.number, &*revision.older, revision.outcome),
        (3, &[2][..], Some(Outcome::Completed))
    );
    cluster.assert_rests();
}

#[test]
fn a_rollback_by_order_works_from_every_state_and_leaves_the_template_alone() {
    let states: [(&str, Reach); 6] = [
        ("complete", |c| {
            c.apply_image(2).confirm_all().settle();
        }),
        ("executing", |c| {
            c.apply_image(2);
            c.run_until("at work", |c| c.in_service() < 10);
        }),
        ("waiting", |c| {
            c.apply_image(2).settle();
        }),
        ("paused", |c| {
            c.apply_image(2);
            c.run_until("at work", |c| c.in_service() < 10);
            c.pause(true).settle();
        }),
        ("aborted", |c| {
            c.apply_image(2).settle();
            c.abort(2).settle();
        }),
        ("failed", |c| {
            c.break_image(2, "ImagePullBackOff").apply_image(2).settle();
        }),
    ];
    for (state, reach) in states {
        let mut cluster = installed();
        reach(&mut cluster);
        let template = cluster.deployment.spec.digest;
        cluster.roll_back(2, 1).settle();
        assert_eq!(
            (serving(&cluster, 1), cluster.state()),
            (10, ReleaseState::Completed),
            "{state}\n{}",
            cluster.story()
        );
        assert_eq!((cluster.told("RollbackStarted"), cluster.told("RollbackCompleted")), (1, 1), "{state}");
        assert_eq!(
            (outcome(&cluster, 1), outcome(&cluster, 2)),
            (Some(Outcome::Completed), Some(Outcome::Abandoned))
        );
        assert_eq!(cluster.deployment.spec.digest, template);
        assert!(
            cluster.message().contains("revision 1 serves on 10 of 10 pods in place of revision 2"),
            "{}",
            cluster.message()
        );
        cluster.assert_rests();
        // The order is taken away, as by a controller that applies manifests from Git: nothing moves.
        cluster.edit(|spec| spec.release = None).pause(false).settle();
        assert_eq!(serving(&cluster, 1), 10, "{state}\n{}", cluster.story());
        cluster.apply_image(3).settle();
        assert_eq!(
            (cluster.token().as_deref(), cluster.release().from_revision),
            (Some("3/1"), Some(1)),
            "{state}"
        );
        cluster.confirm_all().settle().assert_converged();
    }
}

#[test]
fn what_was_rolled_back_is_taken_up_again_by_a_retry_with_all_its_gates() {
    let mut cluster = installed();
    cluster.apply_image(2).confirm_all().settle();
    cluster.roll_back(2, 1).settle();
    cluster.order(|orders| orders.confirm = Some("2/all".to_owned())).settle();
    assert_eq!(serving(&cluster, 1), 10);
    cluster.retry(2).settle();
    assert_eq!((cluster.token().as_deref(), serving(&cluster, 1)), (Some("3/1"), 8), "{}", cluster.story());
    cluster.confirm_all().settle().assert_converged();
}

#[test]
fn what_was_rolled_back_by_order_is_a_release_with_gates_when_its_template_returns() {
    let mut cluster = installed();
    cluster.apply_image(2).confirm_all().settle();
    cluster.roll_back(2, 1).settle();
    cluster.edit(|spec| spec.release = None).settle();
    cluster.apply_image(1).settle();
    assert_eq!((serving(&cluster, 1), cluster.told("RollbackStarted")), (10, 1), "{}", cluster.story());
    cluster.assert_rests();
    cluster.order(|orders| orders.confirm = Some("2/all".to_owned())).settle();
    cluster.apply_image(2).settle();
    assert_eq!((cluster.token().as_deref(), serving(&cluster, 1)), (Some("3/1"), 8), "{}", cluster.story());
    cluster.confirm_all().settle().assert_converged();
}

#[test]
fn a_rollback_may_go_further_back_and_may_be_sent_elsewhere_on_its_way() {
    let mut cluster = installed();
    cluster.apply_image(2).confirm_all().settle();
    cluster.apply_image(3).confirm_all().settle();
    cluster.roll_back(3, 2);
    cluster.run_until("on its way", |c| c.in_service() < 10);
    cluster.roll_back(3, 1).settle();
    assert_eq!((serving(&cluster, 1), cluster.state()), (10, ReleaseState::Completed), "{}", cluster.story());
    assert_eq!(
        (outcome(&cluster, 2), outcome(&cluster, 3)),
        (Some(Outcome::Completed), Some(Outcome::Abandoned))
    );
    cluster.apply_image(4).settle();
    assert_eq!(
        cluster.release().from_revision,
        Some(1),
        "what serves is the base, not the last that completed"
    );
}

#[test]
fn a_rollback_to_what_is_not_kept_or_from_what_is_not_served_says_so_and_does_nothing() {
    let mut cluster = installed();
    cluster.apply_image(2).settle();
    cluster.roll_back(2, 9).settle();
    assert_eq!((cluster.told("RevisionNotFound"), cluster.token().as_deref()), (1, Some("2/1")));
    cluster.roll_back(7, 1).settle();
    assert_eq!((cluster.told("OrderIgnored"), cluster.token().as_deref()), (1, Some("2/1")));
    cluster.roll_back(1, 1).abort(1).settle();
    assert_eq!((cluster.told("OrderIgnored"), cluster.token().as_deref()), (1, Some("2/1")), "left behind");
}

#[test]
fn an_abort_of_what_has_completed_says_so_and_does_nothing() {
    let mut cluster = installed();
    cluster.apply_image(2).confirm_all().settle();
    cluster.abort(2).settle();
    assert_eq!((cluster.state(), cluster.told("OrderIgnored")), (ReleaseState::Completed, 1));
    cluster.assert_converged();
    cluster.apply_image(3).abort(3).settle();
    assert_eq!(
        (cluster.release().revision, cluster.token().as_deref()),
        (4, Some("4/1")),
        "no order is older than its revision"
    );
}

#[test]
fn a_rollback_goes_before_an_abort_whichever_was_written_first() {
    for abort_first in [true, false] {
        let mut cluster = installed();
        cluster.apply_image(2).settle();
        if abort_first {
            cluster.abort(2).settle();
            cluster.roll_back(2, 1).settle();
        } else {
            cluster.roll_back(2, 1).settle();
            cluster.abort(2).settle();
        }
        assert_eq!(
            (serving(&cluster, 1), cluster.state()),
            (10, ReleaseState::Completed),
            "{}",
            cluster.story()
        );
    }
}

#[test]
fn the_way_back_by_template_can_be_aborted_and_what_is_good_stays_good() {
    let mut cluster = installed();
    cluster.apply_image(2).confirm_all().settle();
    cluster.apply_image(1);
    cluster.run_until("on its way", |c| c.release().revision == 3 && c.in_service() < 10);
    cluster.abort(3).settle();
    assert_eq!(cluster.state(), ReleaseState::Aborted, "{}", cluster.story());
    assert!(serving(&cluster, 1) < 10 && cluster.in_service() == 10, "mixed");
    assert_eq!(outcome(&cluster, 3), Some(Outcome::Completed));
    cluster.apply_image(4).confirm_all().settle().assert_converged();
}

#[test]
fn a_group_without_progress_fails_after_the_deadline_and_recovers_by_itself() {
    let mut cluster = installed();
    cluster.edit(|spec| spec.strategy.progress_deadline_seconds = 60);
    cluster.break_image(2, "CrashLoopBackOff").apply_image(2).run_for(40);
    assert_eq!(cluster.state(), ReleaseState::Executing);
    cluster.settle();
    assert_eq!((cluster.state(), cluster.told("ProgressDeadlineExceeded")), (ReleaseState::Failed, 1));
    assert!(
        cluster
            .events
            .iter()
            .any(|e| e.reason == "ProgressDeadlineExceeded" && e.note.contains("CrashLoopBackOff"))
    );
    cluster.assert_rests();
    cluster.bad_images.clear();
    cluster.settle();
    assert_eq!(cluster.token().as_deref(), Some("2/1"), "{}", cluster.story());
    cluster.confirm_all().settle().assert_converged();
}

#[test]
fn no_clock_runs_while_paused_or_at_a_gate() {
    let mut cluster = installed();
    cluster.edit(|spec| spec.strategy.progress_deadline_seconds = 60).apply_image(2).settle();
    cluster.run_for(1000).confirm_next().settle();
    assert_eq!((cluster.token().as_deref(), cluster.told("ProgressDeadlineExceeded")), (Some("2/2"), 0));
    cluster.pause(true).confirm("2/2").settle();
    cluster.run_for(1000).pause(false).settle();
    assert_eq!(cluster.told("ProgressDeadlineExceeded"), 0, "{}", cluster.story());
    cluster.assert_converged();
}

#[test]
fn a_failed_group_rolls_back_by_itself_where_that_is_wanted() {
    let mut cluster = installed();
    cluster.edit(|spec| spec.strategy.on_failure = OnFailure::Rollback);
    cluster.break_image(2, "ImagePullBackOff").apply_image(2).settle();
    assert_eq!((serving(&cluster, 1), cluster.told("RollbackCompleted")), (10, 1), "{}", cluster.story());
    assert!(cluster.message().contains("in place of revision 2"), "{}", cluster.message());
    cluster.assert_rests();
    cluster.bad_images.clear();
    cluster.retry(2).settle();
    assert_eq!(cluster.token().as_deref(), Some("3/1"), "{}", cluster.story());
}

#[test]
fn a_failed_first_installation_has_nothing_to_go_back_to_and_heals_by_a_corrected_template() {
    let mut cluster = Cluster::new(4, 2, Strategy { on_failure: OnFailure::Rollback, ..Strategy::default() });
    cluster.break_image(1, "ImagePullBackOff").settle();
    assert_eq!(cluster.state(), ReleaseState::Failed);
    cluster.apply_image(2).settle();
    cluster.assert_converged();
}

#[test]
fn an_updated_pod_that_turns_unavailable_stops_its_unit_until_it_is_well() {
    let mut cluster = Cluster::installed(6, 1, Strategy { max_unavailable: Int(3), ..Strategy::default() });
    cluster.apply_image(2).settle();
    let hash = cluster.revision_of_template().unwrap().hash;
    let updated = cluster.pods.values().find(|p| p.pod.revision == Some(hash)).unwrap().pod.uid;
    cluster.sicken(updated, true);
    cluster.flow();
    cluster.confirm("2/all").run_for(60);
    assert_eq!(cluster.updated(), [1], "{}", cluster.story());
    cluster.sicken(updated, false).settle();
    cluster.assert_converged();
}

#[test]
fn an_updated_pod_that_turns_unavailable_stops_the_other_units_too() {
    let mut cluster = Cluster::installed(6, 2, Strategy { max_unavailable: Int(3), ..Strategy::default() });
    cluster.apply_image(2).settle();
    let hash = cluster.revision_of_template().unwrap().hash;
    let sick = cluster.pods.values().find(|p| p.pod.revision == Some(hash)).unwrap().pod.clone();
    cluster.sicken(sick.uid, true);
    cluster.flow();
    cluster.confirm("2/all").run_for(60);
    assert_eq!(cluster.updated(), [1, 1], "{}", cluster.story());
    let says =
        format!("container app: CrashLoopBackOff; to see why: kubectl -n prod describe pod {}", sick.name);
    assert!(cluster.message().contains(&says), "{}", cluster.message());
    cluster.settle();
    assert_eq!((cluster.state(), cluster.told("ProgressDeadlineExceeded")), (ReleaseState::Failed, 1));
    cluster.sicken(sick.uid, false).settle();
    cluster.assert_converged();
}

#[test]
fn a_group_that_no_node_takes_says_so() {
    let mut cluster = Cluster::installed(
        4,
        2,
        Strategy { pod_update_policy: PodUpdatePolicy::Recreate, ..Strategy::default() },
    );
    cluster.full_units.insert("CellA".to_owned());
    cluster.apply_image(2).settle();
    assert_eq!(cluster.state(), ReleaseState::Failed, "{}", cluster.story());
    assert!(cluster.message().contains(": Unschedulable; to see why: kubectl"), "{}", cluster.message());
    cluster.full_units.clear();
    cluster.settle().confirm_all().settle();
    cluster.assert_converged();
}

#[test]
fn a_group_that_a_protector_holds_longer_than_the_deadline_names_it() {
    let mut cluster = installed();
    cluster.protect("balancer").settle();
    cluster.set_protector("balancer", simulator::Protector::Silent);
    cluster.edit(|spec| spec.strategy.progress_deadline_seconds = 60).apply_image(2).run_for(100);
    assert_eq!(cluster.state(), ReleaseState::Failed, "{}", cluster.story());
    assert!(
        cluster.message().contains("is being drained: protector balancer has not"),
        "{}",
        cluster.message()
    );
    cluster.set_protector("balancer", simulator::Protector::Prompt).settle();
    assert_eq!(cluster.token().as_deref(), Some("2/1"), "{}", cluster.story());
}

#[test]
fn a_restart_replaces_every_older_pod_once_within_the_budget_and_without_gates() {
    let mut cluster = installed();
    cluster.run_for(100);
    let before: Vec<_> = cluster.pods.keys().copied().collect();
    cluster.quiet = true;
    let at = Seconds(cluster.now.wall.0 + 500);
    cluster.edit(|spec| spec.restart_at = Some(at)).run_for(400);
    assert!(before.iter().all(|uid| cluster.pods.contains_key(uid)), "its moment has not come");
    cluster.run_for(101);
    assert!(cluster.message().contains("created before spec.restartAt"), "{}", cluster.message());
    cluster.settle();
    assert!(before.iter().all(|uid| !cluster.pods.contains_key(uid)), "{}", cluster.story());
    cluster.assert_converged();
    let writes = cluster.writes["delete pod"];
    assert_eq!(writes, 10, "exactly once");
    cluster.run_for(1000);
    cluster.assert_converged();
}

#[test]
fn a_restart_waits_for_a_release_and_spares_what_the_release_has_made_anew() {
    let mut cluster = installed();
    cluster.run_for(100).apply_image(2).settle();
    let at = cluster.now.wall;
    cluster.run_for(10).edit(|spec| spec.restart_at = Some(at)).settle();
    assert_eq!((cluster.token().as_deref(), cluster.writes.contains_key("delete pod")), (Some("2/1"), false));
    cluster.confirm_all().settle();
    cluster.assert_converged();
    assert!(cluster.pods.values().all(|p| p.pod.created >= at), "{}", cluster.story());
}

#[test]
fn a_controller_that_dies_after_any_action_of_a_rollback_by_order_picks_it_up() {
    for n in 1..60 {
        let mut cluster = installed();
        cluster.apply_image(2).settle();
        cluster.confirm_next();
        cluster.run_until("in the second group", |c| c.in_service() < 10);
        cluster.roll_back(2, 1);
        cluster.dies_after = Some(n);
        cluster.settle();
        assert_eq!(
            (serving(&cluster, 1), cluster.state()),
            (10, ReleaseState::Completed),
            "{n}\n{}",
            cluster.story()
        );
        cluster.assert_rests();
    }
}

#[test]
fn a_lost_status_is_rebuilt_at_the_gate_it_stood_at_and_no_pod_moves() {
    let mut cluster = installed();
    cluster.apply_image(2).settle();
    cluster.confirm_next().settle();
    let writes: u32 = cluster.pods.values().map(|p| p.writes).sum();
    cluster.edit(|spec| spec.release = None).lose_status().settle();
    assert_eq!(
        (cluster.token().as_deref(), cluster.updated()),
        (Some("2/2"), vec![3, 3]),
        "{}",
        cluster.story()
    );
    assert_eq!(cluster.release().from_revision, Some(1));
    assert_eq!(cluster.pods.values().map(|p| p.writes).sum::<u32>(), writes);
    cluster.assert_rests();
    cluster.confirm_next().settle();
    cluster.assert_converged();
}

#[test]
fn a_status_lost_after_any_action_of_a_release_moves_no_pod_that_was_not_moving() {
    for actions in (0..60).step_by(3) {
        let mut cluster = installed();
        cluster.apply_image(2).confirm_all();
        let from = cluster.actions;
        cluster.run_until("a little further", |c| c.actions >= from + actions || c.is_converged());
        cluster.edit(|spec| spec.release = None).lose_status().settle();
        assert_eq!(cluster.in_service(), 10, "{}", cluster.story());
        let starts: u32 = cluster.pods.values().map(|p| p.starts).sum();
        let waits = cluster.state() == ReleaseState::WaitingForConfirmation || cluster.is_converged();
        assert!(waits, "{}", cluster.story());
        cluster.assert_rests();
        assert_eq!(cluster.pods.values().map(|p| p.starts).sum::<u32>(), starts);
        cluster.confirm_all().settle();
        cluster.assert_converged();
    }
}

#[test]
fn a_lost_status_keeps_what_an_order_went_back_to_although_a_later_revision_completed() {
    let mut cluster = installed();
    cluster.apply_image(2).confirm_all().settle();
    cluster.apply_image(3).confirm_all().settle();
    cluster.roll_back(3, 1).settle();
    let starts: u32 = cluster.pods.values().map(|p| p.starts).sum();
    cluster.edit(|spec| spec.release = None).lose_status().settle();
    assert_eq!(serving(&cluster, 1), 10, "{}", cluster.story());
    assert_eq!(cluster.pods.values().map(|p| p.starts).sum::<u32>(), starts);
    assert!(cluster.message().contains("revision 1 serves"), "{}", cluster.message());
}

#[test]
fn a_lost_status_of_an_aborted_or_rolled_back_release_stays_what_it_was() {
    let mut cluster = installed();
    cluster.apply_image(2).settle();
    cluster.abort(2).settle();
    cluster.edit(|spec| spec.release = None).lose_status().settle();
    assert_eq!(
        (cluster.state(), cluster.updated()),
        (ReleaseState::Aborted, vec![1, 1]),
        "{}",
        cluster.story()
    );
    cluster.roll_back(2, 1).settle();
    cluster.edit(|spec| spec.release = None).lose_status().settle();
    assert_eq!(serving(&cluster, 1), 10, "{}", cluster.story());
    assert!(cluster.message().contains("in place of revision 2"), "{}", cluster.message());
}
