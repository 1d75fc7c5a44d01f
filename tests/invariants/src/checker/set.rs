//! Versions of InPlaceSets: reservations, grants, acknowledgements, counts.

use crate::record::{Entry, Gate, Identity, Set, Uid};
use crate::rules::{Move, Range};
use crate::{Kind, Rule, count, rules};

use super::Checker;
use super::unit::{Orders, Tracked, Unit};
use super::world::Application;

impl Checker {
    pub(super) fn set(&mut self, set: &Set) {
        let identity = set.identity.clone();
        self.namespaces.insert(identity.namespace.clone());
        let unit = self.world.units.entry(identity.uid).or_default();
        let before = unit.set.take();
        let shrinks = before.as_ref().map(|b| b.grant).filter(|grant| set.grant < *grant);
        if let Some(grant) = shrinks {
            for entry in &set.journal {
                if let Some(tracked) = unit.pods.get_mut(&entry.pod) {
                    tracked.former_grant = tracked.former_grant.max(grant);
                }
            }
        }
        let (now, lag) = (self.now, self.limits.lag);
        if before.is_none() {
            // A set begins with the pods that are there: none, as a rule.
            let figures = unit.figures();
            unit.figures.push(figures, now, lag);
        }
        unit.replicas.push(set.replicas, now, lag);
        unit.targets.push(Orders { target: set.target, base: set.base }, now, lag);
        unit.set = Some(set.clone());
        match &before {
            Some(before) if set.observed.is_none() && before.observed.is_some() => {
                let by_others = self.losable.contains(&identity.uid);
                unit.taken = if by_others { before.journal.clone() } else { Vec::new() };
            }
            _ if set.observed.is_some() => unit.taken = Vec::new(),
            _ => {}
        }
        if self.is_ours(Kind::Set, &identity) != Some(true)
            && let Some(application) = self.application_of(identity.uid)
        {
            application.restless = 0;
        }
        self.heard(set);
        self.granted(set, before.as_ref());
        let observed = self.said(identity.uid, before.as_ref().and_then(|b| b.observed), set.observed);
        self.judge(Rule::S18, rules::s18_observed(observed, set.observed, set.generation), &identity);
        let Some(before) = before else { return };
        // A source that merges versions shows no version that the journal was written on.
        if before.generation == set.generation && before.journal != set.journal {
            self.journal(&before, set);
        }
        if before.counts != set.counts {
            self.count_set(identity.uid);
        }
        self.capped(&before, set);
    }

    pub(super) fn set_gone(&mut self, identity: &Identity) {
        if let Some(unit) = self.world.units.get_mut(&identity.uid) {
            unit.set = None;
        }
    }

    /// What scaling has lowered counts once the set works on it.
    fn heard(&mut self, set: &Set) {
        let Some(application) = set.owner.and_then(|owner| self.world.deployments.get_mut(&owner)) else {
            return;
        };
        let follows = application.now.quota(&set.unit).is_some_and(|q| q.replicas == set.replicas);
        if set.has_heard() && follows {
            application.lowered.remove(&set.unit);
        }
    }

    /// S20.
    fn granted(&mut self, set: &Set, before: Option<&Set>) {
        let Some(application) = self.world.application(set) else { return };
        let sets = self.world.siblings(set);
        let sum: i64 = sets.iter().filter_map(|u| u.set.as_ref()).map(|s| s.grant).sum();
        let grows = set.grant > before.map_or(0, |b| b.grant);
        let budget = application.budget();
        self.judge_whole(Rule::S20, rules::s20(sum, budget, grows), &set.identity);
    }

