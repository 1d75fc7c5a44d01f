//! What a template refers to and does not have: the API server would refuse its pods, one by one and later.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Verdict;
use crate::{deployment::CafeDeploymentSpec, traffic::TrafficMode};

/// Readiness gates of load balancers that go on sending requests to a pod that is not Ready.
const BLIND_BALANCERS: [(&str, &str); 3] = [
    ("target-health.elbv2.k8s.aws/", "the AWS Load Balancer Controller"),
    ("target-health.alb.ingress.k8s.aws/", "the AWS Load Balancer Controller"),
    ("cloud.google.com/load-balancer-neg-ready", "GKE's load balancer controller"),
];

pub(super) fn judge(spec: &CafeDeploymentSpec, verdict: &mut Verdict) {
    let template = &spec.template;
    let names = |list: &[Value]| list.iter().filter_map(name).map(str::to_owned).collect::<BTreeSet<_>>();
    let mut volumes = names(list(template, "/spec/volumes"));
    volumes.extend(
        spec.volume_claim_templates
            .iter()
            .filter_map(|c| c.pointer("/metadata/name")?.as_str())
            .map(str::to_owned),
    );
    let mut seen = BTreeSet::new();
    for field in ["initContainers", "containers"] {
        for container in list(template, &format!("/spec/{field}")) {
            let path = format!("spec.template.spec.{field}[{}]", name(container).unwrap_or_default());
            if !seen.insert(name(container).unwrap_or_default()) {
                verdict.refuse(
                    &path,
                    "another container has this name: give each container of a pod a name of its own",
                );
            }
            if container.get("image").and_then(Value::as_str).is_none_or(str::is_empty) {
                verdict.refuse(
                    format!("{path}.image"),
                    "a container needs an image, such as registry.example.com/web:1.8.2",
                );
            }
            mounts(container, &path, &volumes, verdict);
        }
    }
    balancers(spec, verdict);
}

fn mounts(container: &Value, path: &str, volumes: &BTreeSet<String>, verdict: &mut Verdict) {
    let used = ["volumeMounts", "volumeDevices"].into_iter().flat_map(|field| {
        let names = list(container, &format!("/{field}")).iter().filter_map(name);
        names.map(move |volume| (field, volume))
    });
    for (field, volume) in used.filter(|(_, volume)| !volumes.contains(*volume)) {
        let known = if volumes.is_empty() {
            "none".to_owned()
        } else {
            volumes.iter().cloned().collect::<Vec<_>>().join(", ")
        };
        verdict.refuse(
            format!("{path}.{field}[{volume}]"),
            format!(
                "there is no volume {volume}: add it to spec.template.spec.volumes or spec.volumeClaimTemplates, which have: {known}"
            ),
        );
    }
}

fn balancers(spec: &CafeDeploymentSpec, verdict: &mut Verdict) {
    let gates = list(&spec.template, "/spec/readinessGates").iter();
    let types = gates.filter_map(|gate| gate.get("conditionType")?.as_str());
    let blind = |gate: &str| BLIND_BALANCERS.into_iter().find(|(prefix, _)| gate.starts_with(prefix));
    let found: BTreeSet<&str> = types.filter_map(blind).map(|(_, who)| who).collect();
    for who in found.into_iter().filter(|_| spec.traffic.mode == TrafficMode::Gate) {
        verdict
            .warn(format!("{who} keeps pods that are not Ready registered: use spec.traffic.mode Unselect"));
    }
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn name(value: &Value) -> Option<&str> {
    value.get("name").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(template: Value) -> Verdict {
        let mut verdict = Verdict::default();
        judge(&CafeDeploymentSpec { template, ..CafeDeploymentSpec::default() }, &mut verdict);
        verdict
    }

    #[test]
    fn mounts_without_a_volume_missing_images_and_names_used_twice_are_all_named_at_once() {
        let found = judged(json!({ "spec": {
            "containers": [{ "name": "app", "volumeMounts": [{ "name": "data" }, { "name": "tmp" }] }],
            "initContainers": [{ "name": "app", "image": "a:1" }],
            "volumes": [{ "name": "tmp" }],
        } }));
        let fields: Vec<&str> = found.problems.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "spec.template.spec.containers[app]",
                "spec.template.spec.containers[app].image",
                "spec.template.spec.containers[app].volumeMounts[data]",
            ]
        );
        assert!(found.problems[2].message.contains("which have: tmp"), "{found:?}");
    }

    #[test]
    fn a_block_device_needs_its_volume_too_and_a_claim_template_that_is_taken_away_is_missed() {
        let container = json!({ "volumeDevices": [{ "name": "raw", "devicePath": "/dev/raw" }] });
        let claims = json!({ "spec": { "volumeClaimTemplates": [{ "metadata": { "name": "raw" } }] } });
        let old = super::super::tests::object(&container, &claims);
        assert_eq!(super::super::deployment(None, &old), Verdict::default());
        let new = super::super::tests::object(&container, &json!({}));
        let found = super::super::deployment(Some(&old), &new);
        let fields: Vec<&str> = found.problems.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["spec.template.spec.containers[app].volumeDevices[raw]"]);
    }

    #[test]
    fn a_balancer_that_ignores_readiness_is_named() {
        let gates = json!([{ "conditionType": "target-health.elbv2.k8s.aws/k8s-shop-web" }]);
        let found = judged(
            json!({ "spec": { "containers": [{ "name": "app", "image": "a:1" }], "readinessGates": gates } }),
        );
        assert!(found.problems.is_empty() && found.warnings[0].contains("Unselect"), "{found:?}");
    }
}
