//! What holds whatever people and chance do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use cafe_crds::{
    claims::ClaimRetention,
    deployment::{AutoReschedule, OnFailure, PodUpdatePolicy, Strategy as Release, UpgradeType},
    intstr::IntOrPercent,
    time::Seconds,
    traffic::OnDrainTimeout,
};
use cafe_planner::{deployment::snapshot::unit_of, pod::Gate};
use proptest::{prelude::*, test_runner::FileFailurePersistence};
use simulator::{Cluster, Planner, Protector, Removal, Template, cells};

/// One thing that happens, of those nobody plans.
#[derive(Clone, Debug)]
enum Chance {
    /// Someone else in the cluster does the next thing.
    Environment(usize),
    /// A planner runs and its writes leave.
    Plan(usize),
    /// A write arrives.
    Land(usize, bool),
    Wait(u64),
    Image(u32),
    Metadata(u32),
    Rest(u32),
    Confirm,
    ConfirmAll,
    ConfirmWrong(u8),
    Scale(i32),
    Pause(bool),
    Lose(usize),
    Fail(usize),
    Evict(usize),
    Sicken(usize),
    BreakImage(u32),
    MaxUnavailable(IntOrPercent),
    BatchSize(Option<IntOrPercent>),
    NeedWaiting(bool),
    Units(usize),
    Pin(Option<i32>),
    MinReady(i32),
    Silence(bool),
    Policy(bool),
    Restart,
    /// An order: abort, retry or roll back, by revisions counted back from the newest.
    Abort(i64),
    Retry(i64),
    RollBack(i64, i64),
    NoOrders,
    OnFailure(bool, i32),
    RestartAt(i64),
    Offline(usize, bool),
    ForceDrain(usize),
    DrainTimeout(i32, bool),
    GroupScaleOut(bool),
    DeleteSet(usize),
    /// Someone deletes an InPlaceSet, and somebody's finalizer keeps it until it is deleted once more.
    Linger(usize, Removal),
    LoseStatus,
    /// A unit has room for so many pods, or for any number.
    Room(usize, Option<usize>),
    /// Of the nodes of a unit so many are Ready.
    Nodes(usize, u32),
    Reschedule(bool, i32),
    /// Somebody takes a ceiling off, or writes one.
    Ceiling(usize, Option<i32>),
}

fn removal() -> impl Strategy<Value = Removal> {
    prop::sample::select(vec![Removal::Background, Removal::Drained, Removal::Foreground])
}

fn amount() -> impl Strategy<Value = IntOrPercent> {
    prop_oneof![(1..8i32).prop_map(IntOrPercent::Int), (1..=100i32).prop_map(IntOrPercent::Percent)]
}

