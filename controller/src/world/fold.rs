//! Folding frames and answers into records. Each object moves forward only: what is older than the record is ignored.

use cafe_planner::{Text, deployment::Deployment, identity::Uid, set::Census};
use kube::{
    Resource,
    core::{DeserializeGuard, error_boundary::InvalidObject},
    runtime::watcher::Event,
};

use super::{DeploymentRecord, Kind, Owner, PodRecord, RevisionRecord, SetRecord, World};
use crate::{
    observe::{
        pod,
        records::{self, resource_version},
        slim::{DeploymentObject, PodObject, RevisionObject, SetObject},
    },
    watch::{Frame, Observed},
};

impl World {
    /// Takes one frame in.
    pub(crate) fn fold(&mut self, frame: Frame) {
        let scope = frame.scope.as_ref();
        match frame.event {
            Observed::Deployment(e) => self.fold_guarded(Kind::Deployment, scope, e, Self::see_deployment),
            Observed::Set(e) => self.fold_guarded(Kind::Set, scope, e, Self::see_set),
            Observed::Release(e) => self.fold_guarded(Kind::Release, scope, e, Self::see_chronicle),
            Observed::Revision(e) => self.fold_event(Kind::Revision, scope, e, Self::see_revision),
            Observed::Pod(e) => self.fold_event(Kind::Pod, scope, e, Self::see_pod),
            Observed::Slice(e) => self.fold_event(Kind::Slice, scope, e, Self::see_slice),
            Observed::Node(e) => self.fold_event(Kind::Node, scope, e, Self::see_node),
            Observed::Claim(e) => self.fold_event(Kind::Claim, scope, e, Self::see_claim),
            Observed::Broken(kind, error) => {
                tracing::warn!(
                    kind,
                    error = &*error as &dyn std::error::Error,
                    "watch broke and starts again"
                );
            }
        }
    }

    /// An object that cannot be decoded must not stop the watch: it is reported, and keeps the record it had.
    fn fold_guarded<K: Resource<DynamicType = ()>>(
        &mut self,
        kind: Kind,
        scope: Option<&Text>,
        event: Event<DeserializeGuard<K>>,
        see: fn(&mut Self, K),
    ) where
        DeserializeGuard<K>: Resource,
    {
        let unwrapped = |world: &mut Self, guard: DeserializeGuard<K>| match guard.0 {
            Ok(object) => Some(object),
            Err(invalid) => {
                world.report_invalid(kind, &invalid);
                None
            }
        };
        let event = match event {
            Event::Init => Event::Init,
            Event::InitDone => Event::InitDone,
            Event::InitApply(g) => match unwrapped(self, g) {
                Some(object) => Event::InitApply(object),
                None => return,
            },
            Event::Apply(g) => match unwrapped(self, g) {
                Some(object) => Event::Apply(object),
                None => return,
            },
            Event::Delete(g) => match g.0 {
                Ok(object) => Event::Delete(object),
                Err(invalid) => {
                    if let Some(uid) = uid_of(&invalid.metadata) {
                        self.remove(kind, uid);
                    }
                    return;
                }
            },
        };
        self.fold_event(kind, scope, event, see);
    }

    fn report_invalid(&mut self, kind: Kind, invalid: &InvalidObject) {
        let (namespace, name) = (invalid.metadata.namespace.as_deref(), invalid.metadata.name.as_deref());
        tracing::warn!(resource = kind.resource(), namespace, name, error = %invalid.error, "cannot read this object; it keeps its last known state");
        if let Some(uid) = uid_of(&invalid.metadata) {
            self.relists.see(kind, uid);
        }
    }

