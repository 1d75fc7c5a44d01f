//! Writes that will not last: an object that a tool applies again and again, edited by hand.

use std::collections::BTreeMap;

use cafe_crds::deployment::CafeDeployment;

/// Who owns the object, by the marks that such tools leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeper {
    Flux,
    Argo,
    Helm,
}

/// What an author who edits by hand should know. `manager` is the field manager of the request.
pub(crate) fn warnings(
    old: Option<&CafeDeployment>,
    new: &CafeDeployment,
    manager: Option<&str>,
) -> Vec<String> {
    let by_hand = manager.is_some_and(|m| m.starts_with("kubectl") && m != "kubectl-client-side-apply");
    let (Some(old), Some(keeper), true) = (old, keeper(new), by_hand) else { return Vec::new() };
    let mut warnings = Vec::new();
    let orders = old.spec.release != new.spec.release || old.spec.strategy.pause != new.spec.strategy.pause;
    if orders && keeper == Keeper::Flux {
        // Flux takes every manager whose name begins so for its own former self, and removes what it wrote.
        warnings.push(
            "Flux will undo this at its next sync; write orders with kubectl --field-manager=cafe-cli"
                .to_owned(),
        );
    }
    let (mut a, mut b) = (old.spec.clone(), new.spec.clone());
    for spec in [&mut a, &mut b] {
        (spec.release, spec.strategy.pause) = (None, None);
    }
    if a != b {
        let who = match keeper {
            Keeper::Flux => "Flux",
            Keeper::Argo => "Argo CD",
            Keeper::Helm => "Helm",
        };
        warnings
            .push(format!("{who} manages this object and will overwrite the change: make it at its source"));
    }
    warnings
}

fn keeper(object: &CafeDeployment) -> Option<Keeper> {
    let none = BTreeMap::new();
    let labels = object.metadata.labels.as_ref().unwrap_or(&none);
    let annotations = object.metadata.annotations.as_ref().unwrap_or(&none);
    let flux = ["kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"];
    if flux.iter().any(|key| labels.contains_key(*key)) {
        return Some(Keeper::Flux);
    }
    if annotations.contains_key("argocd.argoproj.io/tracking-id")
        || labels.contains_key("argocd.argoproj.io/instance")
    {
        return Some(Keeper::Argo);
    }
    let helm = labels.get("app.kubernetes.io/managed-by").is_some_and(|tool| tool == "Helm");
    helm.then_some(Keeper::Helm)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(labels: &Value, spec: &Value) -> CafeDeployment {
        let mut object = json!({
            "metadata": { "name": "web", "labels": labels },
            "spec": { "selector": {}, "template": {} },
        });
        for (key, value) in spec.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn an_order_by_hand_on_an_object_of_flux_and_a_change_on_one_of_helm_will_not_last() {
        let flux = json!({ "kustomize.toolkit.fluxcd.io/name": "apps" });
        let helm = json!({ "app.kubernetes.io/managed-by": "Helm" });
        let paused = json!({ "strategy": { "pause": true } });
        let scaled = json!({ "replicas": 9 });
        let warned = |labels: &Value, spec: &Value, manager| {
            warnings(Some(&object(labels, &json!({}))), &object(labels, spec), Some(manager))
        };
        assert!(warned(&flux, &paused, "kubectl-edit")[0].contains("--field-manager"));
        assert_eq!(warned(&flux, &paused, "cafe-cli"), Vec::<String>::new());
        assert_eq!(warned(&helm, &paused, "kubectl-patch"), Vec::<String>::new());
        assert!(warned(&helm, &scaled, "kubectl-edit")[0].starts_with("Helm manages this object"));
        assert_eq!(warned(&json!({}), &scaled, "kubectl-edit"), Vec::<String>::new());
    }
}
