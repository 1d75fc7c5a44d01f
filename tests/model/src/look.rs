//! Looking at the caches through the shipped planner.
//!
//! What the planner sees is far less than the whole state: the same look recurs in many states, so each is planned once.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use cafe_crds::{
    claims::ClaimRetentionPolicy,
    inplaceset::{InPlaceSetStatus, UpdateStrategy},
    intstr::IntOrPercent,
    selector::Selector,
    time::Seconds,
    traffic::Traffic,
};
use cafe_planner::{
    Text,
    bonds::{Bonds, Others},
    identity::{Digest, Op, RevisionHash, Uid},
    pod::{Container, ContainerState, Endpoints, Gate, InPlace, Phase, Pod as PlannerPod, PodView, Ran},
    revision::Revision,
    set::{self, Action, SetSpec, Snapshot, snapshot::Entry},
    template::{ContainerImage, Facts},
    time::{Millis, Now},
};

use crate::{
    object::{Pod, Set},
    setup::{Rule, Setup},
    state::{Mask, SET, State, bit},
};

/// The moment of every look; what has passed since other moments is in the state.
const NOW: Now = Now { wall: Seconds(1_000_000), mono: Millis(1_000_000) };
/// When a pod was reserved whose gate has moved since, or had moved before.
const RESERVED: Seconds = Seconds(999_000);
const BEFORE: Seconds = Seconds(998_000);
const AFTER: Seconds = Seconds(999_500);

/// The container every pod runs, and the drain every drained pod is in: the state keeps proofs and records of one drain only.
const CONTAINER: &str = "app";
const OP: Op = Op(1);
const RUNNING: &str = "running";

/// One thing a plan asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// W1.
    TakeOut(u8),
    /// W2, to this revision.
    Update(u8, u8),
    /// W3.
    PutBack(u8),
    /// The fence.
    Touch(u8),
    /// The fence of the set.
    Fence,
    /// A live read, for these pods.
    Prove(Mask),
    /// The status: this set, these pods reserved while in service.
    Journal(Set, Mask),
}

/// What the planner is shown: everything it may decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Look {
    pods: [Pod; crate::state::MOST_PODS],
    set: Set,
    serving: Mask,
    behind: Mask,
    fenced: Mask,
    proven: Mask,
    settled: Mask,
}

/// The planner with what never changes around it, and the answers it has given.
#[derive(Debug)]
pub struct Planner {
    pods: usize,
    freezes: bool,
    always_fenced: Mask,
    names: Vec<Text>,
    images: Vec<Text>,
    revisions: Vec<Revision>,
    spec: SetSpec,
    answers: Vec<RwLock<HashMap<Look, Box<[Ask]>>>>,
}

const SHARDS: usize = 64;

