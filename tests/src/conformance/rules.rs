//! What no write of a protector may do. Judged on two versions of a pod of which the protector has made the later one.

use serde_json::{Value, json};

use super::pod::{has_finalizer, may_serve, said};

/// What the program that collects pods calls itself where it writes.
const COLLECTOR: &str = "kube-controller-manager";

/// What is wrong with the step from `before` to `after`, if the owner of `lock` has made it.
pub(super) fn breaches(before: &Value, after: &Value, lock: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (was_locked, is_locked) = (has_finalizer(before, lock), has_finalizer(after, lock));
    if !was_locked && is_locked && !may_serve(before) {
        found.push(
            "it locked a pod that was not wanted any more: send the finalizer with the resourceVersion of the pod that \
             wanted it"
                .to_owned(),
        );
    }
    if was_locked && !is_locked && may_serve(before) {
        found.push(
            "it took its finalizer off a pod that may serve: only a drained or deleted pod is let go"
                .to_owned(),
        );
    }
    let says_true = |pod: &Value| said(pod, lock).is_some_and(|(status, _)| status == "True");
    if says_true(after) && !says_true(before) && !is_locked {
        found.push("its condition says True on a pod without its finalizer: lock first".to_owned());
    }
    let (others, now) = (of_others(before, lock), of_others(after, lock));
    if others != now {
        found.push(format!("it changed what belongs to others: {}", difference(&others, &now)));
    }
    found
}

/// Whether the step is one of the garbage collector of pods: every 20 seconds it says that what is deleted and has no node has failed.
pub(super) fn is_collected(before: &Value, after: &Value) -> bool {
    let collected = |pod: &Value| {
        let managers = pod.pointer("/metadata/managedFields").and_then(Value::as_array);
        managers.into_iter().flatten().find(|fields| fields["manager"] == COLLECTOR).cloned()
    };
    let now = collected(after);
    now.is_some() && now != collected(before)
}

/// The pod without what the protector may write, and without what the API server counts.
fn of_others(pod: &Value, lock: &str) -> Value {
    let mut pod = pod.clone();
    let counted =
        ["resourceVersion", "managedFields", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"];
    let mut emptied = false;
    if let Some(metadata) = pod.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        for field in counted {
            metadata.remove(field);
        }
        if let Some(finalizers) = metadata.get_mut("finalizers").and_then(Value::as_array_mut) {
            finalizers.retain(|finalizer| finalizer != lock);
            emptied = finalizers.is_empty();
        }
        if emptied {
            metadata.remove("finalizers");
        }
    }
    if let Some(conditions) = pod.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
        conditions.retain(|condition| condition["type"] != lock);
    }
    pod
}

/// The paths at which two values differ.
fn difference(before: &Value, after: &Value) -> String {
    let mut paths = Vec::new();
    compare("", before, after, &mut paths);
    paths.join("; ")
}

fn compare(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    match (before, after) {
        (a, b) if a == b => {}
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            for key in keys {
                let (old, new) = (a.get(key), b.get(key));
                compare(
                    &format!("{path}/{key}"),
                    old.unwrap_or(&json!(null)),
                    new.unwrap_or(&json!(null)),
                    found,
                );
            }
        }
        (a, b) => found.push(format!("{path} was {a} and is {b}")),
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    const LOCK: &str = "protect.cafe.dev/lb";

    fn pod(gate: &str, finalizers: &[&str], said: Option<&str>) -> Value {
        let mut conditions = vec![
            json!({ "type": "cafe.dev/serving", "status": gate, "reason": "Drain_1" }),
            json!({ "type": "ContainersReady", "status": "True" }),
        ];
        conditions.extend(said.map(|status| json!({ "type": LOCK, "status": status, "reason": "Drain_1" })));
        json!({
            "metadata": { "name": "p", "resourceVersion": "1", "finalizers": finalizers },
            "status": { "podIP": "127.0.0.2", "conditions": conditions },
        })
    }

    fn breach(before: &Value, after: &Value) -> String {
        breaches(before, after, LOCK).join("\n")
    }

    #[test]
    fn the_steps_of_the_protocol_break_no_rule() {
        let steps = [pod("True", &[], None), pod("True", &[LOCK], None), pod("True", &[LOCK], Some("True"))];
        for step in steps.windows(2) {
            assert_eq!(breach(&step[0], &step[1]), "");
        }
        assert_eq!(breach(&pod("False", &[LOCK], Some("True")), &pod("False", &[LOCK], Some("False"))), "");
        assert_eq!(breach(&pod("False", &[LOCK], Some("False")), &pod("False", &[], Some("False"))), "");
    }

    #[test]
    fn what_is_collected_is_told_by_who_wrote_last() {
        let by = |managers: &[(&str, &str)]| {
            let fields: Vec<Value> =
                managers.iter().map(|(manager, time)| json!({ "manager": manager, "time": time })).collect();
            json!({ "metadata": { "managedFields": fields } })
        };
        let (protector, collector) = (("lb", "1"), ("kube-controller-manager", "2"));
        assert!(is_collected(&by(&[protector]), &by(&[protector, collector])));
        assert!(!is_collected(&by(&[protector]), &by(&[("lb", "2")])));
        assert!(
            !is_collected(&by(&[protector, collector]), &by(&[("lb", "3"), collector])),
            "collected before"
        );
        assert!(!is_collected(&by(&[]), &by(&[])));
    }

    #[test]
    fn a_lock_on_a_pod_that_is_not_wanted_is_a_breach() {
        assert!(breach(&pod("False", &[], None), &pod("False", &[LOCK], None)).contains("locked a pod"));
    }

    #[test]
    fn a_lock_taken_off_a_pod_that_serves_is_a_breach() {
        let found = breach(&pod("True", &[LOCK], Some("True")), &pod("True", &[], Some("True")));
        assert!(found.contains("took its finalizer off"), "{found}");
    }

    #[test]
    fn a_condition_without_a_lock_is_a_breach() {
        assert!(breach(&pod("True", &[], None), &pod("True", &[], Some("True"))).contains("lock first"));
    }

    #[test]
    fn an_entry_of_somebody_else_that_goes_or_changes_is_a_breach() {
        let found = breach(&pod("False", &[LOCK, "else/one"], None), &pod("False", &[], None));
        assert!(found.contains("/metadata/finalizers was [\"else/one\"]"), "{found}");
        let found = breach(&pod("False", &[], None), &pod("True", &[], None));
        assert!(found.contains("belongs to others"), "{found}");
        let mut labelled = pod("True", &[], None);
        labelled["metadata"]["labels"] = json!({ "a": "b" });
        assert!(breach(&pod("True", &[], None), &labelled).contains("/metadata/labels"));
    }
}