fn chance() -> impl Strategy<Value = Chance> {
    use Chance as C;
    prop_oneof![
        20 => any::<usize>().prop_map(C::Environment),
        20 => any::<usize>().prop_map(C::Plan),
        30 => (any::<usize>(), any::<bool>()).prop_map(|(i, lost)| C::Land(i, lost)),
        6 => (1..5u64).prop_map(C::Wait),
        3 => (1..4u32).prop_map(C::Image),
        1 => (0..3u32).prop_map(C::Metadata),
        1 => (0..2u32).prop_map(C::Rest),
        4 => Just(C::Confirm),
        1 => Just(C::ConfirmAll),
        1 => any::<u8>().prop_map(C::ConfirmWrong),
        2 => (0..12i32).prop_map(C::Scale),
        2 => any::<bool>().prop_map(C::Pause),
        1 => any::<usize>().prop_map(C::Lose),
        1 => any::<usize>().prop_map(C::Fail),
        1 => any::<usize>().prop_map(C::Evict),
        1 => any::<usize>().prop_map(C::Sicken),
        1 => (2..4u32).prop_map(C::BreakImage),
        1 => amount().prop_map(C::MaxUnavailable),
        1 => prop::option::of(amount()).prop_map(C::BatchSize),
        1 => any::<bool>().prop_map(C::NeedWaiting),
        1 => (1..4usize).prop_map(C::Units),
        1 => prop::option::of(0..6i32).prop_map(C::Pin),
        1 => (0..3i32).prop_map(C::MinReady),
        2 => any::<bool>().prop_map(C::Silence),
        1 => any::<bool>().prop_map(C::Policy),
        2 => Just(C::Restart),
        1 => (0..2i64).prop_map(C::Abort),
        1 => (0..2i64).prop_map(C::Retry),
        1 => (0..2i64, 0..4i64).prop_map(|(abandon, to)| C::RollBack(abandon, to)),
        1 => Just(C::NoOrders),
        1 => (any::<bool>(), 1..30i32).prop_map(|(back, deadline)| C::OnFailure(back, deadline)),
        1 => (0..9i64).prop_map(C::RestartAt),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(i, offline)| C::Offline(i, offline)),
        1 => any::<usize>().prop_map(C::ForceDrain),
        1 => (1..9i32, any::<bool>()).prop_map(|(seconds, force)| C::DrainTimeout(seconds, force)),
        1 => any::<bool>().prop_map(C::GroupScaleOut),
        1 => any::<usize>().prop_map(C::DeleteSet),
        1 => (any::<usize>(), removal()).prop_map(|(i, how)| C::Linger(i, how)),
        1 => Just(C::LoseStatus),
        3 => (0..4usize, prop::option::of(0..6usize)).prop_map(|(unit, room)| C::Room(unit, room)),
        1 => (0..4usize, 0..3u32).prop_map(|(unit, ready)| C::Nodes(unit, ready)),
        2 => (any::<bool>(), 0..4i32).prop_map(|(on, delay)| C::Reschedule(on, delay)),
        1 => (0..4usize, prop::option::of(0..5i32)).prop_map(|(unit, pods)| C::Ceiling(unit, pods)),
    ]
}

fn release() -> impl Strategy<Value = Release> {
    (prop::option::of(amount()), amount(), any::<bool>(), any::<bool>()).prop_map(
        |(batch_size, max_unavailable, beta, need_waiting_for_confirm)| Release {
            batch_size,
            max_unavailable,
            upgrade_type: if beta { UpgradeType::Beta } else { UpgradeType::Batch },
            need_waiting_for_confirm,
            ..Release::default()
        },
    )
}

