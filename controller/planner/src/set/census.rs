//! Counting pods: the figures of the status, and what the CafeDeployment planner needs to know of a unit.

use crate::{
    identity::RevisionHash,
    pod::{Gate, Pod},
    set::Snapshot,
    time::Wake,
    traffic,
};

/// The pods of one InPlaceSet in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Census {
    /// Live pods.
    pub replicas: i32,
    /// Ready.
    pub ready: i32,
    /// In service for `minReadySeconds`.
    pub available: i32,
    /// Live pods at the target revision.
    pub updated: i32,
    /// Of these, ready.
    pub updated_ready: i32,
    /// Of these, available and taken back by every protector.
    pub updated_available: i32,
    /// Pods out of service that the journal does not hold, and pods that are missing: not our doing.
    pub broken: i32,
    /// Entries of the journal.
    pub in_flight: i32,
    /// Revisions that pods run, sorted.
    pub revisions: Vec<RevisionHash>,
    /// Pods whose turn it is but that `podUpdatePolicy: InPlaceOnly` forbids to move.
    pub blocked: i32,
    /// The first trouble met, in order of pod names: pod and the reason its container waits.
    pub trouble: Option<Trouble>,
    /// When the figures change by the mere passing of time.
    pub wake: Wake,
}

/// A pod that does not get ready, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Trouble {
    /// Pod name.
    pub pod: crate::Text,
    /// Container name.
    pub container: crate::Text,
    /// Why it waits.
    pub reason: crate::Text,
}

/// Counts the pods of the snapshot.
#[must_use]
pub fn take(s: &Snapshot<'_>) -> Census {
    let target = s.target.map(|t| t.hash);
    let mut c =
        Census { in_flight: i32::try_from(s.set.journal.len()).unwrap_or(i32::MAX), ..Census::default() };
    let mut unreserved_in_service = 0;
    for view in s.pods {
        let pod = view.pod;
        if let Some(hash) = pod.revision
            && let Err(at) = c.revisions.binary_search(&hash)
        {
            c.revisions.insert(at, hash);
        }
        if pod.in_service() && s.set.entry(pod.uid).is_none() {
            unreserved_in_service += 1;
        }
        if pod.is_live() {
            count(s, pod, pod.revision.is_some() && pod.revision == target, &mut c);
        }
    }
    let reserved =
        i32::try_from(s.pods.iter().filter(|v| s.set.entry(v.pod.uid).is_some()).count()).unwrap_or(i32::MAX);
    c.broken = s.set.spec.replicas.saturating_sub(unreserved_in_service).saturating_sub(reserved).max(0);
    c
}

fn count(s: &Snapshot<'_>, pod: &Pod, updated: bool, c: &mut Census) {
    c.replicas += 1;
    c.updated += i32::from(updated);
    if let Some(trouble) = trouble(pod)
        && c.trouble.as_ref().is_none_or(|t| trouble < *t)
    {
        c.trouble = Some(trouble);
    }
    if !pod.is_ready() {
        return;
    }
    c.ready += 1;
    c.updated_ready += i32::from(updated);
    let from = traffic::available_from(pod, s.set.spec.min_ready_seconds);
    match from {
        Some(at) if at > s.now.wall => c.wake.at_wall(s.now, at),
        Some(_) if pod.gate == Gate::True => {
            c.available += 1;
            c.updated_available +=
                i32::from(updated && traffic::is_back(pod, &s.set.spec.traffic.protectors));
        }
        _ => {}
    }
}

fn trouble(pod: &Pod) -> Option<Trouble> {
    let container = pod.containers.iter().find(|c| c.waiting.is_some())?;
    let reason = container.waiting.clone()?;
    // A container that is merely being created is no trouble.
    if *reason == *"ContainerCreating" || *reason == *"PodInitializing" {
        return None;
    }
    Some(Trouble { pod: pod.name.clone(), container: container.name.clone(), reason })
}
