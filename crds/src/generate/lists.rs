//! How server-side apply merges the lists and maps of a pod template. Kubernetes says it in extensions of its OpenAPI
//! document, which the Rust types do not carry.

use serde_json::{Value, json};

/// Lists that are merged entry by entry, with the fields that name an entry.
pub(super) const LIST_MAPS: &[(&str, &str, &[&str])] = &[
    ("Container", "env", &["name"]),
    ("Container", "ports", &["containerPort", "protocol"]),
    ("Container", "volumeDevices", &["devicePath"]),
    ("Container", "volumeMounts", &["mountPath"]),
    ("PodSpec", "containers", &["name"]),
    ("PodSpec", "ephemeralContainers", &["name"]),
    ("PodSpec", "hostAliases", &["ip"]),
    ("PodSpec", "imagePullSecrets", &["name"]),
    ("PodSpec", "initContainers", &["name"]),
    ("PodSpec", "resourceClaims", &["name"]),
    ("PodSpec", "schedulingGates", &["name"]),
    ("PodSpec", "topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("PodSpec", "volumes", &["name"]),
    ("ResourceRequirements", "claims", &["name"]),
];

/// Lists whose values are unique.
const LIST_SETS: &[(&str, &str)] = &[("ContainerRestartRuleOnExitCodes", "values")];

/// Objects that are replaced as a whole.
const ATOMIC_TYPES: &[&str] = &[
    "ConfigMapKeySelector",
    "FileKeySelector",
    "LabelSelector",
    "LocalObjectReference",
    "NodeSelector",
    "NodeSelectorTerm",
    "ObjectFieldSelector",
    "ResourceFieldSelector",
    "SecretKeySelector",
    "TypedLocalObjectReference",
];

/// Maps of strings that are replaced as a whole.
const ATOMIC_MAPS: &[(&str, &str)] = &[("PodSpec", "nodeSelector")];

/// The extensions for one field of a type. A list without an entry of its own is atomic, which needs no words.
pub(super) fn of_field(owner: &str, field: &str, schema: &Value) -> Vec<(&'static str, Value)> {
    let named = |(of, name): &(&str, &str)| *of == owner && *name == field;
    if ATOMIC_MAPS.iter().any(named) {
        return vec![("x-kubernetes-map-type", json!("atomic"))];
    }
    if schema.get("type") != Some(&json!("array")) {
        return Vec::new();
    }
    if let Some((_, _, keys)) = LIST_MAPS.iter().find(|(of, name, _)| *of == owner && *name == field) {
        return vec![("x-kubernetes-list-type", json!("map")), ("x-kubernetes-list-map-keys", json!(keys))];
    }
    if LIST_SETS.iter().any(named) {
        return vec![("x-kubernetes-list-type", json!("set"))];
    }
    Vec::new()
}

/// Whether objects of the type are replaced as a whole.
pub(super) fn is_atomic(of: &str) -> bool {
    ATOMIC_TYPES.contains(&of)
}
