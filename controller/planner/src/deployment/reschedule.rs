//! `topology.autoReschedule`: a unit whose pods find no node gives their places to others.
//!
//! All that is decided here is a ceiling, and it is written before anything moves: the allocator keeps to it, so the next plan is the same
//! whoever makes it. A ceiling is only ever lowered, by at most the budget at a time and never below what serves; a capped unit takes no
//! places, so no place comes back. What is lowered next waits until the places given away have found nodes.

use cafe_crds::{
    deployment::{AutoReschedule, UnitType},
    names::ANNOTATION_CEILING,
    reason,
    time::Seconds,
};

use crate::{
    Text,
    deployment::{
        Action, Event, Plan, Snapshot, UnitView,
        action::Step,
        allocation::{Allocation, Survey},
        ceiling, message,
        snapshot::unit_of,
        unit_health,
    },
    set::Ceiling,
};

/// Why nothing moves where nodes may not be read.
pub const UNSEEN: &str = "autoReschedule moves nothing, because the controller may not read nodes and cannot tell a lost unit from a full one; \
     to let it: helm upgrade cafe charts/cafe --namespace cafe-system --reuse-values --set rbac.readNodes=true";

/// Caps the first unit that has places to give away, and brings ceilings up to date. `sizes` is what the units have been given so far.
pub fn plan(s: &Snapshot<'_>, sizes: &Allocation, plan: &mut Plan) {
    for view in s.units.iter().filter(|u| sizes.of(unit_of(u.set)).is_some()) {
        let wanted = ceiling::wanted(s, view);
        if view.set.ceiling != wanted && is_free(view, plan) {
            plan.act(cap(view, wanted, Vec::new()));
        }
    }
    let Some(auto) = wanted(s) else { return };
    let due = due(s, auto);
    // Also where nothing will move: the message says so from then on.
    if let Some(next) = s.units.iter().filter_map(|u| u.census.next_unschedulable(due)).min() {
        plan.wake.at_wall(s.now, Seconds(next.0.saturating_add(i64::from(auto.initial_delay_seconds))));
    }
    if s.blind || s.others.overlaps.is_some() {
        return;
    }
    let survey = Survey::of(s);
    for (unit, size) in &sizes.units {
        let Some(view) = s.unit(unit).filter(|view| is_at_rest(view, *size)) else { continue };
        if !may_give(s, unit) || !is_free(view, plan) {
            continue;
        }
        let overdue = view.census.unschedulable_since(due);
        // The scheduler gets its chance with nodes that have just come back, however long the pods have waited.
        let settled = unit_health::nodes(s, unit).map_or(Seconds(0), |n| n.settled);
        if overdue > 0 && settled > due {
            plan.wake
                .at_wall(s.now, Seconds(settled.0.saturating_add(i64::from(auto.initial_delay_seconds))));
            continue;
        }
        // Where some of the places would go to a unit that takes none, a single one may not.
        let some = [overdue.min(s.budget()), 1].into_iter().filter(|n| (1..=overdue).contains(n));
        let Some((moved, takers)) =
            some.into_iter().find_map(|n| Some((n, takers(s, &survey, sizes, view, n)?)))
        else {
            continue;
        };
        let receivers = takers.iter().map(|(unit, _)| &**unit).collect::<Vec<_>>().join(", ");
        let pods = view.set.spec.replicas - moved;
        let topology = Some(s.topology);
        let note = format!(
            "unit {unit}: {} found no node for {} s and moved to {receivers}; the InPlaceSet {} keeps the annotation {ANNOTATION_CEILING}={pods}",
            message::pods(moved),
            auto.initial_delay_seconds,
            view.set.name
        );
        plan.steps.push(Step {
            action: cap(view, Some(Ceiling { pods, topology }), takers),
            events: vec![Event::normal(reason::POD_RESCHEDULED, note)],
        });
        return;
    }
}

/// `topology.autoReschedule`, where it is enabled and there is anything to move between.
#[must_use]
pub fn wanted(s: &Snapshot<'_>) -> Option<AutoReschedule> {
    let topology = &s.deployment.spec.topology;
    topology.auto_reschedule.filter(|auto| auto.enable && topology.unit_type != UnitType::None)
}

