//! Label selectors.

use std::{collections::BTreeMap, fmt::Write as _};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::opaque;

/// Which pods belong to the object. All requirements must hold. Immutable, not empty, must match the labels of the template,
/// and no key may start with `cafe.dev/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct Selector {
    /// Labels that a pod must carry with exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "opaque::labels")]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements that are more than equality.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub match_expressions: Vec<Requirement>,
}

/// One requirement on the value of a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Requirement {
    /// Key of the label.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: Operator,
    /// The values of `In` and `NotIn`: at least one; must be absent with the other operators.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// The label is one of the values.
    In,
    /// The label is absent or none of the values.
    NotIn,
    /// The label is present, whatever its value.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

impl Selector {
    /// True without any requirement. As everywhere in Kubernetes such a selector matches everything, and so our kinds
    /// refuse it.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// Whether labels, given as a map or any pairs of key and value, fulfil every requirement.
    pub fn matches<L, K, V>(&self, labels: L) -> bool
    where
        L: IntoIterator<Item = (K, V), IntoIter: Clone>,
        K: AsRef<str>,
        V: AsRef<str>,
    {
        let labels = labels.into_iter();
        let holds = |key: &str, test: &dyn Fn(Option<&str>) -> bool| {
            let found = labels.clone().find(|(k, _)| k.as_ref() == key);
            test(found.as_ref().map(|(_, v)| v.as_ref()))
        };
        self.match_labels.iter().all(|(key, value)| holds(key, &|label| label == Some(value.as_str())))
            && self.match_expressions.iter().all(|r| holds(&r.key, &|label| r.holds(label)))
    }

    /// The form that `kubectl -l` and `status.selector` understand: `app=web,tier in (a,b),!legacy`.
    pub fn as_query(&self) -> String {
        let mut query = String::new();
        for (key, value) in &self.match_labels {
            push(&mut query, format_args!("{key}={value}"));
        }
        for requirement in &self.match_expressions {
            let key = &requirement.key;
            match requirement.operator {
                Operator::In => push(&mut query, format_args!("{key} in ({})", requirement.sorted_values())),
                Operator::NotIn => {
                    push(&mut query, format_args!("{key} notin ({})", requirement.sorted_values()));
                }
                Operator::Exists => push(&mut query, format_args!("{key}")),
                Operator::DoesNotExist => push(&mut query, format_args!("!{key}")),
            }
        }
        query
    }
}

impl Requirement {
    /// Whether the value of the label, `None` if the pod does not carry it, fulfils the requirement.
    pub fn holds(&self, label: Option<&str>) -> bool {
        let listed = || label.is_some_and(|label| self.values.iter().any(|value| value == label));
        match self.operator {
            Operator::In => listed(),
            Operator::NotIn => !listed(),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
        }
    }

    fn sorted_values(&self) -> String {
        let mut values: Vec<&str> = self.values.iter().map(String::as_str).collect();
        values.sort_unstable();
        values.join(",")
    }
}

fn push(query: &mut String, part: std::fmt::Arguments<'_>) {
    if !query.is_empty() {
        query.push(',');
    }
    // Writing into a String cannot fail.
    let _ = query.write_fmt(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector() -> Selector {
        let requirement = |key: &str, operator, values: &[&str]| Requirement {
            key: key.into(),
            operator,
            values: values.iter().map(ToString::to_string).collect(),
        };
        Selector {
            match_labels: [("app".into(), "web".into())].into(),
            match_expressions: vec![
                requirement("tier", Operator::In, &["b", "a"]),
                requirement("phase", Operator::NotIn, &["x"]),
                requirement("owner", Operator::Exists, &[]),
                requirement("legacy", Operator::DoesNotExist, &[]),
            ],
        }
    }

    #[test]
    fn every_operator_decides_as_in_kubernetes() {
        let good = [("app", "web"), ("tier", "a"), ("owner", "")];
        assert!(selector().matches(good));
        assert!(selector().matches(&BTreeMap::from(good)));
        assert!(!selector().matches([("app", "web"), ("tier", "c"), ("owner", "")]));
        assert!(!selector().matches([("app", "web"), ("tier", "a")]));
        assert!(!selector().matches([("app", "web"), ("tier", "a"), ("owner", ""), ("phase", "x")]));
        assert!(!selector().matches([("app", "web"), ("tier", "a"), ("owner", ""), ("legacy", "1")]));
        assert!(!selector().matches(&BTreeMap::<String, String>::new()));
    }

    #[test]
    fn the_query_is_what_kubectl_takes() {
        assert_eq!(selector().as_query(), "app=web,tier in (a,b),phase notin (x),owner,!legacy");
    }
}
