//! Whose pods they are: what nobody owns and matches is adopted, what no longer matches is let go, and what others write into
//! fields of ours is told.

use std::collections::BTreeSet;

use cafe_crds::{
    names::{ANNOTATION_OFFLINE, GATE, LABEL_REVISION},
    reason,
};

use crate::{
    bonds::{Kin, Orphan},
    event::Event,
    identity::{Op, RevisionHash},
    pod::{Gate, PodView},
    set::{
        Action, Plan, Snapshot,
        action::{Notice, On},
    },
    words,
};

/// Asks for what matches and belongs to nobody, once a live read begun after it was seen has shown the set alive: what the
/// deletion of this very set has orphaned would be collected with it.
pub fn adopt(s: &Snapshot<'_>, plan: &mut Plan) {
    let others = &s.others;
    if others.orphans.is_empty() || others.confirming {
        return;
    }
    if !others.confirmed {
        plan.actions.push(Action::Confirm);
        return;
    }
    plan.actions.extend(others.orphans.iter().filter_map(adoption));
    let pods: Vec<&Orphan> = others.orphans.iter().filter(|o| o.kind == Kin::Pod).collect();
    if let Some(first) = pods.first() {
        let note = format!("{} that nobody owned: {} and so on", counted(pods.len()), first.name);
        let once = format!("{}-{}", first.uid, first.rv);
        plan.events.push(Event { once, ..Event::normal(reason::CHILD_ADOPTED, note) });
    }
}

fn adoption(orphan: &Orphan) -> Option<Action> {
    let Orphan { kind, name, uid, rv } = orphan.clone();
    match kind {
        Kin::Pod => Some(Action::Adopt { on: On { pod: name, uid, rv } }),
        Kin::Revision => Some(Action::AdoptRevision { name, uid, rv }),
        Kin::Release => None,
    }
}

fn counted(pods: usize) -> String {
    if pods == 1 { "1 pod".to_owned() } else { format!("{pods} pods") }
}

/// Pods that are about to be the set's own, and count as such.
#[must_use]
pub fn arriving(s: &Snapshot<'_>) -> usize {
    s.others.orphans.iter().filter(|orphan| orphan.kind == Kin::Pod).count()
}

/// Whether a revision is about to be the set's own: until then none is created under its name.
#[must_use]
pub fn awaits_revisions(s: &Snapshot<'_>) -> bool {
    s.others.orphans.iter().any(|orphan| orphan.kind == Kin::Revision)
}

/// Tells of what somebody else has written into fields of the set's on its pods, once per change.
pub fn tell(s: &Snapshot<'_>, plan: &mut Plan) {
    let known: BTreeSet<RevisionHash> = s.revisions.iter().map(|revision| revision.hash).collect();
    for view in s.pods.iter().filter(|view| view.pod.is_live()) {
        let event = stray(s, view).or_else(|| unknown(s, view, &known)).or_else(|| moved_by_hand(s, view));
        if let Some(event) = event {
            plan.notices.push(Notice { pod: view.pod.name.clone(), uid: view.pod.uid, event });
        }
    }
}

fn stray(s: &Snapshot<'_>, view: &PodView<'_>) -> Option<Event> {
    if !view.stray {
        return None;
    }
    let note = format!(
        "its labels no longer match the selector of InPlaceSet {}, which lets it go and replaces it; to have it back put the labels \
         back ({}), else delete it when it is of no use any more",
        s.set.name,
        s.set.spec.selector.as_query()
    );
    Some(Event { once: view.pod.rv.to_string(), ..Event::warning(reason::CHILD_RELEASED, note) })
}

fn unknown(s: &Snapshot<'_>, view: &PodView<'_>, known: &BTreeSet<RevisionHash>) -> Option<Event> {
    let is_known = view.pod.revision.is_some_and(|hash| known.contains(&hash));
    if is_known || view.busy {
        return None;
    }
    let once = view.pod.revision.map_or_else(|| "none".to_owned(), |hash| hash.to_string());
    let note = format!(
        "its label {LABEL_REVISION} belongs to InPlaceSet {} and names no revision that is kept ({once}): nobody knows what it runs, so \
         it is replaced when its turn comes",
        s.set.name
    );
    Some(Event { once, ..Event::warning(reason::CHILD_OVERWRITTEN, note) })
}

/// A False that names no drain is nobody's of ours, and neither is a True that somebody else has written in the middle of one.
fn moved_by_hand(s: &Snapshot<'_>, view: &PodView<'_>) -> Option<Event> {
    let pod = view.pod;
    let reservation = view.entry;
    let advice = match pod.gate {
        Gate::Draining(op) if op == Op::default() && reservation.is_none() => format!(
            "closed it, and it is opened again; to keep the pod out of traffic: kubectl annotate pod {} {ANNOTATION_OFFLINE}=true",
            pod.name
        ),
        Gate::True if pod.gate_editor.is_some() && reservation.is_some_and(|r| r.since <= pod.gate_since) => {
            "opened it in the middle of a drain; it is closed and drained anew as long as the pod is to move or to go: roll back or scale \
             out instead"
                .to_owned()
        }
        _ => return None,
    };
    let who =
        pod.gate_editor.as_ref().map_or("somebody else".to_owned(), |who| format!("field manager {who}"));
    let note = format!("its condition {GATE} belongs to InPlaceSet {}; {who} has {advice}", s.set.name);
    Some(Event { once: pod.gate_since.0.to_string(), ..Event::warning(reason::CHILD_OVERWRITTEN, note) })
}

/// Tells that an older object has a claim to such pods.
pub fn tell_overlap(s: &Snapshot<'_>, plan: &mut Plan) {
    if let Some(note) = overlap(s) {
        let once = s.others.overlaps.map(ToString::to_string).unwrap_or_default();
        plan.events.push(Event { once, ..Event::warning(reason::SELECTOR_OVERLAPS, note) });
    }
}

/// Whether the set was at work before. An older object that comes in its way later takes no pod from it: it goes on like one that
/// is paused.
#[must_use]
pub fn has_served(s: &Snapshot<'_>) -> bool {
    s.set.status.current_revision.is_some()
}

/// What is wrong with the selector, and what to do.
#[must_use]
pub fn overlap(s: &Snapshot<'_>) -> Option<String> {
    let older = s.others.overlaps?;
    if has_served(s) {
        return Some(words::overlap_that_befell(older, "kubectl"));
    }
    Some(format!(
        "{older} is older, and its pods and those of this one match each other's selectors: this one creates and moves no pod until it is gone; \
         selectors are immutable, so create this one anew with other labels, after: kubectl delete inplaceset {}",
        s.set.name
    ))
}