fn happen(cluster: &mut Cluster, template: &mut Template, chance: &Chance) {
    use Chance as C;
    let nth = |cluster: &Cluster, i: usize| {
        let uids: Vec<_> = cluster.pods.keys().copied().collect();
        (!uids.is_empty()).then(|| uids[i % uids.len()])
    };
    match chance {
        C::Environment(i) => {
            // Others do much more than one thing while the controller does one.
            for k in 0..4 {
                let moves = cluster.moves();
                if !moves.is_empty() {
                    cluster.make(moves[(i.wrapping_add(k)) % moves.len()]);
                }
            }
        }
        C::Plan(i) => {
            let planners: Vec<Planner> = cluster.planners();
            cluster.send(planners[i % planners.len()]);
        }
        C::Land(i, lost) => (0..4).for_each(|_| cluster.land(*i, *lost)),
        C::Wait(seconds) => {
            let at = cluster.now.mono.plus_seconds(i64::try_from(*seconds).unwrap());
            cluster.advance_to(at);
        }
        C::Image(image) => template.image = *image,
        C::Metadata(label) => template.label = *label,
        C::Rest(rest) => template.rest = *rest,
        C::Confirm => {
            if let Some(token) =
                cluster.deployment.status.release.as_ref().and_then(|r| r.confirm_token.clone())
            {
                cluster.confirm(&token);
            }
        }
        C::ConfirmAll => confirm_all(cluster),
        C::ConfirmWrong(n) => {
            let token = ["9/1", "nonsense", "1/all", "2/9", "", "/", "x/all"][usize::from(*n) % 7];
            cluster.confirm(token);
        }
        C::Scale(n) => {
            cluster.scale(*n);
        }
        C::Pause(pause) => {
            cluster.pause(*pause);
        }
        C::Lose(i) => {
            if let Some(uid) = nth(cluster, *i) {
                cluster.lose(uid);
            }
        }
        C::Fail(i) => {
            if let Some(uid) = nth(cluster, *i) {
                cluster.fail(uid);
            }
        }
        C::Evict(i) => {
            if let Some(uid) = nth(cluster, *i) {
                cluster.evict(uid);
            }
        }
        C::Sicken(i) => {
            if let Some(uid) = nth(cluster, *i) {
                cluster.sicken(uid, true);
            }
        }
        C::BreakImage(image) => {
            cluster.break_image(*image, if image % 2 == 0 { "ImagePullBackOff" } else { "CrashLoopBackOff" });
        }
        C::MaxUnavailable(max) => {
            cluster.budget_of(*max);
        }
        C::BatchSize(size) => {
            cluster.edit(|spec| spec.strategy.batch_size = *size);
        }
        C::NeedWaiting(need) => {
            cluster.edit(|spec| spec.strategy.need_waiting_for_confirm = *need);
        }
        C::Units(n) => {
            cluster.edit(|spec| spec.topology.values = cells(*n).values);
        }
        C::Pin(pin) => {
            cluster.edit(|spec| {
                spec.topology.unit_replicas.clear();
                if let Some(n) = pin {
                    spec.topology.unit_replicas.insert("CellA".into(), IntOrPercent::Int(*n));
                }
            });
        }
        C::MinReady(seconds) => {
            cluster.edit(|spec| spec.min_ready_seconds = *seconds);
        }
        C::Silence(silent) => {
            if cluster.protectors.contains_key("slb") {
                cluster.set_protector("slb", if *silent { Protector::Silent } else { Protector::Prompt });
            }
        }
        C::Policy(recreate) => {
            let policy =
                if *recreate { PodUpdatePolicy::Recreate } else { PodUpdatePolicy::InPlaceIfPossible };
            cluster.edit(|spec| spec.strategy.pod_update_policy = policy);
        }
        C::Restart => cluster.restart(),
        C::Abort(back) => {
            let newest = newest(cluster);
            cluster.abort(newest - back);
        }
        C::Retry(back) => {
            let newest = newest(cluster);
            cluster.retry(newest - back);
        }
        C::RollBack(abandon, to) => {
            let newest = newest(cluster);
            cluster.roll_back(newest - abandon, (newest - to).max(1));
        }
        C::NoOrders => {
            cluster.edit(|spec| spec.release = None);
        }
        C::OnFailure(back, deadline) => {
            cluster.edit(|spec| {
                spec.strategy.on_failure = if *back { OnFailure::Rollback } else { OnFailure::Hold };
                spec.strategy.progress_deadline_seconds = *deadline;
            });
        }
        C::RestartAt(ahead) => {
            let at = Seconds(cluster.now.wall.0 + ahead);
            cluster.edit(|spec| spec.restart_at = Some(at));
        }
        C::Offline(i, offline) => {
            if let Some(uid) = nth(cluster, *i) {
                cluster.edit_pod(uid, |pod| pod.offline = *offline);
            }
        }
        C::ForceDrain(i) => {
            if let Some(uid) = nth(cluster, *i) {
                cluster.edit_pod(uid, |pod| {
                    if let Gate::Draining(op) = pod.gate {
                        pod.force_drain = Some(op);
                    }
                });
            }
        }
        C::DrainTimeout(seconds, force) => {
            cluster.edit(|spec| {
                spec.traffic.drain_timeout_seconds = *seconds;
                spec.traffic.on_drain_timeout =
                    if *force { OnDrainTimeout::Force } else { OnDrainTimeout::Hold };
            });
        }
        C::GroupScaleOut(grows) => {
            cluster.edit(|spec| spec.strategy.group_scale_out = *grows);
        }
        C::DeleteSet(i) => {
            let units: Vec<String> = cluster.sets.iter().map(|s| unit_of(s).to_owned()).collect();
            if !units.is_empty() {
                cluster.delete_set(&units[i % units.len()]);
            }
        }
        C::Linger(i, how) => {
            let units: Vec<String> = cluster.sets.iter().map(|s| unit_of(s).to_owned()).collect();
            if !units.is_empty() {
                cluster.linger(&units[i % units.len()], *how);
            }
        }
        C::LoseStatus => {
            // What is on its way relies on the journals.
            if cluster.flying.is_empty() && cluster.sets.iter().all(|s| s.journal.is_empty()) {
                cluster.lose_status();
            }
        }
        C::Room(unit, room) => {
            let unit = unit_name(*unit);
            match room {
                Some(room) => drop(cluster.rooms.insert(unit, *room)),
                None => drop(cluster.rooms.remove(&unit)),
            }
        }
        C::Nodes(unit, ready) => drop(cluster.nodes.insert(unit_name(*unit), (2, *ready))),
        C::Reschedule(enable, initial_delay_seconds) => {
            let auto = AutoReschedule { enable: *enable, initial_delay_seconds: *initial_delay_seconds };
            cluster.edit(|spec| spec.topology.auto_reschedule = Some(auto));
        }
        C::Ceiling(unit, pods) => cluster.write_ceiling(&unit_name(*unit), *pods),
    }
    if matches!(chance, C::Image(_) | C::Metadata(_) | C::Rest(_)) {
        cluster.apply_template(*template);
    }
}

