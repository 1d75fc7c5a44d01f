//! What an update of an image has lost: a merge patch replaces whole lists, and takes with them what it does not repeat.

use serde_json::Value;

use super::Verdict;

/// Lists of a container that nobody takes away together with a new image on purpose.
const LISTS: [&str; 4] = ["ports", "env", "envFrom", "volumeMounts"];

pub(super) fn judge(old: &Value, new: &Value, verdict: &mut Verdict) {
    let (before, after) = (containers(old), containers(new));
    let image = |c: &Value| c.get("image").cloned();
    let is_new = |c: &&Value| find(before, c).is_none_or(|b| image(b) != image(c));
    if !after.iter().any(|c| is_new(&c)) {
        return;
    }
    for container in before {
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        let Some(now) = find(after, container) else {
            verdict.warn(format!(
                "container {name} is gone in an update that changes an image; a merge patch replaces the whole list"
            ));
            continue;
        };
        let lost: Vec<&str> = LISTS
            .into_iter()
            .filter(|f| has(container, f) && !has(now, f) && image(container) != image(now))
            .collect();
        if !lost.is_empty() {
            let lost = lost.join(" and ");
            verdict.warn(format!(
                "container {name} lost {lost} with its new image; a merge patch replaces whole lists"
            ));
        }
    }
}

fn containers(template: &Value) -> &[Value] {
    template.pointer("/spec/containers").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn find<'a>(list: &'a [Value], container: &Value) -> Option<&'a Value> {
    list.iter().find(|c| c.get("name") == container.get("name"))
}

fn has(container: &Value, field: &str) -> bool {
    container.get(field).and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn warnings(old: Value, new: Value) -> Vec<String> {
        let template = |containers: Value| json!({ "spec": { "containers": containers } });
        let mut verdict = Verdict::default();
        judge(&template(old), &template(new), &mut verdict);
        verdict.warnings
    }

    #[test]
    fn a_patch_of_an_image_that_drops_ports_and_a_container_is_doubtful() {
        let old = json!([{ "name": "app", "image": "a:1", "ports": [1], "env": [1] }, { "name": "log", "image": "l:1" }]);
        let told = warnings(old.clone(), json!([{ "name": "app", "image": "a:2" }]));
        assert_eq!(told.len(), 2);
        assert!(told[0].contains("container app lost ports and env"), "{told:?}");
        assert!(told[1].contains("container log is gone"), "{told:?}");
        assert!(warnings(old, json!([{ "name": "app", "image": "a:1" }])).is_empty(), "no image has changed");
    }
}
