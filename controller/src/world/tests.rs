use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::*;
use crate::{
    observe::slim::{DeploymentObject, NodeObject, PodObject, SetObject, SliceObject},
    watch::{Frame, Observed},
};

const SET: &str = "00000000-0000-0000-0000-0000000000aa";

fn uid(n: u32) -> String {
    format!("00000000-0000-0000-0000-{n:012x}")
}

fn pod(n: u32, rv: u64) -> PodObject {
    serde_json::from_value(json!({
        "metadata": {
            "name": format!("web-{n}"), "namespace": "shop", "uid": uid(n), "resourceVersion": rv.to_string(),
            "ownerReferences": [{"apiVersion": "cafe.dev/v1alpha1", "kind": "InPlaceSet", "name": "web", "uid": SET, "controller": true}],
        },
        "spec": {"containers": [{"name": "app", "image": "a:1"}]},
    }))
    .unwrap()
}

fn slice(n: u32, rv: u64, endpoints: &Value) -> SliceObject {
    let metadata =
        json!({"name": "web", "namespace": "shop", "uid": uid(n), "resourceVersion": rv.to_string()});
    serde_json::from_value(json!({"metadata": metadata, "endpoints": endpoints})).unwrap()
}

fn endpoint(pod: u32, conditions: &Value) -> Value {
    json!({"targetRef": {"uid": uid(pod)}, "conditions": conditions})
}

fn pods(world: &mut World, event: Event<PodObject>) {
    world.fold(Frame { scope: None, event: Observed::Pod(event) });
}

fn slices(world: &mut World, event: Event<SliceObject>) {
    world.fold(Frame { scope: None, event: Observed::Slice(event) });
}

fn key(n: u32) -> Uid {
    uid(n).parse().unwrap()
}

fn serving(world: &World, n: u32) -> (u32, u32) {
    let known = world.pods.get(key(n)).map(|record| &record.endpoints);
    let e = known.or_else(|| world.foreign_endpoints.get(&key(n))).copied().unwrap_or_default();
    (e.listed, e.serving)
}

#[test]
fn what_a_complete_list_does_not_contain_is_gone() {
    let mut world = World::default();
    pods(&mut world, Event::Apply(pod(1, 5)));
    pods(&mut world, Event::Init);
    pods(&mut world, Event::InitApply(pod(2, 6)));
    assert!(world.pods.contains(key(1)), "not before the list is complete");
    pods(&mut world, Event::InitDone);
    assert!(!world.pods.contains(key(1)) && world.pods.contains(key(2)));
}

#[test]
fn a_pod_that_answered_a_write_during_a_list_is_not_taken_for_gone() {
    let mut world = World::default();
    pods(&mut world, Event::Init);
    world.see_answer(Kind::Pod, pod(1, 9), World::see_pod);
    pods(&mut world, Event::InitDone);
    assert!(world.pods.contains(key(1)));
}

#[test]
fn a_late_answer_does_not_bring_a_deleted_pod_back() {
    let mut world = World::default();
    pods(&mut world, Event::Apply(pod(1, 5)));
    pods(&mut world, Event::Delete(pod(1, 7)));
    world.see_answer(Kind::Pod, pod(1, 6), World::see_pod);
    assert!(!world.pods.contains(key(1)));
}

#[test]
fn a_record_never_moves_backwards() {
    let mut world = World::default();
    pods(&mut world, Event::Apply(pod(1, 8)));
    pods(&mut world, Event::Apply(pod(1, 7)));
    assert_eq!(world.pods.get(key(1)).unwrap().pod.rv, 8);
}

#[test]
fn a_list_older_than_what_its_watch_has_shown_means_that_history_went_backwards() {
    let mut world = World::default();
    pods(&mut world, Event::Apply(pod(1, 8)));
    pods(&mut world, Event::Init);
    pods(&mut world, Event::InitApply(pod(1, 7)));
    assert!(world.rewound);
}

#[test]
fn a_list_begun_before_the_answer_to_a_write_is_merely_late() {
    let mut world = World::default();
    pods(&mut world, Event::Apply(pod(1, 7)));
    pods(&mut world, Event::Init);
    world.see_answer(Kind::Pod, pod(1, 9), World::see_pod);
    pods(&mut world, Event::InitApply(pod(1, 7)));
    assert!(!world.rewound);
    assert_eq!(world.pods.get(key(1)).unwrap().pod.rv, 9);
}

