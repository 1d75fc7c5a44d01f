//! What nobody owns and an object of ours may adopt: pods with our readiness gate, and what a CafeDeployment or InPlaceSet has left
//! behind. There are few of them, and nothing is kept of other pods.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use cafe_crds::{
    names::{GATE, LABEL_UNIT},
    selector::Selector,
};
use cafe_planner::{
    Text,
    bonds::{Kin, Orphan},
    deployment::{Deployment, children::set_name},
    identity::Uid,
    set::Set,
};

use super::{Kind, Memory, Owner, SetRecord, World};
use crate::observe::{
    Labels,
    records::{Kindred, resource_version},
    slim::{PodObject, PodSpec},
};

/// A pod that nobody owns.
#[derive(Debug)]
struct OrphanPod {
    orphan: Orphan,
    labels: Labels,
    /// Which nodes it is bound to.
    place: PodSpec,
    sighting: u64,
}

/// A ControllerRevision or CafeRelease that nobody owns.
#[derive(Debug)]
struct Relic {
    orphan: Orphan,
    /// The labels of pods of a revision.
    labels: Option<Labels>,
    sighting: u64,
}

impl Relic {
    /// Whether it may be the history of an owner with this selector: a revision whose pods are others' would bear strays.
    fn fits(&self, selector: &Selector, unit: Option<&str>) -> bool {
        self.labels.as_ref().is_none_or(|labels| {
            let own = labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
            selector.matches(own.chain(unit.map(|unit| (LABEL_UNIT, unit))))
        })
    }
}

/// Where an orphan is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Home {
    /// Pods, by namespace.
    Pods(Text),
    /// Kindred, by namespace and name of who made it.
    Kin(Text, Text),
}

/// Everything that nobody owns.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    pods: HashMap<Text, BTreeMap<Uid, OrphanPod>>,
    kin: HashMap<(Text, Text), BTreeMap<Uid, Relic>>,
    homes: HashMap<Uid, Home>,
    /// Counts what has been seen without an owner: a live read that begins later has begun after it.
    sightings: u64,
}

impl Orphans {
    /// One more thing was seen that nobody owns.
    pub(super) fn sight(&mut self) -> u64 {
        self.sightings += 1;
        self.sightings
    }

    /// The resource version an orphan was last seen at.
    pub(super) fn resource_version(&self, uid: Uid) -> Option<u64> {
        match self.homes.get(&uid)? {
            Home::Pods(namespace) => self.pods.get(namespace)?.get(&uid).map(|pod| pod.orphan.rv),
            Home::Kin(namespace, maker) => {
                self.kin.get(&(namespace.clone(), maker.clone()))?.get(&uid).map(|relic| relic.orphan.rv)
            }
        }
    }

    /// The orphans of a kind, in a namespace or in all.
    pub(super) fn uids(&self, kind: Kind, scope: Option<&Text>) -> Vec<Uid> {
        let within = |namespace: &Text| scope.is_none_or(|s| s == namespace);
        match kind {
            Kind::Pod => self
                .pods
                .iter()
                .filter(|(n, _)| within(n))
                .flat_map(|(_, pods)| pods.keys().copied())
                .collect(),
            Kind::Revision | Kind::Release => {
                let of = if kind == Kind::Revision { Kin::Revision } else { Kin::Release };
                let all = self.kin.iter().filter(|((n, _), _)| within(n)).flat_map(|(_, kin)| kin.values());
                all.map(|relic| &relic.orphan).filter(|orphan| orphan.kind == of).map(|o| o.uid).collect()
            }
            Kind::Deployment | Kind::Set | Kind::Slice | Kind::Node | Kind::Claim => Vec::new(),
        }
    }
}

/// What is around an owner, as one look finds it.
#[derive(Debug, Default)]
pub(super) struct Around<'a> {
    pub(super) orphans: Vec<Orphan>,
    pub(super) sets: Vec<&'a Set>,
    pub(super) confirmed: bool,
    pub(super) confirming: bool,
}

impl Around<'_> {
    fn settle(&mut self, world: &World, memory: &Memory, newest: u64) {
        let mut uids = self.orphans.iter().map(|o| o.uid).chain(self.sets.iter().map(|s| s.uid));
        self.confirming = memory.confirming || uids.any(|uid| world.writes.is_busy(uid));
        self.confirmed = memory.confirmed >= newest;
        self.orphans.sort_unstable();
    }
}

