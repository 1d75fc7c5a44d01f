//! Looking at the cluster: snapshots for the planners, figures for the tests.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cafe_crds::deployment::{ReleaseState, ReleaseStatus};
use cafe_planner::{
    bonds::Others,
    deployment::{self, Chronicle, UnitNodes, UnitView, snapshot::unit_of},
    identity::Uid,
    pod::{Endpoints, Gate, PodView},
    revision::{Outcome, Revision},
    set::{self, Census, Set},
};

use super::{Asked, Cluster, Planner, SimPod, flight::Busy};

impl Cluster {
    /// Runs a planner on what is there.
    pub fn ask(&mut self, planner: Planner) -> Asked {
        match planner {
            Planner::Deployment => Asked::Deployment(self.plan_deployment()),
            Planner::Set(uid) => {
                let plan = self.plan_set(uid);
                self.memory.proofs.retain(|pod, _| {
                    plan.drained.contains(pod) || self.pods.get(pod).is_some_and(|p| p.set != uid)
                });
                self.memory.censuses.insert(uid, plan.census.clone());
                self.memory.counted.insert(uid, self.now.wall);
                Asked::Set(uid, Box::new(plan))
            }
        }
    }

    pub fn plan_deployment(&self) -> deployment::Plan {
        self.look_at_deployment(|s| deployment::plan(&s))
    }