#[test]
fn a_write_that_met_something_newer_keeps_its_pod_busy_until_that_is_seen() {
    let mut world = World::default();
    pods(&mut world, Event::Apply(pod(1, 5)));
    world.begin_write(key(1));
    pods(&mut world, Event::Apply(pod(1, 6)));
    assert!(world.writes.is_busy(key(1)), "a frame does not end a write");
    world.end_write(key(1));
    world.fell_behind(Kind::Pod, key(1), 6);
    assert!(world.writes.is_busy(key(1)));
    pods(&mut world, Event::Apply(pod(1, 7)));
    assert!(!world.writes.is_busy(key(1)));
}

#[test]
fn what_its_pods_do_waits_for_the_end_of_a_pause_and_what_becomes_of_the_set_ends_it() {
    let mut world = World::default();
    let (owner, now) = (Owner::Set(key(9)), cafe_planner::time::Now::default());
    let set = |version: u64| {
        let mut set = alone(9, "web", "web", "2026-01-01T00:00:00Z");
        set.metadata.0.resource_version = Some(version.to_string());
        set
    };
    let pauses = |world: &mut World| matches!(world.plan(owner, now), super::plan::Planned::Nothing(Some(_)));
    world.see_set(set(5));
    world.memory(owner).pausing_until = Some(Millis(100));
    pods(&mut world, Event::Apply(pod(1, 7)));
    assert!(pauses(&mut world));
    world.see_set(set(6));
    assert!(!pauses(&mut world), "a group may begin with it");
}

#[test]
fn a_set_whose_cafedeployment_lost_a_race_for_it_is_planned_once_the_write_has_ended() {
    let set = |rv: u64| -> SetObject {
        serde_json::from_value(json!({
            "apiVersion": "cafe.dev/v1alpha1", "kind": "InPlaceSet",
            "metadata": {"name": "web", "namespace": "shop", "uid": SET, "resourceVersion": rv.to_string()},
            "spec": {"replicas": 1, "selector": {}, "template": {}},
        }))
        .unwrap()
    };
    let mut world = World::default();
    let uid: Uid = SET.parse().unwrap();
    world.see_set(set(5));
    world.begin_write(uid);
    world.see_set(set(6));
    world.take_dirty();
    world.end_write(uid);
    world.fell_behind(Kind::Set, uid, 5);
    assert!(!world.writes.is_busy(uid), "the newer version is known");
    assert_eq!(world.take_dirty().into_iter().collect::<Vec<_>>(), [Owner::Set(uid)]);
}

#[test]
fn endpoints_follow_every_slice_and_absent_conditions_mean_serving() {
    let mut world = World::default();
    pods(&mut world, Event::Apply(pod(1, 1)));
    slices(&mut world, Event::Apply(slice(90, 2, &json!([endpoint(1, &json!({}))]))));
    slices(
        &mut world,
        Event::Apply(slice(91, 3, &json!([endpoint(1, &json!({"ready": true, "serving": false}))]))),
    );
    assert_eq!(serving(&world, 1), (2, 1));
    slices(&mut world, Event::Apply(slice(90, 4, &json!([endpoint(1, &json!({"ready": false}))]))));
    assert_eq!(serving(&world, 1), (2, 0));
    slices(&mut world, Event::Delete(slice(90, 5, &json!([]))));
    assert_eq!(serving(&world, 1), (1, 0));
}

#[test]
fn a_slice_that_changes_marks_the_set_of_its_pods() {
    let mut world = World::default();
    pods(&mut world, Event::Apply(pod(1, 1)));
    world.take_dirty();
    slices(&mut world, Event::Apply(slice(90, 2, &json!([endpoint(1, &json!({"ready": true}))]))));
    assert_eq!(world.take_dirty().into_iter().collect::<Vec<_>>(), [Owner::Set(SET.parse().unwrap())]);
    slices(&mut world, Event::Apply(slice(90, 3, &json!([endpoint(1, &json!({"ready": true}))]))));
    assert!(!world.is_dirty(), "the same endpoints are no news");
}

#[test]
fn endpoints_count_for_a_pod_whether_they_come_before_it_or_while_it_is_nobodys() {
    let mut world = World::default();
    slices(&mut world, Event::Apply(slice(90, 1, &json!([endpoint(1, &json!({}))]))));
    pods(&mut world, Event::Apply(pod(1, 2)));
    assert_eq!(serving(&world, 1), (1, 1));
    assert!(world.foreign_endpoints.is_empty());
    let mut let_go = pod(1, 3);
    let_go.metadata.0.owner_references = None;
    pods(&mut world, Event::Apply(let_go));
    slices(&mut world, Event::Apply(slice(90, 4, &json!([endpoint(1, &json!({"serving": false}))]))));
    pods(&mut world, Event::Apply(pod(1, 5)));
    assert_eq!(serving(&world, 1), (1, 0));
    pods(&mut world, Event::Delete(pod(1, 6)));
    slices(&mut world, Event::Delete(slice(90, 7, &json!([]))));
    assert!(world.foreign_endpoints.is_empty(), "nothing is left of either");
}

