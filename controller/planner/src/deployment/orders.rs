//! What people order in `spec.release` besides confirming: roll back, abort, retry. Each order names the revision it is meant
//! for; one that was left behind does nothing.

use cafe_crds::{
    deployment::{LastAction, OnFailure, ReleaseState},
    reason,
};

use crate::{
    deployment::{Event, Plan, Snapshot},
    revision::{Outcome, Revision},
};

/// The revision that is to serve.
#[derive(Clone, Copy, Debug)]
pub struct Goal<'a> {
    /// The revision.
    pub revision: &'a Revision,
    /// The revision of the template, when another one serves in its place.
    pub abandons: Option<&'a Revision>,
}

/// Which revision is to serve while the template is `template`: its own, or the one that was rolled back to. A rollback
/// outlives its order: only another template, or a retry, ends it.
#[must_use]
pub fn goal<'a>(s: &Snapshot<'a>, template: &'a Revision, plan: &mut Plan) -> Goal<'a> {
    let back = ordered(s, template, plan).or_else(|| standing(s, template)).or_else(|| failed(s, template));
    match back.filter(|to| to.uid != template.uid) {
        Some(revision) => Goal { revision, abandons: Some(template) },
        None => Goal { revision: template, abandons: None },
    }
}

/// By `spec.release.rollback`.
fn ordered<'a>(s: &Snapshot<'a>, template: &Revision, plan: &mut Plan) -> Option<&'a Revision> {
    let order = s.deployment.spec.release.as_ref()?.rollback?;
    if order.abandon != template.number {
        if order.abandon > template.number {
            let note = format!(
                "spec.release.rollback abandons revision {}, but the template is revision {}",
                order.abandon, template.number
            );
            ignored(plan, reason::ORDER_IGNORED, format!("rollback {}", order.abandon), note);
        }
        return None;
    }
    let to = s.revision(order.to);
    if to.is_none() {
        let note = format!(
            "spec.release.rollback asks for revision {}, which is not kept any more; kept are {}",
            order.to,
            kept(s)
        );
        ignored(plan, reason::REVISION_NOT_FOUND, format!("{}/{}", order.abandon, order.to), note);
    }
    to
}

/// The revision that serves since the template's was rolled back.
fn standing<'a>(s: &Snapshot<'a>, template: &Revision) -> Option<&'a Revision> {
    if template.outcome != Some(Outcome::Abandoned) {
        return None;
    }
    match s.stored() {
        Some(stored) if stored.rollback && stored.from_revision == Some(template.number) => {
            s.revision(stored.revision)
        }
        Some(_) => None,
        None => serving(s, template),
    }
}

/// What serves in place of the template's revision when no status says so: the good revision that most pods have.
fn serving<'a>(s: &Snapshot<'a>, template: &Revision) -> Option<&'a Revision> {
    let pods = |r: &Revision| s.units.iter().map(|u| u.census.at(r.hash).replicas).sum::<i32>();
    let good = |r: &&Revision| r.outcome == Some(Outcome::Completed) && r.uid != template.uid;
    s.revisions.iter().copied().filter(good).max_by_key(|r| (pods(r), r.number))
}

/// By `onFailure: Rollback`.
fn failed<'a>(s: &Snapshot<'a>, template: &Revision) -> Option<&'a Revision> {
    let stored = s.stored().filter(|r| r.state == ReleaseState::Failed && r.revision == template.number)?;
    // What cannot be scaled out is no worse than it was.
    let can = !stored.rollback && !stored.scale_out;
    let wanted = s.deployment.spec.strategy.on_failure == OnFailure::Rollback && can;
    stored.from_revision.filter(|_| wanted).and_then(|number| s.revision(number))
}

