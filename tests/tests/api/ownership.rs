//! Who owns what: orphans that come back, pods that are let go, selectors that overlap, and what is written by hand.

use cafe_crds::names::FINALIZER_DRAIN;
use serde_json::{Value, json};

use super::ground::{Ground, eventually};
use super::objects::{deployment, put, set};

/// Of every pod: name, uid, when its gate was last moved, and how often its containers were started again.
async fn lives(ground: &Ground) -> Vec<(String, String, String, String)> {
    let life = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let gate = conditions.clone().find(|c| c["type"] == "cafe.dev/serving");
        let restarts = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
        let restarts: Vec<_> = restarts.map(|c| c["restartCount"].to_string()).collect();
        (
            pod["metadata"]["name"].to_string(),
            pod["metadata"]["uid"].to_string(),
            gate.map(|gate| gate["lastTransitionTime"].to_string()).unwrap_or_default(),
            restarts.join(","),
        )
    };
    let mut lives: Vec<_> = ground.list("Pod").await.iter().map(life).collect();
    lives.sort();
    lives
}

fn owner(object: &Value) -> &Value {
    &object["metadata"]["ownerReferences"][0]["uid"]
}

fn all_owned_by(objects: &[Value], uid: &Value) -> bool {
    !objects.is_empty() && objects.iter().all(|object| owner(object) == uid)
}

/// Waits for an event with this reason, about an object whose name begins so, that says this.
pub(super) async fn until_told(ground: &Ground, reason: &str, about: &str, words: &str) {
    let told = |event: &Value| {
        let name = event["regarding"]["name"].as_str().unwrap_or_default();
        let note = event["note"].as_str().unwrap_or_default();
        event["reason"] == reason && name.starts_with(about) && note.contains(words)
    };
    ground.until_all("Event", &format!("{reason} about {about}: {words}"), |all| all.iter().any(told)).await;
}

pub(super) async fn until_refused(ground: &Ground, kind: &str, name: &str, older: &str) -> Value {
    ground
        .until(kind, name, "refused for its selector", |object| {
            let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
            let refused = |c: &Value| {
                c["type"] == "Stalled" && c["status"] == "True" && c["reason"] == "SelectorOverlaps"
            };
            conditions.clone().any(|c| refused(c) && c["message"].to_string().contains(older))
        })
        .await
}

pub(super) async fn until_set_serves(ground: &Ground, name: &str, replicas: i64) -> Value {
    ground
        .until("InPlaceSet", name, "serving", |set| {
            let status = &set["status"];
            status["availableReplicas"] == replicas
                && status["replicas"] == replicas
                && status["observedGeneration"] == set["metadata"]["generation"]
                && status["inFlight"].as_array().is_none_or(Vec::is_empty)
        })
        .await
}

