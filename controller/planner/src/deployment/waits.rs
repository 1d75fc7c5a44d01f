//! Orders that stand and wait for their moment: a level is never lost, but somebody who has given an order wants to read that
//! it was seen.

use cafe_crds::{
    deployment::{ReleaseState, ReleaseStatus},
    reason,
};

use crate::{
    deployment::{
        Plan, Snapshot, gate, orders,
        step::{Kind, Step},
    },
    revision::Revision,
};

/// What the message adds about orders that wait, each part after a semicolon.
#[must_use]
pub fn notes(s: &Snapshot<'_>, step: &Step<'_>) -> String {
    let notes = [confirmed(s, step), overruled_pause(s, step), restart(s, step)];
    notes.into_iter().flatten().map(|note| format!("; {note}")).collect()
}

fn confirmed(s: &Snapshot<'_>, step: &Step<'_>) -> Option<String> {
    let early = !step.is_aborted() && gate::is_confirmed_early(s, step);
    early.then(|| format!("gate {} is confirmed already", gate::token(step)))
}

fn overruled_pause(s: &Snapshot<'_>, step: &Step<'_>) -> Option<String> {
    let pause = s.deployment.spec.strategy.pause == Some(true);
    let overruled = pause && step.kind == Kind::Rollback && step.release.state == ReleaseState::RollingBack;
    overruled.then(|| "spec.strategy.pause does not hold a rollback".to_owned())
}

fn restart(s: &Snapshot<'_>, step: &Step<'_>) -> Option<String> {
    let waits = !step.is_complete() && s.awaits_restart();
    waits.then(|| "spec.restartAt waits until a release has completed".to_owned())
}

/// Tells of a `spec.release.retry` that has nothing to take up, or has to wait.
pub fn tell_idle_retry(s: &Snapshot<'_>, template: &Revision, plan: &mut Plan) {
    let Some(number) = orders::retry(s).filter(|number| *number >= template.number) else { return };
    if orders::retries(s, template) {
        return;
    }
    let in_hand = |r: &&ReleaseStatus| template.answers_to(r.revision);
    let why = if number > template.number {
        format!("the template is revision {}", template.number)
    } else if let Some(to) = orders::on_the_way_back(s, template) {
        format!("it waits until the rollback to revision {to} has ended")
    } else if s.stored().filter(in_hand).is_some_and(|r| r.state == ReleaseState::Completed) {
        format!("the release of revision {number} has completed")
    } else {
        format!("it waits until the release of revision {number} has been aborted or has failed")
    };
    let note = format!("spec.release.retry \"{number}\": {why}");
    orders::ignored(plan, reason::ORDER_IGNORED, note.clone(), note);
}
