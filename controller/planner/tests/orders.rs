//! Orders that have to wait, or that nothing comes of: they are never lost, and it is always said.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use cafe_crds::{
    condition::ConditionStatus,
    deployment::{CafeDeploymentStatus, ReleaseState, Strategy},
    intstr::IntOrPercent::Int,
};
use cafe_planner::deployment::Action;
use simulator::Cluster;

fn installed() -> Cluster {
    Cluster::installed(10, 2, Strategy { batch_size: Some(Int(4)), ..Strategy::default() })
}

/// Installed, and at the gate after the beta group of revision 2.
fn at_gate() -> Cluster {
    let mut cluster = installed();
    cluster.apply_image(2).settle();
    assert_eq!(cluster.token().as_deref(), Some("2/1"));
    cluster
}

/// On the way back from revision 2 to revision 1 by an order.
fn on_the_way_back() -> Cluster {
    let mut cluster = at_gate();
    cluster.confirm_next().settle();
    cluster.roll_back(2, 1);
    cluster.run_until("on the way back", |c| c.state() == ReleaseState::RollingBack && c.in_service() < 10);
    cluster
}

/// Ready pods by the number of their revision.
fn serving(cluster: &Cluster, number: i64) -> usize {
    let hash = cluster.revisions.iter().find(|r| r.answers_to(number)).unwrap().hash;
    cluster.pods.values().filter(|p| p.pod.in_service() && p.pod.revision == Some(hash)).count()
}

fn notes(cluster: &Cluster, reason: &str) -> Vec<String> {
    cluster.events.iter().filter(|e| e.reason == reason).map(|e| e.note.clone()).collect()
}

/// The status that the next plan writes.
fn next_status(cluster: &Cluster) -> CafeDeploymentStatus {
    let status = cluster.plan_deployment().steps.into_iter().find_map(|step| match step.action {
        Action::WriteStatus { status, .. } => Some(*status),
        _ => None,
    });
    status.expect("a status is written")
}

#[test]
fn a_status_that_has_seen_a_restart_is_not_ready_before_every_pod_is_new() {
    let mut cluster = installed();
    let at = cluster.run_for(100).now.wall;
    cluster.edit(|spec| spec.restart_at = Some(at));
    let generation = cluster.deployment.generation;
    let status = next_status(&cluster);
    let ready = status.conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!(ready.observed_generation, Some(generation));
    assert_eq!((ready.status, ready.reason.as_str()), (ConditionStatus::False, "Restarting"));
    cluster.settle().assert_converged();
    assert!(cluster.pods.values().all(|p| p.pod.created >= at), "{}", cluster.story());
}

#[test]
fn a_status_that_has_seen_a_change_of_units_is_not_ready_before_every_pod_is_where_it_belongs() {
    let mut cluster = installed();
    cluster.edit(|spec| {
        spec.topology.unit_replicas.insert("CellA".into(), Int(8));
    });
    let status = next_status(&cluster);
    let ready = status.conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!(ready.observed_generation, Some(cluster.deployment.generation));
    assert_eq!((ready.status, ready.reason.as_str()), (ConditionStatus::False, "ReplicasNotReady"));
    assert!(ready.message.contains("pods are on their way from unit to unit"), "{}", ready.message);
    cluster.settle().assert_converged();
    let ready = cluster.deployment.status.conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!(ready.status, ConditionStatus::True);
}

#[test]
fn a_restart_that_waits_for_a_release_is_told_in_its_message() {
    let mut cluster = installed();
    cluster.run_for(100).apply_image(2).settle();
    let at = cluster.now.wall;
    cluster.edit(|spec| spec.restart_at = Some(at)).settle();
    let waits = "; spec.restartAt waits until a release has completed; ";
    assert!(cluster.message().contains(waits), "{}", cluster.message());
    cluster.confirm_all().settle().assert_converged();
    assert!(!cluster.message().contains("restartAt"), "{}", cluster.message());
    cluster.run_for(100).apply_image(3).settle();
    assert!(!cluster.message().contains("restartAt"), "it is done: {}", cluster.message());
}

#[test]
fn a_restart_whose_moment_comes_at_a_gate_is_told_at_that_moment() {
    let mut cluster = at_gate();
    let at = cluster.now.wall.0 + 50;
    cluster.edit(|spec| spec.restart_at = Some(cafe_crds::time::Seconds(at))).run_for(49);
    assert!(!cluster.message().contains("restartAt"), "{}", cluster.message());
    cluster.run_for(5);
    assert!(cluster.message().contains("spec.restartAt waits"), "{}", cluster.message());
}

#[test]
fn a_gate_that_is_confirmed_before_it_waits_is_named() {
    let confirmed = "; gate 2/1 is confirmed already; ";
    let mut cluster = installed();
    cluster.apply_image(2);
    cluster.run_until("at work", |c| c.in_service() < 10);
    assert!(!cluster.message().contains(confirmed), "{}", cluster.message());
    cluster.confirm("2/1");
    assert!(next_status(&cluster).message.unwrap().contains(confirmed));
    cluster.pause(true).settle();
    assert_eq!(cluster.state(), ReleaseState::Paused);
    assert!(cluster.message().contains(confirmed), "{}", cluster.message());
    cluster.pause(false).settle();
    assert_eq!(cluster.token().as_deref(), Some("2/2"), "{}", cluster.story());
    assert!(!cluster.message().contains("is confirmed already"), "{}", cluster.message());
}

