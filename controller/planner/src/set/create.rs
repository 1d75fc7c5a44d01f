//! The pods that are missing, and the revision each is born at.

use std::collections::BTreeSet;

use crate::{
    Text,
    identity::{RevisionHash, Uid, mix},
    set::{
        Action, Plan, Snapshot,
        intent::{Intended, Intent},
        ownership, steps,
    },
};

/// Creates what is missing. A pod is born at the target only while the pods at it and those on their way to it leave
/// room, so that a pod that dies comes back as what its quota says and none is born past a gate.
pub fn plan(s: &Snapshot<'_>, pods: &[Intended<'_>], plan: &mut Plan) {
    let Some(target) = s.target.filter(|_| s.others.overlaps.is_none()) else { return };
    let base = s.base(target);
    // With claims the new pod waits until the old one has let go of them.
    let present = |p: &&Intended<'_>| p.view.pod.is_live() || s.set.spec.has_claims;
    let have = pods.iter().filter(present).count() + s.creating.len();
    let have = have + ownership::arriving(s);
    let missing = usize::try_from(s.set.spec.replicas).unwrap_or(0).saturating_sub(have);
    if missing == 0 {
        return;
    }
    if let Some(until) = s.no_births_until.filter(|until| *until > s.now.mono) {
        plan.wake.at(until);
        return;
    }
    let at_target =
        pods.iter().filter(|p| p.view.pod.is_live() && is_or_will_be_at(s, target.hash, p)).count()
            + s.creating.iter().filter(|(_, hash)| *hash == target.hash).count();
    let room = usize::try_from(s.set.spec.replicas.saturating_sub(s.partition()))
        .unwrap_or(0)
        .saturating_sub(at_target);
    let at_base = missing.saturating_sub(room);
    let held = s.creating.iter().map(|(name, _)| name).chain(s.occupied).map(|name| &**name);
    let taken: BTreeSet<&str> = pods.iter().map(|p| &*p.view.pod.name).chain(held).collect();
    let names =
        (0..).map(|slot| pod_name(&s.set.name, s.set.uid, slot)).filter(|name| !taken.contains(&**name));
    for (i, name) in dedup(names).take(missing.min(MOST_AT_ONCE)).enumerate() {
        let revision = if i < at_base { base.hash } else { target.hash };
        plan.actions.push(Action::Create { name, revision, group: steps::birth_group(s, revision) });
    }
}

/// Whether the pod counts for the target: it runs it, or nothing more is needed before it may be written.
fn is_or_will_be_at(s: &Snapshot<'_>, target: RevisionHash, p: &Intended<'_>) -> bool {
    let pod = p.view.pod;
    let bound = |to: Option<RevisionHash>| to == Some(target) || p.intent.drains();
    pod.revision == Some(target)
        || p.intent == Intent::Relabel
        || s.set.entry(pod.uid).is_some_and(|e| bound(e.to))
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