pub(super) fn name_of(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

async fn first(ground: &Ground, kind: &str) -> (String, Value) {
    let object = ground.list(kind).await.swap_remove(0);
    (name_of(&object), object)
}

pub(super) fn patch(ground: &Ground, kind: &str, name: &str, how: &str, body: &Value) {
    ground.kubectl(&["patch", kind, name, &format!("--type={how}"), "--patch", &body.to_string()]);
}

#[tokio::test]
async fn a_cafe_deployment_that_comes_back_takes_its_orphans_up_again_and_no_pod_notices() {
    let ground = Ground::new("back").await;
    let mut object = deployment(4);
    put(&mut object, "/spec/strategy/needWaitingForConfirm", false.into());
    ground.apply(&object);
    ground.until_healthy("web", 4).await;
    put(&mut object, "/spec/template/spec/containers/0/image", "example.org/web:2".into());
    ground.apply(&object);
    ground.until_healthy("web", 4).await;
    let before = lives(&ground).await;
    let history = ground.list("ControllerRevision").await;
    assert_eq!(history.len(), 2);

    ground.kubectl(&["delete", "cafed", "web", "--cascade=orphan", "--timeout=60s"]);
    assert!(ground.list("InPlaceSet").await.iter().all(|set| owner(set).is_null()));
    ground.apply(&object);
    let web = ground.until_healthy("web", 4).await;

    let uid = &web["metadata"]["uid"];
    ground.until_all("InPlaceSet", "adopted", |sets| sets.len() == 2 && all_owned_by(sets, uid)).await;
    let adopted = |revisions: &[Value]| {
        let old = |revision: &&Value| {
            history.iter().any(|old| old["metadata"]["uid"] == revision["metadata"]["uid"])
        };
        revisions.iter().filter(old).filter(|revision| owner(revision) == uid).count() == 2
    };
    ground.until_all("ControllerRevision", "history adopted", adopted).await;
    ground.until_all("CafeRelease", "records adopted", |all| all.len() == 2 && all_owned_by(all, uid)).await;
    assert_eq!(web["status"]["release"]["revision"], 2);
    assert_eq!(lives(&ground).await, before);
    until_told(&ground, "ChildAdopted", "web", "InPlaceSet web-cella").await;

    // It is the one that was: the way back to revision 1 is there, in place.
    put(&mut object, "/spec/template/spec/containers/0/image", "example.org/web:1".into());
    ground.apply(&object);
    let web = ground.until_healthy("web", 4).await;
    assert_eq!(web["status"]["release"]["rollback"], true);
    let uids = |lives: &[(String, String, String, String)]| {
        lives.iter().map(|life| life.1.clone()).collect::<Vec<_>>()
    };
    assert_eq!(uids(&lives(&ground).await), uids(&before));
}

#[tokio::test]
async fn an_orphan_set_that_differs_is_reported_and_serves_on() {
    let ground = Ground::new("differs").await;
    ground.apply(&deployment(4));
    ground.until_healthy("web", 4).await;
    ground.kubectl(&["delete", "cafed", "web", "--cascade=orphan", "--timeout=60s"]);
    let before = lives(&ground).await;
    let mut other = deployment(4);
    put(&mut other, "/spec/topology/nodeLabelKey", "example.org/room".into());
    ground.apply(&other);
    ground
        .until("CafeDeployment", "web", "says what differs", |d| {
            let message = d["status"]["message"].as_str().unwrap_or_default();
            message.contains("cannot be adopted: its placement")
                && message.contains("delete inplaceset web-cell")
        })
        .await;
    assert_eq!(lives(&ground).await, before);
}

#[tokio::test]
async fn a_set_deleted_without_its_pods_comes_back_and_has_them_again() {
    let ground = Ground::new("reset").await;
    ground.apply(&deployment(4));
    ground.until_healthy("web", 4).await;
    let (before, old) = (lives(&ground).await, ground.get("InPlaceSet", "web-cella").await);
    ground.kubectl(&["delete", "ips", "web-cella", "--cascade=orphan", "--timeout=60s"]);
    let made_again = |set: &Value| {
        !set.is_null()
            && set["metadata"]["uid"] != old["metadata"]["uid"]
            && set["status"]["availableReplicas"] == 2
    };
    ground.until("InPlaceSet", "web-cella", "made again and serving", made_again).await;
    ground.until_healthy("web", 4).await;
    assert_eq!(lives(&ground).await, before);
    until_told(&ground, "ChildAdopted", "web-cella", "nobody owned").await;
}

#[tokio::test]
async fn a_set_that_stands_alone_and_comes_back_has_its_pods_and_its_revisions_again() {
    let ground = Ground::new("alone").await;
    ground.apply(&set(2));
    until_set_serves(&ground, "solo", 2).await;
    let before = lives(&ground).await;
    let (_, revision) = first(&ground, "ControllerRevision").await;
    ground.kubectl(&["delete", "ips", "solo", "--cascade=orphan", "--timeout=60s"]);
    ground.until("InPlaceSet", "solo", "gone", Value::is_null).await;
    assert_eq!(lives(&ground).await, before);
    ground.apply(&set(2));
    let solo = until_set_serves(&ground, "solo", 2).await;
    let (_, adopted) = first(&ground, "ControllerRevision").await;
    assert_eq!(
        (owner(&adopted), &adopted["metadata"]["uid"]),
        (&solo["metadata"]["uid"], &revision["metadata"]["uid"])
    );
    assert_eq!(lives(&ground).await, before);
}

/// A pod that nobody owns, with the labels of `solo`.
fn stray(name: &str, gates: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": "web" } },
        "spec": {
            "readinessGates": gates,
            "containers": [{ "name": "app", "image": "example.org/web:1" }, { "name": "proxy", "image": "example.org/proxy:1" }],
        },
    })
}

