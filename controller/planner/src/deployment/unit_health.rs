//! Whether units can take pods: nodes that are missing, lost or full, and what to do about it.

use cafe_crds::{deployment::UnitType, names::ANNOTATION_CEILING, reason};

use crate::deployment::{Snapshot, UnitNodes, ceiling, message, reschedule, snapshot::unit_of};

/// Reason and message of a condition.
pub type Problem = (&'static str, String);

/// What is known of the nodes of a unit.
#[must_use]
pub fn nodes<'a>(s: &Snapshot<'a>, unit: &str) -> Option<&'a UnitNodes> {
    s.nodes.iter().find(|n| *n.unit == *unit)
}

/// Whether most nodes of a unit are not Ready: an outage, in which nothing moves. A cell that comes back finds its places, and API servers
/// that see no kubelet for a while empty no cell.
#[must_use]
pub fn is_in_outage(s: &Snapshot<'_>, unit: &str) -> bool {
    nodes(s, unit).is_some_and(|n| n.ready.saturating_mul(2) < n.nodes)
}

/// Whether a unit can take no pods as far as its nodes tell.
#[must_use]
pub fn is_out(s: &Snapshot<'_>, unit: &str) -> bool {
    is_in_outage(s, unit) || nodes(s, unit).is_some_and(|n| n.nodes == 0)
}

/// Whether further pods had better go elsewhere: the unit is out, or has pods already that wait for a node.
#[must_use]
pub fn is_short(s: &Snapshot<'_>, unit: &str) -> bool {
    is_out(s, unit) || s.unit(unit).is_some_and(|u| u.census.nodeless > 0)
}

/// Units without any node, or else those all of whose nodes are not Ready.
#[must_use]
pub fn without_nodes(s: &Snapshot<'_>) -> Option<Problem> {
    let key = s.deployment.spec.topology.placement_key()?;
    let named = |is: fn(&UnitNodes) -> bool| {
        let units: Vec<&str> = s.nodes.iter().filter(|n| is(n)).map(|n| &*n.unit).collect();
        (!units.is_empty()).then(|| units.join(", "))
    };
    let look = format!("to see the nodes: kubectl get nodes -L {key}");
    if let Some(units) = named(|n| n.nodes == 0) {
        let message = format!(
            "no node carries the label {key} with the value {units}: label nodes or correct spec.topology.values; {look}"
        );
        return Some((reason::NO_NODES, message));
    }
    let units = named(|n| n.nodes > 0 && n.ready == 0)?;
    let message = format!(
        "no node of {units} is Ready: its pods stay there, and come back with their nodes; to do without a unit, take it out of \
         spec.topology.values; {look}"
    );
    Some((reason::UNIT_LOST, message))
}

/// The first unit whose InPlaceSet somebody deletes and something keeps: it moves and creates nothing until it is made again.
#[must_use]
pub fn being_deleted(s: &Snapshot<'_>) -> Option<Problem> {
    let view = s.unit_names().into_iter().filter_map(|unit| s.unit(unit)).find(|u| u.set.deleting)?;
    let (unit, set) = (unit_of(view.set), &view.set.name);
    let message = format!(
        "unit {unit}: InPlaceSet {set} is being deleted and is made again once it is gone; until then its pods stay what they are, and \
         other units go on; to see who keeps it: kubectl -n {} get inplaceset {set} -o jsonpath='{{.metadata.finalizers}}'",
        s.deployment.namespace
    );
    Some((reason::UNIT_BEING_DELETED, message))
}

/// Pods that no unit takes, or else units that keep a ceiling.
#[must_use]
pub fn crowded(s: &Snapshot<'_>) -> Option<Problem> {
    let reason = if s.blind { reason::NODES_UNKNOWN } else { reason::NO_ROOM };
    reschedule::no_room(s).map(|message| (reason, message)).or_else(|| capped(s))
}

/// What cannot be done where nodes may not be read, if it has been asked for; empty otherwise.
#[must_use]
pub fn unseen(s: &Snapshot<'_>) -> &'static str {
    if s.blind && reschedule::wanted(s).is_some() { reschedule::UNSEEN } else { "" }
}

fn capped(s: &Snapshot<'_>) -> Option<Problem> {
    let ceilings = s.unit_names().into_iter().filter_map(|unit| Some((unit, ceiling::of(s, unit)?)));
    let ceilings: Vec<(&str, i32)> = ceilings.collect();
    let (first, _) = ceilings.first()?;
    let set = &s.unit(first)?.set.name;
    let units: Vec<String> =
        ceilings.iter().map(|(unit, most)| format!("{unit} ({})", message::pods(*most))).collect();
    let message = format!(
        "capped, because more pods found no node there: {}; when there is room again: kubectl -n {} annotate inplaceset {set} \
         {ANNOTATION_CEILING}-",
        units.join(", "),
        s.deployment.namespace
    );
    Some((reason::UNIT_CAPPED, message))
}

/// Why a unit takes no pods of others; none when it does.
#[must_use]
pub fn closed(s: &Snapshot<'_>, unit: &str) -> Option<&'static str> {
    let topology = &s.deployment.spec.topology;
    if topology.unit_type == UnitType::None || topology.unit_replicas.contains_key(unit) {
        return Some("is pinned");
    }
    if ceiling::of(s, unit).is_some() {
        return Some("is capped");
    }
    if is_out(s, unit) {
        return Some("has too few Ready nodes");
    }
    is_short(s, unit).then_some("has pods without a node itself")
}
