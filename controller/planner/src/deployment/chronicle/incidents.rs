//! What went wrong while a release ran. Each thing is told once in each group, with the first words it came with.

use cafe_crds::{
    deployment::{ReleaseState, ReleaseStatus},
    release::{CafeReleaseStatus, Incident, IncidentKind},
};

use crate::{
    deployment::{Snapshot, message},
    set::Census,
};

/// Incidents listed at most.
const MOST: usize = 50;

/// Adds what is wrong now.
pub(super) fn tell(s: &Snapshot<'_>, release: &ReleaseStatus, status: &mut CafeReleaseStatus) {
    let incident = |kind, pod: Option<&str>, message| Incident {
        at: s.now.wall,
        group: release.group,
        kind,
        pod: pod.map(str::to_owned),
        message,
    };
    let mut now = Vec::new();
    for census in s.units.iter().map(|u| u.census) {
        now.extend(of_unit(census).map(|(kind, pod, message)| incident(kind, pod, message)));
    }
    if release.state == ReleaseState::Failed {
        let seconds = s.deployment.spec.strategy.progress_deadline_seconds;
        let lasting = || s.units.iter().filter_map(|u| u.census.unready.as_ref()).min();
        let cause = message::trouble(s).or_else(lasting).map(|t| format!(": pod {}, {}", t.pod, t.what()));
        let cause = cause.unwrap_or_default();
        now.push(incident(IncidentKind::NoProgress, None, format!("no progress for {seconds} s{cause}")));
    }
    for new in now {
        let known = |old: &Incident| (old.kind, &old.pod, old.group) == (new.kind, &new.pod, new.group);
        if status.incidents.len() < MOST && !status.incidents.iter().any(known) {
            status.incidents.push(new);
        }
    }
}

fn of_unit(c: &Census) -> impl Iterator<Item = (IncidentKind, Option<&str>, String)> {
    let failed = c.trouble.as_ref().map(|t| (IncidentKind::PodFailed, Some(&*t.pod), t.what()));
    let held =
        c.held.as_ref().map(|h| (IncidentKind::DrainTimedOut, Some(&*h.pod), format!("held up: {}", h.by)));
    let refused = c.refused.as_ref().map(|why| (IncidentKind::PodRefused, None, why.to_string()));
    let forced = c.forced.iter().map(|(pod, who)| {
        (IncidentKind::DrainForced, Some(&**pod), format!("drained without waiting for {who}"))
    });
    failed.into_iter().chain(held).chain(refused).chain(forced)
}
