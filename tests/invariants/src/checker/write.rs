//! Requests: who wrote what, and whether they might.

use crate::event::{Body, Kind, Verb, Write};
use crate::record::{Identity, Uid};
use crate::{Rule, rules};

use super::Checker;
use super::world::Claim;

/// Milliseconds that a request may be on its way after its sender has looked at its claim.
const MARGIN: i64 = 1000;

impl Checker {
    pub(super) fn write(&mut self, write: &Write) {
        let mut write = write.clone();
        write.object.uid = self.uid_of(&write);
        self.note(&write);
        if write.ours {
            self.claimed(&write);
            self.in_place(&write);
            if let Some(body) = &write.body {
                self.guarded(&write, body);
            }
            if write.accepted {
                self.owned(&write);
                self.restless(&write);
            }
        }
        if write.kind == Kind::Lease && write.accepted {
            self.lease(&write);
        }
    }

    /// The object's uid, by its name when the request does not say.
    fn uid_of(&self, write: &Write) -> Uid {
        let identity = &write.object;
        let said = write.body.and_then(|b| b.uid).unwrap_or(identity.uid);
        if said != Uid::default() {
            return said;
        }
        let same = |other: &Identity| other.name == identity.name && other.namespace == identity.namespace;
        let found = match write.kind {
            Kind::Pod => self.world.names.get(&(identity.namespace.clone(), identity.name.clone())).copied(),
            Kind::Set => {
                let mut sets = self.world.units.values().filter_map(|u| u.set.as_ref());
                sets.find(|s| same(&s.identity)).map(|s| s.identity.uid)
            }
            Kind::Deployment => {
                let mut all = self.world.deployments.values().map(|a| &a.now.identity);
                all.find(|i| same(i)).map(|i| i.uid)
            }
            _ => None,
        };
        found.unwrap_or_default()
    }

    fn note(&mut self, write: &Write) {
        let uid = write.object.uid;
        if !write.accepted || uid == Uid::default() {
            return;
        }
        match write.verb {
            Verb::Create => {
                self.births.insert(uid);
            }
            Verb::Delete => {
                self.deletions.entry(uid).or_insert(write.ours);
            }
            Verb::Change | Verb::DeleteAll => {}
        }
        if write.ours && write.object.version > 0 {
            self.ours.insert((write.kind, uid), write.object.version);
        }
    }

    /// S10, S14, S15 and S17 of what a request says about itself.
    fn guarded(&mut self, write: &Write, body: &Body) {
        let object = &write.object;
        let ours =
            matches!(write.kind, Kind::Pod | Kind::Set | Kind::Deployment | Kind::Revision | Kind::Claim);
        if ours {
            self.judge(Rule::S15, rules::s15(body.finalizers), object);
        }
        if !ours || write.verb == Verb::Create {
            return;
        }
        // A write that changes nothing, or deletes, makes no version of its own: its place among the others is not known.
        let places = write.accepted && write.verb == Verb::Change && body.version != Some(object.version);
        let known = self.version_of(write).filter(|_| places && self.limits.chained);
        let uid = body.uid.is_some() && write.verb != Verb::DeleteAll;
        self.judge(Rule::S10, rules::s10(uid, body.version, known), object);
        if let Some(on) = body.version
            && write.accepted
            && write.verb == Verb::Change
            && object.version > 0
        {
            self.judge(Rule::S17, rules::s17_empty(on, object.version), object);
        }
        if write.kind == Kind::Pod && write.verb == Verb::Delete {
            let pod = self.world.tracked(object.uid).map(|(_, t)| &t.pod);
            let live = pod.is_some_and(|pod| self.world.on_live_node(pod));
            self.judge(Rule::S14, rules::s14_forced(body.forced, live), object);
        }
    }

    fn version_of(&self, write: &Write) -> Option<u64> {
        let uid = write.object.uid;
        match write.kind {
            Kind::Pod => self.world.tracked(uid).map(|(_, t)| t.pod.identity.version),
            Kind::Set => self.world.set(uid).map(|s| s.identity.version),
            Kind::Deployment => self.world.deployments.get(&uid).map(|a| a.now.identity.version),
            _ => None,
        }
    }

