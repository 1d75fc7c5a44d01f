//! Ceilings: the most pods a unit is given since it has given places away. They live in annotations of the InPlaceSets: one holds the number,
//! which people may take off, the other the topology that it was made for, so that any other topology ends it.

use cafe_crds::{
    deployment::{Topology, UnitType},
    intstr::IntOrPercent,
};

use crate::{
    deployment::{Snapshot, UnitView},
    identity::mix,
    set::Ceiling,
};

/// The ceiling of a unit that counts: none for a pinned one, and none that was made for another topology.
#[must_use]
pub fn of(s: &Snapshot<'_>, unit: &str) -> Option<i32> {
    let topology = &s.deployment.spec.topology;
    if topology.unit_type == UnitType::None || topology.unit_replicas.contains_key(unit) {
        return None;
    }
    let view = s.unit(unit)?;
    wanted(s, view).map(|ceiling| ceiling.pods)
}

/// The ceiling as the InPlaceSet of a unit is to have it.
#[must_use]
pub fn wanted(s: &Snapshot<'_>, view: &UnitView<'_>) -> Option<Ceiling> {
    let ceiling = view.set.ceiling.filter(|c| c.topology.is_none_or(|made_for| made_for == s.topology))?;
    Some(Ceiling { pods: raised(view, ceiling.pods), topology: Some(s.topology) })
}

/// A Ready pod is never moved: pods that have found a node after all, before the unit was told, keep their places.
fn raised(view: &UnitView<'_>, pods: i32) -> i32 {
    let told = view.set.spec.replicas;
    if told > pods { pods.max(view.census.ready.min(told)) } else { pods }
}

/// What tells topologies apart: the units in their order, and the pins.
#[must_use]
pub fn fingerprint(topology: &Topology) -> u32 {
    let mut print = 0;
    for unit in &topology.values {
        print = add(print, unit);
    }
    for (unit, pin) in &topology.unit_replicas {
        let (kind, n) = match pin {
            IntOrPercent::Int(n) => (1, *n),
            IntOrPercent::Percent(n) => (2, *n),
        };
        print = mix(add(print, unit) ^ ((u64::from(n.unsigned_abs()) << 2) | kind));
    }
    u32::try_from(print >> 32).unwrap_or_default()
}

fn add(print: u64, word: &str) -> u64 {
    // The byte behind a word that no word contains keeps "ab", "c" apart from "a", "bc".
    word.bytes().chain([0xff]).fold(print, |print, byte| mix(print ^ u64::from(byte)).wrapping_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(values: &[&str], pins: &[(&str, IntOrPercent)]) -> Topology {
        Topology {
            unit_type: UnitType::Cell,
            values: values.iter().map(|v| (*v).to_owned()).collect(),
            unit_replicas: pins.iter().map(|(unit, pin)| ((*unit).to_owned(), *pin)).collect(),
            ..Topology::default()
        }
    }

    #[test]
    fn every_change_of_units_or_pins_is_another_topology() {
        let all = [
            topology(&["A", "B"], &[]),
            topology(&["B", "A"], &[]),
            topology(&["A", "B", "C"], &[]),
            topology(&["AB"], &[]),
            topology(&["A", "B"], &[("A", IntOrPercent::Int(4))]),
            topology(&["A", "B"], &[("A", IntOrPercent::Percent(4))]),
            topology(&["A", "B"], &[("A", IntOrPercent::Int(5))]),
            topology(&["A", "B"], &[("B", IntOrPercent::Int(4))]),
        ];
        for (i, one) in all.iter().enumerate() {
            for (k, other) in all.iter().enumerate() {
                assert_eq!(fingerprint(one) == fingerprint(other), i == k, "{one:?} {other:?}");
            }
        }
        // It is written into API objects: another release of Cafe must not read it differently.
        assert_eq!(fingerprint(&all[0]), 0xe1a3_c080);
    }
}
