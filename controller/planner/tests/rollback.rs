//! Rollbacks: from every state, without gates, within the budget, moving only what is not at home.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use cafe_crds::{
    deployment::{ReleaseState, Strategy},
    intstr::IntOrPercent::Int,
};
use cafe_planner::pod::ProtectorCondition;
use simulator::Cluster;

fn fours() -> Strategy {
    Strategy { batch_size: Some(Int(4)), ..Strategy::default() }
}

fn installed() -> Cluster {
    let mut cluster = Cluster::installed(10, 2, fours());
    cluster.pods.values_mut().for_each(|p| p.writes = 0);
    cluster
}

/// The template of revision 1 is applied again; everything is home without a confirmation.
fn comes_home(cluster: &mut Cluster) {
    let untouched: Vec<_> =
        cluster.pods.values().filter(|p| p.writes == 0).map(|p| (p.pod.uid, p.starts)).collect();
    cluster.apply_image(1).settle();
    cluster.assert_converged();
    assert_eq!(cluster.told("RollbackCompleted"), 1, "{}", cluster.story());
    for (uid, starts) in untouched {
        let p = &cluster.pods[&uid];
        assert_eq!((p.writes, p.starts), (0, starts), "a pod at home is touched\n{}", cluster.story());
    }
}

#[test]
fn a_rollback_from_the_beta_gate_needs_no_confirmation() {
    let mut cluster = installed();
    cluster.apply_image(2).settle();
    cluster.quiet = true;
    comes_home(&mut cluster);
}

#[test]
fn a_rollback_works_after_every_single_action_of_a_release() {
    let mut actions = 0;
    loop {
        let mut cluster = installed();
        cluster.quiet = true;
        let from = cluster.actions;
        cluster.apply_image(2).edit(|spec| spec.strategy.need_waiting_for_confirm = false);
        cluster.run_until("the next action", |c| c.is_converged() || c.actions >= from + actions);
        let (done, latched) = (cluster.is_converged() && actions > 0, cluster.release().revision == 2);
        cluster.apply_image(1).settle();
        cluster.assert_converged();
        assert_eq!(cluster.told("RollbackCompleted"), usize::from(latched), "{}", cluster.story());
        if done {
            break;
        }
        actions += 1;
    }
    assert!(actions > 30, "{actions}");
}

#[test]
fn a_rollback_passes_an_image_that_cannot_be_pulled_and_a_container_that_crashes() {
    for reason in ["ImagePullBackOff", "CrashLoopBackOff"] {
        let mut cluster = installed();
        cluster.break_image(2, reason).apply_image(2).settle();
        assert_eq!((cluster.state(), cluster.told("GroupCompleted")), (ReleaseState::Failed, 1), "{reason}");
        assert!(cluster.message().contains(reason), "{}", cluster.message());
        cluster.assert_rests();
        comes_home(&mut cluster);
    }
}

#[test]
fn a_rollback_while_paused_waits_for_the_pause_to_end_but_takes_no_further_pod_out() {
    let mut cluster = installed();
    cluster.apply_image(2).settle();
    cluster.pause(true).settle();
    cluster.apply_image(1).settle();
    assert_eq!(cluster.in_service(), 10);
    cluster.pause(false).settle();
    cluster.assert_converged();
    assert_eq!(cluster.told("RollbackCompleted"), 1);
}

#[test]
fn a_rollback_brings_a_pod_home_that_the_pause_caught_broken() {
    let mut cluster = installed();
    cluster.break_image(2, "ImagePullBackOff").apply_image(2).settle();
    cluster.pause(true).settle();
    cluster.apply_image(1).settle();
    cluster.pause(false).settle();
    cluster.assert_converged();
}

#[test]
fn a_rollback_after_completion_needs_no_gates_and_the_bad_template_that_returns_is_a_gated_release() {
    let mut cluster = installed();
    cluster.apply_image(2).confirm_all().settle();
    cluster.quiet = true;
    cluster.apply_image(1).settle();
    cluster.assert_converged();
    let release = cluster.release();
    assert_eq!((release.revision, release.from_revision, cluster.told("RollbackCompleted")), (3, Some(2), 1));
    cluster.apply_image(2).settle();
    assert_eq!((cluster.updated(), cluster.token().as_deref()), (vec![1, 1], Some("4/1")));
    assert_eq!(cluster.told("ConfirmIgnored"), 0, "the old token is a followed one");
}

#[test]
fn a_full_budget_of_broken_pods_never_blocks_a_rollback() {
    let mut cluster = Cluster::installed(6, 2, Strategy { max_unavailable: Int(1), ..Strategy::default() });
    cluster.break_image(2, "CrashLoopBackOff");
    let uids: Vec<_> = cluster.pods.keys().copied().collect();
    cluster.apply_image(2);
    cluster.run_until("the release has begun", |c| c.release().revision == 2);
    for uid in &uids {
        cluster.sicken(*uid, true);
    }
    cluster.confirm_all().settle();
    assert!(cluster.updated().iter().sum::<i32>() > 0, "broken pods cost nothing\n{}", cluster.story());
    for uid in &uids {
        cluster.sicken(*uid, false);
    }
    cluster.apply_image(1).settle();
    cluster.assert_converged();
}

#[test]
fn a_new_template_during_a_rollback_is_a_gated_release_from_the_good_revision() {
    let mut cluster = installed();
    cluster.apply_image(2).confirm_all().settle();
    cluster.apply_image(1);
    cluster.run_until("half way home", |c| c.updated().iter().sum::<i32>() == 4);
    cluster.apply_image(3).settle();
    let release = cluster.release();
    assert_eq!((release.revision, release.from_revision), (4, Some(3)), "{}", cluster.story());
    assert_eq!((cluster.updated(), cluster.token().as_deref()), (vec![1, 1], Some("4/1")));
}

#[test]
fn the_bad_template_that_returns_during_its_rollback_is_gated_too() {
    let mut cluster = installed();
    cluster.apply_image(2).settle();
    cluster.apply_image(1);
    cluster.run_until("the rollback has begun", |c| c.state() == ReleaseState::RollingBack);
    cluster.apply_image(2).settle();
    assert_eq!((cluster.updated(), cluster.token().as_deref()), (vec![1, 1], Some("4/1")));
    cluster.apply_image(1).settle();
    cluster.assert_converged();
}

#[test]
fn a_pod_put_back_unchanged_is_done_only_when_its_load_balancer_has_it_again() {
    let mut cluster = Cluster::installed(4, 1, Strategy { max_unavailable: Int(1), ..Strategy::default() });
    cluster.protect("slb").settle();
    cluster.apply_image(2);
    cluster.run_until("its load balancer has let go of a pod", |c| {
        c.pods
            .values()
            .any(|p| p.pod.protectors.iter().any(|q| q.condition != Some(ProtectorCondition::True)))
    });
    cluster.set_protector("slb", simulator::Protector::Silent);
    cluster.apply_image(1).settle();
    assert_eq!(cluster.sets[0].journal.len(), 1, "{}", cluster.story());
    cluster.set_protector("slb", simulator::Protector::Prompt).settle();
    cluster.assert_converged();
}
