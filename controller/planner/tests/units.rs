//! Units that come, go, change places and sizes, at rest and in the middle of releases: the fewest pods move, none of them
//! before its place is taken, and no gate is passed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use std::collections::{BTreeMap, BTreeSet};

use cafe_crds::{
    condition::{ConditionStatus, types},
    deployment::{AutoReschedule, GroupState, ReleaseState, Strategy as Release, Topology, UnitType},
    intstr::IntOrPercent::{self, Int, Percent},
    time::Seconds,
};
use cafe_planner::{
    deployment::{DeploymentSpec, allocation::split, snapshot::unit_of},
    identity::Uid,
    pod::Gate,
};
use proptest::{prelude::*, sample::subsequence, test_runner::FileFailurePersistence};
use simulator::{Cluster, Removal};

const UNITS: [&str; 5] = ["CellA", "CellB", "CellC", "CellD", "CellE"];

fn topology(values: &[&str], pins: &[(&str, IntOrPercent)]) -> Topology {
    Topology {
        unit_type: UnitType::Cell,
        values: values.iter().map(|unit| (*unit).to_owned()).collect(),
        unit_replicas: pins.iter().map(|(unit, pin)| ((*unit).to_owned(), *pin)).collect(),
        ..Topology::default()
    }
}

fn fours() -> Release {
    Release { batch_size: Some(Int(4)), ..Release::default() }
}

fn installed(replicas: i32, values: &[&str], strategy: Release) -> Cluster {
    let mut cluster = Cluster::new(replicas, 1, strategy);
    cluster.edit(|spec| spec.topology = topology(values, &[]));
    cluster.settle().assert_converged();
    cluster.quiet = true;
    cluster
}

fn reshape(cluster: &mut Cluster, values: &[&str], pins: &[(&str, IntOrPercent)]) {
    cluster.log(format!("-- units {values:?} pins {pins:?}"));
    let topology = topology(values, pins);
    cluster.edit(|spec| spec.topology = topology);
}

/// Live pods by unit; units without a pod are left out.
fn sizes(cluster: &Cluster) -> BTreeMap<String, i32> {
    count(cluster, |_| true)
}

/// Live pods at the present template, by unit.
fn updated(cluster: &Cluster) -> BTreeMap<String, i32> {
    let hash = cluster.revision_of_template().map(|r| r.hash);
    count(cluster, |pod| pod.revision == hash)
}

fn count(cluster: &Cluster, which: impl Fn(&cafe_planner::pod::Pod) -> bool) -> BTreeMap<String, i32> {
    let mut sizes = BTreeMap::new();
    for set in &cluster.sets {
        let live = cluster.pods_of(set.uid).filter(|p| p.pod.is_live() && which(&p.pod)).count();
        if live > 0 {
            sizes.insert(unit_of(set).to_owned(), i32::try_from(live).unwrap());
        }
    }
    sizes
}

fn by_unit(list: &[(&str, i32)]) -> BTreeMap<String, i32> {
    list.iter().map(|(unit, n)| ((*unit).to_owned(), *n)).collect()
}

fn uids(cluster: &Cluster) -> BTreeSet<Uid> {
    cluster.pods.keys().copied().collect()
}

/// Pods that `before` had and `after` has not.
fn gone(before: &BTreeSet<Uid>, cluster: &Cluster) -> i32 {
    i32::try_from(before.difference(&uids(cluster)).count()).unwrap()
}

/// What the units are to have, by the split that `allocation` is tested for.
fn wanted(spec: &DeploymentSpec, today: &BTreeMap<String, i32>) -> BTreeMap<String, i32> {
    let names: Vec<&str> = spec.topology.values.iter().map(String::as_str).collect();
    let held: Vec<i32> = names.iter().map(|n| today.get(*n).copied().unwrap_or(0)).collect();
    let (parts, _) = split(spec.replicas, &names, &spec.topology.unit_replicas, &held);
    names.iter().zip(parts).filter(|(_, n)| *n > 0).map(|(name, n)| ((*name).to_owned(), n)).collect()
}