    fn fold_event<K: Resource<DynamicType = ()>>(
        &mut self,
        kind: Kind,
        scope: Option<&Text>,
        event: Event<K>,
        see: fn(&mut Self, K),
    ) {
        match event {
            Event::Init => self.relists.begin(kind, scope),
            Event::InitApply(object) => {
                self.compare_with_history(kind, scope, object.meta());
                self.take(kind, object, see);
            }
            Event::Apply(object) => {
                self.relists.reached(kind, scope, resource_version(object.meta()));
                self.take(kind, object, see);
            }
            Event::InitDone => {
                let Some(seen) = self.relists.end(kind, scope) else { return };
                for uid in self.uids(kind, scope) {
                    if !seen.contains(&uid) {
                        self.remove(kind, uid);
                    }
                }
            }
            Event::Delete(object) => {
                if let Some(uid) = uid_of(object.meta()) {
                    self.remove(kind, uid);
                }
            }
        }
    }

    fn take<K: Resource<DynamicType = ()>>(&mut self, kind: Kind, object: K, see: fn(&mut Self, K)) {
        if let Some(uid) = uid_of(object.meta()) {
            self.relists.see(kind, uid);
        }
        see(self, object);
    }

    /// Takes in the object that answered a write, unless it is known to be gone by now.
    pub(crate) fn see_answer<K: Resource<DynamicType = ()>>(
        &mut self,
        kind: Kind,
        object: K,
        see: fn(&mut Self, K),
    ) {
        let Some(uid) = uid_of(object.meta()) else { return };
        if !self.buried.contains(&uid) {
            self.relists.see(kind, uid);
            see(self, object);
        }
    }

    fn uids(&self, kind: Kind, scope: Option<&Text>) -> Vec<Uid> {
        let within = |namespace: &Text| scope.is_none_or(|s| s == namespace);
        let mut orphans = self.orphans.uids(kind, scope);
        orphans.extend(match kind {
            Kind::Deployment => self
                .deployments
                .iter()
                .filter(|(_, r)| within(&r.deployment.namespace))
                .map(|(u, _)| *u)
                .collect(),
            Kind::Set => self.sets.iter().filter(|(_, r)| within(&r.namespace)).map(|(u, _)| *u).collect(),
            Kind::Release => {
                self.chronicles.iter().filter(|(_, r)| within(&r.namespace)).map(|(u, _)| *u).collect()
            }
            Kind::Revision => {
                self.revisions.iter().filter(|(_, r)| within(&r.namespace)).map(|(u, _)| *u).collect()
            }
            Kind::Pod => {
                self.pods.iter().filter(|r| within(&r.family.namespace)).map(|r| r.pod.uid).collect()
            }
            Kind::Slice => {
                self.slices.iter().filter(|(_, r)| within(&r.namespace)).map(|(u, _)| *u).collect::<Vec<_>>()
            }
            Kind::Node => self.nodes.uids(),
            Kind::Claim => self.claims.iter().filter(|(_, r)| within(&r.home.0)).map(|(u, _)| *u).collect(),
        });
        orphans
    }

    pub(crate) fn see_deployment(&mut self, object: DeploymentObject) {
        let created = records::seconds(object.metadata.0.creation_timestamp.as_ref());
        let Some((deployment, content)) = records::deployment(object, &mut self.contents, self.trusts_stamps)
        else {
            return;
        };
        let uid = deployment.uid;
        if self.deployments.get(&uid).is_some_and(|old| old.deployment.rv > deployment.rv) {
            return;
        }
        let before = self.deployments.get(&uid).map(|old| old.deployment.generation);
        if before.is_some_and(|generation| generation != deployment.generation) {
            self.end_rest(Owner::Deployment(uid));
        }
        self.writes.saw(uid, deployment.rv);
        self.end_pause(Owner::Deployment(uid));
        self.mark(Owner::Deployment(uid));
        let record = DeploymentRecord { deployment, content };
        if before != Some(record.deployment.generation) {
            self.claim_deployment(&record, created);
        }
        self.deployments.insert(uid, record);
    }

