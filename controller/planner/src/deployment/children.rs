//! The InPlaceSets: one per unit, each told its replicas, its partition and its share of the budget.

use cafe_crds::{
    claims::{ClaimRetention, ClaimRetentionPolicy},
    deployment::UnitType,
    inplaceset::{Placement, UpdateStrategy},
    intstr::IntOrPercent,
    names::LABEL_UNIT,
    reason,
    selector::Selector,
};

use crate::{
    Text,
    deployment::{
        Action, Event, Plan, Snapshot, UnitView, allocation::Allocation, grants, message, snapshot::unit_of,
        step::Step,
    },
    identity::Uid,
    set::{Set, SetSpec},
};

/// More pods than any set may have (its CRD bounds them): a partition of so many keeps them all where they are.
const MOST_REPLICAS: i32 = 100_000;

/// The InPlaceSet's name for a unit.
#[must_use]
pub fn set_name(deployment: &str, unit: &str) -> Text {
    format!("{deployment}-{}", unit.to_ascii_lowercase()).into()
}

/// Creates, writes and removes InPlaceSets until each says what the release asks of its unit. `allocation` is what the units have
/// been given so far.
pub fn plan(s: &Snapshot<'_>, step: &Step<'_>, allocation: &Allocation, plan: &mut Plan) {
    let deal = grants::deal(s, step, allocation);
    let mut room = room_to_shrink(s, allocation);
    for ((unit, replicas), grant) in allocation.units.iter().zip(deal.grants) {
        match s.unit(unit) {
            Some(view) => {
                let replicas = shrink(view, *replicas, &mut room);
                rewrite(view, desired(s, step, unit, replicas, grant), plan);
            }
            None => create(s, unit, desired(s, step, unit, *replicas, grant), plan),
        }
    }
    for view in s.units.iter().filter(|u| allocation.of(unit_of(u.set)).is_none()) {
        retire(s, view, step, &mut room, plan);
    }
    s.units.iter().filter(|u| u.set.deleting).for_each(|view| take_back(view, plan));
    if deal.needs_fence {
        fence(s, plan);
    }
}

/// Sees to it that no write of a former process can land on an InPlaceSet any more. A write of this very plan does as well.
fn fence(s: &Snapshot<'_>, plan: &mut Plan) {
    let written = |uid: Uid| {
        let about = |action: &Action| match action {
            Action::WriteSet { uid, .. } | Action::DeleteSet { uid, .. } => Some(*uid),
            _ => None,
        };
        plan.steps.iter().any(|step| about(&step.action) == Some(uid))
    };
    let open = s.units.iter().filter(|u| !u.fenced && !u.busy);
    let open: Vec<&Set> = open.map(|u| u.set).filter(|set| !written(set.uid)).collect();
    for set in open {
        plan.act(Action::TouchSet { name: set.name.clone(), uid: set.uid, rv: set.rv });
    }
}

/// Pods beyond those that are to be there that may be taken away. Pods that move from one unit to another are created there first
/// and taken away here as the new ones become available; what is told but not seen yet counts as taken. Pods that a
/// shrinking unit has lost hold nobody up.
fn room_to_shrink(s: &Snapshot<'_>, allocation: &Allocation) -> i32 {
    if s.units.iter().any(|u| u.busy) {
        return 0;
    }
    let staying = |u: &UnitView<'_>| {
        let told = u.set.spec.replicas;
        let shrinks = allocation.of(unit_of(u.set)).unwrap_or(0) < told;
        if shrinks { told } else { u.census.available.min(told) }
    };
    (s.units.iter().map(staying).sum::<i32>() - allocation.total()).max(0)
}

/// The size to write for a unit that is to have `replicas`: pods out of service go at once, others while there is room.
fn shrink(view: &UnitView<'_>, replicas: i32, room: &mut i32) -> i32 {
    let today = view.set.spec.replicas;
    // Figures that have not been taken yet are zero: what the status remembers keeps them from counting as broken.
    let available = view.census.available.max(view.set.status.available_replicas);
    let surplus = today - replicas - lost(today, available, view.census.in_flight);
    if surplus <= 0 {
        return replicas;
    }
    let taken = surplus.min(*room);
    *room -= taken;
    replicas + surplus - taken
}