fn moves(before: &BTreeMap<String, i32>, after: &BTreeMap<String, i32>) -> i32 {
    before.iter().map(|(unit, n)| (n - after.get(unit).copied().unwrap_or(0)).max(0)).sum()
}

fn unit_condition(cluster: &Cluster) -> (ConditionStatus, String) {
    let all = &cluster.deployment.status.conditions;
    let c = all.iter().find(|c| c.type_ == types::UNITS_HEALTHY).unwrap();
    (c.status, c.reason.clone())
}

#[test]
fn another_order_of_the_units_moves_nothing() {
    let mut cluster = installed(7, &["CellA", "CellB", "CellC"], fours());
    let before = (sizes(&cluster), uids(&cluster), cluster.writes.clone());
    for order in [["CellC", "CellB", "CellA"], ["CellB", "CellA", "CellC"]] {
        reshape(&mut cluster, &order, &[]);
        cluster.settle().assert_converged();
        assert_eq!((sizes(&cluster), uids(&cluster)), (before.0.clone(), before.1.clone()));
        assert_eq!(cluster.writes.get("write set"), before.2.get("write set"));
        let names: Vec<&str> = cluster.deployment.status.units.iter().map(|u| u.name.as_str()).collect();
        assert_eq!(names, order);
    }
}

#[test]
fn a_unit_that_is_renamed_is_made_anew_before_the_old_one_goes() {
    let mut cluster = installed(6, &["CellA", "CellB"], fours());
    let before = uids(&cluster);
    reshape(&mut cluster, &["CellA", "CellC"], &[]);
    let mut most = 0;
    while cluster.step() {
        most = most.max(cluster.pods.len());
    }
    cluster.assert_converged();
    assert_eq!((sizes(&cluster), gone(&before, &cluster)), (by_unit(&[("CellA", 3), ("CellC", 3)]), 3));
    assert!(most > 6, "new pods are there before the old ones go");
    assert_eq!((cluster.told("UnitCreated"), cluster.told("UnitRemoved")), (3, 1), "{:?}", cluster.events);
}

#[test]
fn a_unit_that_comes_back_while_it_is_emptied_keeps_the_pods_that_are_left() {
    let mut cluster = installed(8, &["CellA", "CellB"], fours());
    let before: BTreeSet<Uid> = cluster.pods_in("CellB").into_iter().collect();
    reshape(&mut cluster, &["CellA"], &[]);
    cluster.run_until("its pods are taken out", |c| {
        c.pods_of(c.unit("CellB").uid).any(|p| matches!(p.pod.gate, Gate::Draining(_)))
    });
    reshape(&mut cluster, &["CellA", "CellB"], &[]);
    cluster.settle().assert_converged();
    assert_eq!(sizes(&cluster), by_unit(&[("CellA", 4), ("CellB", 4)]));
    assert_eq!(gone(&before, &cluster), 0, "those that were leaving came back\n{}", cluster.story());
    assert_eq!((cluster.told("UnitCreated"), cluster.told("UnitRemoved")), (2, 0));
}

#[test]
fn pins_in_pods_and_in_percent_are_changed_under_way() {
    let mut cluster = installed(10, &["CellA", "CellB", "CellC"], fours());
    for (pins, expected) in [
        (vec![("CellB", Int(6))], [2, 6, 2]),
        (vec![("CellB", Percent(60)), ("CellC", Percent(25))], [2, 6, 2]),
        (vec![("CellB", Percent(25)), ("CellC", Percent(25)), ("CellA", Int(5))], [5, 3, 2]),
        (vec![("CellA", Int(0))], [0, 5, 5]),
        (vec![], [4, 3, 3]),
    ] {
        let before = (sizes(&cluster), uids(&cluster));
        reshape(&mut cluster, &["CellA", "CellB", "CellC"], &pins);
        let wanted = wanted(&cluster.deployment.spec, &before.0);
        cluster.settle().assert_converged();
        assert_eq!(sizes(&cluster), wanted);
        assert_eq!(gone(&before.1, &cluster), moves(&before.0, &wanted), "{pins:?}");
        let mut now: Vec<i32> =
            ["CellA", "CellB", "CellC"].map(|u| wanted.get(u).copied().unwrap_or(0)).into();
        let mut expected: Vec<i32> = expected.into();
        if pins.is_empty() {
            // Whoever holds four already keeps them.
            now.sort_unstable();
            expected.sort_unstable();
        }
        assert_eq!(now, expected, "{pins:?}");
    }
}

