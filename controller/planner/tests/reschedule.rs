//! Pods that find no node in their unit: their places go to units that have room, once, and nothing that serves moves for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use cafe_crds::{
    condition::types::UNITS_HEALTHY,
    deployment::{AutoReschedule, ReleaseState, Strategy},
    intstr::IntOrPercent::{Int, Percent},
};
use cafe_planner::identity::Uid;
use simulator::{Cluster, Template, cells};

fn fours() -> Strategy {
    Strategy { batch_size: Some(Int(4)), ..Strategy::default() }
}

fn reschedules(cluster: &mut Cluster) -> &mut Cluster {
    let auto = AutoReschedule { enable: true, initial_delay_seconds: 10 };
    cluster.edit(|spec| spec.topology.auto_reschedule = Some(auto))
}

/// Units with room for so many pods, and a CafeDeployment that is being installed over them.
fn crowded(replicas: i32, rooms: &[(&str, usize)], units: usize) -> Cluster {
    let mut cluster = Cluster::new(replicas, units, fours());
    reschedules(&mut cluster);
    set_rooms(&mut cluster, rooms);
    cluster.settle();
    cluster
}

fn set_rooms(cluster: &mut Cluster, rooms: &[(&str, usize)]) {
    cluster.rooms = rooms.iter().map(|(unit, room)| ((*unit).to_owned(), *room)).collect();
}

fn ceiling(cluster: &Cluster, unit: &str) -> Option<i32> {
    cluster.unit(unit).ceiling.map(|c| c.pods)
}

fn lose(cluster: &mut Cluster, pods: &[Uid]) {
    for pod in pods {
        cluster.lose(*pod);
    }
}

fn unhealthy(cluster: &Cluster) -> (&str, &str) {
    let all = &cluster.deployment.status.conditions;
    let condition = all.iter().find(|c| c.type_ == UNITS_HEALTHY).unwrap();
    (&condition.reason, &condition.message)
}

fn serving(cluster: &Cluster) -> Vec<Uid> {
    cluster.pods.values().filter(|p| p.pod.in_service()).map(|p| p.pod.uid).collect()
}

#[test]
fn where_nodes_may_not_be_read_nothing_moves_and_the_condition_says_why() {
    let mut cluster = Cluster::new(10, 2, fours());
    cluster.blind = true;
    reschedules(&mut cluster);
    cluster.settle();
    let (reason, message) = unhealthy(&cluster);
    assert!(reason == "AllUnitsHealthy" && message.contains("rbac.readNodes=true"), "{reason}: {message}");
    let mut cluster = Cluster::new(10, 2, fours());
    cluster.blind = true;
    reschedules(&mut cluster);
    set_rooms(&mut cluster, &[("CellA", 2)]);
    cluster.settle();
    assert_eq!((ceiling(&cluster, "CellA"), serving(&cluster).len()), (None, 7));
    let (reason, message) = unhealthy(&cluster);
    assert!(
        reason == "NodesUnknown" && message.contains("3 pods of CellA find no node"),
        "{reason}: {message}"
    );
}

#[test]
fn pods_that_find_no_node_give_their_places_to_the_other_unit_after_the_delay() {
    let mut cluster = Cluster::new(10, 2, fours());
    reschedules(&mut cluster);
    set_rooms(&mut cluster, &[("CellA", 3)]);
    cluster.run_for(9);
    assert_eq!((cluster.live(), cluster.told("PodRescheduled")), (vec![5, 5], 0), "{}", cluster.story());
    cluster.settle();
    cluster.assert_converged();
    assert_eq!((cluster.live(), ceiling(&cluster, "CellA")), (vec![3, 7], Some(3)));
    assert_eq!((cluster.told("PodRescheduled"), ceiling(&cluster, "CellB")), (1, None));
    let (reason, message) = unhealthy(&cluster);
    assert_eq!(reason, "UnitCapped");
    assert!(
        message.contains("kubectl -n prod annotate inplaceset shop-cella cafe.dev/ceiling-"),
        "{message}"
    );
}

