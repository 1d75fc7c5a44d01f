//! Schemas that cannot be derived: of fields that stay raw JSON in Rust, because typed structs would drop what they do not
//! know, and of labels.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A pod template; the generator puts the full structural schema in its place.
pub(crate) fn pod_template(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// Claim templates; the generator puts the structural schema of a claim in the place of the items.
pub(crate) fn claim_templates(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    })
}

/// What the value of a label looks like.
pub(crate) const LABEL_VALUE: &str = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";

/// Labels that a selector asks for.
pub(crate) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "type": "string", "maxLength": 63, "pattern": LABEL_VALUE },
        "maxProperties": 32,
    })
}
