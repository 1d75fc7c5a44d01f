//! Versions of CafeDeployments: gates, pauses, counts.

use crate::record::{Deployment, Uid};
use crate::rules::{Progress, Range};
use crate::{Kind, Rule, count, rules};

use super::Checker;
use super::world::Application;

impl Application {
    /// Pods that may be out at once: by the spec as it is, or as it was before a write on its way heard of it.
    pub(super) fn budget(&self) -> i64 {
        self.budget.max(self.budgets.range(|budget| *budget).most)
    }

    /// Takes the next version and returns the one before.
    fn advance(&mut self, it: Deployment, now: Option<i64>, lag: i64) -> Deployment {
        self.budgets.push(it.budget, now, lag);
        self.budget = if it.has_heard() { it.budget } else { self.budget.max(it.budget) };
        let before = std::mem::replace(&mut self.now, it);
        for was in before.release.iter().flat_map(|r| &r.quota) {
            let lowered = self.now.quota(&was.unit).is_some_and(|is| is.updated < was.updated);
            if lowered {
                let most = self.lowered.entry(was.unit.clone()).or_default();
                *most = (*most).max(was.updated);
            }
        }
        before
    }
}

impl Checker {
    pub(super) fn deployment(&mut self, it: &Deployment) {
        let identity = it.identity.clone();
        self.namespaces.insert(identity.namespace.clone());
        let ours = self.is_ours(Kind::Deployment, &identity);
        let (now, lag) = (self.now, self.limits.lag);
        let first = !self.world.deployments.contains_key(&identity.uid);
        let application = self.world.deployments.entry(identity.uid).or_default();
        if ours != Some(true) {
            application.restless = 0;
        }
        let before = application.advance(it.clone(), now, lag);
        let observed = self.said(identity.uid, before.observed.filter(|_| !first), it.observed);
        self.judge(Rule::S18, rules::s18_observed(observed, it.observed, it.generation), &identity);
        if first {
            return;
        }
        self.progress(&before, it);
        if it.says_paused && !before.says_paused {
            let deaf = |s: &&crate::record::Set| !(s.deleting || s.paused && s.has_heard());
            let sets = self.world.units_of(identity.uid).filter_map(|u| u.set.as_ref());
            let deaf = count(sets.filter(deaf));
            self.judge(Rule::S5, rules::s5_acknowledged(true, deaf), &identity);
        }
        if before.counts != it.counts {
            self.count_deployment(identity.uid);
        }
    }

    /// S6: no gate is passed without its token in the very version that the passage was decided on.
    fn progress(&mut self, before: &Deployment, it: &Deployment) {
        // A write of the status was decided on the spec that its own version shows, whatever the stream has shown before.
        let (Some(was), Some(is)) = (progress(before, it), progress(it, it)) else { return };
        self.judge(Rule::S6, rules::s6(&was, &is), &it.identity);
        if was.revision != is.revision || !was.gated || was.waiting || was.completed {
            return;
        }
        // The group is over when its gate is announced, or passed without a stop.
        if is.waiting || is.group > was.group {
            let wanted = before.release.iter().flat_map(|r| &r.quota).map(|q| q.updated).sum();
            let there = it.counts.updated_available;
            self.judge(Rule::S6, rules::s6_complete(was.group, there, wanted), &it.identity);
        }
    }

    /// S18 of the figures over all units.
    pub(super) fn count_deployment(&mut self, uid: Uid) {
        let Some(application) = self.world.deployments.get(&uid).filter(|_| self.limits.complete) else {
            return;
        };
        let it = &application.now;
        if it.observed.is_none() {
            return;
        }
        let target = it.target.unwrap_or_default();
        let sum = |of: &dyn Fn(&super::unit::Figures) -> i64| {
            let ranges = self.world.units_of(uid).map(|unit| unit.figures.range(of));
            ranges.fold(Range::exactly(0), |sum, range| Range {
                least: sum.least + range.least,
                most: sum.most + range.most,
            })
        };
        let at_most = |range: Range| Range { least: 0, ..range };
        let checks = [
            ("replicas", it.counts.replicas, sum(&|f| f.live)),
            ("ready", it.counts.ready, sum(&|f| f.ready)),
            ("available", it.counts.available, at_most(sum(&|f| f.serving))),
            ("updated", it.counts.updated, sum(&|f| f.at.get(&target).map_or(0, |at| at.0))),
            (
                "updated and available",
                it.counts.updated_available,
                at_most(sum(&|f| f.at.get(&target).map_or(0, |at| at.1))),
            ),
        ];
        let identity = it.identity.clone();
        for (what, said, there) in checks {
            self.judge(Rule::S18, rules::s18_count(what, said, there), &identity);
        }
    }

    /// Everything asked for is done and said.
    pub(super) fn is_at_goal(&self, uid: Uid) -> bool {
        let Some(application) = self.world.deployments.get(&uid) else { return false };
        let it = &application.now;
        let units = || self.world.units_of(uid);
        let done = units().all(|unit| {
            unit.set.as_ref().is_some_and(|set| {
                set.has_heard()
                    && set.journal.is_empty()
                    && set.counts.available == set.replicas
                    && set.counts.replicas == set.replicas
            })
        });
        let pods = || units().flat_map(|unit| unit.pods.values());
        it.has_heard()
            && it.says_ready
            && !it.deleting
            && it.release.as_ref().is_some_and(|r| r.completed)
            && it.counts.available == it.replicas
            && count(pods()) == it.replicas
            && pods().all(|t| t.pod.serves())
            && done
    }
}

/// Where the release of a version stands, by the spec of another; none before the first release.
fn progress(it: &Deployment, spec: &Deployment) -> Option<Progress> {
    let release = it.release.as_ref()?;
    let token = spec.confirm.as_deref().unwrap_or_default();
    let (revision, group) = (release.revision, release.group);
    Some(Progress {
        revision,
        group,
        total: release.total,
        completed: release.completed,
        waiting: release.waiting,
        gated: match release {
            r if r.scale_out => spec.groups_scale_out,
            r => !r.rollback && (r.has_base || spec.groups_scale_out),
        },
        needs_confirm: spec.needs_confirm,
        confirmed: token == format!("{revision}/{group}") || token == format!("{revision}/all"),
        paused: spec.paused,
        scale_out: release.scale_out,
        left: spec.replicas - release.quota.iter().map(|q| q.updated).sum::<i64>(),
    })
}
