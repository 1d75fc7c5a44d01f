//! Which revision the template is: found, created, or given a new number because it returned.

use cafe_crds::{
    deployment::{ReleaseControls, ReleaseState, ReleaseStatus},
    reason,
};

use crate::{
    deployment::{Action, Event, Plan, Snapshot, orders},
    identity::RevisionHash,
    revision::{self, Outcome, Resolution, Revision},
};

/// The revision of `spec.template`, or none when a write has to come first.
pub fn find<'a>(s: &Snapshot<'a>, plan: &mut Plan) -> Option<&'a Revision> {
    if s.busy || s.revisions.iter().any(|r| r.busy) {
        return s
            .revisions
            .iter()
            .copied()
            .max_by_key(|r| r.number)
            .filter(|r| r.digest == digest(s) && !r.busy);
    }
    // The template changed and changed back before a release of the newer revision began: the one in hand goes on.
    let in_hand =
        s.stored().and_then(|stored| s.revisions.iter().copied().find(|r| r.number == stored.revision));
    if let Some(revision) = in_hand.filter(|r| r.digest == digest(s) && !orders::retries(s, r)) {
        return Some(revision);
    }
    match revision::resolve(digest(s), s.revisions, s.held, floor(s)) {
        Resolution::Found(index) => {
            let found = s.revisions.get(index).copied()?;
            if orders::retries(s, found) || has_returned(s, found) {
                let number = found.number.max(floor(s)).saturating_add(1);
                renumber(s, found, number, plan);
                return None;
            }
            Some(found)
        }
        Resolution::Create { number, hash } => {
            let lost = lost_number(s, hash);
            let action = Action::CreateRevision { number: lost.unwrap_or(number), hash };
            match lost {
                Some(lost) => plan.act_and_tell(action, made_again(s, lost, hash)),
                None => plan.act(action),
            }
            None
        }
        Resolution::Renumber { index, number } => {
            if let Some(r) = s.revisions.get(index) {
                renumber(s, r, number, plan);
            }
            None
        }
    }
}

/// Whether the newest revision was left for good and its template comes back: a release of its own, with gates.
fn has_returned(s: &Snapshot<'_>, found: &Revision) -> bool {
    let left = matches!(found.outcome, Some(Outcome::Abandoned | Outcome::Aborted));
    let stands = |stored: &ReleaseStatus| {
        found.answers_to(stored.revision) || stored.from_revision.is_some_and(|n| found.answers_to(n))
    };
    left && s.stored().is_some_and(|stored| !stands(stored))
}

/// The number of the revision in hand, if that is the one whose object was deleted by hand: it comes back as it was, and
/// no pod moves for it.
fn lost_number(s: &Snapshot<'_>, hash: RevisionHash) -> Option<i64> {
    let d = s.deployment;
    let lost = d.status.update_revision.as_deref() == Some(format!("{}-{hash}", d.name).as_str());
    s.stored().filter(|_| lost).map(|release| release.revision)
}

fn made_again(s: &Snapshot<'_>, number: i64, hash: RevisionHash) -> Event {
    let note = format!(
        "ControllerRevision {}-{hash} of revision {number}, which is in use, was deleted by hand: it is made again as it was",
        s.deployment.name
    );
    Event::warning(reason::CHILD_OVERWRITTEN, note)
}

fn digest(s: &Snapshot<'_>) -> crate::identity::Digest {
    s.deployment.spec.digest
}

/// A template that returns is a new life of its revision: it has to complete again, unless it is what a rollback
/// returns to, or had completed and is only to get more pods.
fn renumber(s: &Snapshot<'_>, r: &Revision, number: i64, plan: &mut Plan) {
    let mut older = r.older.clone();
    older.push(r.number);
    let grows = s.stored().is_some_and(|release| release.scale_out && r.answers_to(release.revision));
    let outcome = r.outcome.filter(|_| grows || is_return_to_base(s, r));
    plan.act(Action::WriteRevision { name: r.name.clone(), uid: r.uid, rv: r.rv, number, older, outcome });
}

/// Whether `target` is what the release in the status came from, and good: then moving to it is a rollback.
///
/// A revision that was rolled back from is marked Abandoned, so when it comes back it is no rollback but a release
/// with its beta group.
#[must_use]
pub fn is_return_to_base(s: &Snapshot<'_>, target: &Revision) -> bool {
    let from = s.stored().and_then(|release| release.from_revision);
    from.is_some_and(|number| target.answers_to(number)) && target.outcome == Some(Outcome::Completed)
}

/// The last revision that completed, other than `target`.
#[must_use]
pub fn last_completed<'a>(s: &Snapshot<'a>, target: &Revision) -> Option<&'a Revision> {
    let completed = |r: &&Revision| r.outcome == Some(Outcome::Completed) && r.uid != target.uid;
    s.revisions.iter().copied().filter(completed).max_by_key(|r| r.number)
}

/// The revision that a release of `target` comes from: what serves, or served last. A rollback may have left a later one that
/// had completed as well.
#[must_use]
pub fn base<'a>(s: &Snapshot<'a>, target: &Revision) -> Option<&'a Revision> {
    let serves = s.stored().and_then(|stored| {
        let is_good = stored.state == ReleaseState::Completed || stored.rollback || stored.scale_out;
        if is_good { Some(stored.revision) } else { stored.from_revision }
    });
    let good = |r: &&Revision| r.outcome == Some(Outcome::Completed) && r.uid != target.uid;
    serves.and_then(|number| s.revision(number)).filter(good).or_else(|| last_completed(s, target))
}

/// Writes an outcome that is not on record yet. Whether it is now safe to go on.
pub fn mark(r: &Revision, outcome: Outcome, plan: &mut Plan) -> bool {
    if r.outcome == Some(outcome) {
        return true;
    }
    if !r.busy {
        let (number, older) = (r.number, r.older.clone());
        plan.act(Action::WriteRevision {
            name: r.name.clone(),
            uid: r.uid,
            rv: r.rv,
            number,
            older,
            outcome: Some(outcome),
        });
    }
    false
}

/// The highest number that anything people wrote or that is on record names: numbering stays above it, so that no old token ever
/// matches.
fn floor(s: &Snapshot<'_>) -> i64 {
    let number = |token: &String| token.split('/').next().and_then(|n| n.parse::<i64>().ok());
    let named = |r: &ReleaseControls| {
        let tokens = [&r.confirm, &r.abort, &r.retry].into_iter().flatten().filter_map(number);
        tokens.chain(r.rollback.iter().flat_map(|r| [r.abandon, r.to])).max()
    };
    let tokens = s.deployment.spec.release.as_ref().and_then(named).unwrap_or(0);
    // A token may name a number far ahead by mistake; leave room to count on.
    let on_record = s.chronicles.iter().map(|c| c.spec.revision).max().unwrap_or(0);
    tokens.clamp(0, i64::MAX / 2).max(s.stored().map_or(0, |r| r.revision)).max(on_record)
}

/// The reason of the event that a new release is told with.
#[must_use]
pub fn superseded(old: i64, new: i64) -> Event {
    Event::normal(
        reason::RELEASE_SUPERSEDED,
        format!("revision {new} takes the place of the release of revision {old}"),
    )
}