#[test]
fn whatever_total_an_autoscaler_sets_is_met_and_pins_that_do_not_fit_are_told() {
    let mut cluster = installed(10, &["CellA", "CellB"], fours());
    reshape(&mut cluster, &["CellA", "CellB"], &[("CellA", Int(4)), ("CellB", Int(6))]);
    cluster.settle().assert_converged();
    assert_eq!(unit_condition(&cluster).0, ConditionStatus::True);
    cluster.quiet = false;
    for (total, a, b) in [(5, 2, 3), (11, 4, 7), (10, 4, 6), (1, 0, 1), (25, 11, 14), (10, 4, 6)] {
        let before = sizes(&cluster);
        cluster.scale(total).settle();
        cluster.assert_converged();
        let now = ["CellA", "CellB"].map(|u| sizes(&cluster).get(u).copied().unwrap_or(0));
        assert_eq!(now.iter().sum::<i32>(), total);
        assert!((now[0] - a).abs() <= 1 && (now[1] - b).abs() <= 1, "{total}: {now:?} after {before:?}");
        let expected = if total == 10 { ConditionStatus::True } else { ConditionStatus::False };
        assert_eq!(unit_condition(&cluster).0, expected, "{total}");
        assert_eq!(unit_condition(&cluster).1 == "PinsDoNotFit", total != 10);
    }
}

#[test]
fn a_unit_that_is_added_at_a_gate_gets_pods_of_the_base_and_its_share_of_the_next_groups() {
    let mut cluster = installed(12, &["CellA", "CellB"], fours());
    cluster.apply_image(2).settle();
    reshape(&mut cluster, &["CellA", "CellC", "CellB"], &[]);
    cluster.settle();
    assert_eq!(cluster.token().as_deref(), Some("2/1"));
    assert_eq!(sizes(&cluster), by_unit(&[("CellA", 4), ("CellB", 4), ("CellC", 4)]));
    assert_eq!(updated(&cluster), by_unit(&[("CellA", 1), ("CellB", 1)]));
    cluster.confirm_next().settle();
    assert_eq!(cluster.token().as_deref(), Some("2/2"));
    assert_eq!(updated(&cluster).values().sum::<i32>(), 6);
    assert!(updated(&cluster).get("CellC").is_some_and(|n| (1..=2).contains(n)), "{:?}", updated(&cluster));
    cluster.confirm_all().settle().assert_converged();
}

#[test]
fn a_unit_is_removed_and_another_added_in_the_middle_of_a_group() {
    let mut cluster = installed(12, &["CellA", "CellB", "CellC"], fours());
    cluster.apply_image(2).settle();
    cluster.confirm_next();
    cluster.run_until("group 2 moves", |c| updated(c).values().sum::<i32>() == 5);
    reshape(&mut cluster, &["CellA", "CellD", "CellC"], &[]);
    cluster.settle();
    // The group that had begun ends at its gate, without the pods that its unit took along.
    assert_eq!(cluster.token().as_deref(), Some("2/2"), "{}", cluster.story());
    assert_eq!(sizes(&cluster), by_unit(&[("CellA", 4), ("CellC", 4), ("CellD", 4)]));
    assert!(!updated(&cluster).contains_key("CellD") && updated(&cluster).values().sum::<i32>() <= 7);
    cluster.confirm_next().settle();
    assert_eq!(cluster.token().as_deref(), Some("2/3"));
    cluster.confirm_all().settle().assert_converged();
}