#[test]
fn a_token_for_a_release_that_was_aborted_or_has_completed_is_told() {
    let mut cluster = at_gate();
    cluster.abort(2).settle();
    cluster.confirm("2/1").settle();
    let told = notes(&cluster, "ConfirmIgnored");
    assert!(matches!(&*told, [one] if one.contains("set spec.release.retry to \"2\"")), "{told:?}");
    cluster.retry(2).settle();
    cluster.confirm("3/3").settle();
    cluster.confirm("3/all").settle().assert_converged();
    cluster.confirm("3/3").settle();
    let told = notes(&cluster, "ConfirmIgnored");
    assert_eq!(told.len(), 2, "told when there was no gate 3, and once: {told:?}");
}

#[test]
fn a_token_for_the_gate_after_the_last_group_is_told_when_the_release_has_completed() {
    let mut cluster = at_gate();
    cluster.confirm("2/all").settle().assert_converged();
    cluster.confirm("2/3").settle();
    let told = notes(&cluster, "ConfirmIgnored");
    assert!(matches!(&*told, [one] if one.contains("no gate waits now")), "{told:?}");
}

#[test]
fn a_token_that_has_opened_its_gate_is_not_told_when_the_release_is_left() {
    let mut cluster = at_gate();
    cluster.order(|orders| orders.confirm = Some("2/all".to_owned()));
    cluster.run_until("in the second group", |c| c.release().group == 2 && c.in_service() < 10);
    cluster.abort(2).settle();
    assert_eq!((cluster.state(), cluster.told("ConfirmIgnored")), (ReleaseState::Aborted, 0));
    cluster.roll_back(2, 1).settle();
    assert_eq!((serving(&cluster, 1), cluster.told("ConfirmIgnored")), (10, 0), "{}", cluster.story());
}

#[test]
fn a_retry_of_a_release_that_runs_waits_until_it_stops_and_says_so() {
    let mut cluster = at_gate();
    cluster.retry(2).settle();
    let told = notes(&cluster, "OrderIgnored");
    assert!(matches!(&*told, [one] if one.contains("waits until the release of revision 2")), "{told:?}");
    assert_eq!(cluster.token().as_deref(), Some("2/1"));
    cluster.abort(2).settle();
    assert_eq!(cluster.token().as_deref(), Some("3/1"), "{}", cluster.story());
    assert_eq!(notes(&cluster, "OrderIgnored").len(), 1);
    cluster.confirm_all().settle().assert_converged();
    cluster.retry(3).settle();
    let told = notes(&cluster, "OrderIgnored");
    assert!(told[1].contains("the release of revision 3 has completed"), "{told:?}");
    cluster.retry(9).settle();
    assert!(notes(&cluster, "OrderIgnored")[2].contains("the template is revision 3"));
}

#[test]
fn a_retry_that_was_written_first_does_not_undo_a_rollback() {
    for retry_first in [true, false] {
        let mut cluster = at_gate();
        if retry_first {
            cluster.retry(2).settle();
            cluster.roll_back(2, 1);
        } else {
            cluster.roll_back(2, 1);
            cluster.run_until("on the way back", |c| c.state() == ReleaseState::RollingBack);
            cluster.retry(2);
        }
        cluster.settle();
        assert_eq!(cluster.told("RollbackCompleted"), 1, "{}", cluster.story());
        assert_eq!((cluster.token().as_deref(), serving(&cluster, 1)), (Some("3/1"), 8), "then it retries");
        cluster.confirm_all().settle().assert_converged();
    }
}

#[test]
fn an_abort_of_a_rollback_that_was_ordered_is_told_and_stops_nothing() {
    let mut cluster = on_the_way_back();
    cluster.abort(1).settle();
    assert_eq!(serving(&cluster, 1), 10, "{}", cluster.story());
    let told = notes(&cluster, "OrderIgnored");
    assert!(matches!(&*told, [one] if one.contains("nothing stops a rollback that was ordered")), "{told:?}");
    cluster.assert_rests();
}

#[test]
fn a_pause_in_a_rollback_is_told_and_holds_nothing() {
    let mut cluster = on_the_way_back();
    cluster.pause(true);
    let message = next_status(&cluster).message.unwrap();
    assert!(message.contains("; spec.strategy.pause does not hold a rollback; "), "{message}");
    cluster.settle();
    assert_eq!(serving(&cluster, 1), 10, "{}", cluster.story());
}

#[test]
fn a_pause_of_what_is_complete_holds_the_next_release_before_its_first_pod_and_says_so() {
    let mut cluster = installed();
    cluster.pause(true).settle();
    assert_eq!(cluster.state(), ReleaseState::Completed);
    let message = "spec.strategy.pause holds what comes next; to lift it: kubectl -n prod patch ";
    assert!(cluster.message().contains(message), "{}", cluster.message());
    cluster.apply_image(2).settle();
    assert_eq!(
        (cluster.state(), cluster.updated()),
        (ReleaseState::Paused, vec![0, 0]),
        "{}",
        cluster.story()
    );
    cluster.pause(false).settle();
    assert_eq!(cluster.token().as_deref(), Some("2/1"), "{}", cluster.story());
}