    /// S12 and S19: whose object it is.
    fn owned(&mut self, write: &Write) {
        let uid = write.object.uid;
        if write.kind == Kind::Set && write.verb == Verb::Delete {
            let Some(unit) = self.world.unit(uid) else { return };
            let Some(set) = &unit.set else { return };
            let goes = self.world.application(set).is_none_or(|a| a.now.deleting);
            let serving = if goes { 0 } else { unit.serving() };
            self.judge_whole(Rule::S19, rules::s19_set(serving), &write.object);
        }
        if write.kind != Kind::Pod || write.verb == Verb::Create {
            return;
        }
        let known = self.world.tracked(uid).is_some();
        if known || self.limits.complete {
            let adopts = write.body.is_some_and(|b| b.adopts);
            self.judge(Rule::S12, rules::s12_write(known, adopts), &write.object);
        }
        if write.verb == Verb::Delete {
            self.of_workload(uid, &write.object);
        }
    }

    /// S19: while a workload goes, a pod that nobody reserved is deleted only if it is of that workload.
    fn of_workload(&mut self, uid: Uid, object: &Identity) {
        let Some((unit, tracked)) = self.world.tracked(uid) else { return };
        let Some(set) = &unit.set else { return };
        let deletes =
            |s: &crate::record::Set| s.deleting || self.world.application(s).is_some_and(|a| a.now.deleting);
        let near = |s: &crate::record::Set| s.identity.namespace == object.namespace;
        let others = self.world.units.values().filter_map(|u| u.set.as_ref());
        let any_goes = others.filter(|s| near(s)).any(deletes);
        if any_goes {
            let of_it = deletes(set) || set.entry(uid).is_some() || tracked.pod.finished;
            self.judge(Rule::S19, rules::s19_pod(of_it), object);
        }
    }

    /// S17: at the goal nothing is written. What the goal itself has caused may still be reported.
    fn restless(&mut self, write: &Write) {
        let uid = write.object.uid;
        let set = match write.kind {
            Kind::Deployment => None,
            Kind::Set => Some(uid),
            Kind::Pod => self.world.homes.get(&uid).copied(),
            _ => return,
        };
        let owner = match set {
            None => Some(uid),
            Some(set) => self.world.set(set).and_then(|s| s.owner),
        };
        let Some(owner) = owner.filter(|owner| self.limits.attributed && self.is_at_goal(*owner)) else {
            return;
        };
        let most = crate::count(self.world.units_of(owner)) + 2;
        let Some(application) = self.world.deployments.get_mut(&owner) else { return };
        application.restless += 1;
        let writes = application.restless;
        self.judge_whole(Rule::S17, rules::s17_goal(writes, most), &write.object);
    }

    /// S22.
    fn in_place(&mut self, write: &Write) {
        let namespace = &write.object.namespace;
        let elsewhere = match write.kind {
            Kind::Lease | Kind::Event => None,
            Kind::Other | Kind::Node | Kind::Slice => Some("a kind that is none of ours"),
            _ if namespace.is_empty() => Some("an object without a namespace"),
            Kind::Deployment | Kind::Set => None,
            _ if self.limits.complete && !self.namespaces.contains(namespace) => {
                Some("a namespace without a workload")
            }
            _ => None,
        };
        self.judge(Rule::S22, rules::s22(elsewhere), &write.object);
        if write.panicked {
            self.judge(Rule::S22, Err(crate::Breach::Panicked), &write.object);
        }
    }

    /// S16.
    fn claimed(&mut self, write: &Write) {
        if write.kind == Kind::Lease {
            return;
        }
        if let Some(claim) = self.claims.get(&write.client) {
            let until = claim.until;
            self.judge(Rule::S16, rules::s16(write.received, until, MARGIN), &write.object);
        }
    }

    /// A renewal prolongs its client's claim, and ends those of other holders.
    fn lease(&mut self, write: &Write) {
        let Some(lease) = write.lease.as_ref().filter(|_| write.ours) else { return };
        let claim = Claim::of(lease, write.received);
        for (client, other) in &mut self.claims {
            let same = *client == write.client || claim.as_ref().is_some_and(|c| c.holder == other.holder);
            if !same || claim.is_none() {
                other.until = other.until.min(write.received);
            }
        }
        if let Some(claim) = claim {
            self.claims.insert(write.client.clone(), claim);
        }
    }
}