    pub(crate) fn see_set(&mut self, object: SetObject) {
        let created = records::seconds(object.metadata.0.creation_timestamp.as_ref());
        let Some((set, namespace, content)) = records::set(object, &mut self.contents, &mut self.interner)
        else {
            return;
        };
        let uid = set.uid;
        let old = self.sets.remove(&uid);
        if let Some(old) = old.as_ref().filter(|old| old.set.owner != set.owner && old.set.rv <= set.rv) {
            self.disown_set(uid, old.set.owner);
            self.mark_those_who_want(&namespace, &set.name);
        }
        let claims =
            old.as_ref().map(|old| (old.set.generation, old.set.owner)) != Some((set.generation, set.owner));
        let census = match old {
            Some(old) if old.set.rv > set.rv => {
                self.sets.insert(uid, old);
                return;
            }
            Some(old) => {
                if old.set.generation != set.generation {
                    self.end_rest(Owner::Set(uid));
                }
                old.census
            }
            None => Census::default(),
        };
        self.writes.saw(uid, set.rv);
        self.end_pause(Owner::Set(uid));
        self.mark(Owner::Set(uid));
        if let Some(owner) = set.owner {
            self.sets_of.entry(owner).or_default().insert(uid);
            self.mark(Owner::Deployment(owner));
        }
        self.set_names.insert((namespace.clone(), set.name.clone()), uid);
        self.sets_in.entry(namespace.clone()).or_default().insert(uid);
        let sighting = if set.owner.is_none() { self.orphans.sight() } else { 0 };
        if sighting > 0 {
            self.mark_those_who_want(&namespace, &set.name);
        }
        let record = SetRecord { set, namespace, content, census, sighting };
        if claims {
            self.claim_set(&record, created);
        }
        self.sets.insert(uid, record);
    }

    pub(crate) fn see_revision(&mut self, object: RevisionObject) {
        let namespace = object.metadata.0.namespace.clone().unwrap_or_default();
        let (uid, rv) = (uid_of(&object.metadata.0), resource_version(&object.metadata.0));
        let known = uid.filter(|uid| self.revisions.contains_key(uid));
        let leaving = object.metadata.0.deletion_timestamp.is_some();
        let kindred = records::orphaned_revision(&object);
        let record = records::revision(object, &mut self.contents, &mut self.interner);
        let Some((revision, owner, content)) = record.filter(|_| !leaving) else {
            // No longer ours, or on its way out whatever still holds it: as good as gone.
            if let Some(uid) = known {
                self.forget_revision(uid);
            }
            self.see_foreign(uid, rv, kindred);
            return;
        };
        let uid = revision.uid;
        if self.orphans.resource_version(uid).is_some_and(|known| known > revision.rv) {
            return;
        }
        self.lose_orphan(uid);
        if let Some(old) = self.revisions.get(&uid).map(|r| r.owner).filter(|old| *old != owner) {
            unlink(&mut self.revisions_of, old, uid);
        }
        if self.revisions.get(&uid).is_some_and(|old| old.revision.rv > revision.rv) {
            return;
        }
        self.writes.saw(uid, revision.rv);
        self.revisions_of.entry(owner).or_default().insert(uid);
        let namespace = self.interner.text(&namespace);
        self.revisions.insert(uid, RevisionRecord { revision, owner, namespace, content });
        self.mark_revision_owner(owner);
    }