#[tokio::test]
async fn a_pod_with_the_gate_that_nobody_owns_is_adopted_and_one_without_is_left_alone() {
    let ground = Ground::new("adopted").await;
    ground.apply(&set(2));
    until_set_serves(&ground, "solo", 2).await;
    ground.apply(&stray("plain", &json!([])));
    ground.apply(&stray("gated", &json!([{ "conditionType": "cafe.dev/serving" }])));
    // One too many, and nobody knows what it runs: it goes.
    ground.until("Pod", "gated", "adopted and gone", Value::is_null).await;
    until_told(&ground, "ChildAdopted", "solo", "gated").await;
    let pods = ground.until_all("Pod", "as asked for", |pods| pods.len() == 3).await;
    let plain = pods.iter().find(|pod| name_of(pod) == "plain").unwrap();
    assert!(owner(plain).is_null());
    until_set_serves(&ground, "solo", 2).await;
}

#[tokio::test]
async fn a_pod_whose_labels_no_longer_match_lives_on_by_itself_and_is_replaced() {
    let ground = Ground::new("released").await;
    for (manifest, label) in [(set(2), "app"), (deployment(4), "cafe.dev/unit")] {
        let kind = manifest["kind"].as_str().unwrap().to_owned();
        let replicas = manifest["spec"]["replicas"].as_i64().unwrap();
        ground.apply(&manifest);
        let name = name_of(&manifest);
        let serves = async || {
            if kind == "InPlaceSet" {
                until_set_serves(&ground, &name, replicas).await
            } else {
                ground.until_healthy(&name, replicas).await
            }
        };
        serves().await;
        let (pod, before) = first(&ground, "Pod").await;
        ground.kubectl(&["label", "pod", &pod, &format!("{label}-")]);
        let released = ground.until("Pod", &pod, "let go", |pod| owner(pod).is_null()).await;
        assert_eq!(released["metadata"]["uid"], before["metadata"]["uid"]);
        until_told(&ground, "ChildReleased", &pod, "let").await;
        let owned =
            |pods: &[Value]| pods.iter().filter(|pod| !owner(pod).is_null()).count() as i64 == replicas;
        ground.until_all("Pod", "replaced", owned).await;
        serves().await;
        let alone = ground.get("Pod", &pod).await;
        let gate = alone["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .find(|c| c["type"] == "cafe.dev/serving");
        assert_eq!(
            (&gate.unwrap()["status"], &alone["metadata"]["deletionTimestamp"]),
            (&json!("True"), &Value::Null)
        );
        ground.kubectl(&["delete", "pod", &pod]);
        ground.kubectl(&["delete", &kind, &name, "--timeout=60s"]);
        ground.until_all("Pod", "gone", <[_]>::is_empty).await;
    }
}

#[tokio::test]
async fn owner_references_that_are_taken_off_by_hand_are_put_back_and_no_pod_notices() {
    let ground = Ground::new("bereft").await;
    ground.apply(&deployment(4));
    let web = ground.until_healthy("web", 4).await;
    let before = lives(&ground).await;
    let nobody = json!({ "metadata": { "ownerReferences": null } });
    for kind in ["Pod", "ControllerRevision", "CafeRelease", "InPlaceSet"] {
        let (name, old) = first(&ground, kind).await;
        let version: u64 = old["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        patch(&ground, kind, &name, "merge", &nobody);
        let newer = |o: &Value| {
            o["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap() > version + 1
        };
        let back = |o: &Value| owner(o) == owner(&old) && newer(o);
        let now = ground.until(kind, &name, "owned again", back).await;
        assert_eq!(now["metadata"]["uid"], old["metadata"]["uid"], "{kind} {name}");
        ground.until_healthy("web", 4).await;
        assert_eq!(lives(&ground).await, before);
    }
    assert_eq!(ground.get("CafeDeployment", "web").await["status"]["release"], web["status"]["release"]);
}

#[tokio::test]
async fn revisions_that_are_edited_or_deleted_by_hand_move_no_pod() {
    let ground = Ground::new("revised").await;
    ground.apply(&deployment(4));
    ground.until_healthy("web", 4).await;
    let before = lives(&ground).await;
    let (revision, _) = first(&ground, "ControllerRevision").await;
    let restless = json!({ "metadata": { "annotations": { "example.org/look": "again" } } });
    for change in ["cafe.dev/revision=0000000000", "cafe.dev/revision-", "app-"] {
        ground.kubectl(&["label", "--overwrite", "controllerrevision", &revision, change]);
        patch(&ground, "cafed", "web", "merge", &restless);
        ground.until_healthy("web", 4).await;
        assert_eq!(ground.list("ControllerRevision").await.len(), 1);
    }
    ground.kubectl(&["delete", "controllerrevision", &revision]);
    until_told(&ground, "ChildOverwritten", "web", &revision).await;
    let (again, _) = first(&ground, "ControllerRevision").await;
    assert_eq!(again, revision);
    ground.until_healthy("web", 4).await;
    assert_eq!(lives(&ground).await, before);
}

#[tokio::test]
async fn whoever_writes_into_a_set_of_a_cafe_deployment_is_named_when_it_is_undone() {
    let ground = Ground::new("edited").await;
    ground.apply(&deployment(4));
    ground.until_healthy("web", 4).await;
    let before = ground.get("InPlaceSet", "web-cella").await;
    for (manager, change) in [
        ("mallory", json!({ "spec": { "updateStrategy": { "partition": 1, "paused": true } } })),
        (
            "trudy",
            json!({ "spec": { "template": { "metadata": { "labels": { "example.org/mine": "yes" } } } } }),
        ),
    ] {
        let body = change.to_string();
        ground.kubectl(&[
            "patch",
            "ips",
            "web-cella",
            "--type=merge",
            "--field-manager",
            manager,
            "--patch",
            &body,
        ]);
        until_told(&ground, "ChildOverwritten", "web", manager).await;
        ground.until("InPlaceSet", "web-cella", "as it was", |set| set["spec"] == before["spec"]).await;
    }
    ground.kubectl(&["scale", "ips/web-cella", "--replicas=5"]);
    until_told(&ground, "ChildOverwritten", "web", "field manager kubectl").await;
    ground.until_healthy("web", 4).await;
}

#[tokio::test]
async fn what_is_changed_by_hand_on_a_pod_is_told_on_the_pod() {
    let ground = Ground::new("touched").await;
    ground.apply(&set(2));
    until_set_serves(&ground, "solo", 2).await;
    let pods: Vec<String> = ground.list("Pod").await.iter().map(name_of).collect();
    let closed = json!({ "status": { "conditions": [
        { "type": "cafe.dev/serving", "status": "False", "reason": "Maintenance" },
    ]}});
    ground.kubectl(&[
        "patch",
        "pod",
        &pods[0],
        "--subresource=status",
        "--type=strategic",
        "--patch",
        &closed.to_string(),
    ]);
    until_told(&ground, "ChildOverwritten", &pods[0], "cafe.dev/offline").await;
    until_set_serves(&ground, "solo", 2).await;
    // The group is a remark and decides nothing; the revision says what the pod runs.
    ground.kubectl(&["label", "pod", &pods[1], "cafe.dev/group-"]);
    ground.kubectl(&["label", "--overwrite", "pod", &pods[1], "cafe.dev/revision=0000000000"]);
    until_told(&ground, "ChildOverwritten", &pods[1], "0000000000").await;
    ground.until("Pod", &pods[1], "replaced", Value::is_null).await;
    until_set_serves(&ground, "solo", 2).await;
}

/// Another object with the labels of the good one.
pub(super) fn named(mut object: Value, name: &str) -> Value {
    put(&mut object, "/metadata/name", name.into());
    object
}

#[tokio::test]
async fn the_younger_of_two_with_overlapping_selectors_is_refused_until_the_older_one_is_gone() {
    let web = || ("CafeDeployment", deployment(2));
    let solo = || ("InPlaceSet", set(2));
    for (first, second) in [(web(), web()), (web(), solo()), (solo(), web()), (solo(), solo())] {
        let ground = Ground::new("overlap").await;
        let serves = async |kind: &str, name: &str| {
            if kind == "CafeDeployment" {
                ground.until_healthy(name, 2).await
            } else {
                until_set_serves(&ground, name, 2).await
            }
        };
        ground.apply(&named(first.1, "older"));
        serves(first.0, "older").await;
        let before = lives(&ground).await;
        // Times are whole seconds, and a tie is broken by uid.
        let second_after = |d: &Value| d["metadata"]["creationTimestamp"] != Value::Null;
        let older = ground.until(first.0, "older", "there", second_after).await;
        next_second(&ground, &older).await;
        ground.apply(&named(second.1, "younger"));
        let refused = until_refused(&ground, second.0, "younger", &format!("{} older", first.0)).await;
        if second.0 == "CafeDeployment" {
            assert_eq!(refused["status"]["phase"], "Invalid");
        }
        until_told(&ground, "SelectorOverlaps", "younger", "older").await;
        assert_eq!(lives(&ground).await, before);
        let children = ground.list("InPlaceSet").await;
        assert!(children.iter().all(|set| name_of(set) == "younger" || name_of(set).starts_with("older")));
        ground.kubectl(&["delete", first.0, "older", "--timeout=60s"]);
        serves(second.0, "younger").await;
    }
}

/// Waits until the server's clock is past the second in which the object was created.
pub(super) async fn next_second(ground: &Ground, object: &Value) {
    let created = object["metadata"]["creationTimestamp"].clone();
    let probe = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "generateName": "clock-" } });
    let look = || async {
        let said = ground.try_kubectl(
            &["create", "--filename=-", "--output=jsonpath={.metadata.creationTimestamp}"],
            &[],
            &probe.to_string(),
        );
        Value::from(said.stdout)
    };
    eventually("a later second", look, |now: &Value| now.as_str() > created.as_str()).await;
}

