//! Lines of an audit log, and what the judge makes of them.
#![allow(clippy::unwrap_used)]

use cafe_invariants::{Log, Report, Rule};
use serde_json::{Value, json};

const CONTROLLER: &str = "system:serviceaccount:cafe-system:cafe-controller";

fn line(verb: &str, resource: &str, name: &str, request: &Value, response: &Value) -> Value {
    let group = if resource == "pods" { "" } else { "cafe.dev" };
    let code = if response.is_null() { 409 } else { 200 };
    json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "stage": "ResponseComplete", "verb": verb,
        "requestURI": format!("/x/{name}"), "user": { "username": CONTROLLER }, "sourceIPs": ["10.0.0.1"],
        "objectRef": { "resource": resource, "apiGroup": group, "namespace": "shop", "name": name },
        "responseStatus": { "code": code }, "requestObject": request, "responseObject": response,
        "requestReceivedTimestamp": "2026-01-01T00:00:00.000000Z", "stageTimestamp": "2026-01-01T00:00:00.004000Z",
    })
}

fn judge(lines: &[Value]) -> Report {
    let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
    let mut log = Log::default();
    log.read(text.join("\n").as_bytes(), |user| user == CONTROLLER).unwrap();
    assert_eq!(log.events, lines.len() as u64);
    log.judge()
}

fn found(report: &Report) -> Vec<String> {
    report.violations.iter().map(ToString::to_string).collect()
}

/// A pod at a version, with what is different about it.
fn pod(version: u64, gate: &str, image: &str) -> Value {
    let reason = if gate == "True" { "Serving" } else { "Drain_0000000a" };
    json!({
        "kind": "Pod", "metadata": { "name": "p", "namespace": "shop", "uid": "u", "resourceVersion": version.to_string(),
            "ownerReferences": [{ "apiVersion": "cafe.dev/v1alpha1", "kind": "InPlaceSet", "uid": "s", "controller": true }] },
        "spec": { "nodeName": "n", "containers": [{ "name": "app", "image": image }] },
        "status": { "phase": "Running", "conditions": [
            { "type": "cafe.dev/serving", "status": gate, "reason": reason },
            { "type": "Ready", "status": gate },
        ]},
    })
}

fn set(version: u64, journal: &Value) -> Value {
    json!({
        "kind": "InPlaceSet", "metadata": { "name": "s", "namespace": "shop", "uid": "s", "resourceVersion": version.to_string(),
            "generation": 1 },
        "spec": { "replicas": 1, "updateStrategy": { "maxUnavailable": 1 } },
        "status": { "observedGeneration": 1, "inFlight": journal },
    })
}

fn guarded(version: u64) -> Value {
    json!({ "metadata": { "uid": "u", "resourceVersion": version.to_string() } })
}

fn json_patch(version: u64) -> Value {
    json!([
        { "op": "test", "path": "/metadata/uid", "value": "s" },
        { "op": "replace", "path": "/metadata/resourceVersion", "value": version.to_string() },
        { "op": "add", "path": "/status", "value": {} },
    ])
}

/// The writes of one update in place: a reservation, W1, W2.
fn update() -> Vec<Value> {
    vec![
        line("create", "inplacesets", "s", &json!({}), &set(1, &json!([]))),
        line("create", "pods", "p", &json!({}), &pod(2, "True", "v1")),
        line("patch", "inplacesets", "s", &json_patch(1), &set(3, &json!([{ "podUID": "u", "to": "x" }]))),
        line("patch", "pods", "p", &guarded(2), &pod(4, "False", "v1")),
        line("patch", "pods", "p", &guarded(4), &pod(5, "False", "v2")),
    ]
}

#[test]
fn an_update_as_it_should_be_is_found_without_fault_whatever_the_order_of_the_lines() {
    let mut lines = update();
    // Without a grace period: all lines carry one time.
    for at in [0, 2] {
        *lines[at].pointer_mut("/responseObject/spec").unwrap() = json!({ "replicas": 1, "updateStrategy": { "maxUnavailable": 1 }, "traffic": { "graceSeconds": 0 } });
    }
    let report = judge(&lines);
    assert_eq!(found(&report), [""; 0]);
    assert!(report.complete);
    for rule in [Rule::S1, Rule::S2, Rule::S3, Rule::S10, Rule::S12, Rule::S15, Rule::S22] {
        assert!(report.asked.contains_key(&rule), "{rule} was never asked");
    }
    lines.reverse();
    assert_eq!(found(&judge(&lines)), [""; 0]);
}

#[test]
fn a_drain_that_nobody_reserved_is_found() {
    let mut lines = update();
    lines.remove(2);
    lines.truncate(3);
    assert_eq!(
        found(&judge(&lines)),
        ["S2 at version 4, shop/p: it was taken out of traffic without a reservation"]
    );
}

