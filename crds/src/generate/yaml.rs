//! YAML whose bytes depend on the value alone.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// YAML with the keys of every object in order, also when some crate of the build makes JSON objects keep theirs.
#[allow(clippy::expect_used, reason = "constants go in: the first run of any test would show it")]
pub(super) fn stable(value: &Value) -> String {
    serde_saphyr::to_string(&Sorted(value)).expect("JSON is valid YAML")
}

struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(list) => serializer.collect_seq(list.iter().map(Sorted)),
            Value::Object(map) => {
                let sorted: BTreeMap<_, _> = map.iter().map(|(key, value)| (key, Sorted(value))).collect();
                serializer.collect_map(sorted)
            }
            scalar => scalar.serialize(serializer),
        }
    }
}
