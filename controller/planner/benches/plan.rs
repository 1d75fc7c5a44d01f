//! What a plan costs by the number of pods and units: `cargo bench -p cafe-planner`.

#![allow(clippy::unwrap_used)]

#[path = "../tests/simulator/mod.rs"]
mod simulator;

use cafe_crds::{deployment::Strategy, intstr::IntOrPercent::Int};
use cafe_planner::{deployment, identity::Uid, set};
use divan::{Bencher, counter::ItemsCount};
use simulator::Cluster;

const PODS: [usize; 4] = [100, 1_000, 10_000, 100_000];

fn main() {
    divan::main();
}

/// One set with so many pods, each a copy of the one that serves.
fn set_of(pods: usize, mut cluster: Cluster) -> (Cluster, Uid) {
    let pod = cluster.pods.values().next().unwrap().clone();
    for serial in 1..pods {
        let mut copy = pod.clone();
        copy.pod.uid = Uid(copy.pod.uid.0 + ((serial as u128) << 64));
        copy.pod.name = format!("{}{serial}", copy.pod.name).into();
        cluster.pods.insert(copy.pod.uid, copy);
    }
    let set = cluster.sets.first_mut().unwrap();
    set.spec.replicas = i32::try_from(pods).unwrap();
    set.spec.update_strategy.max_unavailable = Int(set.spec.replicas / 4);
    let uid = set.uid;
    (cluster, uid)
}

fn bench_set(bencher: Bencher<'_, '_>, pods: usize, cluster: Cluster) {
    let (cluster, uid) = set_of(pods, cluster);
    cluster.look_at_set(uid, |snapshot| {
        bencher.counter(ItemsCount::new(pods)).bench_local(|| set::plan(&snapshot));
    });
}

#[divan::bench(args = PODS)]
fn set_at_rest(bencher: Bencher<'_, '_>, pods: usize) {
    bench_set(bencher, pods, Cluster::installed(1, 1, Strategy::default()));
}

/// Every pod is to move: the plan picks a wave of a quarter, or of as many as a journal holds.
#[divan::bench(args = PODS)]
fn set_at_the_start_of_a_group(bencher: Bencher<'_, '_>, pods: usize) {
    let mut cluster = Cluster::installed(1, 1, Strategy::default());
    cluster.apply_image(2);
    let told = cluster.deployment.spec.digest;
    cluster.run_until("the set is told", |c| c.sets.iter().all(|set| set.spec.digest == told));
    cluster.sets.first_mut().unwrap().spec.update_strategy.partition = Int(0);
    bench_set(bencher, pods, cluster);
}

#[divan::bench(args = [1, 8, 24])]
fn deployment_at_rest(bencher: Bencher<'_, '_>, units: usize) {
    let cluster = Cluster::installed(i32::try_from(units).unwrap(), units, Strategy::default());
    cluster.look_at_deployment(|snapshot| {
        bencher.counter(ItemsCount::new(units)).bench_local(|| deployment::plan(&snapshot));
    });
}
