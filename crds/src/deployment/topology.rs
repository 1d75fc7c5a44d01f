use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{intstr::IntOrPercent, names};

/// The units, and how the replicas are spread over them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Topology {
    /// What a unit is. `Cell`: nodes with the same label `cafe.dev/cell`. `Zone`: nodes with the same label
    /// `topology.kubernetes.io/zone`. `None`: one unit called `default`, without placement. Immutable. Default `None`.
    pub unit_type: UnitType,
    /// Another node label that names the unit of a node, such as `datacenter`; refused with `unitType: None`. Immutable. Default: the label of `unitType`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317))]
    pub node_label_key: Option<String>,
    /// The units, in order, as the values of the node label: 1 to 64 of them, each at most 40 letters, digits and hyphens, such
    /// as `CellA`, no two equal when case is ignored. Each gets one InPlaceSet, whose pods are placed with a required node
    /// affinity. Required unless `unitType` is `None`, and refused then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        // More and longer ones than any good list has, so that the rules can say what is wrong: they are not asked once the schema is violated.
        length(max = 200),
        inner(length(max = 128)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub values: Vec<String>,
    /// Units with a size of their own: a number of pods, or a percentage of `spec.replicas`. What is left is spread evenly over
    /// the other units. `spec.replicas` always wins: pins above it are shrunk in proportion, and when all units are pinned and
    /// some pods are left, they are filled up evenly; the condition `UnitsHealthy` says so (`PinsDoNotFit`). Percentages may add up to at most 100%. Default none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 200))]
    pub unit_replicas: BTreeMap<String, IntOrPercent>,
    /// What happens to a pod that finds no node in its unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_reschedule: Option<AutoReschedule>,
}

impl Topology {
    /// The node label whose value is the name of the unit; `None` if pods are not placed.
    pub fn placement_key(&self) -> Option<&str> {
        match self.unit_type {
            UnitType::None => None,
            UnitType::Cell => Some(self.node_label_key.as_deref().unwrap_or(names::NODE_LABEL_CELL)),
            UnitType::Zone => Some(self.node_label_key.as_deref().unwrap_or(names::NODE_LABEL_ZONE)),
        }
    }
}

/// What a unit is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum UnitType {
    /// The nodes with the same label `cafe.dev/cell`.
    Cell,
    /// The nodes with the same label `topology.kubernetes.io/zone`.
    Zone,
    /// One unit, no placement.
    #[default]
    None,
}

/// What happens to a pod that finds no node in its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoReschedule {
    /// Give the place of an unschedulable pod to another unit that is neither pinned nor capped. A Ready pod is never moved for
    /// it, and nothing moves back by itself: the unit's InPlaceSet keeps the annotation `cafe.dev/ceiling`, the most pods that the unit is
    /// given, until it is taken off or the topology changes. Default false.
    pub enable: bool,
    /// Seconds that a pod must have been unschedulable. Default 10.
    #[schemars(range(min = 0, max = 86_400))]
    pub initial_delay_seconds: i32,
}

impl Default for AutoReschedule {
    fn default() -> Self {
        Self { enable: false, initial_delay_seconds: 10 }
    }
}
