//! An InPlaceSet that somebody deletes and a foreign finalizer keeps: the others go on without it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use cafe_crds::{
    deployment::{ReleaseState, Strategy, UpgradeType},
    intstr::IntOrPercent::Int,
};
use cafe_planner::{identity::Uid, set::Action};
use simulator::Cluster;

/// Two pods at once over three units, in a release of a single group that has just begun.
fn releasing() -> Cluster {
    let strategy =
        Strategy { upgrade_type: UpgradeType::Batch, max_unavailable: Int(2), ..Strategy::default() };
    let mut cluster = Cluster::installed(9, 3, strategy);
    cluster.apply_image(2);
    cluster
}

/// As `kubectl delete` leaves it that a finalizer holds.
fn delete(cluster: &mut Cluster, unit: usize) -> Uid {
    let set = &mut cluster.sets[unit];
    (set.deleting, set.generation, set.rv) = (true, set.generation + 1, set.rv + 1000);
    set.uid
}

#[test]
fn it_acknowledges_its_deletion_and_gives_back_what_was_reserved_for_pods_that_are_gone() {
    let mut cluster = releasing();
    cluster.run_until("a pod is reserved in CellA", |c| !c.sets[0].journal.is_empty());
    let set = delete(&mut cluster, 0);
    let said = |cluster: &Cluster| match &cluster.plan_set(set).actions[..] {
        [] => None,
        [Action::WriteStatus { status, .. }] => Some((status.observed_generation, status.in_flight.len())),
        other => panic!("{other:?}"),
    };
    let generation = cluster.sets[0].generation;
    assert_eq!(said(&cluster), Some((Some(generation), 1)));
    let reserved = cluster.sets[0].journal[0].uid;
    cluster.pods.remove(&reserved);
    assert_eq!(said(&cluster), Some((Some(generation), 0)));
    cluster.settle();
    assert_eq!(said(&cluster), None, "it is said once");
    assert!(cluster.sets[0].journal.is_empty());
}

#[test]
fn the_other_units_go_on_also_under_a_controller_that_knows_nothing_of_it_yet() {
    for restarts in [false, true] {
        let mut cluster = releasing();
        cluster.run_until("a pod is reserved", |c| c.sets.iter().any(|set| !set.journal.is_empty()));
        delete(&mut cluster, 0);
        if restarts {
            cluster.restart();
        }
        cluster.settle();
        assert_eq!(cluster.updated()[1..], [3, 3], "{}", cluster.story());
    }
}

#[test]
fn a_pause_holds_although_a_unit_that_goes_cannot_be_told_of_it() {
    let mut cluster = releasing();
    cluster.run_until("a pod is reserved", |c| c.sets.iter().any(|set| !set.journal.is_empty()));
    delete(&mut cluster, 0);
    cluster.deployment.spec.strategy.pause = Some(true);
    cluster.deployment.generation += 1;
    cluster.settle();
    let release = cluster.deployment.status.release.as_ref().unwrap();
    assert_eq!(release.state, ReleaseState::Paused, "{}", cluster.story());
}
