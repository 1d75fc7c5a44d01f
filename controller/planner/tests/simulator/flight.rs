//! Writes on their way: they land late, in any order, and outlive the process that sent them.

use std::collections::HashSet;

use cafe_crds::time::Seconds;
use cafe_planner::{
    Text, deployment,
    identity::{RevisionHash, Uid},
    set::{self, action::On},
};

use super::{Asked, Cluster, Orders, Planner};

/// A write that has left the controller and has not arrived.
#[derive(Clone, Debug)]
pub struct Flying {
    pub write: Write,
    /// The process that sent it is dead.
    pub orphaned: bool,
    /// Resource version of the CafeDeployment when it left.
    pub sent_at: u64,
    /// When the oldest figures were taken that it was decided on.
    pub at: Seconds,
    /// What its set was told when it was decided.
    pub decided: Option<Orders>,
}

#[derive(Clone, Debug)]
pub enum Write {
    Deployment(deployment::action::Step),
    Set(Uid, set::Action),
}

/// What is not to be decided about.
#[derive(Debug, Default)]
pub struct Busy {
    pub objects: HashSet<Uid>,
    pub creating: Vec<(Uid, Text, RevisionHash)>,
    pub claiming: Vec<(Uid, Text)>,
    pub proving: HashSet<Uid>,
    pub births: bool,
    pub chronicling: bool,
}

fn on(action: &set::Action) -> Option<&On> {
    use set::Action as A;
    match action {
        A::TakeOut { on, .. }
        | A::Update { on, .. }
        | A::PutBack { on }
        | A::TakeOffline { on }
        | A::Delete { on, .. }
        | A::Touch { on, .. } => Some(on),
        _ => None,
    }
}

impl Cluster {
    /// Runs one planner and sends what it asks for.
    pub fn send(&mut self, planner: Planner) {
        let sent_at = self.deployment.rv;
        // Its figures may be older than the decision.
        let at = self.memory.counted.values().copied().min().unwrap_or(self.now.wall);
        match self.ask(planner) {
            Asked::Deployment(plan) => {
                plan.notices.into_iter().for_each(|e| self.tell(e));
                let fly = |step| Flying {
                    write: Write::Deployment(step),
                    orphaned: false,
                    sent_at,
                    at,
                    decided: None,
                };
                self.flying.extend(plan.steps.into_iter().map(fly));
            }
            Asked::Set(uid, plan) => {
                plan.notices.iter().for_each(|n| self.tell(n.event.clone()));
                let decided = Some(self.orders(uid));
                let fly = |action| Flying {
                    write: Write::Set(uid, action),
                    orphaned: false,
                    sent_at,
                    at,
                    decided: decided.clone(),
                };
                self.flying.extend(plan.actions.into_iter().map(fly));
            }
        }
    }

    /// Lets the write at `index` (counted round and round) arrive, or get lost if it is an orphan and `lost`.
    pub fn land(&mut self, index: usize, lost: bool) {
        if self.flying.is_empty() {
            return;
        }
        let flying = self.flying.remove(index % self.flying.len());
        if flying.orphaned && lost {
            return;
        }
        self.landing_orphan = flying.orphaned;
        self.landing_late = flying.sent_at != self.deployment.rv;
        (self.decided, self.decided_at) = (flying.decided, Some(flying.at));
        match flying.write {
            Write::Deployment(step) => {
                if self.apply_deployment(step.action) && !flying.orphaned {
                    step.events.into_iter().for_each(|e| self.tell(e));
                }
            }
            Write::Set(uid, _) if self.sets.iter().all(|s| s.uid != uid) => {}
            Write::Set(uid, action) => self.apply_set(uid, action),
        }
        (self.landing_orphan, self.landing_late) = (false, false);
        (self.decided, self.decided_at) = (None, None);
        if self.flying.is_empty() {
            self.lagging_budget = 0;
        }
    }

    pub fn busy(&self) -> Busy {
        let mut busy = Busy::default();
        for flying in self.flying.iter().filter(|f| !f.orphaned) {
            match &flying.write {
                Write::Deployment(step) => self.mark_deployment(&step.action, &mut busy),
                Write::Set(uid, action) => mark_set(*uid, action, &mut busy),
            }
        }
        busy
    }

    fn mark_deployment(&self, action: &deployment::Action, busy: &mut Busy) {
        use deployment::Action as A;
        match action {
            A::CreateRevision { .. } | A::CreateSet { .. } => busy.births = true,
            A::CreateChronicle { .. } => busy.chronicling = true,
            A::WriteRevision { uid, .. }
            | A::DeleteRevision { uid, .. }
            | A::WriteSet { uid, .. }
            | A::TouchSet { uid, .. }
            | A::CapSet { uid, .. }
            | A::WriteChronicle { uid, .. }
            | A::DeleteChronicle { uid, .. }
            | A::DeleteSet { uid, .. } => {
                busy.objects.insert(*uid);
            }
            A::AdoptSet { .. } | A::Adopt { .. } | A::Confirm => {
                unreachable!("everything here has its owner")
            }
            A::WriteStatus { .. } | A::LetGo { .. } => {
                busy.objects.insert(self.deployment.uid);
            }
        }
    }
}

fn mark_set(uid: Uid, action: &set::Action, busy: &mut Busy) {
    use set::Action as A;
    if let Some(on) = on(action) {
        busy.objects.insert(on.uid);
    }
    match action {
        A::Create { name, revision, .. } => busy.creating.push((uid, name.clone(), *revision)),
        A::CreateClaim { name, .. } => busy.claiming.push((uid, name.clone())),
        A::WriteClaim { uid, .. } | A::DeleteClaim { uid, .. } => {
            busy.objects.insert(*uid);
        }
        A::ProveDrained { .. } => {
            busy.proving.insert(uid);
        }
        A::WriteStatus { .. } | A::TouchSet { .. } | A::LetGo { .. } => {
            busy.objects.insert(uid);
        }
        _ => {}
    }
}