#[test]
fn nothing_moves_where_it_is_not_asked_for() {
    let mut cluster = Cluster::new(10, 2, fours());
    set_rooms(&mut cluster, &[("CellA", 3)]);
    cluster.settle();
    assert_eq!((cluster.live(), cluster.told("PodRescheduled")), (vec![5, 5], 0));
    assert_eq!(unhealthy(&cluster).0, "AllUnitsHealthy");
}

#[test]
fn a_pod_that_finds_a_node_in_time_stays() {
    let mut cluster = Cluster::new(10, 2, fours());
    reschedules(&mut cluster);
    set_rooms(&mut cluster, &[("CellA", 3)]);
    cluster.run_for(8);
    cluster.rooms.clear();
    cluster.settle();
    cluster.assert_converged();
    assert_eq!((cluster.live(), cluster.told("PodRescheduled")), (vec![5, 5], 0));
}

#[test]
fn no_more_than_the_budget_moves_at_once_and_the_rest_follows_when_those_have_found_nodes() {
    let cluster = crowded(12, &[("CellA", 1)], 2);
    cluster.assert_converged();
    // A quarter of twelve at a time: five places in two steps, which the simulator checks against S13 and the budget.
    assert_eq!((cluster.live(), ceiling(&cluster, "CellA")), (vec![1, 11], Some(1)));
    assert_eq!(cluster.told("PodRescheduled"), 2, "{}", cluster.story());
}

#[test]
fn when_both_units_are_full_the_pods_stay_and_the_message_says_so() {
    let cluster = crowded(10, &[("CellA", 3), ("CellB", 4)], 2);
    assert_eq!((cluster.live(), cluster.told("PodRescheduled")), (vec![5, 5], 0), "{}", cluster.story());
    assert_eq!((ceiling(&cluster, "CellA"), ceiling(&cluster, "CellB")), (None, None));
    let (reason, message) = unhealthy(&cluster);
    assert_eq!(reason, "NoRoom");
    assert!(
        message.contains("2 pods of CellA") && message.contains("CellB has pods without a node"),
        "{message}"
    );
    assert!(cluster.message().contains("add nodes or lower spec.replicas"), "{}", cluster.message());
}

#[test]
fn places_that_find_no_node_in_the_other_unit_either_do_not_come_back() {
    // CellB is full as well, which nobody can know before.
    let mut cluster = crowded(10, &[("CellA", 3), ("CellB", 5)], 2);
    assert_eq!((cluster.live(), ceiling(&cluster, "CellA")), (vec![3, 7], Some(3)), "{}", cluster.story());
    assert_eq!((cluster.told("PodRescheduled"), ceiling(&cluster, "CellB")), (1, None));
    assert_eq!(unhealthy(&cluster).0, "NoRoom");
    // Room in the unit that gave them away calls nothing back; room where they are lets them run.
    cluster.rooms.remove("CellA");
    cluster.run_for(1000);
    assert_eq!(cluster.live(), [3, 7]);
    cluster.rooms.clear();
    cluster.settle();
    cluster.assert_converged();
    assert_eq!((cluster.live(), cluster.told("PodRescheduled")), (vec![3, 7], 1));
}

#[test]
fn a_third_unit_takes_the_places_that_two_full_ones_give_away() {
    let cluster = crowded(12, &[("CellA", 2), ("CellB", 3)], 3);
    cluster.assert_converged();
    assert_eq!(cluster.live(), [2, 3, 7]);
}

