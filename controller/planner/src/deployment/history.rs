//! Forgetting: old revisions go once nothing names them.

use crate::{
    deployment::{Action, Plan, Snapshot, step::Step},
    revision::Revision,
};

/// Deletes the oldest revisions beyond `historyLimit` that neither a pod, nor the release, nor a person names. Only
/// between releases.
pub fn prune(s: &Snapshot<'_>, step: &Step<'_>, plan: &mut Plan) {
    if !step.is_complete() {
        return;
    }
    let mut old: Vec<&Revision> = s.revisions.iter().copied().filter(|r| !is_named(s, step, r)).collect();
    old.sort_by_key(|r| r.number);
    let keep = usize::try_from(s.deployment.spec.history_limit).unwrap_or(0);
    let surplus = old.len().saturating_sub(keep);
    for r in old.into_iter().take(surplus).filter(|r| !r.busy) {
        plan.act(Action::DeleteRevision { name: r.name.clone(), uid: r.uid, rv: r.rv });
    }
}

fn is_named(s: &Snapshot<'_>, step: &Step<'_>, r: &Revision) -> bool {
    let release = &step.release;
    let rollback = s.deployment.spec.release.as_ref().and_then(|c| c.rollback);
    r.uid == step.target.uid
        || r.uid == step.base.uid
        || release.from_revision.is_some_and(|n| r.answers_to(n))
        || rollback.is_some_and(|to| r.answers_to(to.to) || r.answers_to(to.abandon))
        || s.units.iter().any(|u| u.census.has(r.hash))
        || s.units.iter().any(|u| u.set.spec.digest == r.digest)
        || s.units.iter().any(|u| u.set.spec.update_strategy.base_revision.as_deref() == Some(&*r.name))
}