#[test]
fn writes_without_preconditions_and_to_finalizers_are_found() {
    let without = json!({ "metadata": { "uid": "u" } });
    let finalizers = json!({ "metadata": { "uid": "u", "resourceVersion": "2", "finalizers": [] } });
    let delete = json!({ "kind": "DeleteOptions", "preconditions": { "uid": "u" } });
    let report = judge(&[
        line("patch", "pods", "p", &without, &Value::Null),
        line("patch", "pods", "p", &finalizers, &Value::Null),
        line("delete", "pods", "p", &delete, &Value::Null),
        line("patch", "inplacesets", "s", &json!([]), &Value::Null),
    ]);
    assert_eq!(
        found(&report),
        [
            "S10 at version 0, shop/p: the write carries no resourceVersion",
            "S15 at version 0, shop/p: we changed its finalizers",
            "S10 at version 0, shop/p: the write carries no resourceVersion",
            "S10 at version 0, shop/s: the write carries no uid",
        ]
    );
}

#[test]
fn only_our_own_finalizer_may_be_taken_off_and_only_by_name() {
    let path = "/metadata/finalizers/1";
    let patch = |name: &str| {
        json!([
            { "op": "test", "path": "/metadata/uid", "value": "u" },
            { "op": "replace", "path": "/metadata/resourceVersion", "value": "2" },
            { "op": "test", "path": path, "value": name },
            { "op": "remove", "path": path },
        ])
    };
    let report = judge(&[
        line("patch", "inplacesets", "ours", &patch("cafe.dev/drain"), &Value::Null),
        line("patch", "inplacesets", "theirs", &patch("example.org/lock"), &Value::Null),
    ]);
    assert_eq!(found(&report), ["S15 at version 0, shop/theirs: we changed its finalizers"]);
}

#[test]
fn taking_the_last_finalizer_off_what_is_being_deleted_is_its_deletion_and_no_empty_write() {
    let patch = json!([
        { "op": "test", "path": "/metadata/uid", "value": "s" },
        { "op": "replace", "path": "/metadata/resourceVersion", "value": "1" },
        { "op": "test", "path": "/metadata/finalizers/0", "value": "cafe.dev/drain" },
        { "op": "remove", "path": "/metadata/finalizers/0" },
    ]);
    let stays = set(1, &json!([]));
    let mut goes = stays.clone();
    goes.pointer_mut("/metadata").unwrap().as_object_mut().unwrap().extend([
        ("deletionTimestamp".to_owned(), json!("2026-01-01T00:00:00Z")),
        ("deletionGracePeriodSeconds".to_owned(), json!(0)),
    ]);
    // The answer has the version that the write was made on.
    let created = line("create", "inplacesets", "s", &json!({}), &stays);
    let report = judge(&[created.clone(), line("patch", "inplacesets", "s", &patch, &goes)]);
    assert_eq!(found(&report), [""; 0]);
    let report = judge(&[created, line("patch", "inplacesets", "s", &patch, &stays)]);
    assert_eq!(found(&report).len(), 1, "{:?}", found(&report));
}

#[test]
fn writes_of_others_are_not_ours_to_answer_for() {
    let mut lines = update();
    lines.truncate(2);
    let mut theirs = line("patch", "pods", "p", &json!({}), &pod(3, "False", "v2"));
    *theirs.pointer_mut("/user/username").unwrap() = "somebody".into();
    lines.push(theirs);
    assert_eq!(found(&judge(&lines)), [""; 0]);
}

#[test]
fn a_log_without_the_objects_is_judged_by_what_it_shows() {
    let mut lines = update();
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("responseObject");
    }
    let report = judge(&lines);
    assert!(!report.complete);
    assert!(report.asked.contains_key(&Rule::S10) && !report.asked.contains_key(&Rule::S1));
    assert_eq!(found(&report), [""; 0]);
}

#[test]
fn what_others_wrote_between_two_writes_of_ours_is_read_from_the_second() {
    let deployment = |version: u64, group: i64, waits: bool, confirm: &str| {
        let waiting = if waits { json!("2026-01-01T00:00:00Z") } else { Value::Null };
        json!({
            "kind": "CafeDeployment", "metadata": { "name": "web", "namespace": "shop", "uid": "d",
                "resourceVersion": version.to_string(), "generation": 1 },
            "spec": { "replicas": 1, "release": { "confirm": confirm } },
            "status": { "observedGeneration": 1, "release":
                { "revision": 2, "fromRevision": 1, "state": "Executing", "group": group, "groupTotal": 2, "waitingSince": waiting } },
        })
    };
    let patch = |on: u64, then: &Value| line("patch", "cafedeployments", "web", &json_patch(on), then);
    let passes = |confirm| {
        judge(&[patch(1, &deployment(2, 1, true, "")), patch(3, &deployment(4, 2, false, confirm))])
    };
    assert_eq!(found(&passes("2/1")), [""; 0]);
    assert_eq!(found(&passes("2/2")), ["S6 at version 4, shop/web: gate 1 was passed without its token"]);
}

#[test]
fn what_is_no_audit_log_is_refused_with_the_line() {
    let error = Log::default().read("{}\nno json".as_bytes(), |_| true).unwrap_err().to_string();
    assert!(error.starts_with("line 2: not JSON"), "{error}");
}
