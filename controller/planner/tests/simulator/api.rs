//! The API server: applies actions under their preconditions.

use std::sync::Arc;

use cafe_planner::{
    Text,
    deployment::{self, Chronicle, Event},
    identity::Uid,
    pod::{Container, ContainerState, Gate, Pod},
    revision::Revision,
    set::{self, Set},
};

use super::{Cluster, SimPod, Told};

impl Cluster {
    pub fn next_rv(&mut self) -> u64 {
        self.rv += 1;
        self.rv
    }

    pub fn next_uid(&mut self) -> Uid {
        self.serial += 1;
        // Spread, as real uids are: an order by uid is no order by age.
        let high = u128::from(cafe_planner::identity::mix(self.serial));
        Uid((high << 64) | u128::from(self.serial))
    }

    pub fn tell(&mut self, event: Event) {
        if !event.once.is_empty() && !self.once.insert((event.reason, event.once.clone())) {
            return;
        }
        self.log(format!("event {}: {}", event.reason, event.note));
        self.events.push(Told { reason: event.reason, note: event.note });
    }

    pub(super) fn tally(&mut self, kind: &'static str) {
        self.actions += 1;
        *self.writes.entry(kind).or_default() += 1;
        if let Some(left) = &mut self.dies_after {
            *left = left.saturating_sub(1);
        }
    }

    /// The process that lives has had a write to the object acknowledged.
    fn acknowledged(&mut self, uid: Uid) {
        if !self.landing_orphan {
            self.memory.fenced.insert(uid);
        }
    }

    /// Applies an action of the CafeDeployment planner. Whether it succeeded.
    pub fn apply_deployment(&mut self, action: deployment::Action) -> bool {
        use deployment::Action as A;
        self.check_deployment_action(&action);
        let done = match action {
            A::CreateRevision { number, hash } => {
                self.tally("create revision");
                let name: Text = format!("{}-{hash}", self.deployment.name).into();
                let digest = self.deployment.spec.digest;
                let claims = self.claim_templates.clone();
                let facts = cafe_planner::template::Facts { claims, ..self.templates[&digest].clone() };
                let (uid, rv) = (self.next_uid(), self.next_rv());
                self.log(format!("create revision {number}"));
                self.revisions.push(Revision {
                    name,
                    uid,
                    rv,
                    number,
                    older: Vec::new(),
                    hash,
                    digest,
                    outcome: None,
                    busy: false,
                    facts,
                });
                true
            }
            A::WriteRevision { uid, rv, number, older, outcome, .. } => {
                self.tally("write revision");
                let next = self.next_rv();
                let found = self.revisions.iter_mut().find(|r| r.uid == uid && r.rv == rv);
                let done =
                    found.map(|r| (r.rv, r.number, r.older, r.outcome) = (next, number, older, outcome));
                self.log(format!("write revision {number} {outcome:?}"));
                done.is_some()
            }
            A::DeleteRevision { uid, name, .. } => {
                self.tally("delete revision");
                self.log(format!("delete revision {name}"));
                self.revisions.retain(|r| r.uid != uid);
                true
            }
            A::CreateSet { name, spec } => {
                self.tally("create set");
                if self.sets.iter().any(|s| s.name == name) {
                    return false;
                }
                self.log(format!("create set {name} {} {:?}", spec.replicas, spec.update_strategy));
                let (uid, rv) = (self.next_uid(), self.next_rv());
                let owner = Some(self.deployment.uid);
                self.sets.push(Set {
                    name,
                    uid,
                    rv,
                    generation: 1,
                    owner,
                    deleting: false,
                    ceiling: None,
                    spec: *spec,
                    status: Default::default(),
                    journal: Vec::new(),
                    bonds: Default::default(),
                });
                self.acknowledged(uid);
                true
            }
            A::WriteSet { uid, rv, spec, name } => {
                self.tally("write set");
                let next = self.next_rv();
                self.log(format!("write set {name} {} {:?}", spec.replicas, spec.update_strategy));
                let Some(set) = self.sets.iter_mut().find(|s| s.uid == uid && s.rv == rv) else {
                    return false;
                };
                assert_ne!(set.spec, *spec, "a write that changes nothing: {name}");
                set.spec = *spec;
                set.rv = next;
                set.generation += 1;
                self.acknowledged(uid);
                true
            }
            A::CapSet { uid, rv, ceiling, name, .. } => {
                self.tally("cap set");
                let next = self.next_rv();
                self.log(format!("cap set {name} {ceiling:?}"));
                let Some(set) = self.sets.iter_mut().find(|s| s.uid == uid && s.rv == rv) else {
                    return false;
                };
                assert_ne!(set.ceiling, ceiling, "a write that changes nothing: {name}");
                (set.ceiling, set.rv) = (ceiling, next);
                self.acknowledged(uid);
                true
            }
            A::CreateChronicle { name, spec, status } => {
                self.tally("create release");
                if self.chronicles.iter().any(|c| c.name == name) {
                    return false;
                }
                self.log(format!("create release {name}: {}", status.message));
                // Names of pods follow from the numbers of all other objects: records shall not change them.
                let uid = Uid(u128::MAX - self.chronicles.len() as u128 - self.actions as u128 * 1000);
                self.chronicles.push(Chronicle {
                    name,
                    uid,
                    rv: 1,
                    busy: false,
                    spec: *spec,
                    status: *status,
                });
                true
            }
            A::WriteChronicle { name, uid, rv, before, after } => {
                self.tally("write release");
                assert_ne!(before, after, "a write that changes nothing: {name}");
                self.log(format!("write release {name}: {}", after.message));
                let found = self.chronicles.iter_mut().find(|c| c.uid == uid && c.rv == rv);
                found.map(|c| (c.rv, c.status) = (rv + 1, *after)).is_some()
            }
            A::DeleteChronicle { uid, name, .. } => {
                self.tally("delete release");
                self.log(format!("delete release {name}"));
                self.chronicles.retain(|c| c.uid != uid);
                true
            }
            A::TouchSet { uid, rv, .. } => self.touch_set(uid, rv),
            A::LetGo { .. } => {
                self.deployment.bonds.drain = None;
                true
            }
            A::AdoptSet { .. } | A::Adopt { .. } | A::Confirm => {
                unreachable!("everything here has its owner")
            }
            A::DeleteSet { uid, name, rv } => {
                self.tally("delete set");
                if self.sets.iter().any(|s| s.uid == uid && s.rv != rv) {
                    return false;
                }
                self.log(format!("delete set {name}"));
                self.sets.retain(|s| s.uid != uid);
                // Garbage collection: a creation may have landed in the meantime.
                self.pods.retain(|_, p| p.set != uid);
                self.claims_lose_set(uid);
                true
            }
            A::WriteStatus { rv, status } => {
                self.tally("write deployment status");
                if rv != self.deployment.rv {
                    return false;
                }
                assert_ne!(self.deployment.status, *status, "a write that changes nothing");
                let r = status.release.as_ref().unwrap();
                let quota: Vec<_> = r.quota.iter().map(|q| (q.updated, q.replicas)).collect();
                self.log(format!(
                    "deployment status: rev {} from {:?} {:?} group {}/{} {quota:?}",
                    r.revision, r.from_revision, r.state, r.group, r.group_total
                ));
                self.deployment.status = *status;
                self.deployment.rv = self.next_rv();
                self.memory.written.insert(self.deployment.uid, self.now.mono);
                true
            }
        };
        self.check_state();
        done
    }

