//! The rights of the controller: enough for all it does, and no more.

use std::collections::BTreeSet;

use cafe_tests::bed::audit::Entry;
use serde_json::{Value, json};

use super::ground::{Ground, Said};
use super::objects::{deployment, put, set};

const USER: &str = "system:serviceaccount:cafe-system:cafe-controller";

/// Creation, updates of all kinds, scaling and deletion.
async fn a_life(name: &str) -> Ground {
    let ground = Ground::new(name).await;
    let mut object = deployment(4);
    put(&mut object, "/spec/strategy/needWaitingForConfirm", json!(false));
    ground.apply(&object);
    ground.until_healthy("web", 4).await;
    put(&mut object, "/spec/template/spec/containers/0/image", json!("example.org/web:2"));
    ground.apply(&object);
    ground.until_healthy("web", 4).await;
    // What cannot go in place recreates the pods.
    put(&mut object, "/spec/template/spec/containers/0/env/0/value", json!("slow"));
    put(&mut object, "/spec/replicas", json!(2));
    ground.apply(&object);
    ground.until_healthy("web", 2).await;
    put(&mut object, "/spec/topology/values", json!(["CellA"]));
    ground.apply(&object);
    ground.until_healthy("web", 2).await;
    let mut solo = set(1);
    for pointer in ["/spec/selector/matchLabels/app", "/spec/template/metadata/labels/app"] {
        put(&mut solo, pointer, json!("solo"));
    }
    put(&mut solo, "/metadata/finalizers", json!(["cafe.dev/drain"]));
    ground.apply(&solo);
    ground.until("InPlaceSet", "solo", "ready", |set| set["status"]["readyReplicas"] == 1).await;
    ground.kubectl(&["delete", "cafed,ips", "--all", "--timeout=60s"]);
    ground.until_all("Pod", "gone", <[_]>::is_empty).await;
    ground
}

#[tokio::test]
async fn a_whole_life_needs_no_right_the_controller_does_not_have() {
    let ground = a_life("rights").await;
    let entries = ground.bed.audit().entries().unwrap();
    let own: Vec<_> = entries.iter().filter(|entry| is_controller(entry)).collect();
    assert!(own.iter().any(|entry| entry.is_write() && entry.namespace == ground.namespace));
    let refused: BTreeSet<String> = own
        .iter()
        .filter(|entry| entry.code == 401 || entry.code == 403)
        .map(|entry| format!("{} {}/{} {}", entry.verb, entry.resource, entry.subresource, entry.code))
        .collect();
    assert_eq!(refused, BTreeSet::new(), "the controller lacks rights");
    let invalid: BTreeSet<String> = own
        .iter()
        .filter(|entry| entry.is_write() && entry.namespace == ground.namespace)
        .filter(|entry| entry.code == 400 || entry.code == 422)
        .map(|entry| {
            format!("{} {}/{} {} {}", entry.verb, entry.resource, entry.subresource, entry.uri, entry.code)
        })
        .collect();
    assert_eq!(invalid, BTreeSet::new(), "the controller wrote what the API does not take");
}

/// Rights that this life does not come to use, and what does. What else stands in the rules and is not used is one right too many.
const USED_ELSEWHERE: &[(&str, &str, &str)] = &[
    ("cafedeployments", "get", "before orphans are adopted the owner is read live"),
    ("cafedeployments", "list", "API servers that do not stream lists"),
    ("cafedeployments", "patch", "the finalizer cafe.dev/drain is taken off"),
    ("cafedeployments/finalizers", "update", "asked by OwnerReferencesPermissionEnforcement"),
    ("cafereleases", "delete", "historyLimit"),
    ("cafereleases", "list", "API servers that do not stream lists"),
    ("controllerrevisions", "delete", "historyLimit"),
    ("controllerrevisions", "get", "a write whose answer was lost is looked up"),
    ("controllerrevisions", "list", "API servers that do not stream lists"),
    ("inplacesets", "get", "a write whose answer was lost is looked up"),
    ("inplacesets", "list", "API servers that do not stream lists"),
    ("inplacesets/finalizers", "update", "asked by OwnerReferencesPermissionEnforcement"),
    ("leases", "get", "a replica that stands by"),
    ("leases", "watch", "a replica that stands by"),
    ("nodes", "list", "API servers that do not stream lists"),
    ("persistentvolumeclaims", "create", "volumeClaimTemplates"),
    ("persistentvolumeclaims", "delete", "volumeClaimTemplates"),
    ("persistentvolumeclaims", "get", "a write whose answer was lost is looked up"),
    ("persistentvolumeclaims", "list", "API servers that do not stream lists"),
    ("persistentvolumeclaims", "patch", "volumeClaimTemplates"),
    ("pods", "get", "a write whose answer was lost is looked up"),
    ("pods", "list", "API servers that do not stream lists"),
];

