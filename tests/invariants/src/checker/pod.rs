//! Versions of pods: births, moves, drains.

use crate::record::{Identity, Pod, Revision, Text, Uid};
use crate::{Kind, Rule, rules};

use super::Checker;
use super::unit::Tracked;

impl Checker {
    pub(super) fn pod(&mut self, pod: Pod) {
        self.judge(Rule::S12, rules::s12(pod.controllers), &pod.identity);
        let uid = pod.identity.uid;
        let home = pod.owner.filter(|_| pod.of_set);
        if self.world.homes.get(&uid).copied() != home {
            self.forget(uid);
        }
        let Some(home) = home else { return };
        self.alone(&pod);
        self.world.homes.insert(uid, home);
        self.world.names.insert(name_of(&pod.identity), uid);
        let now = self.now;
        let unit = self.world.units.entry(home).or_default();
        match unit.pods.get_mut(&uid) {
            None => {
                unit.pods.insert(uid, Tracked::new(pod, now));
                if self.limits.complete || self.births.contains(&uid) {
                    self.born(home, uid);
                }
            }
            Some(tracked) => {
                let before = tracked.pod.clone();
                tracked.advance(pod, now);
                self.changed(home, &before);
            }
        }
        self.images(home, uid);
        self.counted(home, uid);
    }

    /// S14: nobody else with this name or one of these claims runs.
    fn alone(&mut self, pod: &Pod) {
        let uid = pod.identity.uid;
        if let Some(other) = self.world.names.get(&name_of(&pod.identity)).copied().filter(|o| *o != uid) {
            let runs = self.world.tracked(other).is_some_and(|(_, t)| self.runs(&t.pod));
            // The API server frees a name once its pod is gone: a source that shows less has only missed that.
            self.judge_whole(Rule::S14, rules::s14(runs), &pod.identity);
            self.forget(other);
        }
        if pod.claims.is_empty() || !pod.running {
            return;
        }
        let shares = |other: &Pod| {
            other.identity.uid != uid
                && other.identity.namespace == pod.identity.namespace
                && other.claims.iter().any(|claim| pod.claims.contains(claim))
        };
        let twice = self.world.pods().any(|t| shares(&t.pod) && self.runs(&t.pod));
        self.judge_whole(Rule::S14, rules::s14(twice), &pod.identity);
    }

    fn runs(&self, pod: &Pod) -> bool {
        pod.running && !pod.finished && self.world.on_live_node(pod)
    }

    fn born(&mut self, home: Uid, uid: Uid) {
        let Some(unit) = self.world.unit(home) else { return };
        let Some(tracked) = unit.pods.get(&uid) else { return };
        let (pod, live) = (tracked.pod.clone(), crate::count(unit.live()));
        if unit.set.is_some() && pod.lives() {
            let replicas = unit.replicas.range(|n| *n).most;
            self.judge_whole(Rule::S21, rules::s21(live, replicas), &pod.identity);
        }
        self.arrived(home, &pod);
        self.in_group(home, &pod);
    }

    fn changed(&mut self, home: Uid, before: &Pod) {
        let uid = before.identity.uid;
        let Some(now) = self.world.tracked(uid).map(|(_, t)| t.pod.clone()) else { return };
        let ours = self.is_ours(Kind::Pod, &now.identity);
        let moved_address = !before.address.is_empty() && before.address != now.address;
        self.judge(Rule::S14, rules::s14_address(moved_address), &now.identity);
        if ours == Some(true) {
            let touched = before.finalizers != now.finalizers;
            self.judge_whole(Rule::S15, rules::s15(touched), &now.identity);
        } else if let Some(application) = self.application_of(home) {
            application.restless = 0;
        }
        if before.group != now.group {
            self.judge(Rule::S4, rules::s4_membership(before.group, now.group), &now.identity);
            self.in_group(home, &now);
        }
        if before.revision != now.revision {
            self.arrived(home, &now);
        }
        if ours != Some(false) {
            self.drained(before, &now);
            self.stopped(before, &now);
        }
        if let Some((_, tracked)) = self.world.tracked_mut(uid).filter(|_| now.serves()) {
            (tracked.out, tracked.former_grant) = (false, 0);
        }
    }

    /// S4 and S7 of a pod that has just got its revision.
    fn arrived(&mut self, home: Uid, pod: &Pod) {
        let Some(unit) = self.world.unit(home) else { return };
        let Some(set) = &unit.set else { return };
        let application = self.world.application(set);
        let orders = |which: fn(&super::unit::Orders) -> Option<Revision>| {
            unit.targets.values().any(|orders| which(orders) == pod.revision)
        };
        let latched = application.is_some_and(|a| a.now.target == pod.revision);
        let (base, target) = (orders(|o| o.base), latched || orders(|o| o.target));
        // A set that has not written a status yet, and whose owner has not, says nothing about revisions; nor does one that stands
        // alone of a template that its status has not heard of.
        let says = set.owner.is_some() || (self.limits.complete && set.has_heard());
        let known =
            latched || (says && unit.targets.values().any(|o| o.target.is_some() || o.base.is_some()));
        let quota = application.filter(|a| a.now.target == pod.revision).and_then(|application| {
            let lowered = application.lowered.get(&set.unit).copied().unwrap_or_default();
            Some(application.now.quota(&set.unit)?.updated.max(lowered))
        });
        let there = unit.live().filter(|t| t.pod.revision == pod.revision);
        let there = crate::count(there);
        if known {
            self.judge(Rule::S7, rules::s7_revision(base, target), &pod.identity);
        }
        if let Some(quota) = quota.filter(|_| pod.lives()) {
            self.judge_whole(Rule::S4, rules::s4(there, quota), &pod.identity);
        }
    }