    /// Applies an action of the InPlaceSet planner.
    pub fn apply_set(&mut self, set: Uid, action: set::Action) {
        use set::Action as A;
        if !matches!(action, A::WriteStatus { .. } | A::ProveDrained { .. }) {
            self.log(format!("{}: {action:?}", self.set_by_uid(set).name));
        }
        match action {
            A::Create { name, revision, group } => {
                self.tally("create pod");
                if self.pods.values().any(|p| p.set == set && p.pod.name == name) {
                    return;
                }
                self.check_create(set, revision);
                self.check_claims_of_birth(set, revision, &name);
                self.create_pod(set, name, revision, group);
            }
            A::CreateClaim { name, pod, .. } => self.create_claim(set, name, pod),
            A::WriteClaim { uid, rv, given_up, owned, .. } => self.write_claim(set, uid, rv, given_up, owned),
            A::DeleteClaim { uid, rv, .. } => self.delete_claim(uid, rv),
            A::ProveDrained { pods } => {
                self.tally("list slices");
                for (uid, op) in pods {
                    let proven =
                        |p: &SimPod| p.pod.gate == Gate::Draining(op) && !p.serving && !p.pod.is_ready();
                    if !self.landing_orphan && self.pods.get(&uid).is_some_and(proven) {
                        self.memory.proofs.insert(uid, (op, self.now.mono));
                    }
                }
            }
            A::TouchSet { rv } => {
                self.touch_set(set, rv);
            }
            A::LetGo { rv, .. } => {
                self.tally("let go");
                let next = self.next_rv();
                if let Some(set) = self.sets.iter_mut().find(|s| s.uid == set && s.rv == rv) {
                    (set.bonds.drain, set.rv) = (None, next);
                }
            }
            A::WriteStatus { rv, status } => self.write_set_status(set, rv, *status),
            pod_write => self.write_pod(set, pod_write),
        }
        self.check_state();
    }

