//! An edit brings an older object in the way of one that serves: it loses no pod, and moves none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use cafe_crds::deployment::{Phase, ReleaseState, Strategy};
use cafe_planner::{
    Text,
    bonds::Others,
    identity::Uid,
    set::{self, Action},
};
use simulator::Cluster;

const OLDER: &str = "CafeDeployment other";

fn stalled(conditions: &[cafe_crds::condition::Condition]) -> Option<(&str, &str)> {
    conditions.iter().find(|c| c.type_ == "Stalled").map(|c| (c.reason.as_str(), c.message.as_str()))
}

/// A workload of two units in the middle of its beta group.
fn moving() -> Cluster {
    let mut cluster = Cluster::installed(6, 2, Strategy::default());
    cluster.apply_image(2);
    cluster.run_until("a pod is drained", |c| c.in_service() < 6);
    cluster
}

#[test]
fn a_release_under_way_stands_and_goes_on_when_the_older_one_is_out_of_the_way() {
    let mut cluster = moving();
    cluster.confirm_all();
    cluster.overlaps = Some(OLDER.into());
    cluster.settle();
    let status = &cluster.deployment.status;
    assert_eq!((status.phase, cluster.release().state), (Some(Phase::Invalid), ReleaseState::Paused));
    let (reason, message) = stalled(&status.conditions).unwrap();
    assert_eq!((reason, message), ("SelectorOverlaps", cluster.message()));
    for words in ["CafeDeployment other is older", "kubectl -n prod edit cafedeployment other"] {
        assert!(message.contains(words), "{message}");
    }
    assert_eq!((cluster.in_service(), cluster.told("SelectorOverlaps")), (6, 1), "{}", cluster.story());
    assert_eq!(cluster.updated(), [1, 0], "what was in flight has ended");
    cluster.overlaps = None;
    cluster.settle().assert_converged();
    assert_eq!((cluster.updated(), cluster.deployment.status.phase), (vec![3, 3], Some(Phase::Healthy)));
}

#[test]
fn no_gate_opens_meanwhile_and_a_rollback_is_still_a_way_out() {
    let mut cluster = Cluster::installed(6, 2, Strategy::default());
    cluster.apply_image(2).settle();
    cluster.overlaps = Some(OLDER.into());
    cluster.confirm_next().settle();
    assert_eq!((cluster.updated(), cluster.release().group), (vec![1, 1], 1));
    cluster.apply_image(1).settle();
    assert_eq!((cluster.updated(), cluster.in_service()), (vec![3, 3], 6), "{}", cluster.story());
    assert!(cluster.release().rollback);
}

#[test]
fn pods_that_die_come_back_and_replicas_are_followed() {
    let mut cluster = Cluster::installed(6, 2, Strategy::default());
    cluster.overlaps = Some(OLDER.into());
    cluster.settle();
    for uid in cluster.pods_in("CellA") {
        cluster.lose(uid);
    }
    cluster.settle();
    assert_eq!(cluster.live(), [3, 3], "{}", cluster.story());
    cluster.scale(8).settle();
    assert_eq!((cluster.live(), cluster.in_service()), (vec![4, 4], 8));
}

fn look_alone(cluster: &Cluster, set: Uid) -> set::Plan {
    let older: Text = OLDER.into();
    let others = Others { overlaps: Some(&older), ..Others::default() };
    cluster.look_at_set(set, |s| set::plan(&set::Snapshot { others, ..s }))
}

#[test]
fn a_set_that_stands_alone_replaces_what_dies_as_it_was_and_moves_nothing() {
    let mut cluster = Cluster::installed(4, 0, Strategy::default());
    let (set, first) = (cluster.sets[0].uid, cluster.revisions[0].hash);
    cluster.apply_image(2).settle();
    cluster.sets[0].owner = None;
    // The template has moved on, and a pod that dies would be born at it otherwise.
    cluster.sets[0].spec.update_strategy.partition = cafe_crds::intstr::IntOrPercent::Int(0);
    cluster.sets[0].spec.update_strategy.max_unavailable = cafe_crds::intstr::IntOrPercent::Int(2);
    let lost = *cluster.pods.keys().next().unwrap();
    cluster.pods.remove(&lost);
    cluster.restart();
    let plan = look_alone(&cluster, set);
    let born: Vec<_> = plan
        .actions
        .iter()
        .filter_map(|a| if let Action::Create { revision, .. } = a { Some(*revision) } else { None })
        .collect();
    assert_eq!(born, [first]);
    let written = plan
        .actions
        .iter()
        .find_map(|a| if let Action::WriteStatus { status, .. } = a { Some(status) } else { None });
    let status = written.unwrap();
    assert_eq!(status.in_flight, []);
    let (reason, message) = stalled(&status.conditions).unwrap();
    assert_eq!(reason, "SelectorOverlaps");
    assert!(message.contains("kubectl edit cafedeployment other"), "{message}");
    assert_eq!(plan.events[0].reason, "SelectorOverlaps");
}
