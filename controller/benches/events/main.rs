//! What the controller does for one event, from the line of a watch to the body of a write, each step beside a yardstick that depends on
//! the same bytes but not on Cafe's code. `cargo xtask bench micro` makes ratios of them; `cargo bench -p cafe-controller` tells times.

#![allow(clippy::unwrap_used, clippy::panic)]

mod cluster;
mod lines;

use std::{hint::black_box, ops::Range};

use cafe_planner::{
    identity::Op,
    pod::{InPlace, Ran},
    set::{Action, action::On},
};
use criterion::{BatchSize, Criterion, SamplingMode};
use serde::de::IgnoredAny;
use serde_json::Value;

use cluster::{Cluster, NOW};

/// Pods of the set that an event is about.
const PODS: usize = 200;
/// Endpoints of a slice, unless a cluster is set up otherwise.
const ENDPOINTS: usize = 100;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    pods(&mut criterion, "pod", lines::POD);
    pods(&mut criterion, "small_pod", lines::SMALL_POD);
    slices(&mut criterion, "slice_100", 100);
    slices(&mut criterion, "slice_1000", 1_000);
    let mut cluster = Cluster::at_rest(lines::POD, PODS, ENDPOINTS);
    let wave = cluster.release();
    answer(&mut criterion, &mut cluster, &wave);
    bodies(&mut criterion, &cluster, &wave);
    criterion.final_summary();
}

/// Decoding and folding an event of a pod whose gate closes and opens again.
fn pods(criterion: &mut Criterion, name: &str, form: &'static str) {
    let mut cluster = Cluster::at_rest(form, 1, ENDPOINTS);
    let lines = [cluster.pod(0, &closed()), cluster.pod(0, &lines::open())];
    let bench = &mut cluster.workbench;
    for line in &lines {
        bench.pod(line).unwrap();
        assert_eq!(bench.plan(NOW).len(), 1, "each of them is news");
    }
    fold_and_scan(criterion, name, &lines, |line| bench.pod(line).unwrap());
}

/// Decoding and folding an EndpointSlice of which a wave of pods is taken out and put back.
fn slices(criterion: &mut Criterion, name: &str, pods: usize) {
    let mut cluster = Cluster::at_rest(lines::SMALL_POD, pods, pods);
    let wave: Range<usize> = 0..pods / 4;
    let lines = [lines::slice(0..pods, &wave), lines::slice(0..pods, &(0..0))];
    let bench = &mut cluster.workbench;
    for line in &lines {
        bench.slice(line).unwrap();
        assert_eq!(bench.plan(NOW).len(), 1, "each of them is news");
    }
    fold_and_scan(criterion, name, &lines, |line| bench.slice(line).unwrap());
}

/// Takes lines in turn, and beside it has serde_json read them without keeping anything.
fn fold_and_scan(criterion: &mut Criterion, name: &str, lines: &[String; 2], mut fold: impl FnMut(&str)) {
    let mut group = criterion.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat);
    // Kept from sample to sample: the line that came last is no news.
    let mut turn = lines.iter().cycle();
    group.bench_function("fold", |b| b.iter(|| turn.next().into_iter().for_each(|line| fold(line))));
    let scan = |line: &String| serde_json::from_str::<IgnoredAny>(line).unwrap();
    group.bench_function("scan", |b| b.iter(|| turn.next().map(scan)));
    group.finish();
}

/// In the middle of a wave: the answer to one of its writes comes, and the set is planned again.
fn answer(criterion: &mut Criterion, cluster: &mut Cluster, wave: &[Action]) {
    assert_eq!(wave.len(), PODS / 4, "a wave is as large as the budget");
    let gates: Vec<Value> = wave.iter().map(|action| gate(cluster, action)).collect();
    // Pods are numbered by their names, waves are in another order.
    let serials: Vec<usize> = wave.iter().map(serial).collect();
    for (serial, gate) in serials.iter().zip(&gates) {
        let line = cluster.pod(*serial, gate);
        cluster.workbench.pod(&line).unwrap();
    }
    let (serial, gate) = serials.iter().zip(&gates).next().unwrap();
    let lines = [cluster.pod(*serial, &lines::open()), cluster.pod(*serial, gate)];
    let bench = &mut cluster.workbench;
    bench.plan(NOW);
    for (line, writes) in lines.iter().zip([1, 0]) {
        bench.pod(line).unwrap();
        let asked: usize = bench.plan(NOW).iter().map(|(_, actions)| actions.len()).sum();
        assert_eq!(asked, writes, "it is to be taken out, and has been");
    }
    let mut group = criterion.benchmark_group("answer");
    group.sampling_mode(SamplingMode::Flat);
    let mut turn = lines.iter().cycle();
    group.bench_function("fold_and_plan", |b| {
        b.iter(|| {
            turn.next().into_iter().for_each(|line| bench.pod(line).unwrap());
            bench.plan(NOW)
        });
    });
    group.finish();
}

/// From an action to the bytes of its write, beside writing out what they say.
fn bodies(criterion: &mut Criterion, cluster: &Cluster, wave: &[Action]) {
    let w1 = wave.first().unwrap().clone();
    let Action::TakeOut { on, op } = w1.clone() else { panic!("a wave begins with W1: {w1:?}") };
    let steps = [
        ("w1", w1),
        ("w2", update(cluster, on.clone(), op)),
        ("w3", Action::PutBack { on }),
        ("journal", cluster.journal.clone().unwrap()),
    ];
    for (name, action) in steps {
        let value: Value = serde_json::from_slice(&cluster.body(action.clone())).unwrap();
        let mut group = criterion.benchmark_group(name);
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function("encode", |b| {
            b.iter_batched(|| action.clone(), |action| cluster.body(action), BatchSize::SmallInput);
        });
        group.bench_function("to_vec", |b| b.iter(|| serde_json::to_vec(black_box(&value)).unwrap()));
        group.finish();
    }
}

/// W2 of a pod whose one image changes.
fn update(cluster: &Cluster, on: On, op: Op) -> Action {
    let ran = Ran {
        container: "app".into(),
        id: format!("containerd://{:064x}", 7).as_str().into(),
        image: lines::IMAGE.into(),
    };
    Action::Update {
        on,
        from: cluster.revisions.first().copied(),
        to: *cluster.revisions.last().unwrap(),
        group: Some("2-1".into()),
        images: vec![("app".into(), "registry.example.com/shop/web:2026.11.4".into(), false)],
        record: Some(InPlace { op, ran: vec![ran], fence: 0, forced: None }),
    }
}

/// The gate of a pod after the write that takes it out.
fn gate(cluster: &Cluster, take_out: &Action) -> Value {
    let mut body: Value = serde_json::from_slice(&cluster.body(take_out.clone())).unwrap();
    body.pointer_mut("/status/conditions/0").unwrap().take()
}

/// A gate that is closed for some drain.
fn closed() -> Value {
    let mut gate = lines::open();
    let fields = gate.as_object_mut().unwrap();
    fields.insert("status".to_owned(), "False".into());
    fields.insert("reason".to_owned(), "Drain_0badcafe".into());
    gate
}

/// The number of the pod that an action is about.
fn serial(action: &Action) -> usize {
    let Action::TakeOut { on, .. } = action else { panic!("a wave begins with W1: {action:?}") };
    on.pod.rsplit('-').next().unwrap().parse().unwrap()
}