    fn touch_set(&mut self, uid: Uid, rv: u64) -> bool {
        self.tally("touch set");
        let next = self.next_rv();
        let Some(set) = self.sets.iter_mut().find(|s| s.uid == uid && s.rv == rv) else {
            return false;
        };
        set.rv = next;
        self.acknowledged(uid);
        true
    }

    fn write_set_status(&mut self, uid: Uid, rv: u64, mut status: cafe_crds::inplaceset::InPlaceSetStatus) {
        self.tally("write set status");
        if self.set_by_uid(uid).rv != rv {
            return;
        }
        let journal = set::journal::read(&mut status);
        self.check_journal(uid, &journal);
        let next = self.next_rv();
        let line = format!(
            "{} status: {} available {} updated, journal {:?}",
            self.set_by_uid(uid).name,
            status.available_replicas,
            status.updated_replicas,
            journal.iter().map(|e| e.uid.0 % 10000).collect::<Vec<_>>()
        );
        self.log(line);
        let set = self.sets.iter_mut().find(|s| s.uid == uid).unwrap();
        assert!(set.status != status || set.journal != journal, "a write that changes nothing");
        (set.status, set.journal, set.rv) = (status, journal, next);
        self.acknowledged(uid);
        if !self.landing_orphan {
            self.memory.written.insert(uid, self.now.mono);
        }
    }

    fn write_pod(&mut self, set: Uid, action: set::Action) {
        use set::Action as A;
        let (kind, on) = match &action {
            A::TakeOut { on, .. } => ("W1", on.clone()),
            A::Update { on, .. } => ("W2", on.clone()),
            A::PutBack { on } => ("W3", on.clone()),
            A::TakeOffline { on } => ("offline", on.clone()),
            A::Delete { on, .. } => ("delete pod", on.clone()),
            A::Touch { on, .. } => ("touch", on.clone()),
            other => panic!("no write to a pod: {other:?}"),
        };
        self.tally(kind);
        if self.pods.get(&on.uid).is_none_or(|p| p.pod.rv != on.rv) {
            return;
        }
        self.check_pod_write(set, on.uid, &action);
        let (rv, wall) = (self.next_rv(), self.now.wall);
        let p = self.pods.get_mut(&on.uid).unwrap();
        p.writes += 1;
        p.pod.rv = rv;
        match action {
            A::TakeOut { op, .. } => {
                p.pod.gate = Gate::Draining(op);
                (p.pod.gate_since, p.pod.selected) = (wall, false);
            }
            A::Update { to, images, record, group, .. } => {
                p.pod.revision = Some(to);
                p.pod.group = group.as_deref().and_then(label);
                p.group = group;
                if !images.is_empty() {
                    p.pod.generation += 1;
                }
                for (name, image, _) in images {
                    let container = p.pod.containers.iter_mut().find(|c| c.name == name).unwrap();
                    Arc::make_mut(&mut container.state).wants = image;
                }
                if record.is_some() {
                    p.pod.in_place = record.map(Box::new);
                }
            }
            A::PutBack { .. } => {
                (p.pod.gate, p.pod.gate_since, p.pod.selected) = (Gate::True, wall, true);
            }
            A::TakeOffline { .. } => {
                (p.pod.gate, p.pod.gate_since, p.pod.selected) = (Gate::Offline, wall, false);
            }
            A::Delete { .. } => p.pod.terminating = true,
            A::Touch { record, .. } => p.pod.in_place = Some(record.into()),
            _ => {}
        }
        self.acknowledged(on.uid);
    }

    fn create_pod(
        &mut self,
        set: Uid,
        name: Text,
        revision: cafe_planner::identity::RevisionHash,
        group: Option<Text>,
    ) {
        let facts = &self.revisions.iter().find(|r| r.hash == revision).unwrap().facts;
        let container = |c: &cafe_planner::template::ContainerImage| Container {
            id: "".into(),
            state: Arc::new(ContainerState {
                name: c.name.clone(),
                wants: c.image.clone(),
                image: "".into(),
                running: false,
                ready: false,
                waiting: None,
            }),
        };
        let containers = facts.containers.iter().map(container).collect();
        let (uid, rv) = (self.next_uid(), self.next_rv());
        let pod = Pod {
            gate_noticed: true,
            name,
            uid,
            rv,
            generation: 1,
            created: self.now.wall,
            revision: Some(revision),
            group: group.as_deref().and_then(label),
            containers,
            ..Pod::default()
        };
        let sim = SimPod { pod, set, group, serving: false, writes: 0, starts: 0, sick: false };
        self.pods.insert(uid, sim);
    }
}

/// `7-2`: group 2 of revision 7.
fn label(group: &str) -> Option<(i64, i32)> {
    let (revision, group) = group.split_once('-')?;
    Some((revision.parse().ok()?, group.parse().ok()?))
}
