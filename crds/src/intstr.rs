//! A number of pods, absolute or as a share.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a percentage looks like; the CustomResourceDefinitions carry the same pattern.
pub const PERCENT_PATTERN: &str = "^(100|[0-9]{1,2})%$";

/// An absolute number (`4`) or a share of a total (`"25%"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IntOrPercent {
    /// An absolute number.
    Int(i32),
    /// A share in percent, 0 to 100.
    Percent(i32),
}

impl IntOrPercent {
    /// The number itself, or the share of `total` without its fraction.
    pub fn rounded_down(self, total: i32) -> i32 {
        self.share(total, 0)
    }

    /// The number itself, or the share of `total` with any fraction counted as a whole one.
    pub fn rounded_up(self, total: i32) -> i32 {
        self.share(total, 99)
    }

    fn share(self, total: i32, carry: i64) -> i32 {
        match self {
            Self::Int(number) => number,
            Self::Percent(percent) => {
                let hundredths = i64::from(total) * i64::from(percent);
                i32::try_from((hundredths + carry).div_euclid(100)).unwrap_or(i32::MAX)
            }
        }
    }
}

impl fmt::Display for IntOrPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// Why a text is no percentage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAPercentage(String);

impl fmt::Display for NotAPercentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is neither a number such as 4 nor a percentage from \"0%\" to \"100%\"", self.0)
    }
}

impl std::error::Error for NotAPercentage {}

/// Reads a percentage (`25%`); a bare number is read by serde only, as the API tells the two apart by type.
impl FromStr for IntOrPercent {
    type Err = NotAPercentage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text
            .strip_suffix('%')
            .filter(|d| matches!(d.len(), 1..=3) && d.bytes().all(|b| b.is_ascii_digit()));
        match digits.and_then(|d| d.parse().ok()) {
            Some(percent @ 0..=100) => Ok(Self::Percent(percent)),
            _ => Err(NotAPercentage(text.to_owned())),
        }
    }
}

impl Serialize for IntOrPercent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Int(number) => serializer.serialize_i32(*number),
            Self::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for IntOrPercent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = IntOrPercent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number such as 4 or a percentage such as \"25%\"")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                i32::try_from(number).map(IntOrPercent::Int).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                i32::try_from(number).map(IntOrPercent::Int).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for IntOrPercent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "IntOrPercent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // In a structural schema the limits stand beside int-or-string and not in branches of an anyOf: each is looked
        // at only for a value of its own type.
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "minimum": 0,
            "maximum": 100_000,
            "maxLength": 4,
            "pattern": PERCENT_PATTERN,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact_in_both_directions() {
        let quarter = IntOrPercent::Percent(25);
        assert_eq!((quarter.rounded_down(10), quarter.rounded_up(10)), (2, 3));
        assert_eq!((quarter.rounded_down(8), quarter.rounded_up(8)), (2, 2));
        assert_eq!(IntOrPercent::Percent(100).rounded_up(i32::MAX), i32::MAX);
        assert_eq!(IntOrPercent::Int(7).rounded_down(3), 7);
    }

    #[test]
    fn a_number_and_a_percentage_survive_the_round_trip() {
        for text in ["4", "\"25%\"", "\"0%\"", "\"100%\""] {
            let value: IntOrPercent = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&value).unwrap(), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["\"101%\"", "\"25\"", "\"-1%\"", "\"+1%\"", "\"%\"", "1.5", "true"] {
            assert!(serde_json::from_str::<IntOrPercent>(text).is_err(), "{text}");
        }
    }
}
