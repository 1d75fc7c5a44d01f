//! The promises, checked after every action.

use cafe_crds::{
    deployment::{ReleaseState, ReleaseStatus},
    intstr::IntOrPercent,
    traffic::OnDrainTimeout,
};
use cafe_planner::{
    deployment::{self, snapshot::unit_of},
    identity::{RevisionHash, Uid},
    pod::{Gate, Phase, Pod},
    set::{self, Set, SetSpec, snapshot::Entry},
    traffic,
};

use super::{Cluster, Orders};

fn grant(spec: &SetSpec) -> i32 {
    match spec.update_strategy.max_unavailable {
        IntOrPercent::Int(n) => n,
        IntOrPercent::Percent(_) => panic!("a child is granted a number"),
    }
}

/// Pods that may be at the target.
fn allowed(spec: &SetSpec) -> i32 {
    match spec.update_strategy.partition {
        IntOrPercent::Int(n) => spec.replicas - n,
        IntOrPercent::Percent(_) => panic!("a child is told a number"),
    }
}

fn len(iter: impl Iterator) -> i32 {
    i32::try_from(iter.count()).unwrap()
}

impl Cluster {
    fn broken(&self, promise: &str) -> ! {
        panic!("{promise}\n{}", self.story())
    }

    fn target_of(&self, set: &Set) -> Option<RevisionHash> {
        self.revisions.iter().find(|r| r.digest == set.spec.digest).map(|r| r.hash)
    }

    /// What must hold at every moment.
    pub fn check_state(&self) {
        if self.quiet {
            let out = self.deployment.spec.replicas - self.in_service();
            if out > self.budget() {
                self.broken(&format!("S1: {out} pods out of service"));
            }
        }
    }

    /// S20 and S4 when an InPlaceSet is told something new; S6 when a group opens.
    pub fn check_deployment_action(&self, action: &deployment::Action) {
        use deployment::Action as A;
        match action {
            A::CreateSet { spec, .. } => self.check_spec(None, spec),
            // What is refused as out of date does no harm.
            A::WriteSet { uid, rv, spec, .. } => {
                if let Some(set) = self.sets.iter().find(|s| s.uid == *uid && s.rv == *rv) {
                    self.check_spec(Some(set), spec);
                }
            }
            A::DeleteSet { uid, .. } if self.pods_of(*uid).any(|p| p.pod.in_service()) => {
                self.broken("a set is deleted with pods that serve");
            }
            A::WriteStatus { status, rv } if *rv == self.deployment.rv => {
                let now = status.release.as_ref().unwrap();
                let names =
                    self.revisions.iter().find(|r| Some(&*r.name) == status.update_revision.as_deref());
                let known = len(self.pods.values().filter(|p| p.pod.revision == names.map(|r| r.hash)));
                if self.quiet && status.updated_replicas > known {
                    self.broken("S18: pods are called updated that are not");
                }
                if let Some(before) =
                    self.deployment.status.release.as_ref().filter(|r| r.revision == now.revision)
                {
                    self.check_progress(before, now);
                }
            }
            _ => {}
        }
    }

    fn check_spec(&self, before: Option<&Set>, spec: &SetSpec) {
        let others = self.sets.iter().filter(|s| before.is_none_or(|b| b.uid != s.uid));
        let sum = others.map(|s| grant(&s.spec)).sum::<i32>() + grant(spec);
        let grows = before.map_or(grant(spec) > 0, |b| grant(spec) > grant(&b.spec));
        // The creation of a set knows no version of anything: it may land after the topology has changed, without pods.
        let stray = self.sets.iter().any(|s| s.status.observed_generation.is_none()) || before.is_none();
        if sum > self.budget().max(self.lagging_budget) && grows && (self.quiet || !stray) {
            self.broken(&format!("S20: grants of {sum}"));
        }
        let release = self.release();
        let unit = &spec.placement.as_ref().unwrap().unit;
        let quota = release.quota.iter().find(|q| q.name == *unit);
        // What an InPlaceSet is told late was right under the quota it was told by.
        let gated = self.is_gated() && release.state != ReleaseState::Completed && !self.landing_late;
        if let Some(quota) = quota.filter(|_| gated)
            && allowed(spec) > quota.updated
        {
            self.broken(&format!("S4: unit {unit} is told to move {} pods", allowed(spec)));
        }
    }

