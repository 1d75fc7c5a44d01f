//! What a write of a CafeDeployment's status latches, in figures: found by comparing it with the status before.

use cafe_crds::{
    deployment::{CafeDeploymentStatus, GroupKind, GroupState, GroupStatus, ReleaseState, ReleaseStatus},
    reason,
    release::CafeReleaseStatus,
    time::Seconds,
};
use cafe_planner::{Text, deployment::Event};

use crate::metrics::Metrics;

/// How an author is known of whom nothing is known.
pub(crate) const UNKNOWN: &str = "unknown";

/// Something that happens once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Edge {
    /// A release came to this outcome; if that was its end, how long it took and waited, in seconds.
    Release(&'static str, Option<(f64, f64)>),
    /// A group of this kind took so many seconds.
    Batch(&'static str, f64),
    /// An order was followed: which, and how its author is known.
    Order(&'static str, &'static str),
    /// Places of one unit went to others.
    Moved {
        /// The unit that gave them.
        from: Text,
        /// The units that took them.
        to: Vec<(Text, u64)>,
    },
}

impl Edge {
    pub(super) fn tell(&self, namespace: &Text, name: &Text, metrics: &Metrics) {
        match self {
            Self::Release(outcome, took) => {
                metrics.release_ended(namespace, name, outcome);
                if let Some((seconds, wait)) = took {
                    metrics.release_took(outcome, *seconds, *wait);
                }
            }
            Self::Batch(kind, seconds) => metrics.batch_took(kind, *seconds),
            Self::Order(action, via) => metrics.ordered(action, via, "ok"),
            Self::Moved { from, to } => {
                for (unit, pods) in to {
                    metrics.rescheduled(namespace, name, (from, unit), *pods);
                }
            }
        }
    }
}

/// The order that an event tells to be ignored.
pub(crate) fn ignored(reason: &str, once: &str) -> Option<&'static str> {
    let about = |word: &str| once.split([' ', '.', ':']).any(|part| part == word);
    match reason {
        reason::CONFIRM_IGNORED => Some("confirm"),
        reason::REVISION_NOT_FOUND => Some("rollback"),
        reason::ORDER_IGNORED => {
            Some(["retry", "rollback", "abort"].into_iter().find(|word| about(word)).unwrap_or("other"))
        }
        _ => None,
    }
}

/// Whether an event tells of a drain that takes too long or was cut short.
pub(crate) fn is_overdue(reason: &str) -> bool {
    matches!(reason, reason::DRAIN_TIMED_OUT | reason::DRAIN_FORCED)
}

/// What the write of `after` latches. `record` is that of the release `before` tells of: it knows groups that the status has forgotten.
pub(crate) fn of(
    before: &CafeDeploymentStatus,
    after: &CafeDeploymentStatus,
    record: Option<&CafeReleaseStatus>,
    events: &[Event],
) -> Vec<Edge> {
    let mut edges = Vec::new();
    if let Some(new) = &after.release {
        releases(before.release.as_ref(), new, record, &mut edges);
    }
    for event in events {
        match event.reason {
            reason::RELEASE_PAUSED => edges.push(Edge::Order("pause", UNKNOWN)),
            reason::RELEASE_RESUMED => edges.push(Edge::Order("resume", UNKNOWN)),
            _ => {}
        }
    }
    if restarts(after) && !restarts(before) {
        edges.push(Edge::Order("restart", UNKNOWN));
    }
    edges
}

fn restarts(status: &CafeDeploymentStatus) -> bool {
    status.conditions.iter().any(|c| c.type_ == "Ready" && c.reason == reason::RESTARTING)
}

fn releases(
    before: Option<&ReleaseStatus>,
    new: &ReleaseStatus,
    record: Option<&CafeReleaseStatus>,
    edges: &mut Vec<Edge>,
) {
    let is_same = |old: &&ReleaseStatus| {
        (old.revision, old.rollback, old.started_at) == (new.revision, new.rollback, new.started_at)
    };
    let same = before.filter(is_same);
    if same.is_none() {
        if let Some(old) = before.filter(|old| !old.rollback) {
            left(old, new, record, edges);
        }
        if new.rollback {
            let failed = before.is_some_and(|old| old.state == ReleaseState::Failed);
            let via = if failed && new.started_by.is_none() {
                "controller"
            } else {
                via(new.started_by.as_deref())
            };
            edges.push(Edge::Order("rollback", via));
        }
    }
    orders(same, before, new, edges);
    groups(same, new, edges);
    ended(same, new, record, edges);
}

/// A release whose place another one takes.
fn left(old: &ReleaseStatus, new: &ReleaseStatus, record: Option<&CafeReleaseStatus>, edges: &mut Vec<Edge>) {
    let is_over = matches!(old.state, ReleaseState::Completed | ReleaseState::Aborted);
    let took = || if is_over { None } else { took(old, new.started_at, record) };
    if new.rollback {
        edges.push(Edge::Release("rolled_back", took()));
    } else if !is_over && !old.scale_out {
        edges.push(Edge::Release("superseded", took()));
    }
}