#[test]
fn pods_are_kept_by_set_in_the_order_of_their_names() {
    const OTHER: &str = "00000000-0000-0000-0000-0000000000bb";
    fn names(world: &World, set: &str) -> Vec<String> {
        let uids = world.members.of(set.parse().unwrap());
        uids.iter().map(|uid| world.pods.get(*uid).unwrap().pod.name.to_string()).collect()
    }
    let mut world = World::default();
    for n in [3, 1, 4, 2] {
        pods(&mut world, Event::Apply(pod(n, 1)));
    }
    assert_eq!(names(&world, SET), ["web-1", "web-2", "web-3", "web-4"]);
    let mut moved = pod(3, 2);
    moved.metadata.0.owner_references.as_mut().unwrap()[0].uid = OTHER.into();
    pods(&mut world, Event::Apply(moved));
    pods(&mut world, Event::Delete(pod(1, 3)));
    assert_eq!(
        (names(&world, SET), names(&world, OTHER)),
        (vec!["web-2".into(), "web-4".into()], vec!["web-3".into()])
    );
    let set = SET.parse().unwrap();
    assert!(world.has_pod(set, "web-4") && !world.has_pod(set, "web-3"));
    // The successor of a pod has its name, and may be seen before the deletion.
    let mut successor = pod(5, 4);
    successor.metadata.0.name = Some("web-2".into());
    pods(&mut world, Event::Apply(successor));
    pods(&mut world, Event::Delete(pod(2, 5)));
    assert_eq!(names(&world, SET), ["web-2", "web-4"]);
    assert!(world.pods.contains(key(5)));
}

#[test]
fn pods_of_others_are_not_kept() {
    let mut world = World::default();
    let mut foreign = pod(1, 1);
    foreign.metadata.0.owner_references = None;
    pods(&mut world, Event::Apply(foreign));
    assert!(world.pods.len() == 0);
}

fn node(n: u32, rv: u64, cell: &str, ready: &str) -> NodeObject {
    serde_json::from_value(json!({
        "metadata": {"name": format!("n{n}"), "uid": uid(n), "resourceVersion": rv.to_string(),
            "labels": {"cafe.dev/cell": cell, "kubernetes.io/hostname": format!("n{n}")}},
        "status": {"conditions": [{
            "type": "Ready", "status": ready, "lastHeartbeatTime": "2026-01-01T00:00:00Z",
            "lastTransitionTime": format!("2026-01-01T00:00:{:02}Z", n),
        }]},
    }))
    .unwrap()
}

fn nodes(world: &mut World, event: Event<NodeObject>) {
    world.fold(Frame { scope: None, event: Observed::Node(event) });
}

/// A world with a CafeDeployment over CellA that has been planned.
fn placed() -> (World, Owner) {
    let mut world = World::default();
    let object: DeploymentObject = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": SET, "resourceVersion": "1"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {},
            "topology": {"unitType": "Cell", "values": ["CellA"]}},
    }))
    .unwrap();
    world.see_deployment(object);
    let owner = Owner::Deployment(SET.parse().unwrap());
    world.plan(owner, cafe_planner::time::Now::default());
    world.take_dirty();
    (world, owner)
}

fn figures(world: &World) -> Vec<(u32, u32)> {
    let record = world.deployments.values().next().unwrap();
    world.nodes.of(&record.deployment.spec.topology).iter().map(|n| (n.nodes, n.ready)).collect()
}

#[test]
fn nodes_wake_those_whose_units_they_are_of_and_a_heartbeat_nobody() {
    let (mut world, owner) = placed();
    nodes(&mut world, Event::Apply(node(1, 5, "CellA", "True")));
    assert_eq!((figures(&world), world.take_dirty()), (vec![(1, 1)], [owner].into()));
    nodes(&mut world, Event::Apply(node(1, 6, "CellA", "True")));
    nodes(&mut world, Event::Apply(node(2, 7, "CellB", "True")));
    assert!(!world.is_dirty(), "a heartbeat and a node of another cell");
    nodes(&mut world, Event::Apply(node(1, 8, "CellA", "Unknown")));
    assert_eq!((figures(&world), world.take_dirty()), (vec![(1, 0)], [owner].into()));
    nodes(&mut world, Event::Apply(node(1, 4, "CellA", "True")));
    assert_eq!(figures(&world), [(1, 0)], "an older version is ignored");
    nodes(&mut world, Event::Apply(node(2, 9, "CellA", "True")));
    assert_eq!(figures(&world), [(2, 1)]);
    world.take_dirty();
    nodes(&mut world, Event::Delete(node(2, 10, "CellA", "True")));
    assert_eq!((figures(&world), world.take_dirty()), (vec![(1, 0)], [owner].into()));
}

