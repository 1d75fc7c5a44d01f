//! The search: every state that can be reached, each checked against the promises.

use std::{
    collections::HashSet,
    fmt::{self, Write as _},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::{
    converge,
    look::Planner,
    object::{Pod, Set},
    promises,
    setup::{Setup, TakeOver},
    state::{Cache, Faults, MOST_PODS, State, bit},
    world::{self, Event},
};

/// A cluster with the shipped planner in it.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) setup: Setup,
    pub(crate) planner: Planner,
    pub(crate) converging: Vec<Mutex<HashSet<State>>>,
}

const SHARDS: usize = 64;

impl Cluster {
    /// The cluster of a search.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let converging = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { planner: Planner::new(&setup), setup, converging }
    }

    /// Every pod serves at revision 0, and the set has just asked for revision 1.
    #[must_use]
    pub fn start(&self) -> State {
        let all = (0..self.setup.pods).fold(0, |mask, i| mask | bit(i));
        let pods: [Pod; MOST_PODS] =
            std::array::from_fn(|i| if i < self.setup.pods { Pod::serving(0) } else { Pod::default() });
        let cache = Cache { pods, set: Set::asking(1), serving: all, newer: 0, behind: 0 };
        State {
            pods,
            set: Set::asking(1),
            serving: all,
            believed: if self.setup.slices_lag { all } else { 0 },
            cache,
            standby: if self.setup.take_over == TakeOver::Stale { cache } else { Cache::default() },
            fenced: 0,
            proven: 0,
            settled: 0,
            live: None,
            zombie: None,
            taken: 0,
            left: self.setup.faults,
            broken: crate::state::Broken::default(),
        }
    }

    /// Whether a walk from the state has reached the goal before.
    pub(crate) fn is_known_to_converge(&self, state: &State) -> bool {
        self.known(state)
            .is_some_and(|known| known.lock().unwrap_or_else(PoisonError::into_inner).contains(state))
    }

    /// A walk from the state has reached the goal.
    pub(crate) fn note_converging(&self, state: State) {
        if let Some(known) = self.known(&state) {
            known.lock().unwrap_or_else(PoisonError::into_inner).insert(state);
        }
    }

    fn known(&self, state: &State) -> Option<&Mutex<HashSet<State>>> {
        self.converging.get(state.shard() % SHARDS)
    }
}

impl Model for Cluster {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        vec![self.start()]
    }

    fn actions(&self, state: &State, events: &mut Vec<Event>) {
        if !promises::is_sound(state) {
            return;
        }
        world::events(&self.setup, state, events);
        if state.live.is_none() {
            self.planner.asks(state, |ask| events.push(Event::Act(ask)));
        }
    }

    fn next_state(&self, state: &State, event: Event) -> Option<State> {
        Some(world::after(&self.setup, state, event))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(S1, |m: &Self, s: &State| promises::keeps_the_budget(&m.setup, s)),
            Property::always(S2, |_: &Self, s: &State| !s.broken.s2),
            Property::always(S3, |_: &Self, s: &State| !s.broken.s3),
            Property::always(S4, |_: &Self, s: &State| !s.broken.s4),
            Property::always(S5, |_: &Self, s: &State| !s.broken.s5),
            Property::always(CAN_CONVERGE, |m: &Self, s: &State| {
                !promises::is_sound(s) || converge::can(m, s)
            }),
            Property::sometimes(DONE, |m: &Self, s: &State| converge::is_done(&m.setup, s)),
        ]
    }
}

const S1: &str = "S1: no more pods are out of service on our account than the budget allows";
const S2: &str = "S2: a pod in service is reserved only within the budget";
const S3: &str = "S3: no container is stopped while an EndpointSlice serves it";
const S4: &str = "S4: no pod is reserved for the target beyond the partition";
const S5: &str = "S5: no pod is reserved during an acknowledged pause";
const CAN_CONVERGE: &str =
    "once faults end, every pod serves at the revision asked for and nothing is reserved";
const DONE: &str = "sometimes done";

/// What a search has found.
#[derive(Debug)]
pub struct Report {
    /// What was searched.
    pub setup: Setup,
    /// Different states.
    pub states: usize,
    /// Steps between states.
    pub transitions: usize,
    /// Steps to the farthest state.
    pub depth: usize,
    /// Different looks that were planned.
    pub looks: usize,
    /// How long it took.
    pub seconds: f64,
    /// The goal was reached.
    pub done: bool,
    /// Promises that were broken.
    pub broken: Vec<BrokenPromise>,
}

/// A promise broken.
#[derive(Debug)]
pub struct BrokenPromise {
    /// Which.
    pub promise: &'static str,
    /// In how many steps.
    pub steps: usize,
    /// What happened.
    pub story: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setup { pods, budget, faults, slices_lag, take_over, .. } = self.setup;
        let Faults { crashes, lost, changes, pauses, deaths, aborts, rollbacks } = faults;
        write!(
            f,
            "pods {pods} budget {budget} crashes {crashes} lost {lost} changes {changes} pauses {pauses}"
        )?;
        write!(
            f,
            " deaths {deaths} aborts {aborts} rollbacks {rollbacks} slices-lag {slices_lag} standby {}",
            take_over == TakeOver::Stale
        )?;
        let Self { states, transitions, depth, looks, seconds, .. } = self;
        write!(
            f,
            ": {states} states, {transitions} transitions, depth {depth}, {looks} plans, {seconds:.1} s"
        )
    }
}

/// Searches to the end, or to the first promise broken.
#[must_use]
pub fn search(setup: Setup, threads: usize) -> Report {
    let started = Instant::now();
    let checker = Cluster::new(setup)
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let mut discoveries = checker.discoveries();
    let done = discoveries.remove(DONE).is_some();
    let broken = discoveries.into_iter().map(|(promise, path)| {
        let steps = path.into_vec();
        BrokenPromise { promise, steps: steps.len().saturating_sub(1), story: story(&steps) }
    });
    Report {
        setup,
        states: checker.unique_state_count(),
        transitions: checker.state_count(),
        depth: checker.max_depth(),
        looks: checker.model().planner.looks(),
        seconds: started.elapsed().as_secs_f64(),
        done,
        broken: broken.collect(),
    }
}

fn story(steps: &[(State, Option<Event>)]) -> String {
    let mut story = String::new();
    for (n, (state, event)) in steps.iter().enumerate() {
        let _ = writeln!(story, "{n}: {state:?}");
        if let Some(event) = event {
            let _ = writeln!(story, "-> {event:?}");
        }
    }
    story
}
