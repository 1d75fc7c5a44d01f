//! A set with its pods, and what is remembered of them.

use std::collections::{BTreeMap, VecDeque};

use crate::record::{Entry, Gate, Pod, Revision, Set, Uid};
use crate::rules::Range;

/// An InPlaceSet with its pods.
#[derive(Debug, Default)]
pub(super) struct Unit {
    pub(super) set: Option<Set>,
    pub(super) pods: BTreeMap<Uid, Tracked>,
    /// What it was told lately.
    pub(super) replicas: Window<i64>,
    pub(super) targets: Window<Orders>,
    /// Its figures lately.
    pub(super) figures: Window<Figures>,
    /// Reservations that somebody else took away with the status. What was decided on them may still land, until the
    /// controller has written the status again.
    pub(super) taken: Vec<Entry>,
}

/// The revisions that a set moves between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    pub(super) target: Option<Revision>,
    pub(super) base: Option<Revision>,
}

/// A pod with what is remembered of it.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) pod: Pod,
    /// When it got the revision it has.
    pub(super) moved: Option<i64>,
    /// When it came into service.
    pub(super) entered: Option<i64>,
    /// When it left service without a drain of ours.
    pub(super) left: Option<i64>,
    /// Since when it has not been in service.
    pub(super) unavailable: Option<i64>,
    /// When its present drain began.
    pub(super) draining: Option<i64>,
    /// Since when nobody routes to it.
    pub(super) drained: Option<i64>,
    /// It served when we took it out, and is not back.
    pub(super) out: bool,
    /// The largest grant since it was reserved, when it has shrunk since: its drain may still come.
    pub(super) former_grant: i64,
    /// A container of it was stopped, and its gate has not been True since.
    pub(super) stopped: bool,
}

impl Tracked {
    pub(super) fn new(pod: Pod, now: Option<i64>) -> Self {
        Self {
            pod,
            moved: now,
            entered: None,
            left: None,
            unavailable: now,
            draining: None,
            drained: None,
            out: false,
            former_grant: 0,
            stopped: false,
        }
    }

    /// Notes since when nobody routes to it.
    pub(super) fn note_drained(&mut self, endpoints: i64, now: Option<i64>) {
        let pod = &self.pod;
        let drained = pod.drain().is_some() && !pod.ready && endpoints == 0 && pod.unanswered() == 0;
        self.drained = if drained { self.drained.or(now) } else { None };
    }

    /// Takes the next version of the pod.
    pub(super) fn advance(&mut self, pod: Pod, now: Option<i64>) {
        let before = std::mem::replace(&mut self.pod, pod);
        if before.drain() != self.pod.drain() {
            self.draining = now.filter(|_| self.pod.drain().is_some());
        }
        if before.revision != self.pod.revision {
            self.moved = now;
        }
        match (before.serves(), self.pod.serves()) {
            (false, true) => (self.entered, self.unavailable) = (now, None),
            (true, false) => {
                self.unavailable = now;
                self.left = now.filter(|_| self.pod.drain().is_none());
            }
            _ => {}
        }
        if self.pod.serves() {
            self.left = None;
        }
        match self.pod.gate {
            Gate::True => self.stopped = false,
            // It is out because a person wishes so.
            Gate::Offline => (self.stopped, self.out) = (false, false),
            Gate::Missing | Gate::Draining(_) => {}
        }
    }
}

/// Figures of the pods of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) live: i64,
    pub(super) ready: i64,
    pub(super) serving: i64,
    /// Live and serving pods by revision.
    pub(super) at: BTreeMap<Revision, (i64, i64)>,
}

impl Unit {
    pub(super) fn live(&self) -> impl Iterator<Item = &Tracked> {
        self.pods.values().filter(|t| t.pod.lives())
    }

    pub(super) fn serving(&self) -> i64 {
        crate::count(self.pods.values().filter(|t| t.pod.serves()))
    }

    /// Pods that we may have out: by the grant, or by the larger one that those out were reserved under.
    pub(super) fn may_be_out(&self) -> i64 {
        let former = self.pods.values().filter(|t| t.out).map(|t| t.former_grant).max();
        self.set.as_ref().map_or(0, |s| s.grant).max(former.unwrap_or(0))
    }

    pub(super) fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        for pod in self.live().map(|t| &t.pod) {
            figures.live += 1;
            figures.ready += i64::from(pod.ready);
            figures.serving += i64::from(pod.serves());
            if let Some(revision) = pod.revision {
                let at = figures.at.entry(revision).or_default();
                at.0 += 1;
                at.1 += i64::from(pod.serves());
            }
        }
        figures
    }
}

/// The values that something had within the lag, the present one last.
#[derive(Debug)]
pub(super) struct Window<T> {
    values: VecDeque<(Option<i64>, T)>,
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self { values: VecDeque::new() }
    }
}

impl<T: PartialEq> Window<T> {
    /// Notes the value from now on.
    pub(super) fn push(&mut self, value: T, now: Option<i64>, lag: i64) {
        if self.values.back().is_some_and(|(_, last)| *last == value) {
            return;
        }
        self.values.push_back((now, value));
        self.forget(now, lag);
    }

    /// Drops what ended before the lag.
    pub(super) fn forget(&mut self, now: Option<i64>, lag: i64) {
        // A value ends when the next one begins.
        while let Some((ended, _)) = self.values.get(1) {
            let recent = matches!((now, ended), (Some(now), Some(ended)) if now - ended < lag);
            if recent {
                break;
            }
            self.values.pop_front();
        }
    }

    /// Drops what is no longer so.
    pub(super) fn forget_all_but_last(&mut self) {
        let last = self.values.pop_back();
        self.values.clear();
        self.values.extend(last);
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.values.iter().map(|(_, value)| value)
    }

    /// The least and the most of a figure of the values.
    pub(super) fn range(&self, of: impl Fn(&T) -> i64) -> Range {
        let mut figures = self.values().map(of);
        let Some(first) = figures.next() else { return Range::exactly(0) };
        figures.fold(Range::exactly(first), |range, figure| Range {
            least: range.least.min(figure),
            most: range.most.max(figure),
        })
    }
}
