//! What derived schemas need before an API server takes them as they are meant.

use serde_json::{Map, Value, json};

/// Fields that a rule of the object around them asks for: `has()` is true for a null.
const RULED: [&str; 4] = [
    "/properties/spec/properties/topology/properties/nodeLabelKey",
    "/properties/spec/properties/placement",
    "/properties/spec/properties/placement/properties/nodeLabelKey",
    "/properties/spec/properties/placement/properties/value",
];

/// A moment that a person writes.
const RESTART_AT: &str = "/properties/spec/properties/restartAt";

/// Tidies the schema of a whole object.
pub(super) fn schema(root: &mut Value) {
    node(root);
    if let Some(Value::Object(field)) = root.pointer_mut(RESTART_AT) {
        // A rule says more than the format, and is not asked once a format is violated.
        field.remove("format");
        field.insert("maxLength".into(), json!(64));
    }
    if let Some(status) = root.pointer_mut("/properties/status") {
        walk(status, &mut |schema| {
            schema.remove("default");
            schema.remove("nullable");
        });
    }
    for path in RULED {
        if let Some(Value::Object(field)) = root.pointer_mut(path) {
            field.remove("nullable");
        }
    }
}

fn node(value: &mut Value) {
    walk(value, &mut |schema| {
        // A null is as good as an absent field where that means something, and takes the default where there is one.
        if schema.contains_key("default") {
            schema.remove("nullable");
        }
        if schema.contains_key("x-kubernetes-int-or-string") {
            schema.remove("anyOf");
            schema.remove("type");
        }
        for bound in ["minimum", "maximum"] {
            if let Some(Value::Number(number)) = schema.get_mut(bound)
                && let Some(whole) = number.as_f64().filter(|f| f.fract() == 0.0)
            {
                #[allow(clippy::cast_possible_truncation, reason = "limits are small whole numbers")]
                let whole = whole as i64;
                *number = whole.into();
            }
        }
        if let Some(Value::String(text)) = schema.get_mut("description") {
            *text = one_line(text);
        }
        default(schema);
    });
}

/// An empty object as the default lets the defaults of the fields inside apply, so each default stands once. Other empty
/// defaults only make noise in every object.
fn default(schema: &mut Map<String, Value>) {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    if schema.contains_key("properties") && schema.contains_key("default") {
        schema.insert("default".into(), json!({}));
    } else if schema.get("default").is_some_and(empty) {
        schema.remove("default");
    }
}

/// Calls `visit` for the schema and every schema inside it, inner ones last.
pub(super) fn walk(value: &mut Value, visit: &mut dyn FnMut(&mut Map<String, Value>)) {
    let Value::Object(schema) = value else { return };
    visit(schema);
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(key) {
            walk(inner, visit);
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(|inner| walk(inner, visit));
    }
}

/// Line breaks of the source are no line breaks of the text; paragraphs stay.
fn one_line(text: &str) -> String {
    let paragraph = |p: &str| p.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    text.split("\n\n").map(paragraph).collect::<Vec<_>>().join("\n\n")
}