    fn check_progress(&self, before: &ReleaseStatus, now: &ReleaseStatus) {
        if now.group > before.group + 1 || now.group < before.group {
            self.broken("S6: groups open one by one");
        }
        if !self.is_gated() || now.group == before.group {
            let last = now.group >= before.group_total || now.state != ReleaseState::Completed;
            let was = before.state == ReleaseState::Completed;
            if self.is_gated()
                && !was
                && !(last && (now.state != ReleaseState::Completed || before.waiting_since.is_none()))
            {
                self.broken("S6: complete with a gate that nobody passed");
            }
            return;
        }
        let spec = &self.deployment.spec;
        let given = spec.release.as_ref().and_then(|r| r.confirm.clone());
        let fits = [format!("{}/{}", before.revision, before.group), format!("{}/all", before.revision)];
        let confirmed = !spec.strategy.need_waiting_for_confirm || given.is_some_and(|g| fits.contains(&g));
        if !confirmed {
            self.broken("S6: a group opens without its confirm");
        }
        if spec.strategy.pause == Some(true) {
            self.broken("S6: a group opens in a pause");
        }
    }

    /// S21: no pod too many; S4: none born past a gate.
    pub fn check_create(&self, uid: Uid, revision: RevisionHash) {
        let set = self.set_by_uid(uid);
        if self.orphans {
            // A creation that outlives its process meets a successor that chose another free name: the surplus goes.
            return;
        }
        let Orders { replicas, allowed, target, .. } = self.binding(uid);
        if len(self.pods_of(uid).filter(|p| p.pod.is_live())) >= replicas {
            self.broken("S21: a pod too many");
        }
        // A unit on its way out keeps its old template, which is the base as well: nothing lies between the two.
        let base = set.spec.update_strategy.base_revision.as_deref();
        let is_base = self.revisions.iter().any(|r| r.hash == revision && Some(&*r.name) == base);
        if target == Some(revision) && !is_base && self.at_target(set) + 1 > allowed {
            self.broken("S4: a pod is born past a gate");
        }
    }

    /// What the set is told now.
    pub fn orders(&self, uid: Uid) -> Orders {
        let set = self.set_by_uid(uid);
        let serving = self.pods_of(uid).filter(|p| p.pod.in_service()).map(|p| p.pod.uid).collect();
        let (allowed, target) = (allowed(&set.spec), self.target_of(set));
        Orders { replicas: set.spec.replicas, allowed, target, serving }
    }

    /// The orders that bind a write that lands: it carries no version of the set, so those it was decided under count.
    fn binding(&self, uid: Uid) -> Orders {
        let now = self.orders(uid);
        let Some(then) = &self.decided else { return now };
        let target = now.target.filter(|t| then.target == Some(*t));
        Orders {
            replicas: now.replicas.max(then.replicas),
            allowed: now.allowed.max(then.allowed),
            target,
            ..then.clone()
        }
    }

    fn at_target(&self, set: &Set) -> i32 {
        let target = self.target_of(set);
        len(self.pods_of(set.uid).filter(|p| p.pod.is_live() && p.pod.revision == target))
    }