/// Waits for `web`, a CafeDeployment, or `solo`, an InPlaceSet.
async fn until_serves(ground: &Ground, name: &str, replicas: i64) -> Value {
    if name == "web" {
        ground.until_healthy(name, replicas).await
    } else {
        until_set_serves(ground, name, replicas).await
    }
}

/// Deletions of pods in the namespace, by who made them.
fn deleted_by(ground: &Ground, user: &str) -> usize {
    let entries = ground.bed.audit().entries().unwrap();
    let is = |verb: &str| verb == "delete" || verb == "deletecollection";
    entries
        .iter()
        .filter(|e| {
            e.namespace == ground.namespace && e.resource == "pods" && is(&e.verb) && e.user.contains(user)
        })
        .count()
}

const COLLECTOR: &str = "generic-garbage-collector";

/// A load balancer that does not answer.
fn lock(ground: &Ground, pod: &str) {
    let lock = json!([{ "op": "add", "path": "/metadata/finalizers", "value": ["protect.cafe.dev/slow"] }]);
    patch(ground, "pod", pod, "json", &lock);
}

fn unlock(ground: &Ground, pod: &str) {
    patch(ground, "pod", pod, "merge", &json!({ "metadata": { "finalizers": null } }));
}

#[tokio::test]
async fn a_deletion_drains_every_pod_first_when_the_finalizer_asks_for_it() {
    for (object, name) in [(deployment(4), "web"), (set(2), "solo")] {
        let kind = object["kind"].as_str().unwrap().to_owned();
        let replicas = object["spec"]["replicas"].as_i64().unwrap();
        let ground = Ground::new("drained").await;
        let mut object = object.clone();
        put(&mut object, "/metadata/finalizers", json!([FINALIZER_DRAIN]));
        ground.apply(&object);
        until_serves(&ground, name, replicas).await;
        let (pod, _) = first(&ground, "Pod").await;
        lock(&ground, &pod);
        ground.kubectl(&["delete", &kind, name, "--cascade=background", "--wait=false"]);
        ground
            .until(&kind, name, "tells what it waits for", |object| {
                let text = if name == "web" {
                    &object["status"]["message"]
                } else {
                    &object["status"]["conditions"][0]["message"]
                };
                text.as_str().is_some_and(|t| t.contains("being deleted: 1 pod"))
            })
            .await;
        let held = ground.get("Pod", &pod).await;
        assert_eq!(held["metadata"]["deletionTimestamp"], Value::Null, "{kind}");
        unlock(&ground, &pod);
        ground.until(&kind, name, "gone", Value::is_null).await;
        assert_eq!(deleted_by(&ground, COLLECTOR), 0, "{kind}");
        for kind in ["InPlaceSet", "Pod", "ControllerRevision"] {
            ground.until_all(kind, "gone", <[_]>::is_empty).await;
        }
        assert_eq!(deleted_by(&ground, "cafe-controller") as i64, replicas);
    }
}

