//! Which pods go when a set that stands alone shrinks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use cafe_crds::{
    claims::ClaimRetentionPolicy,
    inplaceset::{InPlaceSetStatus, UpdateStrategy},
    intstr::IntOrPercent::{Int, Percent},
    selector::Selector,
    time::Seconds,
    traffic::Traffic,
};
use cafe_planner::{
    bonds::{Bonds, Others},
    identity::{Digest, RevisionHash, Uid},
    pod::{Endpoints, Gate, Phase, Pod, PodView},
    revision::Revision,
    set::{
        Set, SetSpec, Snapshot,
        intent::{self, Intent},
        snapshot::Entry,
    },
    template::Facts,
    time::{Millis, Now},
};
use proptest::{prelude::*, test_runner::FileFailurePersistence};

const OLD: RevisionHash = RevisionHash(1);
const NEW: RevisionHash = RevisionHash(2);

/// A set at revision [`OLD`] on its way to [`NEW`], without an owner.
#[derive(Clone, Debug)]
struct Alone {
    strategy: UpdateStrategy,
    pods: Vec<Pod>,
    leaving: BTreeSet<Uid>,
    owner: Option<Uid>,
}

fn pod(number: usize, revision: RevisionHash) -> Pod {
    Pod {
        name: format!("web-{number:02}").into(),
        uid: Uid(number as u128 + 1),
        revision: Some(revision),
        created: Seconds(0),
        scheduled: true,
        phase: Phase::Running,
        gate: Gate::True,
        ready_since: Some(Seconds(0)),
        containers_ready: true,
        ..Pod::default()
    }
}

fn broken(pod: Pod) -> Pod {
    Pod { ready_since: None, containers_ready: false, ..pod }
}

/// `old` pods that have yet to move and `new` ones that have.
fn alone(old: usize, new: usize, strategy: UpdateStrategy) -> Alone {
    let revision = |number: usize| if number < old { OLD } else { NEW };
    let pods: Vec<Pod> = (0..old + new).map(|number| pod(number, revision(number))).collect();
    Alone { strategy, pods, leaving: BTreeSet::new(), owner: None }
}

fn revision(number: i64, hash: RevisionHash) -> Revision {
    let facts = Facts {
        rest: Digest(0),
        containers: Vec::new(),
        labels: [].into(),
        annotations: [].into(),
        claims: Vec::new(),
    };
    Revision {
        name: format!("web-{number}").into(),
        uid: Uid(1000 + hash.0 as u128),
        rv: 1,
        number,
        older: Vec::new(),
        hash,
        digest: Digest(hash.0.into()),
        outcome: None,
        busy: false,
        facts,
    }
}

impl Alone {
    /// Those that go when it is to have `replicas`.
    fn going(&self, replicas: i32) -> Vec<&Pod> {
        let (old, new) = (revision(1, OLD), revision(2, NEW));
        let spec = SetSpec {
            replicas,
            selector: Selector::default(),
            digest: new.digest,
            claim_retention: ClaimRetentionPolicy::default(),
            min_ready_seconds: 0,
            revision_history_limit: 10,
            traffic: Traffic::default(),
            update_strategy: self.strategy.clone(),
            placement: None,
            restart_at: None,
        };
        let entry = |uid: &Uid| Entry { uid: *uid, from: None, to: None, since: Seconds(0) };
        let set = Set {
            name: "web".into(),
            uid: Uid(1),
            rv: 1,
            generation: 1,
            owner: self.owner,
            deleting: false,
            spec,
            status: InPlaceSetStatus { current_revision: Some("web-1".into()), ..Default::default() },
            journal: self.leaving.iter().map(entry).collect(),
            ceiling: None,
            bonds: Bonds::default(),
        };
        let views: Vec<PodView<'_>> = self
            .pods
            .iter()
            .map(|pod| PodView {
                pod,
                entry: set.entry(pod.uid),
                busy: false,
                fenced: true,
                endpoints: Endpoints::default(),
                drained_at: None,
                stray: false,
            })
            .collect();
        let snapshot = Snapshot {
            now: Now { wall: Seconds(100), mono: Millis(0) },
            set: &set,
            busy: false,
            fenced: true,
            status_written: None,
            target: Some(&new),
            revisions: &[&old, &new],
            pods: &views,
            creating: &[],
            held: &[],
            occupied: &[],
            no_births_until: None,
            refused: None,
            proving: false,
            unproven: false,
            claims: &[],
            claiming: &[],
            others: Others::default(),
        };
        let intents = intent::assign(&snapshot, &new);
        let going: Vec<Uid> =
            intents.iter().filter(|p| p.intent == Intent::Remove).map(|p| p.view.pod.uid).collect();
        self.pods.iter().filter(|pod| going.contains(&pod.uid)).collect()
    }

