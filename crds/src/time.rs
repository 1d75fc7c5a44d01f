//! Moments in the API: whole seconds, because that is what survives a round trip through a Kubernetes object.

use std::{borrow::Cow, fmt, str::FromStr};

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

/// Whole seconds since 1970-01-01T00:00:00Z, written as RFC 3339 in UTC (`2026-11-20T22:41:00Z`).
///
/// Fractions of a second in the input are dropped: a moment that was written and read again equals itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seconds(pub i64);

impl From<Timestamp> for Seconds {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp.as_second())
    }
}

impl FromStr for Seconds {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Timestamp>().map(Self::from)
    }
}

/// RFC 3339, or the bare number of seconds for a moment outside the years -9999 to 9999.
impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_second(self.0) {
            Ok(timestamp) => timestamp.fmt(f),
            Err(_) => self.0.fmt(f),
        }
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let timestamp = Timestamp::from_second(self.0).map_err(ser::Error::custom)?;
        serializer.collect_str(&timestamp)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|error| {
            de::Error::custom(format!("{text:?} is no RFC 3339 time such as 2026-11-20T22:41:00Z: {error}"))
        })
    }
}

impl JsonSchema for Seconds {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Seconds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_utc_without_fractions() {
        let moment: Seconds = serde_json::from_str("\"2026-11-21T00:41:00.75+02:00\"").unwrap();
        assert_eq!(serde_json::to_string(&moment).unwrap(), "\"2026-11-20T22:41:00Z\"");
        assert_eq!(moment.to_string(), "2026-11-20T22:41:00Z");
    }

    #[test]
    fn a_time_without_a_zone_is_refused_with_an_example() {
        let error = serde_json::from_str::<Seconds>("\"2026-11-21 00:41\"").unwrap_err().to_string();
        assert!(error.contains("2026-11-20T22:41:00Z"), "{error}");
    }
}