#[tokio::test]
async fn a_deletion_in_the_foreground_does_not_drain_and_does_not_hang() {
    for (mut object, name) in [(deployment(4), "web"), (set(2), "solo")] {
        let kind = object["kind"].as_str().unwrap().to_owned();
        let replicas = object["spec"]["replicas"].as_i64().unwrap();
        let ground = Ground::new("front").await;
        put(&mut object, "/metadata/finalizers", json!([FINALIZER_DRAIN]));
        ground.apply(&object);
        until_serves(&ground, name, replicas).await;
        // The garbage collector deletes the pods at once, and nobody can hold it.
        ground.kubectl(&["delete", &kind, name, "--cascade=foreground", "--timeout=60s"]);
        ground.until(&kind, name, "gone", Value::is_null).await;
        for kind in ["InPlaceSet", "Pod", "ControllerRevision"] {
            ground.until_all(kind, "gone", <[_]>::is_empty).await;
        }
    }
}

#[tokio::test]
async fn a_deletion_that_leaves_the_pods_behind_drains_nothing_whatever_the_finalizer_says() {
    for (mut object, name) in [(deployment(4), "web"), (set(2), "solo")] {
        let kind = object["kind"].as_str().unwrap().to_owned();
        let replicas = object["spec"]["replicas"].as_i64().unwrap();
        let ground = Ground::new("left").await;
        put(&mut object, "/metadata/finalizers", json!([FINALIZER_DRAIN]));
        ground.apply(&object);
        until_serves(&ground, name, replicas).await;
        let before = lives(&ground).await;
        ground.kubectl(&["delete", &kind, name, "--cascade=orphan", "--timeout=60s"]);
        ground.until(&kind, name, "gone", Value::is_null).await;
        assert_eq!(lives(&ground).await, before);
    }
}
