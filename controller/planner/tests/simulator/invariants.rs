//! The promises, checked after every action: the figures of a state that is known, put to the rules of the invariants.

use cafe_crds::{
    deployment::{ReleaseState, ReleaseStatus},
    intstr::IntOrPercent,
    traffic::OnDrainTimeout,
};
use cafe_invariants::{
    Verdict,
    rules::{self, Progress, Range, Stop},
};
use cafe_planner::{
    deployment::{self, snapshot::unit_of},
    identity::{RevisionHash, Uid},
    pod::{Gate, Phase, Pod, Protector, ProtectorCondition},
    set::{self, Set, SetSpec, snapshot::Entry},
};

use super::{Cluster, Orders, SimPod};

fn grant(spec: &SetSpec) -> i32 {
    match spec.update_strategy.max_unavailable {
        IntOrPercent::Int(n) => n,
        IntOrPercent::Percent(_) => panic!("a child is granted a number"),
    }
}

/// Pods that a set is to have: none once it drains to go.
fn replicas(set: &Set) -> i32 {
    if set.deleting && set.bonds.drains() { 0 } else { set.spec.replicas }
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

/// Whether the token in hand opens the gate that `release` stands at.
fn is_confirmed(release: &ReleaseStatus, token: Option<&str>) -> bool {
    let (revision, group) = (release.revision, release.group);
    token.is_some_and(|t| t == format!("{revision}/{group}") || t == format!("{revision}/all"))
}

impl Cluster {
    fn broken(&self, promise: &str) -> ! {
        panic!("{promise}\n{}", self.story())
    }

    fn judge(&self, who: &str, verdict: Verdict) {
        if let Err(breach) = verdict {
            self.broken(&format!("{}: {who}: {breach}", breach.rule()));
        }
    }

    fn target_of(&self, set: &Set) -> Option<RevisionHash> {
        self.revisions.iter().find(|r| r.digest == set.spec.digest).map(|r| r.hash)
    }

    /// What must hold at every moment.
    pub fn check_state(&self) {
        if self.quiet {
            let out = self.deployment.spec.replicas - self.in_service();
            self.judge("all units", rules::s1(out.into(), self.budget().into()));
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
            A::CapSet { uid, rv, ceiling: Some(ceiling), .. } => {
                if let Some(set) = self.sets.iter().find(|s| s.uid == *uid && s.rv == *rv) {
                    self.check_ceiling(set, ceiling.pods);
                }
            }
            A::DeleteSet { uid, name, .. } => {
                let serving = len(self.pods_of(*uid).filter(|p| p.pod.in_service()));
                self.judge(name, rules::s19_set(serving.into()));
            }
            A::WriteStatus { status, rv } if *rv == self.deployment.rv => {
                let now = status.release.as_ref().unwrap();
                let names =
                    self.revisions.iter().find(|r| Some(&*r.name) == status.update_revision.as_deref());
                let known = len(self.pods.values().filter(|p| p.pod.revision == names.map(|r| r.hash)));
                if self.quiet {
                    // Pods may have moved since they were counted, and none moves back by itself.
                    let there = Range { least: 0, most: known.into() };
                    self.judge(
                        "the status",
                        rules::s18_count("updated", status.updated_replicas.into(), there),
                    );
                }
                let (before, generation) = (&self.deployment.status, self.deployment.generation);
                let observed =
                    rules::s18_observed(before.observed_generation, status.observed_generation, generation);
                self.judge("the status", observed);
                if let Some(before) =
                    self.deployment.status.release.as_ref().filter(|r| r.revision == now.revision)
                {
                    self.check_progress(before, now);
                }
            }
            _ => {}
        }
    }

    /// S13 when a unit is capped, and no more at once than the budget.
    fn check_ceiling(&self, set: &Set, ceiling: i32) {
        let had = set.ceiling.map_or(set.spec.replicas, |c| c.pods).min(set.spec.replicas);
        if ceiling >= had {
            return;
        }
        // What has come into service since the write was decided could not be known.
        let known = |p: &&SimPod| self.decided_at.is_none_or(|at| p.pod.ready_since < Some(at));
        let serving = len(self.pods_of(set.uid).filter(|p| p.pod.in_service()).filter(known));
        let prompt = self.decided_at.is_none();
        let (nodes, ready) = self.nodes.get(unit_of(set)).copied().filter(|_| prompt).unwrap_or_default();
        self.judge(
            &set.name,
            rules::s13(&rules::Move {
                ceiling: ceiling.into(),
                moved: (had - ceiling).into(),
                serving: serving.into(),
                out: (had - serving).into(),
                nodes: nodes.into(),
                down: (nodes - ready).into(),
            }),
        );
        let budget = self.budget().max(self.lagging_budget);
        assert!(
            had - ceiling <= budget,
            "{} places at once, budget {budget}\n{}",
            had - ceiling,
            self.story()
        );
    }

    fn check_spec(&self, before: Option<&Set>, spec: &SetSpec) {
        let others = self.sets.iter().filter(|s| before.is_none_or(|b| b.uid != s.uid));
        let sum = others.map(|s| grant(&s.spec)).sum::<i32>() + grant(spec);
        let grows = before.map_or(grant(spec) > 0, |b| grant(spec) > grant(&b.spec));
        // The creation of a set knows no version of anything: it may land after the topology has changed, without pods.
        let stray = self.sets.iter().any(|s| s.status.observed_generation.is_none()) || before.is_none();
        if self.quiet || !stray {
            let budget = self.budget().max(self.lagging_budget);
            self.judge("all units", rules::s20(sum.into(), budget.into(), grows));
        }
        let release = self.release();
        let unit = &spec.placement.as_ref().unwrap().unit;
        let quota = release.quota.iter().find(|q| q.name == *unit);
        // What an InPlaceSet is told late was right under the quota it was told by.
        // So was what one that is being deleted was told: nothing but its grant is written any more.
        let goes = before.is_some_and(|b| b.deleting);
        let gated =
            self.is_gated() && release.state != ReleaseState::Completed && !self.landing_late && !goes;
        if let Some(quota) = quota.filter(|_| gated) {
            self.judge(unit, rules::s4(allowed(spec).into(), quota.updated.into()));
        }
        // No pod is created past a gate either.
        if let Some(quota) = quota.filter(|_| !self.landing_late && !goes) {
            let most = before.map_or(0, |b| b.spec.replicas).max(quota.replicas);
            self.judge(unit, rules::s4(spec.replicas.into(), most.into()));
        }
    }

    fn check_progress(&self, before: &ReleaseStatus, now: &ReleaseStatus) {
        let spec = &self.deployment.spec;
        let token = spec.release.as_ref().and_then(|r| r.confirm.as_deref());
        let progress = |release: &ReleaseStatus| Progress {
            revision: release.revision,
            group: release.group.into(),
            total: release.group_total.into(),
            completed: release.state == ReleaseState::Completed,
            waiting: release.waiting_since.is_some(),
            gated: self.is_gated(),
            needs_confirm: spec.strategy.need_waiting_for_confirm,
            confirmed: is_confirmed(release, token),
            paused: spec.strategy.pause == Some(true),
            scale_out: release.scale_out,
            left: (spec.replicas - release.quota.iter().map(|q| q.updated).sum::<i32>()).into(),
        };
        self.judge("the release", rules::s6(&progress(before), &progress(now)));
    }

    /// S21: no pod too many; S4: none born past a gate.
    pub fn check_create(&self, uid: Uid, revision: RevisionHash) {
        let set = self.set_by_uid(uid);
        if self.orphans {
            // A creation that outlives its process meets a successor that chose another free name: the surplus goes.
            return;
        }
        let Orders { replicas, allowed, target, .. } = self.binding(uid);
        let live = len(self.pods_of(uid).filter(|p| p.pod.is_live()));
        self.judge(&set.name, rules::s21(i64::from(live) + 1, replicas.into()));
        // A unit on its way out keeps its old template, which is the base as well: nothing lies between the two.
        let base = set.spec.update_strategy.base_revision.as_deref();
        let is_base = self.revisions.iter().any(|r| r.hash == revision && Some(&*r.name) == base);
        if target == Some(revision) && !is_base {
            self.judge(&set.name, rules::s4(i64::from(self.at_target(set)) + 1, allowed.into()));
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
        let pods: Vec<Uid> = journal.iter().map(|e| e.uid).collect();
        self.judge(&set.name, rules::s2_journal(&pods));
        let added: Vec<&Entry> = journal.iter().filter(|e| set.entry(e.uid).is_none()).collect();
        let pod = |e: &Entry| self.pods.get(&e.uid).map(|p| &p.pod);
        // What fails by itself while the write is on its way is nobody's doing.
        let served = |e: Uid| journal.iter().all(|j| j.uid != e);
        let serving = len(self.binding(uid).serving.iter().filter(|p| served(**p)));
        let out = replicas(set) - serving;
        let orders = self.binding(uid);
        let costs = |e: &&&Entry| pod(e).is_some_and(Pod::in_service) && orders.serving.contains(&e.uid);
        let costing = len(added.iter().filter(|e| costs(e)));
        self.judge(&set.name, rules::s2(costing.into(), out.into(), grant(&set.spec).into()));
        let lost = |e: &&&Entry| pod(e).is_some_and(|p| matches!(p.gate, Gate::Draining(_)));
        let moving = added.iter().filter(|e| e.to.is_some() && !lost(e));
        let moves = len(moving.clone());
        self.judge(&set.name, rules::s5(set.spec.update_strategy.paused, moves.into()));
        let target = self.target_of(set);
        // A pod may be born at the target while the reservation is on its way: then the reservation ends untouched.
        if self.decided.is_none() && moving.clone().any(|e| e.to == target) {
            let reserved = journal
                .iter()
                .filter(|e| e.to == target && pod(e).is_some_and(|p| p.is_live() && p.revision != target));
            // A reserved pod may have become surplus since: it goes, whatever its reservation says.
            let surplus = len(self.pods_of(uid).filter(|p| p.pod.is_live())) - replicas(set);
            let there = self.at_target(set) + len(reserved);
            self.judge(&set.name, rules::s4(there.into(), (allowed(&set.spec) + surplus.max(0)).into()));
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
                self.judge(&p.pod.name, rules::s2_touch(reserved, "taken out of traffic"));
                let others = len(self.pods_of(uid).filter(|p| p.pod.in_service() && p.pod.uid != pod));
                let prompt = self.decided.is_none();
                if prompt && p.pod.in_service() {
                    let out = replicas(set) - others;
                    self.judge(&p.pod.name, rules::s1(out.into(), grant(&set.spec).into()));
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
        {
            let there = i64::from(self.at_target(set)) + 1;
            self.judge(&p.pod.name, rules::s4(there, self.binding(uid).allowed.into()));
        }
        if !stops {
            return;
        }
        self.judge(&p.pod.name, rules::s2_touch(reserved, "stopped"));
        let unborn = matches!(action, A::Delete { .. }) && !p.pod.scheduled;
        if unborn {
            return;
        }
        let op = if let Gate::Draining(op) = p.pod.gate { Some(op) } else { None };
        let traffic = &set.spec.traffic;
        let limit = p.pod.gate_since.0 + i64::from(traffic.drain_timeout_seconds);
        let timed_out = traffic.on_drain_timeout == OnDrainTimeout::Force && limit <= self.now.wall.0;
        let proof = self.memory.proofs.get(&pod).filter(|(of, _)| Some(*of) == op);
        // The proof of a dead process is forgotten; what it proved still holds as long as the pod is what it was.
        let waited = match proof {
            _ if self.landing_orphan => None,
            Some((_, at)) => i64::try_from(self.now.mono.0 - at.0).ok(),
            None => Some(-1),
        };
        let answered = |q: &Protector| op.is_some() && q.condition == Some(ProtectorCondition::False(op));
        let stop = Stop {
            what: "stopped",
            closed: op.is_some(),
            ready: p.pod.is_ready(),
            endpoints: i64::from(p.serving),
            unanswered: len(p.pod.protectors.iter().filter(|q| q.finalizer && !answered(q))).into(),
            forced: timed_out || (op.is_some() && p.pod.force_drain == op),
            waited: waited.map(|waited| (waited, i64::from(traffic.grace_seconds) * 1000)),
        };
        self.judge(&p.pod.name, rules::s3(&stop));
    }

    /// The unit's name of a set, for messages.
    pub fn unit_name(&self, uid: Uid) -> &str {
        unit_of(self.set_by_uid(uid))
    }
}