#[test]
fn the_unit_that_all_the_beta_pods_are_in_is_removed_and_the_gate_stands() {
    let mut cluster = installed(4, &["CellA", "CellB"], fours());
    cluster.apply_image(2).settle();
    reshape(&mut cluster, &["CellC", "CellD"], &[]);
    cluster.settle();
    assert_eq!((cluster.token().as_deref(), cluster.in_service()), (Some("2/1"), 4));
    assert_eq!(updated(&cluster), by_unit(&[]));
    cluster.confirm_next().settle();
    assert_eq!(cluster.state(), ReleaseState::Completed, "{}", cluster.story());
    cluster.assert_converged();
}

#[test]
fn a_unit_leaves_while_a_rollback_is_under_way() {
    let mut cluster = installed(9, &["CellA", "CellB", "CellC"], fours());
    cluster.apply_image(2).confirm_all();
    cluster.run_until("half way", |c| updated(c).values().sum::<i32>() == 4);
    cluster.apply_image(1);
    cluster.run_until("on the way back", |c| c.state() == ReleaseState::RollingBack);
    reshape(&mut cluster, &["CellA", "CellC"], &[]);
    cluster.settle().assert_converged();
    assert_eq!(cluster.told("RollbackCompleted"), 1);
}

/// A unit with a pod that finds no node, and another that holds the whole budget.
fn with_a_pod_missing() -> Cluster {
    let strategy = Release { max_unavailable: Int(1), need_waiting_for_confirm: false, ..Release::default() };
    let mut cluster = installed(6, &["CellA", "CellB"], strategy);
    assert_eq!(cluster.unit("CellA").spec.update_strategy.max_unavailable, Int(1));
    cluster.full_units.insert("CellB".into());
    let victim = cluster.pods_in("CellB")[0];
    cluster.lose(victim).settle();
    assert_eq!(cluster.in_service(), 5);
    cluster
}

fn reserves_nothing_in(cluster: &mut Cluster, unit: &str) {
    while cluster.step() {
        assert!(cluster.unit(unit).journal.is_empty(), "{}", cluster.story());
    }
}

#[test]
fn a_pod_that_is_missing_in_one_unit_holds_the_others_back_from_the_start_of_a_release() {
    let mut cluster = with_a_pod_missing();
    cluster.apply_image(2);
    reserves_nothing_in(&mut cluster, "CellA");
    assert_eq!((cluster.release().revision, cluster.in_service()), (2, 5), "{}", cluster.story());
    cluster.full_units.clear();
    cluster.settle().assert_converged();
}

#[test]
fn a_pod_that_is_missing_in_one_unit_holds_the_others_back_from_the_start_of_a_restart() {
    let mut cluster = with_a_pod_missing();
    let at = Seconds(cluster.now.wall.0 + 1);
    cluster.edit(|spec| spec.restart_at = Some(at));
    reserves_nothing_in(&mut cluster, "CellA");
    assert!(cluster.now.wall >= at);
    assert_eq!(cluster.in_service(), 5, "{}", cluster.story());
    cluster.full_units.clear();
    cluster.settle().assert_converged();
}

fn pins(values: Vec<&'static str>) -> impl Strategy<Value = Vec<(&'static str, IntOrPercent)>> {
    let pin =
        prop_oneof![(0..7i32).prop_map(Int), prop::sample::select(vec![10, 20, 25, 33]).prop_map(Percent)];
    let each = values
        .into_iter()
        .map(move |unit| (prop::option::weighted(0.3, pin.clone())).prop_map(move |p| (unit, p)));
    each.collect::<Vec<_>>().prop_map(|list| {
        let list: Vec<_> = list.into_iter().filter_map(|(unit, pin)| Some((unit, pin?))).collect();
        let percents = list.iter().filter(|(_, p)| matches!(p, Percent(_))).count();
        // Three times 33 % is the most that is allowed.
        if percents > 3 { Vec::new() } else { list }
    })
}