impl World {
    /// How many orphans have been seen so far.
    pub(crate) fn sightings(&self) -> u64 {
        self.orphans.sightings
    }

    /// Keeps a pod without an owner, if it may be adopted, and has the sets planned that may.
    pub(super) fn see_orphan_pod(&mut self, object: &PodObject, uid: Uid) {
        let meta = &object.metadata.0;
        let rv = resource_version(meta);
        if self.orphans.resource_version(uid).is_some_and(|known| known > rv) {
            return;
        }
        self.writes.saw(uid, rv);
        self.lose_orphan(uid);
        let owners = meta.owner_references.as_deref().unwrap_or_default();
        let owned = owners.iter().any(|owner| owner.controller == Some(true));
        let gated = object.spec.readiness_gates.iter().any(|gate| gate.condition_type == GATE);
        let finished = matches!(object.status.phase.as_deref(), Some("Failed" | "Succeeded"));
        let (Some(name), Some(namespace)) = (meta.name.as_deref(), meta.namespace.as_deref()) else { return };
        if owned || !gated || finished || meta.deletion_timestamp.is_some() {
            return;
        }
        let (namespace, labels) = (self.interner.text(namespace), self.interner.labels(meta.labels.as_ref()));
        let orphan = Orphan { kind: Kin::Pod, name: name.into(), uid, rv };
        let place = PodSpec { affinity: object.spec.affinity.clone(), ..PodSpec::default() };
        let sighting = self.orphans.sight();
        self.mark_takers(&namespace, &labels);
        self.orphans.homes.insert(uid, Home::Pods(namespace.clone()));
        let pod = OrphanPod { orphan, labels, place, sighting };
        self.orphans.pods.entry(namespace).or_default().insert(uid, pod);
    }

    /// A ControllerRevision or CafeRelease that is not ours: kept when nobody owns it, else no orphan any more.
    pub(super) fn see_foreign(&mut self, uid: Option<Uid>, rv: u64, kindred: Option<Kindred>) {
        if let Some(kindred) = kindred {
            self.see_kindred(kindred);
        } else if let Some(uid) = uid
            && self.orphans.resource_version(uid).is_some_and(|known| known <= rv)
        {
            self.writes.saw(uid, rv);
            self.lose_orphan(uid);
        }
    }

    /// Keeps a ControllerRevision or CafeRelease without an owner, and has those planned that may adopt it.
    pub(super) fn see_kindred(&mut self, kindred: Kindred) {
        let Kindred { maker: (namespace, maker), orphan, labels } = kindred;
        if self.orphans.resource_version(orphan.uid).is_some_and(|known| known > orphan.rv) {
            return;
        }
        self.writes.saw(orphan.uid, orphan.rv);
        let (namespace, maker) = (self.interner.text(&namespace), self.interner.text(&maker));
        self.mark_named(&namespace, &maker);
        let (uid, sighting) = (orphan.uid, self.orphans.sight());
        self.orphans.homes.insert(uid, Home::Kin(namespace.clone(), maker.clone()));
        let labels = labels.map(|labels| self.interner.labels(Some(&labels)));
        let relic = Relic { orphan, labels, sighting };
        self.orphans.kin.entry((namespace, maker)).or_default().insert(uid, relic);
    }

    /// It has an owner now, or is gone.
    pub(super) fn lose_orphan(&mut self, uid: Uid) {
        match self.orphans.homes.remove(&uid) {
            Some(Home::Pods(namespace)) => {
                let pods = self.orphans.pods.get_mut(&namespace);
                let gone = pods.and_then(|pods| pods.remove(&uid));
                if self.orphans.pods.get(&namespace).is_some_and(BTreeMap::is_empty) {
                    self.orphans.pods.remove(&namespace);
                }
                if let Some(pod) = gone {
                    self.mark_takers(&namespace, &pod.labels);
                }
            }
            Some(Home::Kin(namespace, maker)) => {
                self.mark_named(&namespace, &maker);
                let key = (namespace, maker);
                if let Some(kin) = self.orphans.kin.get_mut(&key) {
                    kin.remove(&uid);
                    if kin.is_empty() {
                        self.orphans.kin.remove(&key);
                    }
                }
            }
            None => {}
        }
    }

    /// Sets that select these labels.
    fn mark_takers(&mut self, namespace: &Text, labels: &Labels) {
        let here = self.sets_in.get(namespace).into_iter().flatten().filter_map(|uid| self.sets.get(uid));
        let takers = here.filter(|record| record.set.spec.selector.matches(labels.iter()));
        self.dirty.extend(takers.map(|record| Owner::Set(record.set.uid)));
    }

