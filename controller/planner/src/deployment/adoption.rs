//! What nobody owns and is exactly what this CafeDeployment would make is adopted: the way back after a deletion that left its
//! InPlaceSets running.

use cafe_crds::reason;

use crate::{
    bonds::{Kin, Orphan},
    deployment::{Action, Event, Plan, Snapshot, children, message},
    set::Set,
};

/// Adopts what may be adopted. Whether something is, or is about to be: nothing else is decided before.
pub fn plan(s: &Snapshot<'_>, plan: &mut Plan) -> bool {
    let others = &s.others;
    let sets: Vec<(&str, &Set)> =
        s.unit_names().into_iter().filter_map(|unit| Some((unit, adoptable(s, unit)?))).collect();
    // Records that the API server refuses hold nobody up.
    let rest = s.no_chronicles_until.filter(|until| *until > s.now.mono);
    let due = |o: &&Orphan| o.kind == Kin::Revision || (o.kind == Kin::Release && rest.is_none());
    let orphans: Vec<&Orphan> = others.orphans.iter().filter(due).collect();
    if let Some(until) = rest.filter(|_| orphans.len() < others.orphans.len()) {
        plan.wake.at(until);
    }
    if sets.is_empty() && orphans.is_empty() {
        return false;
    }
    if others.confirming {
        return true;
    }
    if !others.confirmed {
        plan.act(Action::Confirm);
        return true;
    }
    let lacks_history = orphans.iter().any(|o| o.kind == Kin::Revision);
    for orphan in orphans {
        plan.act(Action::Adopt { orphan: orphan.clone() });
    }
    // A set whose pods are partly at an earlier revision has to find it.
    if lacks_history {
        return true;
    }
    for (unit, set) in sets {
        let note = format!(
            "unit {unit}: InPlaceSet {} with {}, which nobody owned",
            set.name,
            message::pods(set.status.replicas)
        );
        let action = Action::AdoptSet { name: set.name.clone(), uid: set.uid, rv: set.rv };
        plan.act_and_tell(action, Event::normal(reason::CHILD_ADOPTED, note));
    }
    true
}

/// The InPlaceSet of a unit that nobody owns but that is what this one would create: its pods belong to that unit and to no other.
fn adoptable<'a>(s: &Snapshot<'a>, unit: &str) -> Option<&'a Set> {
    orphan(s, unit).filter(|set| differences(s, unit, set).is_empty())
}

/// The InPlaceSet that nobody owns and that has the name of a unit's.
fn orphan<'a>(s: &Snapshot<'a>, unit: &str) -> Option<&'a Set> {
    let name = children::set_name(&s.deployment.name, unit);
    s.others.sets.iter().copied().find(|set| set.name == name).filter(|_| s.unit(unit).is_none())
}

/// Why a set that nobody owns is not adopted; empty when it is.
fn differences(s: &Snapshot<'_>, unit: &str, set: &Set) -> Vec<String> {
    let mut all = Vec::new();
    let selector = children::unit_selector(&s.deployment.spec.selector, unit);
    if set.spec.selector != selector {
        all.push(format!("its selector is {}, not {}", set.spec.selector.as_query(), selector.as_query()));
    }
    if set.spec.placement.as_ref() != Some(&children::placement(s, unit)) {
        all.push("its placement is not that of the unit".to_owned());
    }
    if set.bonds.owned {
        all.push("it has an owner reference".to_owned());
    }
    if set.deleting {
        all.push("it is being deleted".to_owned());
    }
    all
}

/// Why the InPlaceSet that has the name of a unit's is not adopted, if nobody owns it.
#[must_use]
pub fn why_not(s: &Snapshot<'_>, unit: &str) -> Option<String> {
    let set = orphan(s, unit)?;
    Some(differences(s, unit, set).join(", "))
}