/// Whether `spec.release.abort` names the release of `goal`. A rollback that is ordered goes before an abort.
#[must_use]
pub fn aborts(s: &Snapshot<'_>, goal: Goal<'_>, plan: &mut Plan) -> bool {
    let Some(order) = s.deployment.spec.release.as_ref().and_then(|r| r.abort.as_ref()) else { return false };
    let Ok(number) = order.parse::<i64>() else { return false };
    let revision = goal.revision.number;
    let completed = s.stored().is_some_and(|r| r.revision == number && r.state == ReleaseState::Completed);
    let note = match goal.abandons {
        Some(_) if number != revision => return false,
        _ if completed => {
            format!("spec.release.abort \"{order}\": the release of revision {number} has completed")
        }
        Some(_) if s.stored().is_none_or(|r| !r.scale_out) => format!(
            "spec.release.abort \"{order}\": nothing stops a rollback that was ordered; apply another template or order the rollback to \
             another revision"
        ),
        _ if number > revision => {
            format!("spec.release.abort \"{order}\": the release in hand is that of revision {revision}")
        }
        _ => return number == revision,
    };
    ignored(plan, reason::ORDER_IGNORED, format!("abort {order}"), note);
    false
}

/// The revision that `spec.release.retry` names.
#[must_use]
pub fn retry(s: &Snapshot<'_>) -> Option<i64> {
    s.deployment.spec.release.as_ref()?.retry.as_ref()?.parse().ok()
}

/// The revision that a rollback of the template's is on its way to by order. A retry waits for it: one that was written before
/// would otherwise undo the rollback.
#[must_use]
pub fn on_the_way_back(s: &Snapshot<'_>, template: &Revision) -> Option<i64> {
    let order = s.deployment.spec.release.as_ref()?.rollback.filter(|r| r.abandon == template.number)?;
    let to = s.revision(order.to).filter(|to| to.uid != template.uid)?;
    let is_there = s
        .stored()
        .is_some_and(|r| to.answers_to(r.revision) && r.state == ReleaseState::Completed && r.rollback);
    (!is_there).then_some(to.number)
}

/// Whether `spec.release.retry` takes the template's revision up again.
#[must_use]
pub fn retries(s: &Snapshot<'_>, template: &Revision) -> bool {
    if retry(s) != Some(template.number) || on_the_way_back(s, template).is_some() {
        return false;
    }
    let stored = s.stored().filter(|r| r.revision == template.number).map(|r| r.state);
    let stopped = matches!(stored, Some(ReleaseState::Aborted | ReleaseState::Failed));
    stopped || matches!(template.outcome, Some(Outcome::Abandoned | Outcome::Aborted))
}

/// Who started the release of `goal`, and the order that did. A rollback after a failure has neither.
#[must_use]
pub fn behind(s: &Snapshot<'_>, goal: Goal<'_>, rollback: bool) -> (Option<String>, Option<LastAction>) {
    let authors = &s.deployment.authors;
    let order = s.deployment.spec.release.as_ref().and_then(|r| r.rollback);
    let retried = retry(s);
    let former = goal.revision.older.last().copied();
    let (author, token) = match goal.abandons {
        Some(left) => match order.filter(|order| order.abandon == left.number) {
            Some(order) => (&authors.rollback, Some(format!("rollback {} to {}", order.abandon, order.to))),
            None => return (None, None),
        },
        None if !rollback && retried.is_some() && retried == former => {
            (&authors.retry, former.map(|n| format!("retry {n}")))
        }
        None => (&authors.template, None),
    };
    let by = author.as_ref().map(ToString::to_string);
    let action = token.map(|token| LastAction { token, by: by.clone(), at: s.now.wall });
    (by, action)
}

fn kept(s: &Snapshot<'_>) -> String {
    let mut numbers: Vec<i64> = s.revisions.iter().map(|r| r.number).collect();
    numbers.sort_unstable();
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Tells once of an order that nothing comes of.
pub fn ignored(plan: &mut Plan, reason: &'static str, once: String, note: String) {
    plan.notices.push(Event { once, ..Event::warning(reason, note) });
}