impl Planner {
    /// The planner of a set as large as the setup says.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        let (pods, budget) = (setup.pods, setup.budget);
        let names = (0..pods).map(|i| format!("web-{i}").into()).collect();
        let images: Vec<Text> = (0..4).map(|r| format!("registry.example/web:{r}").into()).collect();
        let revisions = images.iter().zip(0..).map(|(image, r)| revision(r, image)).collect();
        let strategy = UpdateStrategy {
            max_unavailable: IntOrPercent::Int(budget),
            base_revision: Some(revision_name(0)),
            ..UpdateStrategy::default()
        };
        let spec = SetSpec {
            replicas: i32::try_from(pods).unwrap_or(i32::MAX),
            selector: Selector::default(),
            digest: Digest(0),
            claim_retention: ClaimRetentionPolicy::default(),
            min_ready_seconds: 0,
            revision_history_limit: 10,
            traffic: Traffic { grace_seconds: 1, ..Traffic::default() },
            update_strategy: strategy,
            placement: None,
            restart_at: None,
        };
        let set_fence = if setup.keeps(Rule::SetFence) { 0 } else { bit(SET) };
        let always_fenced = if setup.keeps(Rule::R4) { set_fence } else { Mask::MAX };
        let answers = (0..SHARDS).map(|_| RwLock::default()).collect();
        let freezes = setup.keeps(Rule::Freeze);
        Self { pods, freezes, always_fenced, names, images, revisions, spec, answers }
    }

    /// What may be asked for next, by the caches of `state`: the union over how long ago the status was last written.
    pub fn asks(&self, state: &State, each: impl FnMut(Ask)) {
        let look = Look {
            pods: state.cache.pods,
            set: state.cache.set,
            serving: state.cache.serving,
            behind: state.cache.behind,
            fenced: state.fenced | self.always_fenced,
            proven: state.proven,
            settled: state.settled,
        };
        let Some(shard) = self.answers.get(shard_of(&look)) else { return };
        if let Some(asks) = shard.read().unwrap_or_else(PoisonError::into_inner).get(&look) {
            return asks.iter().copied().for_each(each);
        }
        let asks = self.plan(&look);
        asks.iter().copied().for_each(each);
        shard.write().unwrap_or_else(PoisonError::into_inner).insert(look, asks);
    }

    /// Different looks that were planned.
    #[must_use]
    pub fn looks(&self) -> usize {
        self.answers.iter().map(|a| a.read().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    fn plan(&self, look: &Look) -> Box<[Ask]> {
        let mut asks = Vec::new();
        for status_written in [NOW.mono, Millis(0)] {
            for ask in self.plan_at(look, status_written) {
                if !asks.contains(&ask) {
                    asks.push(ask);
                }
            }
        }
        asks.into()
    }

    fn plan_at(&self, look: &Look, status_written: Millis) -> Vec<Ask> {
        let pods: Vec<PlannerPod> = (0..self.pods).filter_map(|i| self.pod(i, *look.pods.get(i)?)).collect();
        let set = self.set(look.set);
        let views: Vec<PodView<'_>> =
            pods.iter().enumerate().map(|(i, pod)| view(look, &set, i, pod)).collect();
        let revisions: Vec<&Revision> = self.revisions.iter().collect();
        let snapshot = Snapshot {
            now: NOW,
            set: &set,
            busy: look.behind & bit(SET) != 0,
            fenced: look.fenced & bit(SET) != 0,
            status_written: Some(status_written),
            target: revisions.get(usize::from(look.set.target())).copied(),
            revisions: &revisions,
            pods: &views,
            creating: &[],
            claims: &[],
            claiming: &[],
            held: &[],
            occupied: &[],
            no_births_until: None,
            refused: None,
            proving: false,
            unproven: false,
            others: Others::default(),
        };
        let plan = set::plan(&snapshot);
        let ask = |action: &Action| match self.ask(look, &pods, action) {
            // Any write to the set fences it, also one that only counts anew.
            None if plan.needs_fence => Some(Ask::Fence),
            ask => ask,
        };
        plan.actions.iter().filter_map(ask).collect()
    }

    /// The record that `observe::pod::record` would make of the pod.
    fn pod(&self, i: usize, pod: Pod) -> Option<PlannerPod> {
        let image = |revision: u8| self.images.get(usize::from(revision)).cloned();
        let recorded = Ran { container: CONTAINER.into(), id: RUNNING.into(), image: image(pod.run())? };
        let state = ContainerState {
            name: CONTAINER.into(),
            wants: image(pod.spec())?,
            image: image(pod.run())?,
            running: pod.app(),
            ready: pod.app(),
            waiting: None,
        };
        let container = Container { id: RUNNING.into(), state: Arc::new(state) };
        Some(PlannerPod {
            name: self.names.get(i)?.clone(),
            uid: uid(i),
            rv: 1,
            generation: 1,
            observed_generation: i64::from(pod.is_observed()),
            revision: Some(hash(pod.spec())),
            scheduled: true,
            phase: Phase::Running,
            gate: if pod.gate() { Gate::True } else { Gate::Draining(OP) },
            gate_since: if pod.is_late() { AFTER } else { BEFORE },
            ready_since: pod.ready().then_some(AFTER),
            gate_noticed: true,
            containers_ready: pod.app(),
            selected: true,
            containers: Box::new([container]),
            in_place: pod
                .is_recorded()
                .then(|| Box::new(InPlace { op: OP, ran: vec![recorded], ..InPlace::default() })),
            ..PlannerPod::default()
        })
    }

    fn set(&self, set: Set) -> set::Set {
        let partition = if self.freezes { set.partition() } else { 0 };
        let strategy = UpdateStrategy {
            paused: set.paused(),
            partition: IntOrPercent::Int(partition.into()),
            ..self.spec.update_strategy.clone()
        };
        let entries = (0..self.pods).filter_map(|i| Some((i, set.entry(i)?)));
        let entry = |(i, (from, to))| Entry {
            uid: uid(i),
            from: Some(hash(from)),
            to: Some(hash(to)),
            since: RESERVED,
        };
        set::Set {
            name: "web".into(),
            uid: Uid(1),
            rv: 1,
            generation: 1,
            // It belongs to a CafeDeployment, which keeps the revisions.
            owner: Some(Uid(2)),
            deleting: false,
            ceiling: None,
            spec: SetSpec {
                digest: Digest(u128::from(set.target())),
                update_strategy: strategy,
                ..self.spec.clone()
            },
            status: InPlaceSetStatus {
                observed_generation: Some(i64::from(set.acknowledged())),
                ..InPlaceSetStatus::default()
            },
            journal: entries.map(entry).collect(),
            bonds: Bonds::default(),
        }
    }

    fn ask(&self, look: &Look, pods: &[PlannerPod], action: &Action) -> Option<Ask> {
        Some(match action {
            Action::TakeOut { on, .. } => Ask::TakeOut(index(on.uid)),
            Action::PutBack { on } => Ask::PutBack(index(on.uid)),
            Action::Touch { on, .. } => Ask::Touch(index(on.uid)),
            Action::Update { on, to, record, .. } => {
                let before = pods.get(usize::from(index(on.uid))).map(|pod| &pod.containers);
                let names = |ran: &Ran| {
                    before.is_some_and(|c| c.iter().any(|c| c.id == ran.id && c.image == ran.image))
                };
                // What was asked for in between has no id; the model's kubelet starts only what is asked for now.
                let started = |record: &InPlace| {
                    let mut started = record.ran.iter().filter(|ran| !ran.id.is_empty()).peekable();
                    started.peek().is_some() && started.all(names)
                };
                let known = record.as_ref().is_some_and(started);
                assert!(
                    known,
                    "the model keeps of a record only that it names the container that runs: {record:?}"
                );
                Ask::Update(index(on.uid), revision_of(*to))
            }
            Action::TouchSet { .. } => Ask::Fence,
            Action::ProveDrained { pods } => {
                Ask::Prove(pods.iter().fold(0, |mask, (uid, _)| mask | bit(usize::from(index(*uid)))))
            }
            Action::WriteStatus { status, .. } => return self.journal(look, pods, status),
            other => panic!("the model knows nothing of {other:?}"),
        })
    }

    /// A status that says something new. One that only counts anew is left out: it changes neither the journal nor what is
    /// acknowledged.
    fn journal(&self, look: &Look, pods: &[PlannerPod], status: &InPlaceSetStatus) -> Option<Ask> {
        let read = |hash: &str| hash.parse().map_or(0, revision_of);
        let mut set = look.set.without_status();
        if status.observed_generation == Some(1) {
            set = set.acknowledging();
        }
        let mut costly = 0;
        for entry in &status.in_flight {
            let i = usize::from(entry.pod_uid.parse().map_or(0, index));
            set = set.reserving(i, entry.from.as_deref().map_or(0, read), read(&entry.to));
            let is_new = look.set.entry(i).is_none();
            if is_new && pods.get(i).is_some_and(PlannerPod::in_service) {
                costly |= bit(i);
            }
        }
        (set != look.set).then_some(Ask::Journal(set, costly))
    }
}

fn view<'a>(look: &Look, set: &'a set::Set, i: usize, pod: &'a PlannerPod) -> PodView<'a> {
    let is = |mask: Mask| mask & bit(i) != 0;
    PodView {
        pod,
        entry: set.entry(pod.uid),
        busy: is(look.behind),
        fenced: is(look.fenced),
        endpoints: Endpoints { listed: 1, serving: u32::from(is(look.serving)) },
        drained_at: is(look.proven).then(|| if is(look.settled) { Millis(0) } else { NOW.mono }),
        stray: false,
    }
}

fn revision(number: u8, image: &Text) -> Revision {
    let container = ContainerImage { name: CONTAINER.into(), image: image.clone(), sidecar: false };
    Revision {
        name: revision_name(number).into(),
        uid: Uid(u128::from(number) + 500),
        rv: 1,
        number: i64::from(number),
        older: Vec::new(),
        hash: hash(number),
        digest: Digest(u128::from(number)),
        outcome: None,
        busy: false,
        facts: Facts { containers: vec![container], ..Facts::default() },
    }
}

fn revision_name(number: u8) -> String {
    format!("web-{}", hash(number))
}

fn hash(revision: u8) -> RevisionHash {
    RevisionHash(u64::from(revision) + 1)
}

fn revision_of(hash: RevisionHash) -> u8 {
    u8::try_from(hash.0.saturating_sub(1)).unwrap_or(0)
}

fn uid(pod: usize) -> Uid {
    Uid(pod as u128 + 100)
}

fn index(uid: Uid) -> u8 {
    u8::try_from(uid.0.saturating_sub(100)).unwrap_or(0)
}

fn shard_of(look: &Look) -> usize {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    look.hash(&mut hasher);
    usize::try_from(hasher.finish() >> 32).unwrap_or(0) % SHARDS
}