#[test]
fn a_unit_is_settled_since_half_of_its_nodes_are_ready() {
    let (mut world, _) = placed();
    let settled = |world: &World| {
        let record = world.deployments.values().next().unwrap();
        world.nodes.of(&record.deployment.spec.topology)[0].settled.to_string()
    };
    assert_eq!(settled(&world), "1970-01-01T00:00:00Z");
    // The n-th became Ready in second n.
    for n in [7, 2, 5] {
        nodes(&mut world, Event::Apply(node(n, 5, "CellA", "True")));
    }
    assert_eq!(settled(&world), "2026-01-01T00:00:05Z");
    nodes(&mut world, Event::Apply(node(2, 6, "CellA", "False")));
    assert_eq!(settled(&world), "2026-01-01T00:00:07Z");
}

#[test]
fn a_label_key_that_is_asked_for_late_counts_the_nodes_that_were_there() {
    let mut world = World::default();
    nodes(&mut world, Event::Apply(node(1, 5, "CellA", "True")));
    let (mut late, _) = placed();
    std::mem::swap(&mut late.nodes, &mut world.nodes);
    late.plan(Owner::Deployment(SET.parse().unwrap()), cafe_planner::time::Now::default());
    assert_eq!(figures(&late), [(1, 1)]);
    late.sweep();
    assert_eq!(figures(&late), [(1, 1)], "what is asked for is kept");
}

/// An InPlaceSet that stands alone and selects pods with `app: <name>`.
fn alone(n: u32, name: &str, app: &str, created: &str) -> SetObject {
    serde_json::from_value(json!({
        "apiVersion": "cafe.dev/v1alpha1", "kind": "InPlaceSet",
        "metadata": {
            "name": name, "namespace": "shop", "uid": uid(n), "resourceVersion": "1", "generation": 1,
            "creationTimestamp": created,
        },
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": app}},
            "template": {"metadata": {"labels": {"app": app}}, "spec": {"containers": []}},
        },
    }))
    .unwrap()
}

#[test]
fn of_two_sets_with_overlapping_selectors_the_younger_is_refused_whichever_was_seen_first_until_the_older_is_gone()
 {
    let (older, younger) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    for older_first in [true, false] {
        let mut world = World::default();
        let mut sets = [alone(1, "older", "web", older), alone(2, "younger", "web", younger)];
        if !older_first {
            sets.reverse();
        }
        sets.into_iter().for_each(|set| world.see_set(set));
        world.see_set(alone(3, "other", "api", younger));
        assert_eq!(world.overlaps.of(key(1)), None);
        assert_eq!(world.overlaps.of(key(2)).map(|who| &**who), Some("InPlaceSet older"));
        assert_eq!(world.overlaps.of(key(3)), None);
        world.take_dirty();
        world.remove(Kind::Set, key(1));
        assert_eq!(world.overlaps.of(key(2)), None);
        assert!(world.take_dirty().contains(&Owner::Set(key(2))));
    }
}

/// A pod with our readiness gate that nobody owns.
fn orphan(n: u32, rv: u64) -> PodObject {
    let mut pod = pod(n, rv);
    pod.metadata.0.owner_references = None;
    pod.metadata.0.labels = Some([("app".to_owned(), "web".to_owned())].into());
    pod.spec.readiness_gates =
        serde_json::from_value(json!([{ "conditionType": "cafe.dev/serving" }])).unwrap();
    pod
}

#[test]
fn an_orphan_marks_the_set_that_selects_it_and_is_confirmed_by_a_read_that_began_after_it_was_seen() {
    let mut world = World::default();
    world.see_set(alone(1, "web", "web", "2026-01-01T00:00:00Z"));
    world.take_dirty();
    pods(&mut world, Event::Apply(orphan(2, 5)));
    assert_eq!(world.take_dirty().into_iter().collect::<Vec<_>>(), [Owner::Set(key(1))]);
    let around = |world: &World, confirmed: u64| {
        let memory = Memory { confirmed, ..Memory::default() };
        let around = world.around_set(&world.sets[&key(1)], &memory);
        (around.orphans.len(), around.confirmed)
    };
    let seen = world.sightings();
    assert_eq!((around(&world, seen - 1), around(&world, seen)), ((1, false), (1, true)));
    // It has been somebody's in between, for all this process knows.
    pods(&mut world, Event::Apply(orphan(2, 6)));
    assert_eq!(around(&world, seen), (1, false));
    // Adopted, by whomever: an older frame does not make it an orphan again.
    pods(&mut world, Event::Apply(pod(2, 9)));
    pods(&mut world, Event::Apply(orphan(2, 7)));
    assert_eq!(around(&world, seen), (0, true));
}