    /// S4: the group it moved with is open.
    fn in_group(&mut self, home: Uid, pod: &Pod) {
        let release = self.application_of(home).and_then(|a| a.now.release.as_ref());
        let open = release.map(|r| (r.revision, r.group));
        if let (Some((release, group)), Some((revision, open))) = (pod.group, open)
            && release == revision
        {
            self.judge(Rule::S4, rules::s4_group(group, open), &pod.identity);
        }
    }

    /// W1: only a reserved pod is taken out, and never more pods than the budget.
    fn drained(&mut self, before: &Pod, now: &Pod) {
        if now.drain().is_none() || before.drain() == now.drain() {
            return;
        }
        let uid = now.identity.uid;
        let Some((unit, _)) = self.world.tracked(uid) else { return };
        let Some(set) = &unit.set else { return };
        let entry = set.entry(uid).or_else(|| unit.taken.iter().find(|e| e.pod == uid)).copied();
        self.judge(Rule::S2, rules::s2_touch(entry.is_some(), "taken out of traffic"), &now.identity);
        // One that is surplus was never promised.
        if !before.serves() || entry.is_none_or(|e| e.to.is_none()) {
            return;
        }
        if let Some((_, tracked)) = self.world.tracked_mut(uid) {
            tracked.out = true;
        }
        self.within_budget(uid, now);
    }

    /// S1, of the set by its grant and of the application by its budget. Fewer pods may be missing than are out, when those on
    /// their way out have become surplus; and more, when pods broke by themselves.
    fn within_budget(&mut self, uid: Uid, now: &Pod) {
        let Some((unit, _)) = self.world.tracked(uid) else { return };
        let Some(set) = &unit.set else { return };
        let siblings = self.world.siblings(set);
        let out = |units: &[&super::unit::Unit]| {
            let gone = units.iter().flat_map(|u| u.pods.values()).filter(|t| t.out);
            let wanted: i64 = units.iter().filter_map(|u| u.set.as_ref()).map(|s| s.replicas).sum();
            let serving: i64 = units.iter().map(|u| u.serving()).sum();
            crate::count(gone).min(wanted - serving)
        };
        // A smaller budget counts for a set once it is granted.
        let granted: i64 = siblings.iter().map(|u| u.may_be_out()).sum();
        let budget = self.world.application(set).map_or(granted, |a| a.budget().max(granted));
        let (in_all, in_set, grant) = (out(&siblings), out(&[unit]), unit.may_be_out());
        self.judge_whole(Rule::S1, rules::s1(in_all, budget), &now.identity);
        self.judge_whole(Rule::S1, rules::s1(in_set, grant), &now.identity);
    }

    /// S11: pods in service run what their label says, so their image is that of the revision.
    fn images(&mut self, home: Uid, uid: Uid) {
        let Some((unit, tracked)) = self.world.tracked(uid) else { return };
        let pod = &tracked.pod;
        let Some(revision) = pod.revision.filter(|_| pod.serves()) else { return };
        let owner = unit.set.as_ref().and_then(|set| set.owner).unwrap_or(home);
        let node = self.world.nodes.get(&pod.node);
        let architecture = node.map_or_else(|| Text::from(""), |node| node.architecture.clone());
        let identity = pod.identity.clone();
        let runs: Vec<_> = pod.containers.iter().map(|c| (c.name.clone(), c.runs.clone())).collect();
        for (container, image) in runs.into_iter().filter(|(_, image)| !image.is_empty()) {
            let key = (owner, revision, container, architecture.clone());
            let first = self.images.entry(key).or_insert_with(|| image.clone()).clone();
            self.judge(Rule::S11, rules::s11(&first, &image), &identity);
        }
    }

    /// Notes the figures after a change of a pod.
    fn counted(&mut self, home: Uid, uid: Uid) {
        let endpoints = self.world.endpoints(uid);
        let (now, lag) = (self.now, self.limits.lag);
        let Some(unit) = self.world.units.get_mut(&home) else { return };
        let unselect = unit.set.as_ref().is_some_and(|set| set.unselect);
        if let Some(tracked) = unit.pods.get_mut(&uid) {
            tracked.note_drained(endpoints.in_the_way(unselect), now);
        }
        let figures = unit.figures();
        unit.figures.push(figures, now, lag);
    }

    pub(super) fn pod_gone(&mut self, identity: &Identity) {
        let home = self.world.homes.get(&identity.uid).copied();
        self.forget(identity.uid);
        if let Some(home) = home {
            self.counted(home, identity.uid);
        }
    }

    fn forget(&mut self, uid: Uid) {
        let Some(home) = self.world.homes.remove(&uid) else { return };
        let Some(unit) = self.world.units.get_mut(&home) else { return };
        if let Some(tracked) = unit.pods.remove(&uid) {
            let name = name_of(&tracked.pod.identity);
            if self.world.names.get(&name) == Some(&uid) {
                self.world.names.remove(&name);
            }
        }
    }
}

fn name_of(identity: &Identity) -> (Text, Text) {
    (identity.namespace.clone(), identity.name.clone())
}