    /// Old and new pods that are left.
    fn left(&self, replicas: i32) -> (usize, usize) {
        let going = self.going(replicas);
        let left = |hash| self.pods.iter().filter(|p| p.revision == Some(hash) && !going.contains(p)).count();
        (left(OLD), left(NEW))
    }

    fn names(&self, replicas: i32) -> Vec<&str> {
        self.going(replicas).iter().map(|pod| &*pod.name).collect()
    }
}

fn moving() -> UpdateStrategy {
    UpdateStrategy::default()
}

fn paused() -> UpdateStrategy {
    UpdateStrategy { paused: true, ..UpdateStrategy::default() }
}

fn with_partition(partition: i32) -> UpdateStrategy {
    UpdateStrategy { partition: Int(partition), ..UpdateStrategy::default() }
}

#[test]
fn a_broken_pod_goes_before_one_that_serves_whatever_its_revision() {
    let mut set = alone(9, 1, moving());
    set.pods[9] = broken(set.pods[9].clone());
    assert_eq!(set.names(9), ["web-09"]);
    assert_eq!(set.left(8), (8, 0));
    // Also when its update has been stopped for it.
    set.strategy = paused();
    assert_eq!(set.left(8), (8, 0));
    set.strategy = with_partition(4);
    assert_eq!(set.left(8), (8, 0));
}

#[test]
fn while_an_update_goes_on_pods_that_would_have_to_move_go_first() {
    let set = alone(6, 4, moving());
    assert_eq!((set.left(7), set.left(4), set.left(2)), ((3, 4), (0, 4), (0, 2)));
}

#[test]
fn while_an_update_stands_still_both_sides_shrink_alike() {
    for stands in [paused(), UpdateStrategy { max_unavailable: Int(0), ..moving() }] {
        let set = alone(6, 4, stands);
        assert_eq!((set.left(7), set.left(5), set.left(2)), ((5, 2), (3, 2), (1, 1)));
        assert_eq!((set.left(1), set.left(0)), ((0, 1), (0, 0)));
        assert_eq!(alone(9, 1, set.strategy.clone()).left(2), (1, 1), "the one that shows how it does stays");
        assert_eq!(alone(10, 0, set.strategy.clone()).left(2), (2, 0));
    }
}

#[test]
fn the_partition_keeps_as_many_old_pods_as_it_says() {
    let set = alone(6, 4, with_partition(6));
    assert_eq!((set.left(8), set.left(6), set.left(3)), ((6, 2), (6, 0), (3, 0)));
    let percent = UpdateStrategy { partition: Percent(60), ..moving() };
    // 60 % of eight and of five, rounded up.
    let set = alone(6, 4, percent);
    assert_eq!((set.left(8), set.left(5), set.left(1)), ((5, 3), (3, 2), (1, 0)));
    // Not all old pods that may move have moved yet.
    let set = alone(8, 2, with_partition(6));
    assert_eq!((set.left(9), set.left(7), set.left(6)), ((7, 2), (6, 1), (6, 0)));
}

#[test]
fn the_partition_holds_back_old_pods_that_are_broken_too() {
    let mut set = alone(2, 2, with_partition(2));
    for i in 0..2 {
        set.pods[i] = broken(set.pods[i].clone());
    }
    assert_eq!(set.left(3), (2, 1));
}

#[test]
fn pods_without_a_node_go_first_then_broken_ones_the_cheapest_the_newest_and_the_name() {
    let mut set = alone(0, 6, moving());
    set.pods[1].deletion_cost = -5;
    set.pods[2].deletion_cost = 7;
    set.pods[3].created = Seconds(50);
    set.pods[4] = broken(set.pods[4].clone());
    set.pods[5] = Pod { scheduled: false, phase: Phase::Pending, ..broken(set.pods[5].clone()) };
    let order = ["web-05", "web-04", "web-01", "web-03", "web-00", "web-02"];
    for gone in 0..=6_usize {
        let mut expected = order[..gone].to_vec();
        expected.sort_unstable();
        assert_eq!(set.names(6 - i32::try_from(gone).unwrap()), expected);
    }
}