/// Pods that have been waiting for a node since this moment or longer have waited long enough.
fn due(s: &Snapshot<'_>, auto: AutoReschedule) -> Seconds {
    Seconds(s.now.wall.0.saturating_sub(i64::from(auto.initial_delay_seconds)))
}

fn cap(view: &UnitView<'_>, ceiling: Option<Ceiling>, takers: Vec<(Text, i32)>) -> Action {
    let set = view.set;
    Action::CapSet { name: set.name.clone(), uid: set.uid, rv: set.rv, ceiling, takers }
}

/// Whether nothing of ours is being written to the InPlaceSet, nor by this plan.
fn is_free(view: &UnitView<'_>, plan: &Plan) -> bool {
    let about = |step: &Step| match &step.action {
        Action::WriteSet { uid, .. }
        | Action::TouchSet { uid, .. }
        | Action::CapSet { uid, .. }
        | Action::DeleteSet { uid, .. } => *uid == view.set.uid,
        _ => false,
    };
    !view.busy && !view.set.deleting && !plan.steps.iter().any(about)
}

/// Whether the unit has exactly the pods that it is to have: its figures mean what they say.
fn is_at_rest(view: &UnitView<'_>, size: i32) -> bool {
    view.set.spec.replicas == size && has_its_pods(view)
}

fn has_its_pods(view: &UnitView<'_>) -> bool {
    let set = view.set;
    let acknowledged = set.status.observed_generation == Some(set.generation);
    !view.busy && acknowledged && view.census.replicas == set.spec.replicas
}

fn may_give(s: &Snapshot<'_>, unit: &str) -> bool {
    !s.deployment.spec.topology.unit_replicas.contains_key(unit) && !unit_health::is_in_outage(s, unit)
}

/// The units that `places` of a unit would go to, and how many to each; none when one of them would be one that takes none, or is not known to.
fn takers(
    s: &Snapshot<'_>,
    survey: &Survey<'_>,
    sizes: &Allocation,
    giver: &UnitView<'_>,
    places: i32,
) -> Option<Vec<(Text, i32)>> {
    let name = unit_of(giver.set);
    let pods = giver.set.spec.replicas - places;
    let (now, then) = (survey.allocate(), survey.allocate_if(name, pods));
    if then.of(name) != Some(pods) {
        return None;
    }
    let growth = |(unit, pods): &(String, i32)| {
        let more = pods - now.of(unit).unwrap_or(0);
        (more > 0).then(|| (Text::from(unit.as_str()), more))
    };
    let grown: Vec<(Text, i32)> = then.units.iter().filter_map(growth).collect();
    let takes = |(unit, _): &(Text, i32)| {
        let is_there = |u: &&UnitView<'_>| has_its_pods(u) && sizes.of(unit) <= Some(u.set.spec.replicas);
        unit_health::closed(s, unit).is_none() && s.unit(unit).filter(is_there).is_some()
    };
    grown.iter().all(takes).then_some(grown)
}

/// That pods have been waiting for a node for too long and no unit may take them.
#[must_use]
pub fn no_room(s: &Snapshot<'_>) -> Option<String> {
    let auto = wanted(s)?;
    let due = due(s, auto);
    let units = s.unit_names();
    let overdue = |unit: &str| s.unit(unit).map_or(0, |u| u.census.unschedulable_since(due));
    let (unit, pods) = units.iter().map(|unit| (*unit, overdue(unit))).find(|(_, pods)| *pods > 0)?;
    if s.blind {
        return Some(format!("{} of {unit} find no node and stay there: {UNSEEN}", message::pods(pods)));
    }
    let others: Option<Vec<String>> = units
        .iter()
        .filter(|other| **other != unit)
        .map(|other| Some(format!("{other} {}", unit_health::closed(s, other)?)))
        .collect();
    let why = match others {
        _ if s.deployment.spec.topology.unit_replicas.contains_key(unit) => "it is pinned".to_owned(),
        _ if unit_health::is_in_outage(s, unit) => "most of its nodes are not Ready".to_owned(),
        Some(others) if others.is_empty() => "there is no other unit".to_owned(),
        Some(others) => others.join(", "),
        None => return None,
    };
    let key = s.deployment.spec.topology.placement_key()?;
    Some(format!(
        "{} of {unit} find no node, and no other unit takes their places ({why}): add nodes or lower spec.replicas; to see the nodes: \
         kubectl get nodes -L {key}",
        message::pods(pods)
    ))
}
