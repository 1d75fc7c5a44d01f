//! A set that is being deleted: gone with its pods, unless people asked for a drain before that.

use cafe_crds::claims::{ClaimRetention, ClaimRetentionPolicy};

use crate::{
    identity::RevisionHash,
    pod::PodView,
    revision::Revision,
    set::{
        Action, Plan, Set, SetSpec, Snapshot, census,
        intent::{Intended, Intent},
        journal, steps, work,
    },
    template::Facts,
};

/// Plans a set that is being deleted: with the finalizer `cafe.dev/drain` its pods go as in a scale-in to nothing, and then the
/// finalizer. Else nothing is begun any more, and what is under way is ended.
#[must_use]
pub fn plan(s: &Snapshot<'_>) -> Plan {
    if s.set.bonds.drains() && !(s.pods.is_empty() && s.creating.is_empty()) {
        // What becomes of claims is said by `whenDeleted`: they are not scaled away.
        let when_scaled = ClaimRetention::Retain;
        let claim_retention = ClaimRetentionPolicy { when_scaled, ..s.set.spec.claim_retention };
        let set = Set { spec: SetSpec { claim_retention, ..s.set.spec.clone() }, ..s.set.clone() };
        let mut plan = empty(&Snapshot { set: &set, ..s.clone() });
        // Those that have gone are missing all the same: no other unit is to take out what the application can spare no more.
        plan.census.broken = census::take(s).broken;
        return plan;
    }
    end(s)
}

/// Puts the pods back into traffic that were taken out of it: somebody's finalizer may keep the set for long, or they live on without
/// it. Those that the garbage collector is about to delete stay out.
fn end(s: &Snapshot<'_>) -> Plan {
    let stand_in = stand_in(s);
    let s = &Snapshot { target: s.target.or(Some(&stand_in)), ..s.clone() };
    let mut plan = Plan { census: census::take(s), ..Plan::default() };
    plan.wake = plan.census.wake;
    let pods: Vec<Intended<'_>> = s.pods.iter().copied().map(as_it_is).collect();
    let journal = journal::plan(s, &pods, false);
    if !s.set.bonds.foreground {
        steps::plan(s, &pods, &journal, &mut plan);
    }
    match s.set.bonds.drain {
        Some(at) if !s.busy => plan.actions.push(Action::LetGo { rv: s.set.rv, at }),
        _ => journal::write(s, &journal, &mut plan),
    }
    plan
}

fn as_it_is(view: PodView<'_>) -> Intended<'_> {
    let intent = if view.pod.is_live() { Intent::Keep } else { Intent::Gone };
    Intended { view, intent }
}

/// Plans the set as if it were to have no pods, whatever its spec says: also when its revisions have gone before it.
#[must_use]
pub fn empty(s: &Snapshot<'_>) -> Plan {
    let set = Set { spec: SetSpec { replicas: 0, ..s.set.spec.clone() }, ..s.set.clone() };
    without_revision(&Snapshot { set: &set, ..s.clone() })
}

/// Plans a set that nothing is to be created for or moved in, so that it needs no revision.
#[must_use]
pub fn without_revision(s: &Snapshot<'_>) -> Plan {
    let stand_in = stand_in(s);
    let target = s.target.unwrap_or(&stand_in);
    let s = Snapshot { target: Some(target), ..s.clone() };
    let mut plan = Plan { census: census::take(&s), ..Plan::default() };
    work(&s, target, &mut plan);
    plan
}

/// What stands for a revision that has gone: the status keeps its name.
fn stand_in(s: &Snapshot<'_>) -> Revision {
    Revision {
        name: s.set.status.update_revision.as_deref().unwrap_or_default().into(),
        uid: s.set.uid,
        rv: 0,
        number: 0,
        older: Vec::new(),
        hash: RevisionHash::default(),
        digest: s.set.spec.digest,
        outcome: None,
        busy: false,
        facts: Facts::default(),
    }
}
