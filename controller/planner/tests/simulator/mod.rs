//! A small cluster in memory: one CafeDeployment with its revisions, InPlaceSets, pods and endpoints.
//!
//! It applies the actions of both planners as an API server would, plays kubelet, endpoint controller and load
//! balancers, and checks the promises of the system after every single action. Time moves only when nothing else can.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod api;
mod claims;
mod edit;
mod environment;
mod flight;
mod invariants;
mod look;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cafe_crds::time::Seconds;
use cafe_planner::{
    Text,
    deployment::{self, Chronicle, Deployment},
    identity::{Digest, Op, Uid},
    pod::Pod,
    revision::Revision,
    set::{self, Census, Set},
    template::Facts,
    time::{Millis, Now, Wake},
};

pub use claims::SimClaim;
pub use edit::{Removal, Template, cells};
pub use environment::{Move, NEVER_READY};
pub use flight::Flying;

/// The wall clock when the story begins.
pub const EPOCH: i64 = 1_800_000_000;
/// More actions than any story needs: a plan that asks for ever has been caught.
const MOST_ACTIONS: usize = 40_000;
/// More wake-ups than any story needs.
const MOST_TURNS: usize = 1_000;

/// A pod with what surrounds it.
#[derive(Clone, Debug)]
pub struct SimPod {
    pub pod: Pod,
    pub set: Uid,
    pub group: Option<Text>,
    /// What the EndpointSlices say.
    pub serving: bool,
    /// Writes by the controller.
    pub writes: u32,
    /// Containers started in it.
    pub starts: u32,
    /// Its containers fail whatever the image.
    pub sick: bool,
}

/// What the controller's process remembers, and a restart forgets.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub fenced: HashSet<Uid>,
    pub proofs: HashMap<Uid, (Op, Millis)>,
    pub written: HashMap<Uid, Millis>,
    pub censuses: HashMap<Uid, Census>,
    /// When each census was taken.
    pub counted: HashMap<Uid, Seconds>,
}

/// How a load balancer's controller behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protector {
    /// Registers and deregisters at once.
    Prompt,
    /// Does nothing more.
    Silent,
}

/// What an InPlaceSet is told, and what it looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orders {
    pub replicas: i32,
    /// Pods that may be at the target.
    pub allowed: i32,
    pub target: Option<cafe_planner::identity::RevisionHash>,
    /// Its pods in service.
    pub serving: BTreeSet<Uid>,
}

/// An event that was told.
#[derive(Clone, Debug)]
pub struct Told {
    pub reason: &'static str,
    pub note: String,
}

#[derive(Clone, Debug)]
pub struct Cluster {
    pub now: Now,
    pub rv: u64,
    pub serial: u64,
    pub deployment: Deployment,
    pub revisions: Vec<Revision>,
    pub sets: Vec<Set>,
    pub chronicles: Vec<Chronicle>,
    /// The API server refuses records until then.
    pub no_chronicles_until: Option<Millis>,
    /// An older object has a claim to the pods of the CafeDeployment.
    pub overlaps: Option<Text>,
    pub pods: BTreeMap<Uid, SimPod>,
    pub templates: HashMap<Digest, Facts>,
    pub memory: Memory,
    /// Names of the claim templates of every revision.
    pub claim_templates: Vec<Text>,
    pub claims: BTreeMap<Uid, SimClaim>,
    pub protectors: BTreeMap<String, Protector>,
    /// Images that do not start, and the reason their containers wait.
    pub bad_images: BTreeMap<String, &'static str>,
    /// Units whose pods find no node.
    pub full_units: BTreeSet<String>,
    /// Pods that the nodes of a unit have room for.
    pub rooms: BTreeMap<String, usize>,
    /// Nodes and Ready nodes of units; nothing is known of other units.
    pub nodes: BTreeMap<String, (u32, u32)>,
    /// Nodes may not be read.
    pub blind: bool,
    /// Live reads of EndpointSlices fail, one after the other.
    pub unproven: bool,
    /// Since when the nodes of units are Ready, where that is not long ago.
    pub settled: BTreeMap<String, Seconds>,
    pub events: Vec<Told>,
    pub once: HashSet<(&'static str, String)>,
    pub trace: Vec<String>,
    pub actions: usize,
    pub turns: usize,
    /// Writes by kind of action.
    pub writes: BTreeMap<&'static str, usize>,
    /// No pod fails by itself and no budget changes: the pods out of service never exceed the budget.
    pub quiet: bool,
    /// Actions left until the controller dies; none when it lives for ever.
    pub dies_after: Option<usize>,
    pub wake: Wake,
    /// Writes on their way, oldest first.
    pub flying: Vec<Flying>,
    /// The write that lands was sent by a process that is dead.
    pub landing_orphan: bool,
    /// The CafeDeployment has changed since the write that lands was decided.
    pub landing_late: bool,
    /// A process died with creations on their way: its successor may have made pods of other names meanwhile.
    pub orphans: bool,
    /// The largest budget under which a write that is still on its way was decided.
    pub lagging_budget: i32,
    /// When the write that lands was decided, if that was not now.
    pub decided_at: Option<Seconds>,
    /// What the set was told when the write that lands was decided.
    pub decided: Option<Orders>,
}

/// One planner to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planner {
    Deployment,
    Set(Uid),
}

/// What one planner asks for.
pub enum Asked {
    Deployment(deployment::Plan),
    Set(Uid, Box<set::Plan>),
}

impl Asked {
    pub fn len(&self) -> usize {
        match self {
            Self::Deployment(plan) => plan.steps.len(),
            Self::Set(_, plan) => plan.actions.len(),
        }
    }