#[test]
fn the_cost_that_people_give_counts_more_than_the_revision() {
    let mut set = alone(3, 3, moving());
    set.pods[4].deletion_cost = -1;
    assert_eq!(set.names(5), ["web-04"]);
    set.pods[0].deletion_cost = 1;
    assert_eq!(set.names(3), ["web-01", "web-02", "web-04"]);
}

#[test]
fn an_owner_keeps_what_its_gates_have_let_through() {
    let mut set = alone(3, 2, with_partition(1));
    set.owner = Some(Uid(99));
    set.pods[4] = broken(set.pods[4].clone());
    assert_eq!(set.left(3), (1, 2));
}

fn any_pod(number: usize) -> impl Strategy<Value = Pod> {
    (any::<bool>(), 0..4u8, -1..2i32, 0..3i64).prop_map(move |(new, health, cost, created)| {
        let pod = pod(number, if new { NEW } else { OLD });
        let pod = if health == 0 { broken(pod) } else { pod };
        Pod { deletion_cost: cost, created: Seconds(created), ..pod }
    })
}

fn any_set() -> impl Strategy<Value = Alone> {
    let pods = (0..12usize).prop_flat_map(|count| (0..count).map(any_pod).collect::<Vec<_>>());
    (pods, 0..12i32, any::<bool>(), any::<bool>()).prop_map(|(pods, partition, paused, frozen)| {
        let max_unavailable = if frozen { Int(0) } else { Int(2) };
        let strategy = UpdateStrategy { partition: Int(partition), paused, max_unavailable, ..moving() };
        Alone { strategy, pods, leaving: BTreeSet::new(), owner: None }
    })
}

fn config() -> ProptestConfig {
    const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proptest-regressions/scale_in.txt");
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(SEEDS))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn as_many_go_as_are_too_many_and_none_past_the_partition(set in any_set(), replicas in 0..12i32) {
        let going = set.going(replicas);
        prop_assert_eq!(going.len(), set.pods.len().saturating_sub(usize::try_from(replicas).unwrap()));
        let old = set.pods.iter().filter(|p| p.revision == Some(OLD)).count();
        let Int(partition) = set.strategy.partition else { unreachable!() };
        let held_back = old.min(usize::try_from(partition.min(replicas)).unwrap());
        prop_assert!(set.left(replicas).0 >= held_back);
        // Of two pods of a side the worse one goes.
        let key = |p: &Pod| (p.in_service(), p.deletion_cost);
        for gone in &going {
            let stays = |p: &&Pod| p.revision == gone.revision && !going.contains(p);
            prop_assert!(set.pods.iter().filter(stays).all(|p| key(p) >= key(gone)));
        }
    }

    #[test]
    fn no_pod_that_serves_goes_in_place_of_a_broken_one_that_nothing_holds_back(
        set in any_set(),
        replicas in 0..12i32,
    ) {
        let strategy = UpdateStrategy { partition: Int(0), paused: false, max_unavailable: Int(2), ..moving() };
        let set = Alone { strategy, ..set };
        let going = set.going(replicas);
        if going.iter().any(|p| p.in_service()) {
            prop_assert!(set.pods.iter().filter(|p| !p.in_service()).all(|p| going.contains(&p)));
        }
    }

    /// Pods that are leaving go one after the other: those that are left go as well, and nobody else.
    #[test]
    fn what_has_been_decided_is_carried_out(
        set in any_set(),
        replicas in 0..12i32,
        gone in prop::collection::vec(any::<bool>(), 12),
    ) {
        let going: BTreeSet<Uid> = set.going(replicas).iter().map(|p| p.uid).collect();
        let mut midway = Alone { leaving: going.clone(), ..set };
        let mut gone = gone.into_iter();
        midway.pods.retain(|p| !(going.contains(&p.uid) && gone.next() == Some(true)));
        let rest: BTreeSet<Uid> = midway.pods.iter().map(|p| p.uid).filter(|uid| going.contains(uid)).collect();
        let next: BTreeSet<Uid> = midway.going(replicas).iter().map(|p| p.uid).collect();
        prop_assert_eq!(next, rest);
    }
}