    /// S2, S4, S5, S7, S8 and S9 of what is reserved.
    fn journal(&mut self, before: &Set, set: &Set) {
        let pods: Vec<Uid> = set.journal.iter().map(|e| e.pod).collect();
        self.judge(Rule::S2, rules::s2_journal(&pods), &set.identity);
        let added: Vec<Entry> =
            set.journal.iter().filter(|e| before.entry(e.pod).is_none()).copied().collect();
        if added.is_empty() {
            return;
        }
        let Some(unit) = self.world.unit(set.identity.uid) else { return };
        let look = Look { checker: self, unit, set, application: self.world.application(set), added };
        let (costing, out) = (look.costing(), look.out());
        let moves = count(look.moves());
        let (there, quota) = look.at_target();
        let (bases, superseded) = look.order();
        let again = look.touched_again();
        let failed = look.failed();
        let identity = &set.identity;
        self.judge_whole(Rule::S2, rules::s2(costing, out, set.grant), identity);
        self.judge(Rule::S5, rules::s5(before.paused, moves), identity);
        if moves > 0 && set.target.is_some() {
            self.judge_whole(Rule::S4, rules::s4(there, quota), identity);
        }
        self.judge_whole(Rule::S7, rules::s7_order(bases, superseded), identity);
        if let Some(again) = again {
            self.judge(Rule::S8, rules::s8(true, again), identity);
        }
        if let Some((costing, failed, window)) = failed {
            self.judge_whole(Rule::S9, rules::s9(costing, failed, window), identity);
        }
    }

    /// S18 of a set's figures.
    pub(super) fn count_set(&mut self, uid: Uid) {
        let Some(unit) = self.world.unit(uid).filter(|_| self.limits.complete) else { return };
        let Some(set) = unit.set.clone().filter(|s| s.observed.is_some()) else { return };
        let figures = &unit.figures;
        let target = set.target.unwrap_or_default();
        let at = |serving: bool| {
            figures.range(|f| f.at.get(&target).map_or(0, |at| if serving { at.1 } else { at.0 }))
        };
        // Protectors and minReadySeconds make a pod available later than it serves.
        let at_most = |range: Range| Range { least: 0, ..range };
        let serving = figures.range(|f| f.serving);
        let serving = if set.waits_for_ready { at_most(serving) } else { serving };
        let checks = [
            ("replicas", set.counts.replicas, figures.range(|f| f.live)),
            ("ready", set.counts.ready, figures.range(|f| f.ready)),
            ("available", set.counts.available, serving),
            ("updated", set.counts.updated, at(false)),
            ("updated and available", set.counts.updated_available, at_most(at(true))),
        ];
        for (what, said, there) in checks {
            self.judge(Rule::S18, rules::s18_count(what, said, there), &set.identity);
        }
    }

    /// S13.
    fn capped(&mut self, before: &Set, set: &Set) {
        let Some(ceiling) = set.ceiling else { return };
        let had = before.ceiling.unwrap_or(before.replicas).min(before.replicas);
        if before.ceiling == set.ceiling || ceiling >= had {
            return;
        }
        let Some(unit) = self.world.unit(set.identity.uid) else { return };
        let lately = unit.live().filter(|t| t.pod.serves() && !self.is_recent(t.entered));
        let serving = count(lately);
        let placed = |labels: &[(crate::record::Text, crate::record::Text)]| {
            set.place.as_ref().is_some_and(|place| labels.contains(place))
        };
        let nodes: Vec<bool> =
            self.world.nodes.values().filter(|n| placed(&n.labels)).map(|n| n.ready).collect();
        let it = Move {
            ceiling,
            moved: had - ceiling,
            serving,
            out: had - serving,
            nodes: count(nodes.iter()),
            down: count(nodes.iter().filter(|ready| !**ready)),
        };
        self.judge_whole(Rule::S13, rules::s13(&it), &set.identity);
    }

    pub(super) fn application_of(&mut self, set: Uid) -> Option<&mut Application> {
        let owner = self.world.set(set)?.owner?;
        self.world.deployments.get_mut(&owner)
    }
}

/// One write of a journal, and what it was written on.
struct Look<'a> {
    checker: &'a Checker,
    unit: &'a Unit,
    set: &'a Set,
    application: Option<&'a Application>,
    added: Vec<Entry>,
}