type Shape = (Vec<&'static str>, Vec<(&'static str, IntOrPercent)>);

/// Units in any order, with any pins.
fn shape() -> impl Strategy<Value = Shape> {
    subsequence(UNITS.to_vec(), 1..=UNITS.len())
        .prop_shuffle()
        .prop_flat_map(|values| (Just(values.clone()), pins(values)))
}

fn strategy() -> impl Strategy<Value = Release> {
    let amount = || prop_oneof![(1..6i32).prop_map(Int), (1..=100i32).prop_map(Percent)];
    (prop::option::of(amount()), amount()).prop_map(|(batch_size, max_unavailable)| Release {
        batch_size,
        max_unavailable,
        ..Release::default()
    })
}

fn config() -> ProptestConfig {
    const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proptest-regressions/units.txt");
    ProptestConfig {
        max_shrink_iters: 500,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(SEEDS))),
        ..ProptestConfig::default()
    }
}

/// What happens to units, all at once.
#[derive(Clone, Debug)]
enum Turn {
    /// Units come, go, change places and pins.
    Reshape(Shape),
    /// An autoscaler sets a total.
    Scale(i32),
    /// All nodes of a unit are lost, with the pods that are there.
    LoseNodes(usize),
    /// They are back.
    FindNodes,
    /// The nodes of a unit have room for so many pods.
    Room(usize, Option<usize>),
    /// Somebody deletes the InPlaceSet of a unit; a finalizer keeps it.
    Delete(usize, Removal),
    /// The finalizers go.
    LetGo,
    Image(u32),
    /// So many things happen, and the controller dies.
    Steps(usize, bool),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => shape().prop_map(Turn::Reshape),
        3 => (0..16i32).prop_map(Turn::Scale),
        2 => (0..5usize).prop_map(Turn::LoseNodes),
        1 => Just(Turn::FindNodes),
        1 => (0..5usize, prop::option::of(0..4usize)).prop_map(|(unit, room)| Turn::Room(unit, room)),
        1 => (0..5usize, prop::sample::select(vec![Removal::Background, Removal::Drained, Removal::Foreground]))
            .prop_map(|(unit, how)| Turn::Delete(unit, how)),
        1 => Just(Turn::LetGo),
        1 => (1..3u32).prop_map(Turn::Image),
        6 => (0..60usize, prop::bool::weighted(0.2)).prop_map(|(steps, dies)| Turn::Steps(steps, dies)),
    ]
}

fn take(cluster: &mut Cluster, turn: &Turn) {
    match turn {
        Turn::Reshape((values, pins)) => {
            let auto = cluster.deployment.spec.topology.auto_reschedule;
            reshape(cluster, values, pins);
            cluster.edit(|spec| spec.topology.auto_reschedule = auto);
        }
        Turn::Scale(replicas) => {
            cluster.scale(*replicas);
        }
        Turn::LoseNodes(unit) => {
            cluster.nodes.insert(UNITS[*unit].to_owned(), (2, 0));
            cluster.full_units.insert(UNITS[*unit].to_owned());
            let set = cluster.sets.iter().find(|s| unit_of(s) == UNITS[*unit]).map(|s| s.uid);
            let lost: Vec<Uid> =
                set.map(|set| cluster.pods_of(set).map(|p| p.pod.uid).collect()).unwrap_or_default();
            for pod in lost {
                cluster.lose(pod);
            }
        }
        Turn::FindNodes => {
            cluster.nodes.clear();
            cluster.full_units.clear();
        }
        Turn::Room(unit, None) => drop(cluster.rooms.remove(UNITS[*unit])),
        Turn::Room(unit, Some(room)) => drop(cluster.rooms.insert(UNITS[*unit].to_owned(), *room)),
        Turn::Delete(unit, how) => {
            if cluster.sets.iter().any(|s| unit_of(s) == UNITS[*unit]) {
                cluster.linger(UNITS[*unit], *how);
            }
        }
        Turn::LetGo => let_go(cluster),
        Turn::Image(image) => {
            cluster.apply_image(*image);
        }
        Turn::Steps(steps, dies) => {
            for _ in 0..*steps {
                cluster.step();
            }
            if *dies {
                cluster.restart();
            }
        }
    }
}

