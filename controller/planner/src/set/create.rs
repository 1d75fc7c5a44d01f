//! The pods that are missing, and the revision each is born at.

use std::collections::BTreeSet;

use crate::{
    Text,
    bonds::Kin,
    identity::{RevisionHash, Uid, mix},
    set::{
        Action, Plan, Snapshot,
        claims::{self, Places, Ready},
        intent::{Intended, Intent},
        ownership, steps,
    },
};

/// Creates what is missing. A pod is born at the target only while the pods at it and those on their way to it leave
/// room, so that a pod that dies comes back as what its quota says and none is born past a gate.
///
/// Returns the places that are being filled, also while nothing may be created.
pub fn plan(s: &Snapshot<'_>, pods: &[Intended<'_>], places: &Places<'_>, plan: &mut Plan) -> BTreeSet<Text> {
    let overlaps = s.others.overlaps.is_some();
    let may_create = !overlaps || ownership::has_served(s);
    let Some(target) = s.target.filter(|_| may_create) else { return BTreeSet::new() };
    let base = s.base(target);
    let places_are_kept = claims::are_kept(s, target);
    // With claims the new pod waits until the old one has let go of them.
    let present = |p: &&Intended<'_>| p.view.pod.is_live() || places_are_kept;
    let have = pods.iter().filter(present).count() + s.creating.len();
    let have = have + ownership::arriving(s);
    let missing = usize::try_from(s.set.spec.replicas).unwrap_or(0).saturating_sub(have);
    if missing == 0 {
        return BTreeSet::new();
    }
    let names = names(s, pods, places, places_are_kept, missing);
    let wanted = names.iter().cloned().collect();
    if let Some(until) = s.no_births_until.filter(|until| *until > s.now.mono) {
        plan.wake.at(until);
        return wanted;
    }
    let at_target = pods.iter().filter(|p| p.view.pod.is_live() && is_or_will_be_at(target.hash, p)).count()
        + s.creating.iter().filter(|(_, hash)| *hash == target.hash).count();
    let room = usize::try_from(s.set.spec.replicas.saturating_sub(s.partition()))
        .unwrap_or(0)
        .saturating_sub(at_target);
    // While an older object is in its way what dies comes back as it was.
    let at_base = if overlaps { missing } else { missing.saturating_sub(room) };
    for (i, name) in names.into_iter().take(MOST_AT_ONCE).enumerate() {
        let born = if i < at_base { base } else { target };
        match places.ready(s, born, &name) {
            Ready::Yes => {
                let (revision, group) = (born.hash, steps::birth_group(s, born.hash));
                plan.actions.push(Action::Create { name, revision, group });
            }
            Ready::Lacks(templates) => claims::create(templates, &name, born.hash, plan),
            Ready::Wait => {}
        }
    }
    wanted
}

/// The names of the pods that are missing: the places that wait for one, then new ones.
fn names(
    s: &Snapshot<'_>,
    pods: &[Intended<'_>],
    places: &Places<'_>,
    places_are_kept: bool,
    missing: usize,
) -> Vec<Text> {
    let held = s.creating.iter().map(|(name, _)| name).chain(s.occupied).map(|name| &**name);
    let arriving = s.others.orphans.iter().filter(|orphan| orphan.kind == Kin::Pod).map(|o| &*o.name);
    let taken: BTreeSet<&str> = pods.iter().map(|p| &*p.view.pod.name).chain(held).chain(arriving).collect();
    let vacant = if places_are_kept { places.vacant(&taken) } else { Vec::new() };
    let most = missing.min(MOST_AT_ONCE.max(vacant.len()));
    let is_free = |name: &Text| !taken.contains(&**name) && !places.is_closing(name);
    let new = (0..).map(|slot| pod_name(&s.set.name, s.set.uid, slot)).filter(is_free);
    dedup(vacant.into_iter().chain(new)).take(most).collect()
}

/// Whether the pod counts for the target: it runs it, or nothing more is needed before it may be written.
fn is_or_will_be_at(target: RevisionHash, p: &Intended<'_>) -> bool {
    let pod = p.view.pod;
    let bound = |to: Option<RevisionHash>| to == Some(target) || p.intent.drains();
    pod.revision == Some(target) || p.intent == Intent::Relabel || p.view.entry.is_some_and(|e| bound(e.to))
}

fn dedup(names: impl Iterator<Item = Text>) -> impl Iterator<Item = Text> {
    let mut seen = BTreeSet::new();
    names.filter(move |name| seen.insert(name.clone()))
}

/// Most creations asked for by one plan: more than are ever in flight.
const MOST_AT_ONCE: usize = 128;

/// Letters and digits that form no words and cannot be mistaken for one another, as Kubernetes uses for names.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The name of the pod in `slot`: the same each time, so that a create whose answer was lost cannot make a second pod.
#[must_use]
pub fn pod_name(set: &str, uid: Uid, slot: u64) -> Text {
    let mut rest = mix(mix((uid.0 as u64) ^ ((uid.0 >> 64) as u64)).wrapping_add(slot));
    let mut name = String::with_capacity(set.len() + 6);
    name.push_str(set);
    name.push('-');
    for _ in 0..5 {
        let letter = ALPHABET.get((rest % 27) as usize).copied().unwrap_or(b'x');
        name.push(char::from(letter));
        rest /= 27;
    }
    name.into()
}
