//! Counting pods: the figures of the status, and what the CafeDeployment planner needs to know of a unit.

use cafe_crds::{claims::ClaimRetention, time::Seconds};

use crate::{
    identity::RevisionHash,
    pod::{Gate, Pod},
    set::{Snapshot, drain::Held, intent},
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
    /// Of these, pods that have the target revision and are not back yet.
    pub updated_in_flight: i32,
    /// Pods on their way out.
    pub terminating: i32,
    /// Claims of pods that were scaled away, which are still to be deleted.
    pub discarded_claims: i32,
    /// Claims that would be deleted together with the set, or may be: a write is on its way.
    pub owned_claims: i32,
    /// Pods by the revision they have, sorted.
    pub revisions: Vec<Share>,
    /// Why the API server refuses new pods.
    pub refused: Option<crate::Text>,
    /// Pods whose turn it is but that `podUpdatePolicy: InPlaceOnly` forbids to move.
    pub blocked: i32,
    /// The first trouble met, in order of pod names.
    pub trouble: Option<Trouble>,
    /// The first container, in order of pod names, that runs and is not ready: a trouble only when it lasts.
    pub unready: Option<Trouble>,
    /// The first pod, by name, that has the target and served, and whose containers are no longer ready.
    pub sick: Option<crate::Text>,
    /// The first drain, in order of pod names, that is not complete yet.
    pub draining: Option<Held>,
    /// Pods that `restartAt` asks to be replaced and that are not yet.
    pub to_restart: i32,
    /// Live pods that have no node yet.
    pub nodeless: i32,
    /// Of these, pods that the scheduler finds no node for: since when, and how many, the longest first.
    pub unschedulable: Vec<(Seconds, i32)>,
    /// When the oldest live pod was created.
    pub oldest: Option<Seconds>,
    /// The first drain, in order of pod names, that takes too long and that nobody cuts short.
    pub held: Option<Held>,
    /// Pods that are updated after a drain that was cut short, and who was not waited for.
    pub forced: Vec<(crate::Text, crate::Text)>,
    /// The first pod, by name, that people keep out of traffic.
    pub offline: Option<crate::Text>,
    /// The first pod, by name, that serves but that a declared protector has not taken back, and that protector.
    pub unreturned: Option<(crate::Text, crate::Text)>,
    /// The highest group of the newest revision that any live pod was moved in: revision number, group.
    pub highest_group: Option<(i64, i32)>,
    /// When the figures change by the mere passing of time.
    pub wake: Wake,
}

/// The pods that have one revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Share {
    /// The revision.
    pub revision: RevisionHash,
    /// Live pods; none when only pods on their way out have it.
    pub replicas: i32,
    /// Of these, ready.
    pub ready: i32,
    /// Of these, available and taken back by every protector.
    pub available: i32,
}

impl Census {
    /// The pods that have `revision`.
    #[must_use]
    pub fn at(&self, revision: RevisionHash) -> Share {
        let at = self.revisions.binary_search_by_key(&revision, |s| s.revision);
        at.ok().and_then(|at| self.revisions.get(at)).copied().unwrap_or_default()
    }

    /// Whether any pod has `revision`, also on its way out.
    #[must_use]
    pub fn has(&self, revision: RevisionHash) -> bool {
        self.revisions.binary_search_by_key(&revision, |s| s.revision).is_ok()
    }

    /// Pods that the scheduler has found no node for since `when` or longer.
    #[must_use]
    pub fn unschedulable_since(&self, when: Seconds) -> i32 {
        self.unschedulable.iter().take_while(|(since, _)| *since <= when).map(|(_, pods)| pods).sum()
    }

    /// Since when the pod that is next to wait for a node since later than `when` does.
    #[must_use]
    pub fn next_unschedulable(&self, when: Seconds) -> Option<Seconds> {
        self.unschedulable.iter().map(|(since, _)| *since).find(|since| *since > when)
    }

    fn note_nodeless(&mut self, pod: &Pod) {
        self.nodeless += 1;
        let Some(since) = pod.unschedulable else { return };
        match self.unschedulable.binary_search_by_key(&since, |(at, _)| *at) {
            Ok(at) => self.unschedulable.get_mut(at).into_iter().for_each(|(_, pods)| *pods += 1),
            Err(at) => self.unschedulable.insert(at, (since, 1)),
        }
    }

    fn share(&mut self, revision: RevisionHash) -> Option<&mut Share> {
        let at = self.revisions.binary_search_by_key(&revision, |s| s.revision);
        let at = at.unwrap_or_else(|at| {
            self.revisions.insert(at, Share { revision, ..Share::default() });
            at
        });
        self.revisions.get_mut(at)
    }
}

/// A pod that does not get ready, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Trouble {
    /// Pod name.
    pub pod: crate::Text,
    /// Container name; none when no node has taken the pod.
    pub container: Option<crate::Text>,
    /// Why it waits.
    pub reason: crate::Text,
}

impl Trouble {
    /// What to say of the pod.
    #[must_use]
    pub fn what(&self) -> String {
        let container = self.container.as_ref().map(|name| format!("container {name}: ")).unwrap_or_default();
        format!("{container}{}", self.reason)
    }
}