/// Pods of a unit that are out of service for good. One in flight comes back into service: it goes like one that serves.
fn lost(today: i32, available: i32, in_flight: i32) -> i32 {
    (today - available - in_flight).max(0)
}

fn create(s: &Snapshot<'_>, unit: &str, spec: SetSpec, plan: &mut Plan) {
    let name = set_name(&s.deployment.name, unit);
    if let Some(note) = message::name_taken(s, unit, &name) {
        plan.notices.push(Event { once: name.to_string(), ..Event::warning(reason::NAME_TAKEN, note) });
    } else if !s.busy {
        let event = Event::normal(
            reason::UNIT_CREATED,
            format!("unit {unit}: InPlaceSet {name} with {}", message::pods(spec.replicas)),
        );
        plan.act_and_tell(Action::CreateSet { name, spec: Box::new(spec) }, event);
    }
}

fn rewrite(view: &UnitView<'_>, spec: SetSpec, plan: &mut Plan) {
    let set = view.set;
    if set.spec == spec || view.busy || set.deleting {
        return;
    }
    let mut events: Vec<Event> = overwritten(set).into_iter().collect();
    let (from, to) = (set.spec.replicas, spec.replicas);
    if from != to {
        let reason = if to > from { reason::SCALED_OUT } else { reason::SCALED_IN };
        events.push(Event::normal(
            reason,
            format!("unit {}: from {from} to {}", unit_of(set), message::pods(to)),
        ));
    }
    let action = Action::WriteSet { name: set.name.clone(), uid: set.uid, rv: set.rv, spec: Box::new(spec) };
    plan.steps.push(crate::deployment::action::Step { action, events });
}

/// That somebody else has written into the spec of a child, which is about to be put right.
fn overwritten(set: &Set) -> Option<Event> {
    let who = set.bonds.edited_by.as_ref()?;
    let note = format!(
        "InPlaceSet {}: its spec belongs to its CafeDeployment; what field manager {who} has written into it is undone: change the \
         CafeDeployment instead",
        set.name
    );
    Some(Event::warning(reason::CHILD_OVERWRITTEN, note))
}

/// Whether the set has acknowledged that it is to have no pods, and has none. A pod on its way out is in the journal.
pub(super) fn is_empty(view: &UnitView<'_>) -> bool {
    let (set, c) = (view.set, view.census);
    let acknowledged = set.status.observed_generation == Some(set.generation);
    let none = set.spec.replicas == 0 && set.status.replicas == 0 && set.status.in_flight.is_empty();
    acknowledged
        && none
        && c.replicas == 0
        && c.in_flight == 0
        && c.terminating == 0
        && c.discarded_claims == 0
}

/// Takes the share of the budget back from a set that is being deleted and kept by somebody's finalizer: it starts nothing any more,
/// and the others would wait for it. Nothing else is written into it: it goes as it was.
fn take_back(view: &UnitView<'_>, plan: &mut Plan) {
    let set = view.set;
    if view.busy || grants::grant_of(set) == 0 {
        return;
    }
    let max_unavailable = IntOrPercent::Int(0);
    let update_strategy = UpdateStrategy { max_unavailable, ..set.spec.update_strategy.clone() };
    let spec = Box::new(SetSpec { update_strategy, ..set.spec.clone() });
    plan.act(Action::WriteSet { name: set.name.clone(), uid: set.uid, rv: set.rv, spec });
}