fn unit_name(i: usize) -> String {
    cells(i + 1).values.pop().unwrap()
}

fn newest(cluster: &Cluster) -> i64 {
    cluster.revisions.iter().map(|r| r.number).max().unwrap_or(1)
}

fn confirm_all(cluster: &mut Cluster) {
    if let Some(release) = &cluster.deployment.status.release {
        let token = format!("{}/all", release.revision);
        cluster.confirm(&token);
    }
}

/// Everything heals, and the user confirms whatever waits.
fn end_well(cluster: &mut Cluster) {
    cluster.log("-- everything heals");
    while !cluster.flying.is_empty() {
        cluster.land(0, false);
    }
    cluster.bad_images.clear();
    cluster.full_units.clear();
    cluster.pods.values_mut().for_each(|p| p.sick = false);
    cluster.protectors.values_mut().for_each(|p| *p = Protector::Prompt);
    cluster.rooms.clear();
    cluster.nodes.clear();
    let lingering: Vec<String> =
        cluster.sets.iter().filter(|s| s.deleting).map(|s| unit_of(s).to_owned()).collect();
    for unit in &lingering {
        cluster.delete_set(unit);
    }
    let pods: Vec<_> = cluster.pods.keys().copied().collect();
    for uid in pods {
        cluster.edit_pod(uid, |pod| pod.offline = false);
    }
    cluster.edit(|spec| {
        spec.release = None;
        (spec.strategy.on_failure, spec.strategy.progress_deadline_seconds) = (OnFailure::Hold, 600);
    });
    cluster.pause(false).settle();
    // What was aborted or rolled back is taken up again.
    let template = cluster.revision_of_template().unwrap().number;
    cluster.retry(template).settle();
    confirm_all(cluster);
    cluster.settle();
    cluster.assert_converged();
}