#[test]
fn a_pinned_unit_gives_no_place_away_and_takes_none() {
    let mut cluster = Cluster::new(10, 3, fours());
    reschedules(&mut cluster).edit(|spec| {
        spec.topology.unit_replicas.insert("CellA".into(), Int(4));
    });
    set_rooms(&mut cluster, &[("CellA", 3)]);
    cluster.settle();
    assert_eq!((cluster.live(), ceiling(&cluster, "CellA")), (vec![4, 3, 3], None));
    assert!(unhealthy(&cluster).1.contains("it is pinned"), "{:?}", unhealthy(&cluster));
    set_rooms(&mut cluster, &[("CellB", 1)]);
    let gone = cluster.pods_in("CellB");
    lose(&mut cluster, &gone);
    cluster.settle();
    assert_eq!((cluster.live(), ceiling(&cluster, "CellB")), (vec![4, 1, 5], Some(1)), "{}", cluster.story());
}

#[test]
fn taking_the_annotation_off_lets_the_unit_have_its_share_again() {
    let mut cluster = crowded(10, &[("CellA", 3)], 2);
    cluster.rooms.clear();
    cluster.write_ceiling("CellA", None);
    cluster.quiet = true;
    cluster.settle();
    cluster.assert_converged();
    assert_eq!((cluster.live(), ceiling(&cluster, "CellA")), (vec![5, 5], None));
    assert_eq!(unhealthy(&cluster).0, "AllUnitsHealthy");
}

#[test]
fn a_change_of_topology_ends_every_ceiling_and_of_rescheduling_none() {
    for pins in [false, true] {
        let mut cluster = crowded(10, &[("CellA", 3)], 2);
        cluster.rooms.clear();
        cluster.edit(|spec| spec.topology.auto_reschedule = None).settle();
        assert_eq!((cluster.live(), ceiling(&cluster, "CellA")), (vec![3, 7], Some(3)));
        cluster.edit(|spec| {
            if pins {
                spec.topology.unit_replicas.insert("CellB".into(), Percent(40));
            } else {
                spec.topology.values = cells(3).values;
            }
        });
        cluster.settle();
        cluster.assert_converged();
        let expected = if pins { vec![6, 4] } else { vec![3, 4, 3] };
        assert_eq!((cluster.live(), ceiling(&cluster, "CellA")), (expected, None), "{}", cluster.story());
    }
}

#[test]
fn a_ceiling_holds_whatever_the_size_and_gives_way_only_when_nothing_else_has_room() {
    let mut cluster = crowded(10, &[("CellA", 3)], 2);
    for (replicas, live) in [(20, [3, 17]), (4, [2, 2]), (7, [3, 4]), (0, [0, 0]), (10, [3, 7])] {
        cluster.scale(replicas).settle();
        cluster.assert_converged();
        assert_eq!(cluster.live(), live, "{replicas}\n{}", cluster.story());
    }
    // A person caps the other one as well: every pod of spec.replicas is still created.
    cluster.write_ceiling("CellB", Some(8));
    cluster.rooms.clear();
    cluster.scale(15).settle();
    assert_eq!(cluster.live(), [5, 10], "{}", cluster.story());
}

#[test]
fn a_ceiling_written_by_hand_moves_no_pod_that_serves() {
    let mut cluster = Cluster::installed(10, 2, fours());
    let before = serving(&cluster);
    cluster.write_ceiling("CellA", Some(2));
    cluster.settle();
    assert_eq!((cluster.live(), ceiling(&cluster, "CellA")), (vec![5, 5], Some(5)));
    assert_eq!(serving(&cluster), before);
}

