//! A record in one sentence.

use cafe_crds::release::{CafeReleaseStatus, IncidentKind, Rollback, RollbackState, State};

use crate::words::pods;

/// How the release stands or ended. `about` is the number of its revision.
pub(super) fn message(status: &CafeReleaseStatus, about: i64) -> String {
    let at = format!("group {}", status.progress);
    let by = |who: &Option<String>| who.as_ref().map(|who| format!(" by {who}")).unwrap_or_default();
    match status.state {
        State::Executing => format!("{at} is in hand"),
        State::WaitingForConfirmation => format!("{at} is done; the gate after it waits for confirmation"),
        State::Paused => format!("paused in {at}"),
        State::Failed => format!("{at} made no progress{}", first_failure(status)),
        State::Completed => format!("every pod ran revision {about}"),
        State::Aborted => format!(
            "aborted{} in {at}: revision {about} on {}{}",
            by(&status.aborted_by),
            pods(status.updated_replicas),
            first_failure(status)
        ),
        State::Superseded => format!(
            "the release of revision {} took its place in {at}",
            status.superseded_by.unwrap_or_default()
        ),
        State::RolledBack => status.rollbacks.last().map_or_else(String::new, |back| {
            let end = match back.state {
                RollbackState::RollingBack => "pods are on their way",
                RollbackState::Completed => "every pod is there",
                RollbackState::Aborted => "aborted on the way",
                RollbackState::Superseded => "another release took its place on the way",
            };
            let Rollback { to, by: who, .. } = back;
            format!("rolled back to revision {to}{}: {end}{}", by(who), first_failure(status))
        }),
    }
}

/// The first pod in trouble: the likely cause of whatever came after.
fn first_failure(status: &CafeReleaseStatus) -> String {
    let failed = status.incidents.iter().find(|i| i.kind == IncidentKind::PodFailed);
    failed.map_or_else(String::new, |i| format!(" ({}: {})", i.pod.as_deref().unwrap_or_default(), i.message))
}
