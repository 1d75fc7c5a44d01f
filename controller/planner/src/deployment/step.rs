//! The release as one look takes it further: what it moves, how, and what is latched of it.

use cafe_crds::deployment::{ReleaseState, ReleaseStatus};

use crate::{
    deployment::{Event, Snapshot, UnitView, allocation::Allocation, groups, stop},
    revision::Revision,
};

/// How pods are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing has completed yet: no gates.
    Install,
    /// From a good revision to another, group by group.
    Gated,
    /// Back to the good revision: no gates.
    Rollback,
    /// More pods of a revision that had completed, group by group.
    ScaleOut,
}

/// The release after this look.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// The revision pods move to.
    pub target: &'a Revision,
    /// The revision pods stay at until their group: the target itself when there is none.
    pub base: &'a Revision,
    /// How pods are moved.
    pub kind: Kind,
    /// The revision of the template, when `target` serves in its place.
    pub abandons: Option<&'a Revision>,
    /// The release as it is to be written.
    pub release: ReleaseStatus,
    /// Pods move or are created group by group, with gates.
    pub grouped: bool,
    /// Pods wanted of each unit in the end, in the order of the quota.
    pub wanted: Vec<i32>,
    /// What its change earns.
    pub events: Vec<Event>,
}

impl Step<'_> {
    /// Whether everything the InPlaceSets depend on is in the status already.
    #[must_use]
    pub fn is_latched(&self, s: &Snapshot<'_>) -> bool {
        s.stored().is_some_and(|stored| {
            let (a, b) = (stored, &self.release);
            a.revision == b.revision
                && a.from_revision == b.from_revision
                && a.rollback == b.rollback
                && a.scale_out == b.scale_out
                && a.group == b.group
                && a.confirmed_through == b.confirmed_through
                && a.quota == b.quota
                && [ReleaseState::Completed, ReleaseState::Aborted, ReleaseState::Failed]
                    .iter()
                    .all(|state| (a.state == *state) == (b.state == *state))
        })
    }

    /// Whether every pod has reached the target.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.release.state == ReleaseState::Completed
    }

    /// Whether pods move group by group.
    #[must_use]
    pub fn has_gates(&self) -> bool {
        (self.kind == Kind::Gated || self.base.uid != self.target.uid) && !self.is_complete()
    }

    /// The size of each unit for now: what it has been given, or its share of `spec.replicas` where nothing holds pods back.
    #[must_use]
    pub fn sizes(&self, allocation: &Allocation) -> Allocation {
        let given = |unit: &str| self.release.quota.iter().find(|q| q.name == unit).map(|q| q.replicas);
        let size = |(unit, share): &(String, i32)| (unit.clone(), given(unit).unwrap_or(*share));
        Allocation { units: allocation.units.iter().map(size).collect(), ..*allocation }
    }

    /// Whether no further pod is to start: it was stopped, `spec.strategy.pause` holds it, a drain takes too long, or an
    /// updated pod has turned unavailable. Only people hold a rollback, by an abort: it is the way out.
    #[must_use]
    pub fn is_held(&self, s: &Snapshot<'_>) -> bool {
        let failed = self.release.state == ReleaseState::Failed || self.sick(s).is_some();
        let waits = s.paused() || s.held_drain().is_some() || failed;
        self.is_aborted() || (waits && self.kind != Kind::Rollback)
    }

    /// The first updated pod, by name and over all units, that is no longer ready while pods move group by group.
    #[must_use]
    pub fn sick<'s>(&self, s: &Snapshot<'s>) -> Option<&'s str> {
        // A unit that has not been told of this release speaks of the pods of another.
        let told = s.units.iter().filter(|u| u.set.spec.digest == self.target.digest);
        told.filter_map(|u| u.census.sick.as_deref()).min().filter(|_| self.has_gates())
    }

    /// Whether it was stopped where it was.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.release.state == ReleaseState::Aborted
    }

    /// Whether every InPlaceSet knows of the pause: from then on no further pod is started. One that is being deleted is told nothing
    /// any more, and starts nothing.
    #[must_use]
    pub fn is_paused(&self, s: &Snapshot<'_>) -> bool {
        let knows = |u: &UnitView<'_>| {
            let acknowledged = u.set.status.observed_generation == Some(u.set.generation);
            !u.busy && u.set.spec.update_strategy.paused && acknowledged
        };
        s.paused() && self.kind != Kind::Rollback && s.units.iter().filter(|u| !u.set.deleting).all(knows)
    }

    /// Pods of a unit that may be at the target now. While a group has failed no new pod is born at what fails.
    #[must_use]
    pub fn quota(&self, s: &Snapshot<'_>, unit: &str, replicas: i32) -> i32 {
        if self.is_complete() || !(self.grouped || self.is_aborted()) {
            return replicas;
        }
        let failed = self.release.state == ReleaseState::Failed;
        let quota = self.release.quota.iter().find(|q| q.name == unit);
        quota.map_or(0, |q| if failed { stop::reached(s, self, q) } else { q.updated })
    }

    /// Pods of each unit that are left to move or to create.
    #[must_use]
    pub fn left(&self) -> i32 {
        groups::left(&self.release.quota, &self.wanted).iter().sum()
    }
}
