//! Groups that fail: what holds still, and what the message says of the cause.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use cafe_crds::{
    deployment::{PodUpdatePolicy, ReleaseState, Strategy},
    intstr::IntOrPercent::Int,
};
use cafe_planner::pod::Gate;
use simulator::{Cluster, NEVER_READY, Template};

/// Four pods over two cells, one of which may be out: the beta group has failed with its first pod.
fn failed() -> Cluster {
    let mut cluster = Cluster::installed(4, 2, Strategy { max_unavailable: Int(1), ..Strategy::default() });
    cluster.break_image(2, "ImagePullBackOff").apply_image(2).settle();
    assert_eq!((cluster.state(), cluster.updated().iter().sum::<i32>()), (ReleaseState::Failed, 1));
    cluster
}

#[test]
fn a_failed_release_that_is_scaled_out_bears_no_pod_at_what_fails() {
    let mut cluster = failed();
    cluster.scale(6).settle();
    assert_eq!(
        (cluster.live(), cluster.updated().iter().sum::<i32>()),
        (vec![3, 3], 1),
        "{}",
        cluster.story()
    );
    assert_eq!(cluster.state(), ReleaseState::Failed);
    cluster.assert_rests();
    cluster.bad_images.clear();
    cluster.settle();
    assert_eq!(
        (cluster.updated(), cluster.token().as_deref()),
        (vec![1, 1], Some("2/1")),
        "{}",
        cluster.story()
    );
}

#[test]
fn the_init_container_that_holds_a_pod_up_is_named() {
    let mut cluster = failed();
    let stuck = cluster.pods.values().find(|p| p.pod.gate != Gate::True).map(|p| p.pod.uid);
    let waits = Some(Box::new(("migrate".into(), "CrashLoopBackOff".into())));
    cluster.edit_pod(stuck.unwrap(), |pod| pod.init_waits = waits).settle();
    assert!(cluster.message().contains("container migrate: CrashLoopBackOff"), "{}", cluster.message());
}

#[test]
fn a_container_that_runs_and_never_gets_ready_is_named_once_its_group_has_failed() {
    let mut cluster = Cluster::installed(4, 2, Strategy { max_unavailable: Int(1), ..Strategy::default() });
    cluster.break_image(2, NEVER_READY).apply_image(2).run_for(60);
    assert!(!cluster.message().contains("not ready"), "{}", cluster.message());
    cluster.settle();
    assert_eq!(cluster.state(), ReleaseState::Failed);
    assert!(cluster.message().contains("container app: it runs, but is not ready"), "{}", cluster.message());
}

#[test]
fn a_release_that_its_policy_forbids_has_failed_once_and_rests() {
    let policy = PodUpdatePolicy::InPlaceOnly;
    let strategy = Strategy { pod_update_policy: policy, max_unavailable: Int(1), ..Strategy::default() };
    let mut cluster = Cluster::installed(4, 2, strategy);
    cluster.apply_template(Template { rest: 1, ..Template::image(1) }).settle();
    assert_eq!((cluster.state(), cluster.told("ProgressDeadlineExceeded")), (ReleaseState::Failed, 1));
    cluster.run_for(3600);
    assert_eq!((cluster.state(), cluster.told("ProgressDeadlineExceeded")), (ReleaseState::Failed, 1));
    cluster.edit(|spec| spec.strategy.pod_update_policy = PodUpdatePolicy::InPlaceIfPossible).settle();
    assert_eq!(cluster.token().as_deref(), Some("2/1"), "{}", cluster.story());
}