    /// The CafeDeployment and the InPlaceSet of this name.
    fn mark_named(&mut self, namespace: &Text, name: &Text) {
        let is_it = |d: &Deployment| d.namespace == *namespace && d.name == *name;
        let deployments = self.deployments.iter().filter(|(_, r)| is_it(&r.deployment));
        self.dirty.extend(deployments.map(|(uid, _)| Owner::Deployment(*uid)));
        if let Some(set) = self.set_names.get(&(namespace.clone(), name.clone())) {
            self.dirty.insert(Owner::Set(*set));
        }
    }

    fn kindred(&self, namespace: &Text, name: &Text) -> impl Iterator<Item = &Relic> {
        let all = if self.orphans.kin.is_empty() {
            None
        } else {
            self.orphans.kin.get(&(namespace.clone(), name.clone()))
        };
        all.into_iter().flat_map(BTreeMap::values)
    }

    /// What an InPlaceSet may adopt: pods that match and are bound to its place and, when it stands alone, its revisions.
    pub(super) fn around_set(&self, record: &SetRecord, memory: &Memory) -> Around<'_> {
        let mut around = Around::default();
        if record.set.deleting {
            return around;
        }
        let spec = &record.set.spec;
        let place =
            spec.placement.as_ref().and_then(|p| Some((p.node_label_key.as_deref()?, p.value.as_deref()?)));
        let fits = |pod: &&OrphanPod| {
            let placed = place.is_none_or(|(key, value)| pod.place.is_bound_to(key, value));
            placed && spec.selector.matches(pod.labels.iter())
        };
        // Whose pods they are is not clear while an older object has a claim to them.
        let is_free =
            self.overlaps.of(record.set.uid).or_else(|| self.overlaps.of(record.set.owner?)).is_none();
        let here = self.orphans.pods.get(&record.namespace).filter(|_| is_free);
        let mut newest = 0;
        for pod in here.into_iter().flat_map(BTreeMap::values).filter(fits) {
            newest = newest.max(pod.sighting);
            around.orphans.push(pod.orphan.clone());
        }
        if record.set.owner.is_none() {
            let revisions = self.kindred(&record.namespace, &record.set.name);
            let unit = spec.placement.as_ref().map(|placement| placement.unit.as_str());
            let own = |r: &&Relic| r.orphan.kind == Kin::Revision && r.fits(&spec.selector, unit);
            for relic in revisions.filter(own) {
                newest = newest.max(relic.sighting);
                around.orphans.push(relic.orphan.clone());
            }
        }
        around.settle(self, memory, newest);
        around
    }

    /// What a CafeDeployment may adopt, and the InPlaceSets of its names that nobody owns.
    pub(super) fn around_deployment(&self, d: &Deployment, memory: &Memory) -> Around<'_> {
        let mut around = Around::default();
        let mut newest = 0;
        for relic in self.kindred(&d.namespace, &d.name).filter(|r| r.fits(&d.spec.selector, None)) {
            newest = newest.max(relic.sighting);
            around.orphans.push(relic.orphan.clone());
        }
        for name in names_of_sets(d) {
            let holder = self.set_names.get(&(d.namespace.clone(), name)).and_then(|uid| self.sets.get(uid));
            if let Some(record) = holder.filter(|record| record.set.owner.is_none()) {
                newest = newest.max(record.sighting);
                around.sets.push(&record.set);
            }
        }
        around.settle(self, memory, newest);
        around
    }
}

/// The names of the InPlaceSets that a CafeDeployment has or may have.
pub(super) fn names_of_sets(d: &Deployment) -> impl Iterator<Item = Text> {
    let units = d.spec.topology.values.iter().map(String::as_str).chain([cafe_crds::names::DEFAULT_UNIT]);
    units.map(|unit| set_name(&d.name, unit))
}

/// Whether labels no longer match the selector of the set: asked once for those that pods share.
pub(super) fn strays<'a>(record: &'a SetRecord) -> impl FnMut(&'a Labels) -> bool {
    let mut known: Vec<(&Labels, bool)> = Vec::new();
    move |labels| {
        if let Some((_, stray)) = known.iter().find(|(shared, _)| Arc::ptr_eq(shared, labels)) {
            return *stray;
        }
        let stray = !record.set.spec.selector.matches(labels.iter());
        known.push((labels, stray));
        stray
    }
}