/// A unit that is no longer in the topology: emptied, then removed. It starts no update any more, and a pod that dies
/// in it comes back as what it was.
fn retire(s: &Snapshot<'_>, view: &UnitView<'_>, step: &Step<'_>, room: &mut i32, plan: &mut Plan) {
    let set = view.set;
    if view.busy || set.deleting {
        return;
    }
    let strategy = UpdateStrategy {
        partition: IntOrPercent::Int(if step.has_gates() { MOST_REPLICAS } else { 0 }),
        max_unavailable: IntOrPercent::Int(0),
        paused: step.is_held(s),
        ..set.spec.update_strategy.clone()
    };
    let replicas = shrink(view, 0, room);
    // The unit is scaled away, not deleted: its claims let go of the InPlaceSet first, and what `whenScaled` leaves is there when it
    // comes back.
    let when_deleted = ClaimRetention::Retain;
    let claim_retention = ClaimRetentionPolicy { when_deleted, ..s.deployment.spec.claim_retention };
    let spec = SetSpec { replicas, update_strategy: strategy, claim_retention, ..set.spec.clone() };
    if set.spec != spec {
        plan.act(Action::WriteSet { name: set.name.clone(), uid: set.uid, rv: set.rv, spec: Box::new(spec) });
    } else if is_empty(view) && view.census.owned_claims == 0 {
        let event = Event::normal(
            reason::UNIT_REMOVED,
            format!("unit {}: InPlaceSet {} was empty", unit_of(set), set.name),
        );
        let action = Action::DeleteSet { name: set.name.clone(), uid: set.uid, rv: set.rv };
        plan.act_and_tell(action, event);
    }
}

/// Whether the set works on what the release asks of it: the same template, size and partition.
#[must_use]
pub fn follows(s: &Snapshot<'_>, step: &Step<'_>, set: &Set, replicas: i32) -> bool {
    let wanted = partition(s, step, unit_of(set), replicas);
    set.spec.digest == step.target.digest
        && set.spec.replicas == replicas
        && set.spec.update_strategy.partition == IntOrPercent::Int(wanted)
}

fn partition(s: &Snapshot<'_>, step: &Step<'_>, unit: &str, replicas: i32) -> i32 {
    (replicas - step.quota(s, unit, replicas)).clamp(0, replicas.max(0))
}

/// The whole spec of a unit's InPlaceSet.
fn desired(s: &Snapshot<'_>, step: &Step<'_>, unit: &str, replicas: i32, grant: i32) -> SetSpec {
    let spec = &s.deployment.spec;
    let update_strategy = UpdateStrategy {
        pod_update_policy: spec.strategy.pod_update_policy,
        partition: IntOrPercent::Int(partition(s, step, unit, replicas)),
        max_unavailable: IntOrPercent::Int(grant),
        paused: step.is_held(s),
        base_revision: Some(step.base.name.to_string()),
        group: Some(format!("{}-{}", step.release.revision, step.release.group)),
    };
    SetSpec {
        replicas,
        selector: unit_selector(&spec.selector, unit),
        digest: step.target.digest,
        claim_retention: spec.claim_retention,
        min_ready_seconds: spec.min_ready_seconds,
        // Its revisions are its owner's; it keeps none.
        revision_history_limit: 0,
        traffic: spec.traffic.clone(),
        update_strategy,
        placement: Some(placement(s, unit)),
        // A restart waits until a release has ended.
        restart_at: spec.restart_at.filter(|at| step.is_complete() && *at <= s.now.wall),
    }
}

/// Where the pods of a unit go.
pub(super) fn placement(s: &Snapshot<'_>, unit: &str) -> Placement {
    let topology = &s.deployment.spec.topology;
    Placement {
        unit: unit.to_owned(),
        node_label_key: topology.placement_key().map(str::to_owned),
        value: (topology.unit_type != UnitType::None).then(|| unit.to_owned()),
    }
}

/// The selector of a unit's InPlaceSet.
pub(super) fn unit_selector(selector: &Selector, unit: &str) -> Selector {
    let mut selector = selector.clone();
    selector.match_labels.insert(LABEL_UNIT.to_owned(), unit.to_owned());
    selector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_in_flight_are_not_lost() {
        assert_eq!(lost(4, 2, 0), 2);
        assert_eq!((lost(4, 2, 2), lost(4, 3, 2)), (0, 0));
    }
}
