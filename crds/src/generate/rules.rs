//! The rules that the API server itself checks with CEL, so that they hold without a webhook.

use serde_json::{Value, json};

use super::child;

mod claims;
mod deployment;
mod inplaceset;
mod shared;

pub(super) use deployment::CAFE_DEPLOYMENT;
pub(super) use inplaceset::IN_PLACE_SET;

/// One rule at one place of the schema.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// The schema that the rule stands at, from the root; `[]` are the items of a list.
    pub(super) at: &'static str,
    /// What must hold, in CEL; `self` is the value at that place.
    pub(super) holds: &'static str,
    /// What to say otherwise, a CEL expression: the field, what it is, what is right.
    says: &'static str,
    /// The field to blame, if it is not the place itself.
    blames: Option<&'static str>,
}

impl Rule {
    const fn new(at: &'static str, holds: &'static str, says: &'static str) -> Self {
        Self { at, holds, says, blames: None }
    }

    const fn blames(mut self, field: &'static str) -> Self {
        self.blames = Some(field);
        self
    }

    /// Adds the rule to the schema of an object.
    pub(super) fn attach(&self, root: &mut Value) {
        let mut place = root;
        for step in self.at.split('.').filter(|step| !step.is_empty()) {
            let (name, items) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
            place = child(child(place, "properties"), name);
            if items {
                place = child(place, "items");
            }
        }
        let mut rule = json!({ "rule": self.holds, "messageExpression": self.says });
        if let (Some(field), Value::Object(rule)) = (self.blames, &mut rule) {
            rule.insert("fieldPath".into(), json!(field));
        }
        let rules = child(place, "x-kubernetes-validations");
        match rules {
            Value::Array(rules) => rules.push(rule),
            other => *other = json!([rule]),
        }
    }
}
