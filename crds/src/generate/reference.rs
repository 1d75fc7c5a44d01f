//! The reference page, made from the same schemas that `kubectl explain` shows.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value};

use super::{
    HEADER, definitions,
    rules::{self, Rule},
    to_json,
};
use crate::names;

/// The reference page of all kinds, in Markdown.
pub fn reference() -> String {
    let mut page = format!(
        "<!-- {HEADER} -->\n\n# API reference: `{}/{}`\n\n\
         The same text is in the cluster: `kubectl explain cafed.spec --recursive`. A field in **bold** is required. \
         What the table of fields cannot say is said by the rules, in CEL; the API server checks them and explains in its answer what to write instead.\n",
        names::GROUP,
        names::VERSION,
    );
    let rules = [rules::CAFE_DEPLOYMENT, rules::IN_PLACE_SET, &[]];
    for (crd, rules) in definitions().iter().zip(rules) {
        kind(&mut page, crd, rules);
    }
    page
}

fn kind(page: &mut String, crd: &CustomResourceDefinition, rules: &[Rule]) {
    let names = &crd.spec.names;
    let schema = crd.spec.versions.first().and_then(|version| version.schema.as_ref());
    let Some(root) = schema.and_then(|schema| schema.open_api_v3_schema.as_ref()).map(to_json) else {
        return;
    };
    let short = names.short_names.iter().flatten().next().unwrap_or(&names.plural);
    line(page, &format!("\n## {}\n\n{} Short name `{short}`.", names.kind, text(&root)));
    for part in ["spec", "status"] {
        if let Some(schema) = root.pointer(&format!("/properties/{part}")) {
            line(page, &format!("\n### {} `{part}`\n\n{}\n\n{TABLE}", names.kind, text(schema)));
            fields(page, part, schema);
        }
    }
    if rules.is_empty() {
        return;
    }
    line(page, &format!("\n### {} rules\n\n| at | must hold |\n|---|---|", names.kind));
    for rule in rules {
        let at = if rule.at.is_empty() { "the object" } else { rule.at };
        line(page, &format!("| {at} | `{}` |", rule.holds.replace('|', "\\|")));
    }
}

const TABLE: &str = "| field | type | default | meaning |\n|---|---|---|---|";

/// One row per field, depth first.
fn fields(page: &mut String, path: &str, schema: &Value) {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let required = schema.get("required").and_then(Value::as_array);
    for (name, field) in sorted(properties) {
        let path = format!("{path}.{name}");
        let needed = required.is_some_and(|list| list.iter().any(|entry| entry == name));
        let shown = if needed { format!("**`{path}`**") } else { format!("`{path}`") };
        let default = field.get("default").filter(|value| !value.is_object());
        let default = default.map_or(String::new(), |value| format!("`{value}`"));
        line(
            page,
            &format!("| {shown} | {} | {default} | {} |", type_of(field), text(field).replace('|', "\\|")),
        );
        // What is below these is documented by Kubernetes.
        if !matches!(name.as_str(), "template" | "volumeClaimTemplates") {
            let items = field.get("items").filter(|items| items.get("properties").is_some());
            fields(page, &if items.is_some() { format!("{path}[]") } else { path }, items.unwrap_or(field));
        }
    }
}

/// By name, whatever order the map keeps.
fn sorted(properties: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut fields: Vec<_> = properties.iter().collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    fields
}

fn type_of(schema: &Value) -> String {
    let word = |key: &str| schema.get(key).and_then(Value::as_str);
    if schema.get("x-kubernetes-int-or-string").is_some() {
        return "number or percentage".into();
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let values: Vec<_> = values.iter().filter_map(Value::as_str).map(|v| format!("`{v}`")).collect();
        return values.join(", ");
    }
    match word("type") {
        Some("array") => format!("list of {}", schema.get("items").map_or(String::new(), type_of)),
        Some("object") => match schema.get("additionalProperties") {
            Some(values) => format!("map to {}", type_of(values)),
            None => "object".into(),
        },
        Some("string") if word("format") == Some("date-time") => "time".into(),
        Some("integer") => format!("integer{}", range(schema)),
        other => other.unwrap_or("any").into(),
    }
}

fn range(schema: &Value) -> String {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    match (bound("minimum"), bound("maximum")) {
        (Some(low), Some(high)) => format!(", {low} to {high}"),
        (Some(low), None) => format!(", at least {low}"),
        _ => String::new(),
    }
}

fn text(schema: &Value) -> String {
    schema.get("description").and_then(Value::as_str).unwrap_or_default().replace("\n\n", " ")
}

fn line(page: &mut String, text: &str) {
    // Writing into a String cannot fail.
    let _ = writeln!(page, "{text}");
}
