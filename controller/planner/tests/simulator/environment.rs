//! Everybody else in the cluster: scheduler, kubelet, endpoint controller and load balancers.

use std::sync::Arc;

use cafe_planner::{
    deployment::snapshot::unit_of,
    identity::Uid,
    pod::{Gate, Phase, Pod, Protector as OnPod, ProtectorCondition},
};

use super::{Cluster, Protector, SimPod};

/// What is wrong with an image whose containers run and are never ready.
pub const NEVER_READY: &str = "NeverReady";

/// One thing that someone other than the controller does next to one pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Schedule(Uid),
    /// The scheduler finds no node.
    Refuse(Uid),
    /// The kubelet reports the generation, before it touches a container.
    Observe(Uid),
    /// The kubelet starts what the spec wants.
    Run(Uid),
    /// The kubelet recomputes ContainersReady and Ready.
    Conditions(Uid),
    Endpoints(Uid),
    /// The protectors answer.
    Protect(Uid),
    /// The kubelet has stopped a deleted pod, and its finalizers are gone.
    Reap(Uid),
}

impl Cluster {
    /// All that can happen now, in a fixed order.
    pub fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        for p in self.pods.values() {
            let uid = p.pod.uid;
            let unit = self.sets.iter().find(|s| s.uid == p.set).map(unit_of).unwrap_or_default();
            let full = self.full_units.contains(unit) || self.is_crowded(unit);
            let unplaced = !p.pod.scheduled && !p.pod.terminating;
            if unplaced && !full && self.has_its_claims(p) {
                moves.push(Move::Schedule(uid));
            }
            if unplaced && full && p.pod.unschedulable.is_none() {
                moves.push(Move::Refuse(uid));
            }
            let on_node = p.pod.scheduled && !p.pod.terminating && p.pod.phase != Phase::Finished;
            if on_node && p.pod.observed_generation < p.pod.generation {
                moves.push(Move::Observe(uid));
            }
            if on_node && self.ran(p) != p.pod.containers {
                moves.push(Move::Run(uid));
            }
            if conditions(p) != (p.pod.containers_ready, p.pod.is_ready()) {
                moves.push(Move::Conditions(uid));
            }
            if p.serving != (p.pod.is_ready() && !p.pod.terminating) {
                moves.push(Move::Endpoints(uid));
            }
            if self.protected(&p.pod) != p.pod.protectors {
                moves.push(Move::Protect(uid));
            }
            if p.pod.terminating && p.pod.protectors.iter().all(|q| !q.finalizer) {
                moves.push(Move::Reap(uid));
            }
        }
        moves
    }

    /// Whether no further pod finds room on the nodes of the unit.
    fn is_crowded(&self, unit: &str) -> bool {
        let of_unit = |uid| self.sets.iter().any(|s| s.uid == uid && unit_of(s) == unit);
        let there = || self.pods.values().filter(|p| p.pod.scheduled && of_unit(p.set)).count();
        self.rooms.get(unit).is_some_and(|room| there() >= *room)
    }

    pub fn make(&mut self, step: Move) {
        let rv = self.next_rv();
        let wall = self.now.wall;
        match step {
            Move::Reap(uid) => {
                self.pods.remove(&uid);
                self.memory.fenced.remove(&uid);
                self.memory.proofs.remove(&uid);
                return;
            }
            Move::Endpoints(uid) => {
                let p = self.pods.get_mut(&uid).unwrap();
                p.serving = p.pod.is_ready() && !p.pod.terminating;
                return;
            }
            Move::Protect(uid) => {
                let protectors = self.protected(&self.pods[&uid].pod);
                self.pods.get_mut(&uid).unwrap().pod.protectors = protectors;
            }
            Move::Schedule(uid) => {
                let pod = &mut self.pods.get_mut(&uid).unwrap().pod;
                (pod.scheduled, pod.unschedulable) = (true, None);
            }
            Move::Refuse(uid) => self.pods.get_mut(&uid).unwrap().pod.unschedulable = Some(wall),
            Move::Observe(uid) => {
                let p = self.pods.get_mut(&uid).unwrap();
                p.pod.observed_generation = p.pod.generation;
            }
            Move::Run(uid) => {
                let after = self.ran(&self.pods[&uid]);
                let p = self.pods.get_mut(&uid).unwrap();
                p.starts += u32::from(after.iter().zip(&p.pod.containers).any(|(a, b)| a.id != b.id));
                p.pod.containers = after;
                p.pod.phase = Phase::Running;
            }
            Move::Conditions(uid) => {
                let p = self.pods.get_mut(&uid).unwrap();
                let (containers, ready) = conditions(p);
                p.pod.containers_ready = containers;
                p.pod.gate_noticed = !ready;
                if ready != p.pod.is_ready() {
                    p.pod.ready_since = ready.then_some(wall);
                }
            }
        }
        let uid = match step {
            Move::Schedule(u)
            | Move::Refuse(u)
            | Move::Observe(u)
            | Move::Run(u)
            | Move::Conditions(u)
            | Move::Protect(u) => u,
            Move::Endpoints(_) | Move::Reap(_) => return,
        };
        self.pods.get_mut(&uid).unwrap().pod.rv = rv;
    }

    /// The containers once the kubelet has done what the spec wants.
    fn ran(&self, p: &SimPod) -> Box<[cafe_planner::pod::Container]> {
        let mut containers = p.pod.containers.clone();
        for c in &mut containers {
            let bad = self.bad_images.get(&*c.wants).copied();
            let pulls = bad != Some("ImagePullBackOff");
            let stopped = c.waiting.as_deref() == Some("ImagePullBackOff");
            if pulls && (c.image != c.wants || stopped) {
                c.id = format!("{}-{}", c.wants, p.pod.generation).as_str().into();
                Arc::make_mut(&mut c.state).image = c.wants.clone();
            }
            let good = bad.is_none() && !p.sick;
            let runs = good || (bad == Some(NEVER_READY) && !p.sick);
            let state = Arc::make_mut(&mut c.state);
            state.running = runs;
            state.ready = good;
            state.waiting = (!runs).then(|| bad.unwrap_or("CrashLoopBackOff").into());
        }
        containers
    }

    fn protected(&self, pod: &Pod) -> Box<[OnPod]> {
        let mut protectors = pod.protectors.to_vec();
        for (name, how) in &self.protectors {
            if *how == Protector::Silent {
                continue;
            }
            let at = protectors.iter().position(|p| *p.name == **name);
            let want = pod.gate == Gate::True && pod.containers_ready && !pod.terminating;
            let op = if let Gate::Draining(op) = pod.gate { Some(op) } else { None };
            match at {
                Some(at) if pod.terminating => {
                    protectors.remove(at);
                }
                Some(at) if want => protectors[at].condition = Some(ProtectorCondition::True),
                Some(at) => protectors[at].condition = Some(ProtectorCondition::False(op)),
                None if want => protectors.push(OnPod {
                    name: name.as_str().into(),
                    finalizer: true,
                    condition: Some(ProtectorCondition::True),
                }),
                None => {}
            }
        }
        protectors.sort_by(|a, b| a.name.cmp(&b.name));
        protectors.into()
    }
}

fn conditions(p: &SimPod) -> (bool, bool) {
    let pod = &p.pod;
    let alive = pod.phase == Phase::Running && !pod.terminating;
    let containers = alive && pod.containers.iter().all(|c| c.ready);
    (containers, containers && pod.gate == Gate::True)
}