impl Look<'_> {
    fn pod(&self, entry: &Entry) -> Option<&Tracked> {
        self.unit.pods.get(&entry.pod)
    }

    /// Whether it served when the write was decided: what came into service on its way is no cost.
    fn served(&self, tracked: &Tracked) -> bool {
        tracked.pod.serves() && !self.checker.is_recent(tracked.entered)
    }

    /// Entries added for pods that serve.
    fn costing(&self) -> i64 {
        count(self.added.iter().filter(|e| self.pod(e).is_some_and(|t| self.served(t))))
    }

    /// `replicas` less the pods that serve and are not reserved. What fails by itself while the write is on its way is nobody's
    /// doing.
    fn out(&self) -> i64 {
        let serves = |t: &&Tracked| {
            (t.pod.serves() || self.checker.is_recent(t.left)) && self.set.entry(t.pod.identity.uid).is_none()
        };
        self.set.replicas - count(self.unit.pods.values().filter(serves))
    }

    /// Entries added to move a pod: neither to let it go, nor to bring back one that was found drained.
    fn moves(&self) -> impl Iterator<Item = &Entry> {
        let lost = |e: &Entry| self.pod(e).is_some_and(|t| matches!(t.pod.gate, Gate::Draining(_)));
        self.added.iter().filter(move |e| e.to.is_some() && !lost(e))
    }

    /// Pods at the target or reserved for it, and those that may be. What is surplus goes, whatever its reservation says.
    fn at_target(&self) -> (i64, i64) {
        let target = self.set.target;
        let (mut there, mut live) = (0, 0);
        for tracked in self.unit.live() {
            let pod = &tracked.pod;
            live += 1;
            let at = pod.revision == target;
            let reserved = self.set.entry(pod.identity.uid).is_some_and(|e| e.to == target);
            // One that was born while the write was on its way ends the reservation untouched.
            let known = !self.checker.is_recent(tracked.moved);
            there += i64::from(if at { known } else { reserved && target.is_some() });
        }
        let allowed = self.set.replicas - self.set.partition.min(self.set.replicas);
        (there, allowed + (live - self.set.replicas).max(0))
    }

    /// Pods at the base that serve and are reserved, and superseded ones that are not although nothing else holds them up.
    fn order(&self) -> (i64, i64) {
        let (target, base) = (self.set.target, self.set.base);
        if base.is_none() || target.is_none() || self.set.in_place_only || self.set.images.is_empty() {
            return (0, 0);
        }
        let of_base = |e: &&Entry| {
            e.to == target
                && base != target
                && self.pod(e).is_some_and(|t| t.pod.revision == base && self.served(t))
        };
        let waits = |t: &&Tracked| {
            let pod = &t.pod;
            let superseded = pod.revision != target && pod.revision != base;
            // One whose images stay follows the labels alone, without a reservation.
            let drains = pod.containers.iter().map(|c| &c.wants).ne(&self.set.images);
            let settled = !self.checker.is_recent(t.moved) && !self.checker.is_recent(t.entered);
            superseded && drains && settled && self.set.entry(pod.identity.uid).is_none()
        };
        (count(self.moves().filter(of_base)), count(self.unit.live().filter(waits)))
    }

    /// In a rollback: whether a pod is reserved that is there already.
    fn touched_again(&self) -> Option<bool> {
        let release = self.application?.now.release.as_ref()?;
        if !release.rollback || release.completed || self.set.restarts {
            return None;
        }
        let target = self.set.target.filter(|t| Some(*t) == self.application.and_then(|a| a.now.target))?;
        let mut moves = self.moves();
        Some(
            moves
                .any(|e| e.to == Some(target) && self.pod(e).is_some_and(|t| t.pod.revision == Some(target))),
        )
    }

    /// Pods that serve and are reserved for the target, for how long the worst updated pod has been unavailable, and for how
    /// long it may.
    fn failed(&self) -> Option<(i64, i64, i64)> {
        let deployment = &self.application?.now;
        let release = deployment.release.as_ref()?;
        let now = self.checker.now?;
        if release.rollback || release.completed || deployment.deadline == 0 {
            return None;
        }
        let target = deployment.target?;
        let to_target = self.moves().filter(|e| e.to == Some(target));
        let costing = count(to_target.filter(|e| self.pod(e).is_some_and(|t| self.served(t))));
        let owner = deployment.identity.uid;
        let pods = self.checker.world.units_of(owner).flat_map(Unit::live);
        let moved = pods.filter(|t| {
            t.pod.revision == Some(target) && t.pod.group.is_some_and(|(of, _)| of == release.revision)
        });
        let since = |t: &Tracked| t.unavailable.max(t.moved).filter(|_| !t.pod.serves());
        let worst = moved.filter_map(since).map(|since| (now - since) / 1000).max();
        Some((costing, worst.unwrap_or(0), deployment.deadline))
    }
}