    #[allow(clippy::needless_pass_by_value, reason = "one signature for all kinds")]
    pub(crate) fn see_pod(&mut self, object: PodObject) {
        let set = pod::controller(&object.metadata.0, "InPlaceSet");
        let uid = uid_of(&object.metadata.0);
        let Some(uid) = uid else { return };
        let rv = resource_version(&object.metadata.0);
        let Some(set) = set else {
            // Not ours, or no longer.
            if self.pods.get(uid).is_none_or(|old| old.pod.rv <= rv) {
                self.forget_pod(uid);
                self.see_orphan_pod(&object, uid);
            }
            return;
        };
        if self.orphans.resource_version(uid).is_some_and(|known| known > rv) {
            return;
        }
        self.lose_orphan(uid);
        if self.pods.get(uid).is_some_and(|old| old.pod.rv > rv) {
            return;
        }
        let Some(pod) = pod::record(&object, &mut self.interner) else { return };
        self.writes.saw(uid, rv);
        if let Some(memory) = self.memory.get_mut(&Owner::Set(set)) {
            memory.creating.retain(|(name, _)| *name != pod.name);
            // The set's own by now, and so its name.
            memory.occupied.retain(|name| *name != pod.name);
        }
        let meta = &object.metadata.0;
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let family = self.interner.family(set, namespace, meta.labels.as_ref());
        match self.pods.get_mut(uid) {
            Some(old) if old.pod == pod && old.family == family => return,
            Some(old) => {
                let before = std::mem::replace(&mut old.family, family).set;
                old.pod = pod;
                self.move_pod(uid, before, set);
            }
            None => {
                let endpoints = self.foreign_endpoints.remove(&uid).unwrap_or_default();
                self.members.insert(&self.pods, set, &pod.name, uid);
                self.pods.insert(PodRecord { pod, family, endpoints, fenced: false });
            }
        }
        self.mark(Owner::Set(set));
    }

    /// The pod belongs to another set than before.
    fn move_pod(&mut self, uid: Uid, from: Uid, to: Uid) {
        let Some(record) = self.pods.get(uid).filter(|_| from != to) else { return };
        self.members.remove(&self.pods, from, &record.pod.name, uid);
        self.members.insert(&self.pods, to, &record.pod.name, uid);
        self.mark(Owner::Set(from));
    }

    /// The owner itself has changed, not one of its many pods: a group may begin with it.
    fn end_pause(&mut self, owner: Owner) {
        if let Some(memory) = self.memory.get_mut(&owner) {
            memory.pausing_until = None;
        }
    }

    /// The owner has changed: what was refused before may be what has just been mended.
    fn end_rest(&mut self, owner: Owner) {
        let memory = self.memory(owner);
        memory.resting_until = None;
        memory.refusals.clear();
        memory.refused = None;
    }

    /// The set is no longer `owner`'s.
    pub(super) fn disown_set(&mut self, uid: Uid, owner: Option<Uid>) {
        if let Some(owner) = owner {
            unlink(&mut self.sets_of, owner, uid);
            self.mark(Owner::Deployment(owner));
        }
    }

    /// A name has come free: CafeDeployments that may have waited for it are planned again.
    pub(super) fn mark_those_who_want(&mut self, namespace: &Text, name: &Text) {
        let wants = |d: &Deployment| d.namespace == *namespace && name.starts_with(&*d.name);
        let waiting = self.deployments.iter().filter(|(_, r)| wants(&r.deployment));
        self.dirty.extend(waiting.map(|(uid, _)| Owner::Deployment(*uid)));
    }

    /// A revision concerns its owner, and the sets that take their templates from it.
    pub(super) fn mark_revision_owner(&mut self, owner: Uid) {
        let sets = self.sets_of.get(&owner).into_iter().flatten().map(|uid| Owner::Set(*uid));
        self.dirty.extend(sets);
        let owner = if self.sets.contains_key(&owner) { Owner::Set(owner) } else { Owner::Deployment(owner) };
        self.mark(owner);
    }
}

pub(super) fn uid_of(meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Option<Uid> {
    meta.uid.as_deref().and_then(|uid| uid.parse().ok())
}

pub(super) fn unlink(
    index: &mut foldhash::HashMap<Uid, std::collections::BTreeSet<Uid>>,
    owner: Uid,
    uid: Uid,
) {
    if let Some(members) = index.get_mut(&owner) {
        members.remove(&uid);
        if members.is_empty() {
            index.remove(&owner);
        }
    }
}
