//! Which changes of a template cannot go in place.

use serde_json::{Map, Value};

use crate::deployment::CafeDeploymentSpec;

/// Paths below which something has changed that only a new pod can have; empty when all of it can go in place: images of containers
/// and native sidecars, labels and annotations.
pub(super) fn obstacles(old: &CafeDeploymentSpec, new: &CafeDeploymentSpec) -> Vec<String> {
    let mut paths = Vec::new();
    let empty = Map::new();
    let spec = |template: &'_ Value| template.get("spec").and_then(Value::as_object).cloned();
    let (before, after) = (spec(&old.template), spec(&new.template));
    let (before, after) = (before.as_ref().unwrap_or(&empty), after.as_ref().unwrap_or(&empty));
    for field in fields(before, after) {
        let path = format!("spec.template.spec.{field}");
        match field {
            "containers" | "initContainers" => {
                containers(&path, before.get(field), after.get(field), &mut paths);
            }
            _ if before.get(field) != after.get(field) => paths.push(path),
            _ => {}
        }
    }
    if old.volume_claim_templates != new.volume_claim_templates {
        paths.push("spec.volumeClaimTemplates".into());
    }
    paths
}

/// The fields of either, each once, in order.
fn fields<'a>(a: &'a Map<String, Value>, b: &'a Map<String, Value>) -> Vec<&'a str> {
    let mut names: Vec<&str> = a.keys().chain(b.keys()).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn containers(path: &str, old: Option<&Value>, new: Option<&Value>, paths: &mut Vec<String>) {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let (old, new) = (list(old), list(new));
    let names = |list: &[Value]| list.iter().map(name).collect::<Vec<_>>();
    if names(&old) != names(&new) {
        // Added, removed, renamed or in another order.
        paths.push(path.to_owned());
        return;
    }
    for (before, after) in old.iter().zip(&new) {
        let (Some(a), Some(b)) = (before.as_object(), after.as_object()) else { continue };
        let has_image_in_place = !path.ends_with("initContainers") || is_sidecar(a) && is_sidecar(b);
        let stays = |field: &&str| *field == "image" && has_image_in_place;
        let changed = fields(a, b).into_iter().filter(|f| a.get(*f) != b.get(*f) && !stays(f));
        paths.extend(changed.map(|field| format!("{path}[{}].{field}", name(after))));
    }
}

fn is_sidecar(container: &Map<String, Value>) -> bool {
    container.get("restartPolicy").and_then(Value::as_str) == Some("Always")
}

fn name(container: &Value) -> String {
    container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(template: Value) -> CafeDeploymentSpec {
        CafeDeploymentSpec { template, ..CafeDeploymentSpec::default() }
    }

    fn between(old: Value, new: Value) -> Vec<String> {
        obstacles(&spec(old), &spec(new))
    }

    #[test]
    fn images_labels_and_annotations_go_in_place() {
        let old = json!({ "metadata": { "labels": { "a": "1" } }, "spec": {
            "containers": [{ "name": "app", "image": "a:1" }],
            "initContainers": [{ "name": "proxy", "image": "p:1", "restartPolicy": "Always" }],
        } });
        let new = json!({ "metadata": { "annotations": { "b": "2" } }, "spec": {
            "containers": [{ "name": "app", "image": "a:2" }],
            "initContainers": [{ "name": "proxy", "image": "p:2", "restartPolicy": "Always" }],
        } });
        assert_eq!(between(old, new), Vec::<String>::new());
    }

    #[test]
    fn everything_else_is_named_by_its_path() {
        let old = json!({ "spec": {
            "containers": [{ "name": "app", "image": "a:1", "ports": [] }, { "name": "log", "image": "l:1" }],
            "initContainers": [{ "name": "migrate", "image": "m:1" }],
        } });
        let new = json!({ "spec": {
            "containers": [{ "name": "app", "image": "a:2", "env": [] }, { "name": "log", "image": "l:1" }],
            "initContainers": [{ "name": "migrate", "image": "m:2" }],
            "hostNetwork": true,
        } });
        assert_eq!(
            between(old.clone(), new),
            [
                "spec.template.spec.containers[app].env",
                "spec.template.spec.containers[app].ports",
                "spec.template.spec.hostNetwork",
                "spec.template.spec.initContainers[migrate].image",
            ]
        );
        let fewer = json!({ "spec": { "containers": [{ "name": "app", "image": "a:1", "ports": [] }] } });
        assert_eq!(
            between(old, fewer),
            ["spec.template.spec.containers", "spec.template.spec.initContainers"]
        );
    }
}
