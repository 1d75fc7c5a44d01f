//! A set without an owner keeps its own revisions.

use crate::{
    revision::{Resolution, Revision, resolve},
    set::{Action, Plan, Snapshot, ownership},
};

/// Asks for the revision of a template that has none yet.
pub fn create_revision(s: &Snapshot<'_>, plan: &mut Plan) {
    if s.set.owner.is_some() || s.busy || ownership::awaits_revisions(s) {
        return;
    }
    // A template that returns is found by its content; without gates its number does not matter.
    if let Resolution::Create { number, hash } = resolve(s.set.spec.digest, s.revisions, s.held, 0) {
        plan.actions.push(Action::CreateRevision { number, hash });
    }
}

/// Forgets the oldest revisions beyond `revisionHistoryLimit` that no pod runs.
pub fn prune(s: &Snapshot<'_>, target: &Revision, plan: &mut Plan) {
    if s.set.owner.is_some() {
        return;
    }
    let base = s.base(target);
    let is_named = |r: &Revision| r.uid == target.uid || r.uid == base.uid || plan.census.has(r.hash);
    let mut old: Vec<&Revision> = s.revisions.iter().copied().filter(|r| !is_named(r)).collect();
    old.sort_by_key(|r| r.number);
    let keep = usize::try_from(s.set.spec.revision_history_limit).unwrap_or(0);
    let surplus = old.len().saturating_sub(keep);
    for r in old.into_iter().take(surplus).filter(|r| !r.busy) {
        plan.actions.push(Action::DeleteRevision { name: r.name.clone(), uid: r.uid, rv: r.rv });
    }
}
