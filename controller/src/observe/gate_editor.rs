//! Who else than the controller has written the status of a pod's condition `cafe.dev/serving`.
//!
//! There are many pods, so their managed fields are looked through as they are decoded, and nothing of them is stored but a name.

use std::{fmt, sync::LazyLock};

use cafe_crds::names::{FIELD_MANAGER, GATE};
use cafe_planner::Text;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// The field manager, as that client calls itself; none where it is the controller alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GateEditor(pub(crate) Option<Text>);

impl<'de> Deserialize<'de> for GateEditor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = GateEditor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("managed fields")
    }

    fn visit_unit<E>(self) -> Result<GateEditor, E> {
        Ok(GateEditor::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<GateEditor, A::Error> {
        let mut editor = GateEditor::default();
        while let Some(entry) = entries.next_element::<Entry>()? {
            let other = entry.manager.filter(|manager| entry.fields_v1.0 && manager != FIELD_MANAGER);
            editor = GateEditor(other.map(Text::from)).or(editor);
        }
        Ok(editor)
    }
}

impl GateEditor {
    fn or(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    manager: Option<String>,
    fields_v1: OwnsGate,
}

/// What the condition is called in managed fields.
static CONDITION: LazyLock<String> = LazyLock::new(|| format!("k:{{\"type\":\"{GATE}\"}}"));

#[derive(Default)]
struct OwnsGate(bool);

impl<'de> Deserialize<'de> for OwnsGate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Has(&["f:status", "f:conditions", &CONDITION, "f:status"]).deserialize(deserializer).map(Self)
    }
}

/// Whether an object has a field at the end of a path.
struct Has<'a>(&'a [&'a str]);

impl<'de> DeserializeSeed<'de> for Has<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Has<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a set of fields")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<bool, A::Error> {
        let mut found = false;
        let (step, rest) = self.0.split_first().map_or(("", self.0), |(step, rest)| (*step, rest));
        while let Some(is_step) = fields.next_key_seed(Is(step))? {
            if is_step && !rest.is_empty() {
                found |= fields.next_value_seed(Has(rest))?;
            } else {
                fields.next_value::<IgnoredAny>()?;
                found |= is_step;
            }
        }
        Ok(found)
    }
}

/// Whether a key is this one.
struct Is<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(manager: &str, condition: &str, field: &str) -> Value {
        let key = format!("k:{{\"type\":\"{condition}\"}}");
        json!({
            "apiVersion": "v1", "fieldsType": "FieldsV1", "manager": manager, "operation": "Update", "subresource": "status",
            "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:status": {"f:phase": {}, "f:conditions": {".": {}, key: {".": {}, field: {}}}}},
        })
    }

    fn editor(entries: &[Value]) -> Option<Text> {
        let text = Value::from(entries.to_vec()).to_string();
        serde_json::from_str::<GateEditor>(&text).unwrap().0
    }

    #[test]
    fn whoever_else_has_written_the_status_of_the_gate_is_found() {
        let (ours, kubelet) = (entry(FIELD_MANAGER, GATE, "f:status"), entry("kubelet", "Ready", "f:status"));
        assert_eq!(editor(&[ours.clone(), kubelet.clone()]), None);
        let mallory = entry("mallory", GATE, "f:status");
        assert_eq!(editor(&[ours.clone(), mallory, kubelet]).as_deref(), Some("mallory"));
        // What was taken back leaves a remark at most.
        assert_eq!(editor(&[ours, entry("mallory", GATE, "f:message")]), None);
        assert_eq!(editor(&[]), None);
        assert_eq!(editor(&[json!({"manager": "mallory", "fieldsV1": null})]), None);
        assert_eq!(serde_json::from_str::<GateEditor>("null").unwrap(), GateEditor::default());
    }
}
