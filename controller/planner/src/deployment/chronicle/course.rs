//! How a release goes, folded into its record. Folding the same status twice changes nothing.

use cafe_crds::{
    deployment::{GroupState, GroupStatus, ReleaseState, ReleaseStatus},
    release::{CafeReleaseStatus, Group, Rollback, RollbackState, Stage, State},
};

use super::{incidents, words};
use crate::deployment::Snapshot;

/// Groups listed at most, beside those ahead.
const MOST_GROUPS: usize = 100;
/// Ways back listed at most.
const MOST_ROLLBACKS: usize = 20;

/// Whether the record is still to say how its release, or the way back from it, ended.
pub(super) fn is_open(status: &CafeReleaseStatus) -> bool {
    !status.is_ended() || status.rollbacks.last().is_some_and(|r| r.ended_at.is_none())
}

/// Whether the record has told the end of the release: the common case, found out without copying anything.
pub(super) fn is_told(status: &CafeReleaseStatus, release: &ReleaseStatus) -> bool {
    let completed = release.state == ReleaseState::Completed;
    let last = status.rollbacks.last();
    if release.rollback {
        return completed && last.is_some_and(|r| is_of(r, release) && r.state == RollbackState::Completed);
    }
    let same_end = release.ended_at.is_none_or(|at| status.ended_at == Some(at));
    completed && status.state == State::Completed && same_end
}

/// The record with what the status of the CafeDeployment says now.
pub(super) fn told(
    s: &Snapshot<'_>,
    before: &CafeReleaseStatus,
    release: &ReleaseStatus,
    about: i64,
) -> CafeReleaseStatus {
    let mut status = before.clone();
    if release.rollback {
        tell_rollback(&mut status, release);
    } else {
        tell(&mut status, release);
    }
    if !matches!(release.state, ReleaseState::Completed | ReleaseState::Aborted) {
        incidents::tell(s, release, &mut status);
    }
    // A figure alone is no news, but those of an aborted release become final only when the pods in flight have ended.
    if !release.rollback && (status != *before || status.state == State::Aborted) {
        status.updated_replicas = s.deployment.status.updated_replicas;
    }
    status.message = words::message(&status, about);
    status
}

/// The record of a release, or of a way back from it, whose place `next` has taken.
pub(super) fn overtaken(before: &CafeReleaseStatus, next: &ReleaseStatus, about: i64) -> CafeReleaseStatus {
    let mut status = before.clone();
    if let Some(back) = status.rollbacks.last_mut().filter(|r| r.ended_at.is_none()) {
        back.state = RollbackState::Superseded;
        back.ended_at = next.started_at;
    }
    if !status.is_ended() {
        status.state = State::Superseded;
        status.superseded_by = Some(next.revision);
        status.ended_at = next.started_at;
        stop(&mut status.groups);
        status.message = words::message(&status, about);
    }
    status
}

fn tell(status: &mut CafeReleaseStatus, release: &ReleaseStatus) {
    status.state = match release.state {
        ReleaseState::Executing | ReleaseState::RollingBack => State::Executing,
        ReleaseState::WaitingForConfirmation => State::WaitingForConfirmation,
        ReleaseState::Paused => State::Paused,
        ReleaseState::Aborted => State::Aborted,
        ReleaseState::Completed => State::Completed,
        ReleaseState::Failed => State::Failed,
    };
    status.superseded_by = None;
    // A status that was lost and rebuilt does not know.
    status.ended_at = release.ended_at.or(status.ended_at.filter(|_| status.is_ended()));
    status.progress = release.summary.clone().unwrap_or_default();
    let aborts = |token: &str| token.starts_with("abort ");
    let abort = release.last_action.as_ref().filter(|a| status.state == State::Aborted && aborts(&a.token));
    status.aborted_by = abort.and_then(|action| action.by.clone());
    tell_groups(status, &release.groups);
    if status.is_ended() {
        stop(&mut status.groups);
    }
}

fn tell_groups(status: &mut CafeReleaseStatus, groups: &[GroupStatus]) {
    let first = groups.first().map_or(i32::MAX, |g| g.number);
    // What the status has forgotten stays; what lies ahead is planned anew.
    status.groups.retain(|g| g.state != Stage::Pending || g.number < first);
    for group in groups {
        let known = status.groups.iter_mut().find(|g| g.number == group.number);
        match known {
            Some(known) => update(known, group),
            None => status.groups.push(listed(group)),
        }
    }
    let over = status.groups.iter().filter(|g| g.state != Stage::Pending).count().saturating_sub(MOST_GROUPS);
    // The first group is the beta group: it stays.
    if over > 0 {
        status.groups.drain(1..=over);
    }
    status.groups_left_out += i32::try_from(over).unwrap_or(0);
}

/// Times that the status has lost are kept.
fn update(known: &mut Group, group: &GroupStatus) {
    let told = listed(group);
    known.kind = told.kind;
    known.state = told.state;
    if !told.units.is_empty() {
        known.units = told.units;
    }
    known.started_at = told.started_at.or(known.started_at);
    known.finished_at = told.finished_at.or(known.finished_at);
    if told.gate.is_some() {
        known.gate = told.gate;
    }
}

fn listed(group: &GroupStatus) -> Group {
    Group {
        number: group.number,
        kind: group.kind,
        state: match group.state {
            GroupState::Pending => Stage::Pending,
            GroupState::Executing => Stage::Executing,
            GroupState::Done => Stage::Done,
        },
        units: group.units.clone(),
        started_at: group.started_at,
        finished_at: group.finished_at,
        gate: group.gate.clone(),
    }
}

/// The release has ended: what had not started never will.
fn stop(groups: &mut Vec<Group>) {
    groups.retain(|g| g.state != Stage::Pending);
    groups.iter_mut().filter(|g| g.state == Stage::Executing).for_each(|g| g.state = Stage::Stopped);
}

fn is_of(rollback: &Rollback, release: &ReleaseStatus) -> bool {
    rollback.to == release.revision && rollback.started_at == release.started_at
}

fn tell_rollback(status: &mut CafeReleaseStatus, release: &ReleaseStatus) {
    let state = match release.state {
        ReleaseState::Completed => RollbackState::Completed,
        ReleaseState::Aborted => RollbackState::Aborted,
        _ => RollbackState::RollingBack,
    };
    if !status.is_ended() {
        status.ended_at = release.started_at;
    }
    status.state = State::RolledBack;
    stop(&mut status.groups);
    match status.rollbacks.last_mut() {
        Some(last) if is_of(last, release) => {
            last.state = state;
            last.ended_at = release.ended_at;
            return;
        }
        Some(last) if last.ended_at.is_none() => {
            last.state = RollbackState::Superseded;
            last.ended_at = release.started_at;
        }
        _ => {}
    }
    status.rollbacks.push(Rollback {
        to: release.revision,
        state,
        started_at: release.started_at,
        by: release.started_by.clone(),
        ended_at: release.ended_at,
    });
    let over = status.rollbacks.len().saturating_sub(MOST_ROLLBACKS);
    status.rollbacks.drain(..over);
}