#[test]
fn a_unit_in_an_outage_gives_nothing_away_and_its_return_kills_nothing() {
    let mut cluster = Cluster::installed(10, 2, fours());
    reschedules(&mut cluster).settle();
    cluster.nodes = [("CellA".into(), (3, 0)), ("CellB".into(), (3, 3))].into();
    // Its pods are evicted, and their replacements find no node.
    set_rooms(&mut cluster, &[("CellA", 0)]);
    for pod in cluster.pods_in("CellA") {
        cluster.lose(pod);
    }
    let survivors = serving(&cluster);
    cluster.settle();
    assert_eq!((cluster.live(), cluster.told("PodRescheduled")), (vec![5, 5], 0), "{}", cluster.story());
    assert_eq!(unhealthy(&cluster).0, "UnitLost");
    assert!(
        unhealthy(&cluster).1.contains("kubectl get nodes -L cafe.dev/cell"),
        "{:?}",
        unhealthy(&cluster)
    );
    // Back, and the scheduler has not looked at the pods yet, which have waited for long.
    cluster.nodes.insert("CellA".into(), (3, 3));
    cluster.settled.insert("CellA".into(), cluster.now.wall);
    cluster.run_for(9);
    assert_eq!(cluster.told("PodRescheduled"), 0, "{}", cluster.story());
    cluster.rooms.clear();
    cluster.settle();
    cluster.assert_converged();
    assert!(survivors.iter().all(|pod| cluster.pods.contains_key(pod)));
    assert_eq!((cluster.live(), cluster.told("ScaledIn")), (vec![5, 5], 0));
}

#[test]
fn a_unit_that_is_out_takes_no_places() {
    let mut cluster = Cluster::new(9, 3, fours());
    reschedules(&mut cluster);
    let ready = |n| (2, n);
    cluster.nodes =
        [("CellA".into(), ready(0)), ("CellB".into(), ready(2)), ("CellC".into(), ready(2))].into();
    set_rooms(&mut cluster, &[("CellB", 2)]);
    cluster.settle();
    // The pods of CellA are there already; the place of CellB goes to CellC although CellA comes first.
    assert_eq!((cluster.live(), ceiling(&cluster, "CellB")), (vec![3, 2, 4], Some(2)), "{}", cluster.story());
}

#[test]
fn a_value_without_nodes_is_named_and_forgotten_as_soon_as_a_node_appears() {
    let mut cluster = Cluster::installed(4, 2, fours());
    cluster.nodes = [("CellA".into(), (2, 2)), ("CellB".into(), (0, 0))].into();
    cluster.settle();
    let (reason, message) = unhealthy(&cluster);
    assert_eq!(reason, "NoNodes");
    assert!(message.contains("cafe.dev/cell with the value CellB:"), "{message}");
    assert!(message.contains("kubectl get nodes -L cafe.dev/cell"), "{message}");
    cluster.nodes.insert("CellB".into(), (1, 0));
    cluster.settle();
    assert_eq!(unhealthy(&cluster).0, "UnitLost");
    cluster.nodes.insert("CellB".into(), (1, 1));
    cluster.settle();
    assert_eq!(unhealthy(&cluster).0, "AllUnitsHealthy");
    cluster.assert_converged();
}

/// At the gate of group 2 with two updated pods per unit and more; CellA loses `lost` pods, old or updated, and their nodes.
fn moved_at_the_gate(lose_updated: bool) -> Cluster {
    let mut cluster = Cluster::installed(10, 2, fours());
    reschedules(&mut cluster);
    cluster.apply_image(2).settle();
    cluster.confirm_next().settle();
    assert_eq!((cluster.updated(), cluster.token().as_deref()), (vec![3, 3], Some("2/2")));
    let hash = cluster.revision_of_template().map(|r| r.hash);
    let in_a = cluster.pods_in("CellA");
    let of_class = |uid: &&Uid| (cluster.pods[uid].pod.revision == hash) == lose_updated;
    let lost: Vec<Uid> = in_a.iter().filter(of_class).take(2).copied().collect();
    lose(&mut cluster, &lost);
    set_rooms(&mut cluster, &[("CellA", 3)]);
    let stays = serving(&cluster);
    cluster.settle();
    let there = |pod: &Uid| cluster.pods.contains_key(pod);
    assert!(stays.iter().all(there), "a pod that served went\n{}", cluster.story());
    cluster
}