    /// Has `look` see what the planner of the CafeDeployment does.
    pub fn look_at_deployment<T>(&self, look: impl FnOnce(deployment::Snapshot<'_>) -> T) -> T {
        let busy = self.busy();
        let revisions: Vec<Revision> = self
            .revisions
            .iter()
            .map(|r| Revision { busy: busy.objects.contains(&r.uid), ..r.clone() })
            .collect();
        let revisions: Vec<&Revision> = revisions.iter().collect();
        let censuses: Vec<Census> =
            self.sets.iter().map(|s| self.memory.censuses.get(&s.uid).cloned().unwrap_or_default()).collect();
        let units: Vec<UnitView<'_>> = self
            .sets
            .iter()
            .zip(&censuses)
            .map(|(set, census)| UnitView {
                set,
                census,
                busy: busy.objects.contains(&set.uid),
                fenced: self.memory.fenced.contains(&set.uid),
            })
            .collect();
        let chronicles: Vec<Chronicle> = self
            .chronicles
            .iter()
            .map(|c| Chronicle { busy: busy.objects.contains(&c.uid), ..c.clone() })
            .collect();
        let chronicles: Vec<&Chronicle> = chronicles.iter().collect();
        let nodes: Vec<UnitNodes> = self
            .nodes
            .iter()
            .map(|(unit, (nodes, ready))| UnitNodes {
                unit: unit.as_str().into(),
                nodes: *nodes,
                settled: self.settled.get(unit).copied().unwrap_or_default(),
                ready: *ready,
            })
            .collect();
        look(deployment::Snapshot {
            now: self.now,
            deployment: &self.deployment,
            busy: busy.births || busy.objects.contains(&self.deployment.uid),
            status_written: self.memory.written.get(&self.deployment.uid).copied(),
            revisions: &revisions,
            units: &units,
            chronicles: &chronicles,
            chronicling: busy.chronicling,
            no_chronicles_until: self.no_chronicles_until,
            held: &[],
            topology: deployment::ceiling::fingerprint(&self.deployment.spec.topology),
            taken: &[],
            nodes: &nodes,
            blind: self.blind,
            others: Others { overlaps: self.overlaps.as_ref(), ..Others::default() },
        })
    }

    pub fn plan_set(&self, uid: Uid) -> set::Plan {
        self.look_at_set(uid, |s| set::plan(&s))
    }

    /// Has `look` see what the planner of an InPlaceSet does.
    pub fn look_at_set<T>(&self, uid: Uid, look: impl FnOnce(set::Snapshot<'_>) -> T) -> T {
        let set = self.set_by_uid(uid);
        let busy = self.busy();
        let creating: Vec<_> = busy
            .creating
            .iter()
            .filter(|c| c.0 == uid)
            .map(|(_, name, hash)| (name.clone(), *hash))
            .collect();
        let revisions: Vec<&Revision> = self.revisions.iter().collect();
        let mut pods: Vec<PodView<'_>> = self.pods_of(uid).map(|p| self.view(p, &busy)).collect();
        pods.sort_by(|a, b| (&a.pod.name, a.pod.uid).cmp(&(&b.pod.name, b.pod.uid)));
        let claims = self.claims_of(&set.name, &busy);
        let claiming: Vec<_> =
            busy.claiming.iter().filter(|c| c.0 == uid).map(|(_, name)| name.clone()).collect();
        look(set::Snapshot {
            now: self.now,
            set,
            busy: busy.objects.contains(&uid),
            fenced: self.memory.fenced.contains(&uid),
            status_written: self.memory.written.get(&uid).copied(),
            target: revisions.iter().copied().find(|r| r.digest == set.spec.digest),
            revisions: &revisions,
            pods: &pods,
            creating: &creating,
            claims: &claims,
            claiming: &claiming,
            held: &[],
            occupied: &[],
            no_births_until: None,
            refused: None,
            // Where all fail the next is always on its way.
            proving: busy.proving.contains(&uid) || self.unproven,
            unproven: self.unproven,
            others: Others::default(),
        })
    }

    fn view<'a>(&'a self, p: &'a SimPod, busy: &Busy) -> PodView<'a> {
        let uid = p.pod.uid;
        let proof = self.memory.proofs.get(&uid).filter(|(op, _)| p.pod.gate == Gate::Draining(*op));
        PodView {
            pod: &p.pod,
            entry: self.set_by_uid(p.set).entry(uid),
            busy: busy.objects.contains(&uid),
            fenced: self.memory.fenced.contains(&uid),
            endpoints: Endpoints { listed: u32::from(p.pod.scheduled), serving: u32::from(p.serving) },
            drained_at: proof.map(|(_, at)| *at),
            stray: false,
        }
    }

    pub fn pods_of(&self, set: Uid) -> impl Iterator<Item = &SimPod> {
        self.pods.values().filter(move |p| p.set == set)
    }

    pub fn set_by_uid(&self, uid: Uid) -> &Set {
        self.sets.iter().find(|s| s.uid == uid).expect("the set exists")
    }

    pub fn unit(&self, name: &str) -> &Set {
        self.sets.iter().find(|s| unit_of(s) == name).unwrap_or_else(|| panic!("no unit {name}"))
    }

    pub fn release(&self) -> &ReleaseStatus {
        self.deployment.status.release.as_ref().expect("a release")
    }

    pub fn state(&self) -> ReleaseState {
        self.release().state
    }

    pub fn token(&self) -> Option<String> {
        self.release().confirm_token.clone()
    }

    pub fn message(&self) -> &str {
        self.deployment.status.message.as_deref().unwrap_or_default()
    }

    pub fn revision_of_template(&self) -> Option<&Revision> {
        self.revisions.iter().find(|r| r.digest == self.deployment.spec.digest)
    }

    /// Whether the release in the status goes group by group.
    pub fn is_gated(&self) -> bool {
        let Some(release) = &self.deployment.status.release else { return false };
        let grows = self.deployment.spec.strategy.group_scale_out;
        if release.scale_out {
            return grows;
        }
        let Some(from) = release.from_revision else { return grows };
        let from = self.revisions.iter().find(|r| r.answers_to(from));
        from.is_none_or(|r| r.outcome != Some(Outcome::Abandoned))
    }

    /// Live pods at the present template, by unit in order of the topology (0 units without a set left out).
    pub fn updated(&self) -> Vec<i32> {
        let hash = self.revision_of_template().map(|r| r.hash);
        self.by_unit(|p| p.pod.is_live() && p.pod.revision.is_some() && p.pod.revision == hash)
    }

    /// Pods that the units have been given so far.
    pub fn let_in(&self) -> Vec<i32> {
        self.release().quota.iter().map(|q| q.replicas).collect()
    }

    /// Live pods by unit.
    pub fn live(&self) -> Vec<i32> {
        self.by_unit(|p| p.pod.is_live())
    }

    fn by_unit(&self, which: impl Fn(&SimPod) -> bool) -> Vec<i32> {
        let mut sets: Vec<&Set> = self.sets.iter().collect();
        sets.sort_by_key(|s| s.name.clone());
        let count = |s: &&Set| i32::try_from(self.pods_of(s.uid).filter(|p| which(p)).count()).unwrap();
        sets.iter().map(count).collect()
    }

    pub fn in_service(&self) -> i32 {
        i32::try_from(self.pods.values().filter(|p| p.pod.in_service()).count()).unwrap()
    }

    pub fn told(&self, reason: &str) -> usize {
        self.events.iter().filter(|e| e.reason == reason).count()
    }

    pub fn budget(&self) -> i32 {
        let spec = &self.deployment.spec;
        spec.strategy.max_unavailable.rounded_down(spec.replicas).max(1)
    }

    /// Everything asked for is done: the release is complete and every pod serves at the template's revision.
    pub fn is_converged(&self) -> bool {
        let spec = &self.deployment.spec;
        let hash = self.revision_of_template().map(|r| r.hash);
        let good = |p: &SimPod| p.pod.in_service() && p.pod.revision == hash;
        self.deployment.status.release.as_ref().is_some_and(|r| r.state == ReleaseState::Completed)
            && i32::try_from(self.pods.len()) == Ok(spec.replicas)
            && self.pods.values().all(good)
            && self.sets.iter().all(|s| s.journal.is_empty())
    }

    /// At rest nothing is asked for.
    pub fn assert_rests(&self) {
        let plan = self.plan_deployment();
        assert!(plan.steps.is_empty() && plan.wake.0.is_none(), "{plan:#?}\n{}", self.story());
        for set in &self.sets {
            let plan = self.plan_set(set.uid);
            assert!(plan.actions.is_empty() && plan.wake.0.is_none(), "{plan:#?}\n{}", self.story());
        }
        self.check_places();
    }

    pub fn assert_converged(&self) {
        assert!(self.is_converged(), "not converged\n{}", self.story());
        self.assert_rests();
    }

    /// The state on a few lines.
    pub fn picture(&self) -> String {
        let mut out = String::new();
        let spec = &self.deployment.spec;
        let names: BTreeMap<_, _> = self.revisions.iter().map(|r| (r.hash, r.number)).collect();
        let _ = writeln!(
            out,
            "replicas {} budget {} release {:?}\nstatus {:#?}",
            spec.replicas,
            self.budget(),
            spec.release,
            self.deployment.status.release
        );
        for r in &self.revisions {
            let _ = writeln!(out, "revision {} older {:?} {:?}", r.number, r.older, r.outcome);
        }
        for set in &self.sets {
            let u = &set.spec.update_strategy;
            let _ = writeln!(
                out,
                "{} replicas {} partition {} grant {} paused {} gen {} observed {:?} journal {:?}",
                set.name,
                set.spec.replicas,
                u.partition,
                u.max_unavailable,
                u.paused,
                set.generation,
                set.status.observed_generation,
                set.journal.iter().map(|e| e.uid.0 % 10000).collect::<Vec<_>>()
            );
            for p in self.pods_of(set.uid) {
                let number = p.pod.revision.and_then(|r| names.get(&r));
                let c: Vec<_> =
                    p.pod.containers.iter().map(|c| (&c.wants, &c.image, c.ready, &c.waiting)).collect();
                let _ = writeln!(
                    out,
                    "  {} ({}) rev {number:?} {:?} ready {} live {} serving {} {c:?} {:?}",
                    p.pod.name,
                    p.pod.uid.0 % 10000,
                    p.pod.gate,
                    p.pod.is_ready(),
                    p.pod.is_live(),
                    p.serving,
                    p.pod.protectors
                );
            }
        }
        out
    }
}
