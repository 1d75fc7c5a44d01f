//! An InPlaceSet that somebody deletes and a foreign finalizer keeps: the others go on without it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use cafe_crds::{
    deployment::{ReleaseState, Strategy, UpgradeType},
    intstr::IntOrPercent::Int,
};
use cafe_planner::{
    pod::{Gate, Pod},
    set::Action,
};
use simulator::{Cluster, Removal};

/// So many pods at once over three units, in a release of a single group that has just begun.
fn releasing_by(budget: i32) -> Cluster {
    let strategy =
        Strategy { upgrade_type: UpgradeType::Batch, max_unavailable: Int(budget), ..Strategy::default() };
    let mut cluster = Cluster::installed(9, 3, strategy);
    cluster.apply_image(2);
    cluster
}

fn releasing() -> Cluster {
    releasing_by(2)
}

/// The unit that has this pod.
fn unit_with(cluster: &Cluster, has: impl Fn(&Pod) -> bool) -> Option<String> {
    let pod = cluster.pods.values().find(|p| has(&p.pod))?;
    Some(cluster.unit_name(pod.set).to_owned())
}

fn is_drained(pod: &Pod) -> bool {
    matches!(pod.gate, Gate::Draining(_))
}

/// Runs until a pod looks like this, then has its set deleted. The unit.
fn delete_with(cluster: &mut Cluster, how: Removal, what: &str, has: impl Fn(&Pod) -> bool) -> String {
    cluster.run_until(what, |c| unit_with(c, &has).is_some());
    let unit = unit_with(cluster, &has).unwrap();
    cluster.linger(&unit, how);
    unit
}

fn tags(cluster: &Cluster, unit: &str) -> Vec<String> {
    let set = cluster.unit(unit).uid;
    let tag = |p: &simulator::SimPod| p.pod.containers[0].image.to_string();
    let mut tags: Vec<String> = cluster.pods_of(set).filter(|p| p.pod.in_service()).map(tag).collect();
    tags.sort();
    tags
}

/// The set has acknowledged its deletion, holds no pod out and no share of the budget.
fn holds_nothing(cluster: &Cluster, unit: &str) {
    let set = cluster.unit(unit);
    assert_eq!(set.status.observed_generation, Some(set.generation), "{}", cluster.story());
    assert!(set.journal.is_empty(), "{}", cluster.story());
    assert_eq!(set.spec.update_strategy.max_unavailable, Int(0), "{}", cluster.story());
}

#[test]
fn a_pod_that_is_drained_when_its_set_is_deleted_is_put_back_unchanged() {
    for budget in [1, 2] {
        let mut cluster = releasing_by(budget);
        let unit = delete_with(&mut cluster, Removal::Background, "draining", is_drained);
        cluster.run_for(60);
        holds_nothing(&cluster, &unit);
        assert_eq!(tags(&cluster, &unit), ["app:1"; 3], "{}", cluster.story());
    }
}

#[test]
fn a_pod_in_the_middle_of_its_update_is_finished_although_its_set_is_deleted() {
    let mut cluster = releasing_by(1);
    let new = |pod: &Pod| is_drained(pod) && &*pod.containers[0].wants == "app:2";
    let unit = delete_with(&mut cluster, Removal::Background, "updating", new);
    cluster.run_for(60);
    holds_nothing(&cluster, &unit);
    assert_eq!(tags(&cluster, &unit), ["app:1", "app:1", "app:2"], "{}", cluster.story());
}

#[test]
fn a_pod_that_the_garbage_collector_is_about_to_delete_is_not_put_back() {
    let mut cluster = releasing_by(1);
    cluster.run_until("draining", |c| unit_with(c, is_drained).is_some());
    let unit = unit_with(&cluster, is_drained).unwrap();
    let set = cluster.sets.iter_mut().find(|s| s.name.ends_with(&unit.to_ascii_lowercase())).unwrap();
    (set.deleting, set.generation, set.bonds.foreground) = (true, set.generation + 1, true);
    let (uid, generation, pod) = (set.uid, set.generation, set.journal[0].uid);
    let said = |cluster: &Cluster| match &cluster.plan_set(uid).actions[..] {
        [] => None,
        [Action::WriteStatus { status, .. }] => Some((status.observed_generation, status.in_flight.len())),
        other => panic!("{other:?}"),
    };
    assert_eq!(said(&cluster), Some((Some(generation), 1)));
    cluster.evict(pod);
    assert_eq!(said(&cluster), Some((Some(generation), 0)), "one that goes is reserved no longer");
}

#[test]
fn a_set_that_drains_its_pods_first_lets_itself_go_and_holds_nothing_while_somebody_keeps_it() {
    let mut cluster = releasing_by(1);
    let unit = delete_with(&mut cluster, Removal::Drained, "draining", is_drained);
    cluster.run_for(60);
    let set = cluster.unit(&unit);
    assert_eq!((set.bonds.drain, cluster.pods_of(set.uid).count()), (None, 0), "{}", cluster.story());
    assert_eq!(
        cluster.in_service(),
        6,
        "nothing more is taken out beside what is missing: {}",
        cluster.story()
    );
    holds_nothing(&cluster, &unit);
}

#[test]
fn the_other_units_go_on_with_a_budget_of_one_pod_and_the_unit_follows_when_it_is_made_again() {
    for restarts in [false, true] {
        for set in 0..3 {
            // Whoever holds the one place of the budget when it is deleted, also while it does nothing with it.
            let mut cluster = releasing_by(1);
            cluster.run_until("granted", |c| c.sets[set].spec.update_strategy.max_unavailable == Int(1));
            let unit = cluster.unit_name(cluster.sets[set].uid).to_owned();
            cluster.linger(&unit, Removal::Background);
            if restarts {
                cluster.restart();
            }
            cluster.run_for(300);
            let mut done = cluster.updated();
            done.remove(set);
            assert_eq!(done, [3, 3], "{}", cluster.story());
            holds_nothing(&cluster, &unit);
            cluster.delete_set(&unit).settle().assert_converged();
        }
    }
}

#[test]
fn the_group_fails_once_and_is_told_who_holds_it() {
    let mut cluster = releasing_by(1);
    cluster.linger("CellA", Removal::Background);
    cluster.run_for(3 * 600);
    assert_eq!(cluster.told("ProgressDeadlineExceeded"), 1, "{}", cluster.story());
    assert_eq!(cluster.state(), ReleaseState::Failed);
    assert!(cluster.message().contains("InPlaceSet shop-cella is being deleted"), "{}", cluster.message());
    let units = cluster.deployment.status.conditions.iter().find(|c| c.type_ == "UnitsHealthy").unwrap();
    assert_eq!(units.reason, "UnitBeingDeleted");
    cluster.delete_set("CellA").settle().assert_converged();
}

#[test]
fn the_other_units_go_on_also_under_a_controller_that_knows_nothing_of_it_yet() {
    for restarts in [false, true] {
        let mut cluster = releasing();
        cluster.run_until("a pod is reserved", |c| c.sets.iter().any(|set| !set.journal.is_empty()));
        cluster.linger("CellA", Removal::Background);
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
    cluster.linger("CellA", Removal::Background);
    cluster.deployment.spec.strategy.pause = Some(true);
    cluster.deployment.generation += 1;
    cluster.settle();
    let release = cluster.deployment.status.release.as_ref().unwrap();
    assert_eq!(release.state, ReleaseState::Paused, "{}", cluster.story());
}
