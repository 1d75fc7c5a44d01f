//! Pure rules that the CustomResourceDefinitions cannot say, shared by the webhook and the command line.
//!
//! A [`Verdict`] names every problem at once. What is merely doubtful is a warning: the object is accepted.

mod in_place;
mod losses;
mod orders;
mod references;

use crate::deployment::{CafeDeployment, PodUpdatePolicy};

/// What is wrong with an object, and what is doubtful about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why it cannot be accepted; empty when it can.
    pub problems: Vec<Problem>,
    /// What its author should know, one line each.
    pub warnings: Vec<String>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, such as `spec.release.confirm`.
    pub field: String,
    /// What was found there, what is wanted, and an example.
    pub message: String,
}

impl Verdict {
    fn refuse(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { field: field.into(), message: message.into() });
    }

    fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }
}

/// Judges a CafeDeployment that is to be created, or to replace `old`.
///
/// Orders are judged by the status of `old`, which is what the controller has last said.
#[must_use]
pub fn deployment(old: Option<&CafeDeployment>, new: &CafeDeployment) -> Verdict {
    let mut verdict = Verdict::default();
    if let Some(old) = old {
        orders::judge(old, new, &mut verdict);
        changes(old, new, &mut verdict);
    }
    let parts = |o: &CafeDeployment| (o.spec.template.clone(), o.spec.volume_claim_templates.clone());
    if old.is_none_or(|old| parts(old) != parts(new)) {
        references::judge(&new.spec, &mut verdict);
    }
    verdict
}

/// What becomes of a change of template.
fn changes(old: &CafeDeployment, new: &CafeDeployment, verdict: &mut Verdict) {
    losses::judge(&old.spec.template, &new.spec.template, verdict);
    let paths = in_place::obstacles(&old.spec, &new.spec);
    let Some(first) = paths.first() else { return };
    let replicas = new.spec.replicas;
    match new.spec.strategy.pod_update_policy {
        PodUpdatePolicy::InPlaceOnly => verdict.refuse(
            first,
            format!(
                "{} cannot change in place, and spec.strategy.podUpdatePolicy is InPlaceOnly: take the change back, or write \
                 InPlaceIfPossible to let the {replicas} pods be recreated",
                paths.join(", ")
            ),
        ),
        PodUpdatePolicy::InPlaceIfPossible => verdict.warn(format!(
            "{first} cannot change in place: {replicas} pods will be drained and created again with new addresses"
        )),
        PodUpdatePolicy::Recreate => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A CafeDeployment whose template has one container with these fields beside its name.
    pub(super) fn object(container: &serde_json::Value, more: &serde_json::Value) -> CafeDeployment {
        let mut app = json!({ "name": "app", "image": "web:1" });
        merge(&mut app, container);
        let mut object = json!({
            "apiVersion": "cafe.dev/v1alpha1", "kind": "CafeDeployment", "metadata": { "name": "web" },
            "spec": {
                "replicas": 4,
                "selector": { "matchLabels": { "app": "web" } },
                "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [app] } },
            },
        });
        merge(&mut object, more);
        serde_json::from_value(object).unwrap()
    }

    fn merge(into: &mut serde_json::Value, from: &serde_json::Value) {
        match (into, from) {
            (serde_json::Value::Object(into), serde_json::Value::Object(from)) => {
                for (key, value) in from {
                    merge(into.entry(key.clone()).or_insert(serde_json::Value::Null), value);
                }
            }
            (into, from) => *into = from.clone(),
        }
    }

    #[test]
    fn a_change_that_cannot_go_in_place_is_refused_where_only_that_is_allowed_and_named_elsewhere() {
        let env = json!({ "env": [{ "name": "A", "value": "1" }] });
        let policy = json!({ "spec": { "strategy": { "podUpdatePolicy": "InPlaceOnly" } } });
        let old = object(&json!({}), &json!({}));
        let strict = deployment(Some(&old), &object(&env, &policy));
        assert_eq!(strict.problems.len(), 1, "{strict:?}");
        assert_eq!(strict.problems[0].field, "spec.template.spec.containers[app].env");
        let lenient = deployment(Some(&old), &object(&env, &json!({})));
        assert!(lenient.problems.is_empty() && lenient.warnings[0].contains("4 pods"), "{lenient:?}");
        let image = deployment(Some(&old), &object(&json!({ "image": "web:2" }), &policy));
        assert_eq!(image, Verdict::default());
    }
}