/// What a finalizer kept goes, with its pods.
fn let_go(cluster: &mut Cluster) {
    let kept: Vec<String> =
        cluster.sets.iter().filter(|s| s.deleting).map(|s| unit_of(s).to_owned()).collect();
    for unit in kept {
        cluster.delete_set(&unit);
    }
}

#[test]
fn a_release_of_nothing_that_ends_while_pods_leave_takes_those_along_that_stay_after_all() {
    let mut cluster = installed(11, &UNITS[..3], Release { max_unavailable: Int(1), ..fours() });
    cluster.quiet = false;
    reshape(&mut cluster, &["CellE"], &[]);
    cluster.scale(0).apply_image(2);
    // Step by step: nothing else may have happened when it ends.
    let is_over = |c: &Cluster| c.release().revision == 2 && c.state() == ReleaseState::Completed;
    for _ in 0..50 {
        if !is_over(&cluster) {
            cluster.step();
        }
    }
    assert!(is_over(&cluster), "{}", cluster.story());
    assert_eq!(updated(&cluster), by_unit(&[]), "{}", cluster.story());
    assert!(sizes(&cluster).values().sum::<i32>() > 0, "some are still there\n{}", cluster.story());
    // It holds no share of the budget.
    reshape(&mut cluster, &["CellC"], &[]);
    cluster.scale(1).settle().assert_converged();
}

#[test]
fn a_unit_whose_name_differs_only_by_case_is_told_of_and_takes_nothing_from_the_other() {
    let mut cluster = installed(6, &["CellA", "CellB"], fours());
    reshape(&mut cluster, &["CellA", "CELLB"], &[]);
    cluster.settle();
    assert_eq!(cluster.in_service(), 6, "{}", cluster.story());
    assert_eq!(unit_condition(&cluster), (ConditionStatus::False, "NameTaken".into()));
    assert!(
        cluster.message().contains("unit CELLB needs the InPlaceSet shop-cellb"),
        "{}",
        cluster.message()
    );
    reshape(&mut cluster, &["CellA", "CellD"], &[]);
    cluster.settle().assert_converged();
    assert_eq!(sizes(&cluster), by_unit(&[("CellA", 3), ("CellD", 3)]));
}