fn orders(
    same: Option<&ReleaseStatus>,
    before: Option<&ReleaseStatus>,
    new: &ReleaseStatus,
    edges: &mut Vec<Edge>,
) {
    let gates = |release: &ReleaseStatus| -> Vec<(i32, Option<String>)> {
        let asked = |g: &GroupStatus| {
            let gate = g.gate.as_ref().filter(|gate| gate.token.is_some())?;
            Some((g.number, gate.by.clone()))
        };
        release.groups.iter().filter_map(asked).collect()
    };
    let known = same.map(gates).unwrap_or_default();
    for (number, by) in gates(new) {
        if !known.iter().any(|(n, _)| *n == number) {
            edges.push(Edge::Order("confirm", via(by.as_deref())));
        }
    }
    let last = new.last_action.as_ref().filter(|a| before.and_then(|b| b.last_action.as_ref()) != Some(a));
    if let Some(last) = last {
        let action = ["abort", "retry"].into_iter().find(|word| last.token.split(' ').next() == Some(word));
        edges.extend(action.map(|action| Edge::Order(action, via(last.by.as_deref()))));
    }
}

fn groups(same: Option<&ReleaseStatus>, new: &ReleaseStatus, edges: &mut Vec<Edge>) {
    // A way back is told as a whole.
    if new.rollback && !new.scale_out {
        return;
    }
    let was_done = |number: i32| {
        let groups = same.map(|old| old.groups.as_slice()).unwrap_or_default();
        groups.iter().any(|g| g.number == number && g.state == GroupState::Done)
    };
    for group in new.groups.iter().filter(|g| g.state == GroupState::Done && !was_done(g.number)) {
        let kind = match group.kind {
            _ if new.scale_out => "scale",
            GroupKind::Beta => "beta",
            GroupKind::Batch => "batch",
        };
        if let Some(seconds) = between(group.started_at, group.finished_at) {
            edges.push(Edge::Batch(kind, seconds));
        }
    }
}

fn ended(
    same: Option<&ReleaseStatus>,
    new: &ReleaseStatus,
    record: Option<&CafeReleaseStatus>,
    edges: &mut Vec<Edge>,
) {
    // Without a start it was rebuilt after a loss, and may have been counted before.
    if same.is_some_and(|old| old.state == new.state) || new.started_at.is_none() || new.scale_out {
        return;
    }
    let took = || {
        // An abort takes the gate away at which it came.
        let waiting_since = new.waiting_since.or(same.and_then(|old| old.waiting_since));
        took(&ReleaseStatus { waiting_since, ..new.clone() }, new.ended_at, record.filter(|_| same.is_some()))
    };
    match new.state {
        ReleaseState::Completed if new.rollback => {
            edges.extend(between(new.started_at, new.ended_at).map(|s| Edge::Batch("rollback", s)));
        }
        _ if new.rollback => {}
        ReleaseState::Completed => edges.push(Edge::Release("completed", took())),
        ReleaseState::Aborted => edges.push(Edge::Release("aborted", took())),
        // It may still get well, or be left.
        ReleaseState::Failed => edges.push(Edge::Release("failed", None)),
        _ => {}
    }
}

/// Seconds from the start of a release to its end, and of these at its gates.
fn took(
    release: &ReleaseStatus,
    end: Option<Seconds>,
    record: Option<&CafeReleaseStatus>,
) -> Option<(f64, f64)> {
    let whole = between(release.started_at, end)?;
    let first = release.groups.first().map_or(i32::MAX, |g| g.number);
    let forgotten = record.into_iter().flat_map(|r| &r.groups).filter(|g| g.number < first);
    let forgotten = forgotten.filter_map(|g| between(g.finished_at, Some(g.gate.as_ref()?.opened_at)));
    let listed = release.groups.iter();
    let listed = listed.filter_map(|g| between(g.finished_at, Some(g.gate.as_ref()?.opened_at)));
    let at_last = between(release.waiting_since, end).unwrap_or(0.0);
    Some((whole, forgotten.chain(listed).sum::<f64>() + at_last))
}

#[allow(clippy::cast_precision_loss, reason = "seconds between two moments of this century")]
fn between(start: Option<Seconds>, end: Option<Seconds>) -> Option<f64> {
    Some(end?.0.saturating_sub(start?.0).max(0) as f64)
}

/// How an author is known: seen by the webhook, or by the name that a client gives itself.
fn via(by: Option<&str>) -> &'static str {
    match by {
        None => UNKNOWN,
        Some(by) if by.starts_with("field manager ") => "field_manager",
        Some(_) => "webhook",
    }
}