    pub fn wake(&self) -> Wake {
        match self {
            Self::Deployment(plan) => plan.wake,
            Self::Set(_, plan) => plan.wake,
        }
    }
}

impl Cluster {
    pub fn planners(&self) -> Vec<Planner> {
        // The sets first: what they find out about their pods is what the CafeDeployment decides on.
        self.sets.iter().map(|s| Planner::Set(s.uid)).chain([Planner::Deployment]).collect()
    }

    /// Runs one planner and applies at most `most` of its actions. Returns how many it asked for.
    pub fn run_planner(&mut self, planner: Planner, most: usize) -> usize {
        if let Planner::Set(uid) = planner
            && self.sets.iter().all(|s| s.uid != uid)
        {
            return 0;
        }
        let asked = self.ask(planner);
        let count = asked.len();
        self.note_wake(asked.wake());
        match asked {
            Asked::Deployment(plan) => {
                for event in plan.notices {
                    self.tell(event);
                }
                for step in plan.steps.into_iter().take(most) {
                    if self.is_dead() {
                        break;
                    }
                    if self.apply_deployment(step.action) {
                        step.events.into_iter().for_each(|e| self.tell(e));
                    }
                }
            }
            Asked::Set(uid, plan) => {
                plan.notices.iter().for_each(|n| self.tell(n.event.clone()));
                for action in plan.actions.into_iter().take(most) {
                    if self.is_dead() {
                        break;
                    }
                    self.apply_set(uid, action);
                }
            }
        }
        if self.is_dead() {
            self.restart();
            self.dies_after = None;
            return count.max(1);
        }
        count
    }

    fn is_dead(&self) -> bool {
        self.dies_after == Some(0)
    }

    fn note_wake(&mut self, wake: Wake) {
        if let Some(at) = wake.0 {
            self.wake.at(at);
        }
    }

    /// The controller dies and starts again: it remembers nothing.
    pub fn restart(&mut self) {
        self.log("-- the controller restarts");
        self.memory = Memory::default();
        self.orphans |= !self.busy().creating.is_empty();
        self.flying.iter_mut().for_each(|f| f.orphaned = true);
    }

    /// Lets everything happen that can happen without the clock. Whether anything did.
    pub fn flow(&mut self) -> bool {
        let mut any = false;
        loop {
            let mut moved = false;
            let mut steps = 0;
            while let Some(step) = self.moves().first().copied() {
                self.make(step);
                moved = true;
                steps += 1;
                assert!(steps < MOST_TURNS, "the environment never rests: {step:?}\n{}", self.story());
            }
            self.wake = Wake::default();
            for planner in self.planners() {
                moved |= self.run_planner(planner, usize::MAX) > 0;
            }
            if !moved {
                return any;
            }
            any = true;
            self.guard();
        }
    }

    /// Runs until nothing is asked for and nothing is to be waited for.
    pub fn settle(&mut self) -> &mut Self {
        loop {
            self.flow();
            let Some(at) = self.wake.0 else { break };
            assert!(at > self.now.mono, "a wake in the past: {at:?}\n{}", self.story());
            self.advance_to(at);
            self.guard();
        }
        self
    }

    /// Runs for `seconds`, then stops wherever it is.
    pub fn run_for(&mut self, seconds: u64) -> &mut Self {
        let end = Millis(self.now.mono.0 + seconds * 1000);
        loop {
            self.flow();
            match self.wake.0 {
                Some(at) if at <= end => self.advance_to(at),
                _ => break,
            }
        }
        self.advance_to(end);
        self
    }

    /// Runs step by step until `done`, or panics when everything rests before.
    pub fn run_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> &mut Self {
        loop {
            if done(self) {
                return self;
            }
            if let Some(step) = self.moves().first().copied() {
                self.make(step);
                continue;
            }
            self.wake = Wake::default();
            let mut moved = false;
            for planner in self.planners() {
                moved |= self.run_planner(planner, usize::MAX) > 0;
                if done(self) {
                    return self;
                }
            }
            self.guard();
            if !moved {
                let Some(at) = self.wake.0 else { panic!("rests before {what}\n{}", self.story()) };
                self.advance_to(at);
            }
        }
    }

    /// Lets one thing happen, or the clock turn to the next. Whether anything was left to do.
    pub fn step(&mut self) -> bool {
        if let Some(step) = self.moves().first().copied() {
            self.make(step);
            return true;
        }
        self.wake = Wake::default();
        for planner in self.planners() {
            if self.run_planner(planner, 1) > 0 {
                return true;
            }
        }
        let Some(at) = self.wake.0 else { return false };
        self.advance_to(at);
        true
    }

    pub fn advance_to(&mut self, at: Millis) {
        self.turns += 1;
        self.now.mono = self.now.mono.max(at);
        let seconds = i64::try_from(self.now.mono.0 / 1000).unwrap();
        self.now.wall = Seconds(EPOCH + seconds);
    }

    pub fn guard(&self) {
        assert!(self.actions < MOST_ACTIONS, "the planners never rest\n{}", self.story());
        assert!(self.turns < MOST_TURNS, "the clock turns for ever\n{}", self.story());
    }

    pub fn log(&mut self, line: impl std::fmt::Display) {
        self.trace.push(format!("{:>7} {line}", self.now.mono.0));
    }

    /// The last lines of the trace and the state, for a failed assertion.
    pub fn story(&self) -> String {
        let from = self.trace.len().saturating_sub(60);
        format!("{}\n{}", self.trace[from..].join("\n"), self.picture())
    }
}