#[test]
fn old_pods_that_move_at_a_gate_pass_none() {
    let mut cluster = moved_at_the_gate(false);
    assert_eq!((cluster.live(), cluster.updated()), (vec![3, 7], vec![3, 3]), "{}", cluster.story());
    assert_eq!((cluster.token().as_deref(), cluster.in_service()), (Some("2/2"), 10));
    cluster.confirm_all().settle();
    cluster.assert_converged();
    assert_eq!(cluster.live(), [3, 7]);
}

#[test]
fn updated_pods_that_move_at_a_gate_leave_their_group_to_others_of_their_unit() {
    let mut cluster = moved_at_the_gate(true);
    assert_eq!((cluster.live(), cluster.updated()), (vec![3, 7], vec![3, 3]), "{}", cluster.story());
    assert_eq!((cluster.token().as_deref(), cluster.in_service()), (Some("2/2"), 10));
    cluster.confirm_all().settle();
    cluster.assert_converged();
}

#[test]
fn a_pod_that_is_recreated_and_finds_no_node_gives_its_place_away_and_not_one_that_serves() {
    let mut cluster = Cluster::installed(10, 2, fours());
    reschedules(&mut cluster);
    set_rooms(&mut cluster, &[("CellA", 4)]);
    cluster.apply_template(Template { image: 2, label: 0, rest: 1 }).settle();
    assert_eq!((cluster.live(), ceiling(&cluster, "CellA")), (vec![4, 6], Some(4)), "{}", cluster.story());
    assert_eq!(cluster.token().as_deref(), Some("2/1"), "{}", cluster.message());
    assert_eq!(cluster.updated().iter().sum::<i32>(), 2, "{}", cluster.story());
    cluster.confirm_all().settle();
    cluster.assert_converged();
}

#[test]
fn a_move_of_pods_that_were_let_in_waits_at_no_gate() {
    let strategy = Strategy { group_scale_out: true, ..fours() };
    let mut cluster = Cluster::new(10, 2, strategy);
    reschedules(&mut cluster);
    set_rooms(&mut cluster, &[("CellA", 2)]);
    cluster.settle();
    cluster.confirm_next().settle();
    // Groups of two and four: three per unit, of which one of CellA has moved.
    assert_eq!(
        (cluster.live(), cluster.token().as_deref()),
        (vec![2, 4], Some("1/2")),
        "{}",
        cluster.story()
    );
    cluster.confirm_all().settle();
    cluster.assert_converged();
    assert_eq!(cluster.live(), [2, 8]);
}

#[test]
fn a_release_that_stands_or_fails_lets_pods_move_and_moves_on_with_them() {
    let mut cluster = Cluster::installed(10, 2, fours());
    reschedules(&mut cluster);
    cluster.apply_image(2).settle();
    cluster.abort(2).settle();
    let lost = cluster.pods_in("CellA");
    lose(&mut cluster, &lost[..2]);
    set_rooms(&mut cluster, &[("CellA", 3)]);
    cluster.settle();
    assert_eq!(
        (cluster.live(), cluster.in_service(), cluster.state()),
        (vec![3, 7], 10, ReleaseState::Aborted)
    );
    assert!(cluster.updated().iter().sum::<i32>() <= 2, "{}", cluster.story());
    cluster.retry(2).confirm_all();
    cluster.settle();
    assert!(cluster.in_service() == 10, "{}", cluster.story());
}

#[test]
fn a_controller_that_dies_after_any_action_moves_the_same_places() {
    for n in 1.. {
        let mut cluster = Cluster::new(10, 2, fours());
        reschedules(&mut cluster);
        set_rooms(&mut cluster, &[("CellA", 3)]);
        cluster.dies_after = Some(n);
        cluster.settle();
        cluster.assert_converged();
        assert_eq!(
            (cluster.live(), ceiling(&cluster, "CellA")),
            (vec![3, 7], Some(3)),
            "{n}\n{}",
            cluster.story()
        );
        if cluster.dies_after.is_some() {
            assert!(n > 20, "it died nowhere");
            return;
        }
    }
}