proptest! {
    #![proptest_config(config())]

    /// The simulator watches every promise at each step of it.
    #[test]
    fn units_that_are_renamed_pinned_scaled_lost_and_deleted_all_at_once_end_where_the_last_word_says(
        replicas in 0..16i32,
        strategy in strategy(),
        reschedule in any::<bool>(),
        turns in prop::collection::vec(turn(), 1..30),
    ) {
        let mut cluster = installed(replicas, &UNITS[..3], strategy);
        cluster.quiet = false;
        let auto = AutoReschedule { enable: reschedule, initial_delay_seconds: 1 };
        cluster.edit(|spec| spec.topology.auto_reschedule = Some(auto));
        for turn in &turns {
            take(&mut cluster, turn);
        }
        for last in [Turn::LetGo, Turn::FindNodes] {
            take(&mut cluster, &last);
        }
        cluster.rooms.clear();
        cluster.settle();
        if cluster.state() != ReleaseState::Completed {
            cluster.confirm_all().settle();
        }
        cluster.assert_converged();
        let spec = &cluster.deployment.spec;
        let now = sizes(&cluster);
        prop_assert!(now.keys().all(|unit| spec.topology.values.contains(unit)), "{}", cluster.story());
        prop_assert_eq!(now.values().sum::<i32>(), spec.replicas, "{}", cluster.story());
        if !reschedule {
            // However it came there, the last word says the sizes up to who has the remainder.
            prop_assert_eq!(wanted(spec, &now), now.clone(), "{}", cluster.story());
        }
    }

    /// The simulator watches the budget at every step of it.
    #[test]
    fn a_topology_is_reshaped_with_the_fewest_moves_within_the_budget_however_often_the_controller_dies(
        replicas in 0..16i32,
        strategy in strategy(),
        shapes in prop::collection::vec((shape(), prop::option::of(1..25usize)), 1..5),
    ) {
        let mut cluster = installed(replicas, &UNITS[..2], strategy);
        for ((values, pins), dies_after) in shapes {
            let before = (sizes(&cluster), uids(&cluster));
            reshape(&mut cluster, &values, &pins);
            let wanted = wanted(&cluster.deployment.spec, &before.0);
            cluster.dies_after = dies_after;
            cluster.settle();
            cluster.dies_after = None;
            cluster.settle().assert_converged();
            prop_assert_eq!(sizes(&cluster), wanted.clone(), "{}", cluster.story());
            prop_assert_eq!(gone(&before.1, &cluster), moves(&before.0, &wanted), "{}", cluster.story());
        }
    }

    #[test]
    fn units_that_change_at_a_gate_or_in_a_group_keep_groups_and_gates(
        replicas in 2..16i32,
        strategy in strategy(),
        gates in 0..3usize,
        midway in prop::option::of(1..40usize),
        shapes in prop::collection::vec((shape(), prop::option::of(1..25usize)), 1..4),
    ) {
        let mut cluster = installed(replicas, &UNITS[..3], strategy);
        cluster.apply_image(2).settle();
        for _ in 0..gates {
            if cluster.token().is_some() {
                cluster.confirm_next().settle();
            }
        }
        if let (Some(steps), Some(_)) = (midway, cluster.token()) {
            cluster.confirm_next();
            for _ in 0..steps {
                cluster.step();
            }
        }
        for ((values, pins), dies_after) in shapes {
            let (group, at_gate) = (cluster.release().group, cluster.token());
            let (before, was) = (updated(&cluster), sizes(&cluster));
            reshape(&mut cluster, &values, &pins);
            cluster.dies_after = dies_after;
            cluster.settle();
            cluster.dies_after = None;
            cluster.settle();
            let spec = cluster.deployment.spec.clone();
            prop_assert_eq!(cluster.in_service(), spec.replicas, "{}", cluster.story());
            let now = sizes(&cluster);
            prop_assert!(now.keys().all(|unit| spec.topology.values.contains(unit)), "{}", cluster.story());
            if cluster.state() == ReleaseState::Completed {
                continue;
            }
            let release = cluster.release().clone();
            prop_assert_eq!(release.state, ReleaseState::WaitingForConfirmation, "{}", cluster.story());
            prop_assert!(release.group >= group);
            let after = updated(&cluster);
            if at_gate.is_some() {
                // The gate that stood still stands, and no unit has more behind it than it had.
                prop_assert_eq!(&release.confirm_token, &at_gate);
                for (unit, n) in &after {
                    let had = before.get(unit).copied().unwrap_or(0);
                    prop_assert!(*n <= had, "{}: {} of {}\n{}", unit, n, had, cluster.story());
                    let (from, to) = (was[unit], now[unit]);
                    let share = if to >= from { had } else { (had * to / from).max(1).min(to) };
                    prop_assert_eq!(*n, share, "{} from {} to {}\n{}", unit, from, to, cluster.story());
                }
            }
            // What the plan shows is what is left.
            let pending = release.groups.iter().filter(|g| g.state == GroupState::Pending);
            let planned: i32 = pending.flat_map(|g| g.units.values()).sum();
            let all_shown = release.group_total - release.group <= 20;
            prop_assert!(!all_shown || planned == spec.replicas - after.values().sum::<i32>(), "{}", cluster.story());
        }
        if cluster.state() != ReleaseState::Completed {
            cluster.confirm_all().settle();
        }
        cluster.assert_converged();
    }
}
