//! Fields that stay raw JSON in Rust because typed structs would drop what they do not know.

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