#[tokio::test]
async fn every_right_of_the_chart_is_used() {
    let ground = a_life("used").await;
    let entries = ground.bed.audit().entries().unwrap();
    let used: BTreeSet<(String, String)> = entries
        .iter()
        .filter(|entry| is_controller(entry) && entry.code < 400)
        .map(|entry| {
            let rest =
                if entry.subresource.is_empty() { String::new() } else { format!("/{}", entry.subresource) };
            (format!("{}{rest}", entry.resource), entry.verb.clone())
        })
        .collect();
    let mut unused = BTreeSet::new();
    for file in ["workloads", "cluster", "lease"] {
        let path = format!("{}/../charts/cafe/files/rules/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
        let rules: Vec<Value> = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let words =
            |rule: &Value, key: &str| -> Vec<String> { serde_json::from_value(rule[key].clone()).unwrap() };
        for rule in &rules {
            for resource in words(rule, "resources") {
                unused.extend(words(rule, "verbs").into_iter().map(|verb| (resource.clone(), verb)));
            }
        }
    }
    unused.retain(|right| !used.contains(right));
    let known: BTreeSet<(String, String)> =
        USED_ELSEWHERE.iter().map(|(resource, verb, _)| ((*resource).into(), (*verb).into())).collect();
    let unknown: Vec<_> = unused.difference(&known).collect();
    assert!(unknown.is_empty(), "the rules give rights that nothing uses: {unknown:?}");
}

/// Its requests, and not those of the test below, which borrows its name.
fn is_controller(entry: &Entry) -> bool {
    entry.user == USER && entry.user_agent.starts_with("cafe-controller")
}

fn as_controller(ground: &Ground, args: &[&str]) -> Said {
    let kubeconfig = ground.bed.dir().join("controller.kubeconfig");
    ground.try_kubectl(args, &[("KUBECONFIG", kubeconfig.to_str().unwrap())], "")
}

#[tokio::test]
async fn the_controller_can_do_nothing_else() {
    let ground = Ground::new("rights").await;
    ground.kubectl(&["create", "secret", "generic", "precious", "--from-literal=key=value"]);
    assert!(as_controller(&ground, &["get", "pods"]).succeeded, "its own credentials work");
    for args in [
        &["get", "secrets"][..],
        &["get", "secret", "precious"],
        &["get", "configmaps"],
        &["create", "namespace", "mine"],
        &["delete", "namespace", &ground.namespace],
        &["get", "clusterroles"],
        &["get", "deployments"],
        &["get", "leases"],
    ] {
        let said = as_controller(&ground, args);
        assert!(!said.succeeded && said.stderr.contains("Forbidden"), "{args:?}: {said:?}");
    }
    for (verb, resource) in [
        ("create", "cafedeployments.cafe.dev"),
        ("update", "cafedeployments.cafe.dev"),
        ("delete", "cafedeployments.cafe.dev"),
        ("create", "pods --subresource=exec"),
        ("patch", "pods --subresource=ephemeralcontainers"),
        ("create", "serviceaccounts --subresource=token"),
        ("escalate", "clusterroles.rbac.authorization.k8s.io"),
        ("bind", "clusterroles.rbac.authorization.k8s.io"),
        ("impersonate", "users"),
        ("delete", "nodes"),
        ("patch", "services"),
        ("deletecollection", "pods"),
    ] {
        let mut args = vec!["auth", "can-i", verb];
        args.extend(resource.split(' '));
        let said = as_controller(&ground, &args);
        assert_eq!(said.stdout.trim(), "no", "{verb} {resource}: {said:?}");
    }
}
