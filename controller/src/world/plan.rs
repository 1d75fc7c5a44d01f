//! Looking at the world through a planner.

use cafe_planner::{
    Text,
    bonds::Others,
    deployment,
    identity::Uid,
    pod::{Gate, PodView},
    revision::Revision,
    set,
    time::{Millis, Now},
};
use foldhash::{HashMap, HashSet};

use super::{Kind, Memory, Owner, PodRecord, SetRecord, World, orphans, refusals::Refused};

/// What one look at an owner gave.
pub(crate) enum Planned {
    /// A CafeDeployment's plan.
    Deployment(deployment::Plan),
    /// An InPlaceSet's plan.
    Set(Box<set::Plan>),
    /// There is no such owner, or it rests after a failure until this moment.
    Nothing(Option<Millis>),
}

impl World {
    /// Plans one owner.
    pub(crate) fn plan(&mut self, owner: Owner, now: Now) -> Planned {
        let rests = |memory: &Memory| memory.resting_until.max(memory.pausing_until);
        let resting = self.memory.get(&owner).and_then(rests).filter(|until| *until > now.mono);
        if resting.is_some() {
            return Planned::Nothing(resting);
        }
        match owner {
            Owner::Deployment(uid) => {
                self.plan_deployment(uid, now).map_or(Planned::Nothing(None), Planned::Deployment)
            }
            Owner::Set(uid) => {
                self.plan_set(uid, now).map_or(Planned::Nothing(None), |plan| Planned::Set(Box::new(plan)))
            }
        }
    }

    fn plan_set(&mut self, uid: Uid, now: Now) -> Option<set::Plan> {
        let record = self.sets.get(&uid)?;
        let none = Memory::default();
        let memory = self.memory.get(&Owner::Set(uid)).unwrap_or(&none);
        let revisions: Vec<&Revision> =
            self.revisions_of(record.set.owner.unwrap_or(uid)).map(|r| &r.revision).collect();
        let pods: Vec<PodView<'_>> = self.pod_views(record).collect();
        let claims: Vec<set::claims::ClaimView<'_>> = self.claims_of(record).collect();
        let around = self.around_set(record, memory);
        let snapshot = set::Snapshot {
            now,
            set: &record.set,
            busy: self.writes.is_busy(uid) || memory.births > 0,
            fenced: self.fenced.contains(&uid),
            status_written: memory.status_written,
            target: revisions.iter().copied().find(|r| r.digest == record.set.spec.digest),
            revisions: &revisions,
            pods: &pods,
            creating: &memory.creating,
            claims: &claims,
            claiming: &memory.claiming,
            occupied: &memory.occupied,
            no_births_until: memory.refusals.until(Refused::Births, now.mono),
            refused: memory.refused.as_ref(),
            held: &memory.held,
            proving: memory.proving,
            unproven: memory.unproven,
            others: Others {
                orphans: &around.orphans,
                sets: &[],
                confirmed: around.confirmed,
                confirming: around.confirming,
                overlaps: self.overlaps.of(uid),
            },
        };
        let plan = set::plan(&snapshot);
        drop((pods, claims));
        self.keep_proofs(uid, &plan.drained);
        self.keep_census(uid, &plan.census);
        Some(plan)
    }

    fn pod_views<'a>(&'a self, record: &'a SetRecord) -> impl Iterator<Item = PodView<'a>> {
        let mut is_stray = orphans::strays(record);
        let journal: HashMap<Uid, &set::snapshot::Entry> =
            record.set.journal.iter().map(|entry| (entry.uid, entry)).collect();
        self.members.of(record.set.uid).iter().filter_map(move |uid| {
            let PodRecord { pod, family, endpoints, fenced } = self.pods.get(*uid)?;
            let proof = self.proofs.get(uid).filter(|(op, _)| pod.gate == Gate::Draining(*op));
            Some(PodView {
                pod,
                entry: journal.get(uid).copied(),
                busy: self.writes.is_busy(*uid),
                fenced: *fenced,
                endpoints: *endpoints,
                drained_at: proof.map(|(_, at)| *at),
                stray: is_stray(&family.labels),
            })
        })
    }