fn config() -> ProptestConfig {
    const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proptest-regressions/properties.txt");
    ProptestConfig {
        max_shrink_iters: 1000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(SEEDS))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_every_promise_holds_and_the_end_is_good(
        replicas in 0..10i32,
        units in 1..4usize,
        strategy in release(),
        claims in any::<bool>(),
        protected in any::<bool>(),
        grows in any::<bool>(),
        story in prop::collection::vec(chance(), 1..120),
        when_scaled in prop::sample::select(vec![ClaimRetention::Retain, ClaimRetention::Delete]),
    ) {
        let strategy = Release { group_scale_out: grows, ..strategy };
        let mut cluster = Cluster::new(replicas, units, strategy);
        if claims {
            cluster.claim_templates = vec!["data".into(), "logs".into()];
            cluster.deployment.spec.claim_retention.when_scaled = when_scaled;
        }
        if protected {
            cluster.protect("slb");
        }
        cluster.settle();
        if !grows {
            cluster.assert_converged();
        }
        let mut template = Template::image(1);
        for chance in &story {
            happen(&mut cluster, &mut template, chance);
        }
        end_well(&mut cluster);
    }

    #[test]
    fn a_quiet_release_stays_within_the_budget_and_costs_three_writes_a_pod(
        replicas in 0..30i32,
        units in 1..8usize,
        strategy in release(),
    ) {
        let mut cluster = Cluster::installed(replicas, units, strategy);
        cluster.quiet = true;
        cluster.pods.values_mut().for_each(|p| (p.writes, p.starts) = (0, 0));
        cluster.apply_image(2).confirm_all().settle().assert_converged();
        prop_assert!(cluster.pods.values().all(|p| (p.writes, p.starts) == (3, 1)), "{}", cluster.story());
    }

    #[test]
    fn a_rollback_from_anywhere_comes_home_within_the_budget(
        replicas in 0..16i32,
        units in 1..5usize,
        strategy in release(),
        actions in 0..120usize,
        broken in any::<bool>(),
        rest in any::<bool>(),
    ) {
        let mut cluster = Cluster::installed(replicas, units, strategy);
        cluster.quiet = true;
        if broken {
            cluster.break_image(2, "CrashLoopBackOff");
        }
        let end = cluster.actions + actions;
        cluster.apply_template(Template { rest: u32::from(rest), ..Template::image(2) }).confirm_all();
        while cluster.actions < end && cluster.step() {}
        cluster.apply_image(1).settle().assert_converged();
        prop_assert_eq!(cluster.told("RollbackCompleted"), 1, "{}", cluster.story());
    }

    #[test]
    fn pods_that_are_created_in_groups_are_so_however_often_the_controller_dies(
        sizes in prop::collection::vec(0..20i32, 1..4),
        units in 1..4usize,
        strategy in release(),
        every in prop::collection::vec(1..15usize, 20),
    ) {
        let strategy = Release { group_scale_out: true, need_waiting_for_confirm: true, ..strategy };
        let mut cluster = Cluster::new(sizes[0], units, strategy);
        let mut every = every.into_iter();
        for size in sizes {
            cluster.scale(size);
            let mut gates = 0;
            loop {
                cluster.dies_after = every.next();
                cluster.settle();
                cluster.dies_after = None;
                let Some(token) = cluster.settle().token() else { break };
                let given: i32 = cluster.let_in().iter().sum();
                prop_assert_eq!(cluster.in_service(), given, "{}", cluster.story());
                cluster.assert_rests();
                cluster.confirm(&token);
                gates += 1;
                prop_assert!(gates <= 20, "{}", cluster.story());
            }
            cluster.assert_converged();
        }
    }

    #[test]
    fn a_controller_that_keeps_dying_still_ends(
        replicas in 1..10i32,
        units in 1..4usize,
        strategy in release(),
        every in prop::collection::vec(1..15usize, 40),
    ) {
        let mut cluster = Cluster::installed(replicas, units, strategy);
        cluster.quiet = true;
        cluster.apply_image(2).confirm_all();
        for n in every {
            cluster.dies_after = Some(n);
            cluster.run_for(2);
        }
        cluster.dies_after = None;
        cluster.settle().assert_converged();
    }
}