    /// S2, S4 and S5 when pods are reserved.
    pub fn check_journal(&self, uid: Uid, journal: &[Entry]) {
        let set = self.set_by_uid(uid);
        if journal.len() > set::journal::MOST_ENTRIES || journal.windows(2).any(|w| w[0].uid == w[1].uid) {
            self.broken("the journal is no map");
        }
        let added: Vec<&Entry> = journal.iter().filter(|e| set.entry(e.uid).is_none()).collect();
        let pod = |e: &Entry| self.pods.get(&e.uid).map(|p| &p.pod);
        // What fails by itself while the write is on its way is nobody's doing.
        let served = |e: Uid| journal.iter().all(|j| j.uid != e);
        let serving = len(self.binding(uid).serving.iter().filter(|p| served(**p)));
        let out = set.spec.replicas - serving;
        let orders = self.binding(uid);
        let costs = |e: &&&Entry| pod(e).is_some_and(Pod::in_service) && orders.serving.contains(&e.uid);
        if added.iter().any(|e| costs(&e)) && out > grant(&set.spec) {
            self.broken(&format!("S2: {} reserves up to {out}", set.name));
        }
        let lost = |e: &&&Entry| pod(e).is_some_and(|p| matches!(p.gate, Gate::Draining(_)));
        let moving = added.iter().filter(|e| e.to.is_some() && !lost(e));
        if set.spec.update_strategy.paused && moving.clone().next().is_some() {
            self.broken("S5: a pod is reserved in a pause");
        }
        let target = self.target_of(set);
        // A pod may be born at the target while the reservation is on its way: then the reservation ends untouched.
        if self.decided.is_none() && moving.clone().any(|e| e.to == target) {
            let reserved = journal
                .iter()
                .filter(|e| e.to == target && pod(e).is_some_and(|p| p.is_live() && p.revision != target));
            // A reserved pod may have become surplus since: it goes, whatever its reservation says.
            let surplus = len(self.pods_of(uid).filter(|p| p.pod.is_live())) - set.spec.replicas;
            if self.at_target(set) + len(reserved) > allowed(&set.spec) + surplus.max(0) {
                self.broken(&format!("S4: {} reserves past a gate", set.name));
            }
        }
    }

    /// S3, and that only reserved pods are touched.
    pub fn check_pod_write(&self, uid: Uid, pod: Uid, action: &set::Action) {
        use set::Action as A;
        let set = self.set_by_uid(uid);
        let p = &self.pods[&pod];
        let reserved = set.entry(pod).is_some();
        let stops = match action {
            A::TakeOut { .. } => {
                if !reserved {
                    self.broken("a pod is taken out that nobody reserved");
                }
                let others = len(self.pods_of(uid).filter(|p| p.pod.in_service() && p.pod.uid != pod));
                let prompt = self.decided.is_none();
                if prompt && p.pod.in_service() && set.spec.replicas - others > grant(&set.spec) {
                    self.broken("S1: a pod is taken out beyond the budget");
                }
                false
            }
            A::Update { images, .. } => !images.is_empty(),
            A::Delete { .. } => p.pod.phase != Phase::Finished,
            _ => false,
        };
        if let A::Update { to, .. } = action
            && self.binding(uid).target == Some(*to)
            && p.pod.revision != Some(*to)
            && self.at_target(set) + 1 > self.binding(uid).allowed
        {
            self.broken("S4: a pod is moved past a gate");
        }
        if !stops {
            return;
        }
        if !reserved {
            self.broken("a pod is stopped that nobody reserved");
        }
        let unborn = matches!(action, A::Delete { .. }) && !p.pod.scheduled;
        if unborn {
            return;
        }
        let endpoints = cafe_planner::pod::Endpoints { listed: 1, serving: u32::from(p.serving) };
        let Gate::Draining(op) = p.pod.gate else { self.broken("S3: the gate is open") };
        let limit = p.pod.gate_since.0 + i64::from(set.spec.traffic.drain_timeout_seconds);
        let timed_out =
            set.spec.traffic.on_drain_timeout == OnDrainTimeout::Force && limit <= self.now.wall.0;
        if timed_out || p.pod.force_drain == Some(op) {
            return;
        }
        let proof = self.memory.proofs.get(&pod).filter(|(of, _)| *of == op);
        let grace = i64::from(set.spec.traffic.grace_seconds);
        let waited = proof.is_some_and(|(_, at)| self.now.mono >= at.plus_seconds(grace));
        // The proof of a dead process is forgotten; what it proved still holds as long as the pod is what it was.
        if !traffic::is_drained(&p.pod, endpoints) || !(waited || self.landing_orphan) {
            self.broken("S3: a container is stopped that may have requests");
        }
    }

    /// The unit's name of a set, for messages.
    pub fn unit_name(&self, uid: Uid) -> &str {
        unit_of(self.set_by_uid(uid))
    }
}