/// Counts the pods of the snapshot.
#[must_use]
pub fn take(s: &Snapshot<'_>) -> Census {
    let in_flight = i32::try_from(s.set.journal.len()).unwrap_or(i32::MAX);
    let mut c = Census { in_flight, refused: s.refused.cloned(), ..Census::default() };
    if let Some(at) = s.set.spec.restart_at.filter(|at| *at > s.now.wall) {
        c.wake.at_wall(s.now, at);
    }
    let (mut reserved, mut unreserved_in_service) = (0, 0);
    for view in s.claims.iter().filter(|view| !view.claim.terminating) {
        c.discarded_claims += i32::from(view.claim.given_up == Some(ClaimRetention::Delete));
        c.owned_claims += i32::from(view.busy || !view.claim.owners.is_empty());
    }
    for view in s.pods {
        c.terminating += i32::from(view.pod.terminating);
        if view.entry.is_some() {
            reserved += 1;
            let updated = s.target.is_some_and(|t| view.pod.revision == Some(t.hash));
            c.updated_in_flight += i32::from(view.pod.is_live() && updated);
        } else if view.pod.in_service() {
            unreserved_in_service += 1;
        } else if has_sickened(s, view.pod) && c.sick.as_ref().is_none_or(|first| view.pod.name < *first) {
            c.sick = Some(view.pod.name.clone());
        }
        count(s, view.pod, &mut c);
    }
    c.broken = s.set.spec.replicas.saturating_sub(unreserved_in_service).saturating_sub(reserved).max(0);
    let updated = s.target.map(|t| c.at(t.hash)).unwrap_or_default();
    (c.updated, c.updated_ready, c.updated_available) = (updated.replicas, updated.ready, updated.available);
    c
}

fn count(s: &Snapshot<'_>, pod: &Pod, c: &mut Census) {
    let live = pod.is_live();
    let ready = live && pod.is_ready();
    let from = traffic::available_from(pod, s.set.spec.min_ready_seconds).filter(|_| ready);
    let available = pod.gate == Gate::True && from.is_some_and(|at| at <= s.now.wall);
    if let Some(at) = from.filter(|at| *at > s.now.wall) {
        c.wake.at_wall(s.now, at);
    }
    let missing = traffic::missing(pod, &s.set.spec.traffic.protectors);
    if let Some(share) = pod.revision.and_then(|revision| c.share(revision)) {
        share.replicas += i32::from(live);
        share.ready += i32::from(ready);
        share.available += i32::from(available && missing.is_none());
    }
    if let Some(protector) = missing.filter(|_| available)
        && c.unreturned.as_ref().is_none_or(|(first, _)| pod.name < *first)
    {
        c.unreturned = Some((pod.name.clone(), protector.into()));
    }
    c.highest_group = c.highest_group.max(pod.group.filter(|_| live));
    c.to_restart += i32::from(live && intent::is_to_restart(s, pod));
    if live && !pod.scheduled {
        c.note_nodeless(pod);
    }
    if live {
        c.oldest = Some(c.oldest.map_or(pod.created, |oldest| oldest.min(pod.created)));
    }
    c.replicas += i32::from(live);
    c.ready += i32::from(ready);
    c.available += i32::from(available);
    if live && pod.offline && c.offline.as_ref().is_none_or(|first| pod.name < *first) {
        c.offline = Some(pod.name.clone());
    }
    if let Some(who) = pod.in_place.as_ref().and_then(|record| record.forced.clone()).filter(|_| live) {
        c.forced.push((pod.name.clone(), who));
    }
    if live {
        first(&mut c.trouble, trouble(pod));
        first(&mut c.unready, unready(pod));
    }
}

fn first(least: &mut Option<Trouble>, next: Option<Trouble>) {
    if let Some(next) = next
        && least.as_ref().is_none_or(|least| next < *least)
    {
        *least = Some(next);
    }
}

/// Whether a pod that nobody has reserved got the target, was let into service, and has lost a container since. One that has
/// only just been let in has its containers; its Ready is about to follow.
fn has_sickened(s: &Snapshot<'_>, pod: &Pod) -> bool {
    let is_new = s.target.is_some_and(|t| pod.revision == Some(t.hash) && s.base(t).uid != t.uid);
    is_new && pod.is_live() && pod.gate == Gate::True && !pod.containers_ready
}

fn trouble(pod: &Pod) -> Option<Trouble> {
    if pod.unschedulable.is_some() && !pod.scheduled {
        return Some(Trouble { pod: pod.name.clone(), container: None, reason: "Unschedulable".into() });
    }
    let waiting = pod.containers.iter().filter_map(|c| Some((&c.name, c.waiting.as_ref()?)));
    let init = pod.init_waits.iter().map(|waits| (&waits.0, &waits.1));
    // A container that is merely being created, or whose turn has not come, is no trouble.
    let is_trouble = |reason: &str| !matches!(reason, "ContainerCreating" | "PodInitializing");
    let (container, reason) = init.chain(waiting).find(|(_, reason)| is_trouble(reason))?;
    Some(Trouble { pod: pod.name.clone(), container: Some(container.clone()), reason: reason.clone() })
}

fn unready(pod: &Pod) -> Option<Trouble> {
    let container = pod.containers.iter().find(|c| c.running && !c.ready)?;
    let reason = "it runs, but is not ready".into();
    Some(Trouble { pod: pod.name.clone(), container: Some(container.name.clone()), reason })
}
