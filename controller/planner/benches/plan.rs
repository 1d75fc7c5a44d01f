//! What a plan costs by the number of pods and units, beside a walk over as much memory: `cargo bench -p cafe-planner`.

#![allow(clippy::unwrap_used)]

#[path = "../tests/simulator/mod.rs"]
mod simulator;

use std::hint::black_box;

use cafe_crds::deployment::Strategy;
use cafe_planner::{
    deployment,
    identity::{Uid, mix},
    set,
};
use criterion::{BenchmarkId, Criterion, SamplingMode};
use simulator::{Cluster, Planner};

const PODS: [usize; 4] = [100, 1_000, 10_000, 100_000];
const UNITS: [usize; 3] = [1, 8, 24];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    records(&mut criterion);
    sets(&mut criterion, "set_at_rest", set_at_rest);
    sets(&mut criterion, "set_at_the_start_of_a_group", set_at_the_start_of_a_group);
    sets(&mut criterion, "set_in_the_middle_of_a_group", set_in_the_middle_of_a_group);
    deployments(&mut criterion);
    criterion.final_summary();
}

/// Walks over so many records as large as those of pods, each with a place of its own in memory, in another order than they were made.
/// The yardstick of plans: like them it depends on the caches of the machine, but not on Cafe's code.
fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("records");
    group.sampling_mode(SamplingMode::Flat);
    for pods in PODS {
        let mut records: Vec<Box<[u64; 40]>> =
            (0..pods as u64).map(|serial| Box::new([mix(serial); 40])).collect();
        records.sort_unstable();
        let sum = |records: &[Box<[u64; 40]>]| {
            records.iter().flat_map(|record| record.iter()).fold(0_u64, |sum, part| sum ^ part)
        };
        group.bench_function(BenchmarkId::from_parameter(pods), |b| b.iter(|| sum(black_box(&records))));
    }
    group.finish();
}

/// Plans of one set by the number of its pods.
fn sets(criterion: &mut Criterion, name: &str, cluster: fn(usize) -> (Cluster, Uid)) {
    let mut group = criterion.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat);
    for pods in PODS {
        let (cluster, uid) = cluster(pods);
        cluster.look_at_set(uid, |snapshot| {
            group.bench_function(BenchmarkId::from_parameter(pods), |b| b.iter(|| set::plan(&snapshot)));
        });
    }
    group.finish();
}

/// Nothing is left to do.
fn set_at_rest(pods: usize) -> (Cluster, Uid) {
    let mut cluster = Cluster::installed(1, 1, Strategy::default());
    let uid = cluster.crowd(pods, pods / 4);
    // Its status says how many pods there are.
    cluster.run_planner(Planner::Set(uid), 1);
    assert_eq!(cluster.plan_set(uid).actions, []);
    (cluster, uid)
}

/// Every pod is to move: the plan picks a wave of a quarter, or of as many as a journal holds.
fn set_at_the_start_of_a_group(pods: usize) -> (Cluster, Uid) {
    let mut cluster = Cluster::installed(1, 1, Strategy::default());
    cluster.let_all_move();
    let uid = cluster.crowd(pods, pods / 4);
    assert!(matches!(&*cluster.plan_set(uid).actions, [set::Action::WriteStatus { .. }]), "a reservation");
    (cluster, uid)
}

/// As many pods are reserved as the budget or a journal allows: they are taken out, and the others wait.
fn set_in_the_middle_of_a_group(pods: usize) -> (Cluster, Uid) {
    let (mut cluster, uid) = set_at_the_start_of_a_group(pods);
    for action in cluster.plan_set(uid).actions {
        cluster.apply_set(uid, action);
    }
    assert!(!cluster.plan_set(uid).actions.is_empty(), "pods are taken out");
    (cluster, uid)
}

/// Plans of a CafeDeployment at rest by the number of its units.
fn deployments(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("deployment_at_rest");
    group.sampling_mode(SamplingMode::Flat);
    for units in UNITS {
        let cluster = Cluster::installed(i32::try_from(units).unwrap(), units, Strategy::default());
        assert!(cluster.plan_deployment().steps.is_empty());
        cluster.look_at_deployment(|snapshot| {
            group.bench_function(BenchmarkId::from_parameter(units), |b| {
                b.iter(|| deployment::plan(&snapshot));
            });
        });
    }
    group.finish();
}