    /// A proof holds only as long as the caches agree with it.
    fn keep_proofs(&mut self, set: Uid, drained: &[Uid]) {
        if self.proofs.is_empty() {
            return;
        }
        let drained: HashSet<Uid> = drained.iter().copied().collect();
        let pods = &self.pods;
        let is_stale =
            |uid: &Uid| pods.get(*uid).is_some_and(|r| r.family.set == set) && !drained.contains(uid);
        self.proofs.retain(|uid, _| !is_stale(uid));
    }

    fn keep_census(&mut self, uid: Uid, census: &set::Census) {
        let Some(record) = self.sets.get_mut(&uid) else { return };
        // The wake-up moves with the clock; only the figures concern the CafeDeployment.
        let same = set::Census { wake: census.wake, ..record.census.clone() } == *census;
        if same {
            return;
        }
        record.census = census.clone();
        if let Some(owner) = record.set.owner {
            self.mark(Owner::Deployment(owner));
        }
    }

    fn plan_deployment(&mut self, uid: Uid, now: Now) -> Option<deployment::Plan> {
        self.count_nodes_for(uid);
        let record = self.deployments.get(&uid)?;
        let none = Memory::default();
        let memory = self.memory.get(&Owner::Deployment(uid)).unwrap_or(&none);
        let revisions: Vec<Revision> = self
            .revisions_of(uid)
            .map(|r| Revision { busy: self.writes.is_busy(r.revision.uid), ..r.revision.clone() })
            .collect();
        let revisions: Vec<&Revision> = revisions.iter().collect();
        let mut chronicles: Vec<&deployment::Chronicle> = self.chronicles_of(uid).collect();
        // The one in hand is the only one that may be busy for long; a copy of it tells that it is.
        let busy: Vec<deployment::Chronicle> = chronicles
            .iter()
            .filter(|c| self.writes.is_busy(c.uid))
            .map(|c| deployment::Chronicle { busy: true, ..(*c).clone() })
            .collect();
        chronicles.retain(|c| !self.writes.is_busy(c.uid));
        chronicles.extend(&busy);
        let units: Vec<deployment::UnitView<'_>> = self
            .sets_of
            .get(&uid)
            .into_iter()
            .flatten()
            .filter_map(|set| self.sets.get(set))
            .map(|r| deployment::UnitView {
                set: &r.set,
                census: &r.census,
                busy: self.writes.is_busy(r.set.uid),
                fenced: self.fenced.contains(&r.set.uid),
            })
            .collect();
        let taken = self.taken_names(record);
        let nodes = self.nodes.of(&record.deployment.spec.topology);
        let around = self.around_deployment(&record.deployment, memory);
        let snapshot = deployment::Snapshot {
            now,
            deployment: &record.deployment,
            busy: self.writes.is_busy(uid) || memory.births > 0,
            status_written: memory.status_written,
            revisions: &revisions,
            units: &units,
            chronicles: &chronicles,
            chronicling: memory.chronicling,
            no_chronicles_until: memory.refusals.until(Refused::Records, now.mono),
            held: &memory.held,
            topology: deployment::ceiling::fingerprint(&record.deployment.spec.topology),
            taken: &taken,
            nodes: &nodes,
            blind: self.nodes.are_unseen(),
            others: Others {
                orphans: &around.orphans,
                sets: &around.sets,
                confirmed: around.confirmed,
                confirming: around.confirming,
                overlaps: self.overlaps.of(uid),
            },
        };
        Some(deployment::plan(&snapshot))
    }

    /// Names the CafeDeployment would give its InPlaceSets but that belong to someone else.
    fn taken_names(&self, record: &super::DeploymentRecord) -> Vec<Text> {
        let d = &record.deployment;
        let foreign = |name: &Text| {
            let holder = self.set_names.get(&(d.namespace.clone(), name.clone()));
            holder.and_then(|uid| self.sets.get(uid)).is_some_and(|set| set.set.owner != Some(d.uid))
        };
        orphans::names_of_sets(d).filter(foreign).collect()
    }

    /// The kinds and how many objects of each are held.
    pub(crate) fn counts(&self) -> [(Kind, usize); Kind::ALL.len()] {
        Kind::ALL.map(|kind| (kind, self.count(kind)))
    }
}
