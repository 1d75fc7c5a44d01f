//! The lossless protocol: what a drain waits for, and what it survives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use std::sync::Arc;

use cafe_crds::{
    condition::Condition,
    deployment::Strategy,
    intstr::IntOrPercent::Int,
    traffic::{OnDrainTimeout, TrafficMode},
};
use cafe_planner::{
    Text,
    identity::{Op, Uid},
    pod::{Container, ContainerState, Gate, InPlace, Pod},
    set::Action,
    traffic::{record, runs_what_it_wants},
};
use simulator::{Cluster, Planner, Protector, SimPod};

fn protected() -> Cluster {
    let mut cluster = Cluster::installed(4, 2, Strategy { max_unavailable: Int(1), ..Strategy::default() });
    cluster.protect("slb").settle();
    cluster.assert_converged();
    cluster
}

#[test]
fn the_grace_is_waited_out_after_everything_is_drained() {
    let mut cluster = Cluster::installed(2, 1, Strategy::default());
    cluster.edit(|spec| spec.traffic.grace_seconds = 30).settle();
    cluster.apply_image(2).run_for(29);
    assert_eq!((cluster.in_service(), cluster.updated()), (1, vec![0]));
    cluster.run_for(1);
    assert_eq!((cluster.in_service(), cluster.updated()), (2, vec![1]));
}

#[test]
fn a_protector_holds_the_drain_until_it_answers() {
    let mut cluster = protected();
    cluster.set_protector("slb", Protector::Silent).apply_image(2).settle();
    assert_eq!((cluster.in_service(), cluster.updated()), (3, vec![0, 0]));
    cluster.assert_rests();
    cluster.set_protector("slb", Protector::Prompt).settle();
    assert_eq!((cluster.in_service(), cluster.updated()), (4, vec![1, 1]));
}

#[test]
fn a_set_is_ready_but_while_its_pods_move() {
    let ready = |cluster: &Cluster| -> Vec<String> {
        let conditions = cluster.sets.iter().flat_map(|s| &s.status.conditions);
        conditions.map(|c| format!("{} {:?}", c.type_, c.status)).collect()
    };
    let mut cluster = protected();
    assert_eq!(ready(&cluster), ["Ready True", "Ready True"]);
    cluster.set_protector("slb", Protector::Silent).apply_image(2).run_for(60);
    let moving = ready(&cluster);
    assert!(
        moving.contains(&"Reconciling True".to_owned()) && moving.contains(&"Ready False".to_owned()),
        "{moving:?}"
    );
    cluster.set_protector("slb", Protector::Prompt).settle();
    assert_eq!(ready(&cluster), ["Ready True", "Ready True"], "at a gate every unit is where it is to be");
}

#[test]
fn an_answer_to_an_earlier_drain_is_worth_nothing() {
    let mut cluster = protected();
    cluster.apply_image(2);
    cluster.run_until("the protector has answered", |c| {
        c.in_service() == 3 && c.pods.values().any(|p| !p.serving && c.moves().is_empty() && p.pod.scheduled)
    });
    // The drain is called off; its protector falls silent before it has the pod back.
    cluster.set_protector("slb", Protector::Silent).apply_image(1).settle();
    assert_eq!(cluster.in_service(), 4);
    cluster.apply_image(2).settle();
    assert_eq!(cluster.updated(), [0, 0], "{}", cluster.story());
    cluster.set_protector("slb", Protector::Prompt).settle();
    assert_eq!(cluster.updated(), [1, 1]);
}

#[test]
fn a_protector_that_does_not_take_a_pod_back_holds_the_next() {
    let mut cluster = protected();
    cluster.apply_image(2);
    cluster.run_until("a pod runs the new image", |c| c.updated().iter().sum::<i32>() == 1);
    cluster.set_protector("slb", Protector::Silent).settle();
    assert_eq!((cluster.updated().iter().sum::<i32>(), cluster.token()), (1, None));
    assert!(cluster.message().contains("waits for protector slb to take it back"), "{}", cluster.message());
    cluster.assert_rests();
    cluster.set_protector("slb", Protector::Prompt).settle();
    assert_eq!(cluster.token().as_deref(), Some("2/1"));
}

#[test]
fn a_protector_nobody_declared_is_waited_for_in_a_drain() {
    let mut cluster = Cluster::installed(2, 1, Strategy::default());
    cluster.set_protector("mesh", Protector::Prompt).settle();
    cluster.set_protector("mesh", Protector::Silent).apply_image(2).settle();
    assert_eq!(cluster.updated(), [0]);
    cluster.set_protector("mesh", Protector::Prompt).settle();
    assert_eq!(cluster.updated(), [1]);
}

#[test]
fn no_pod_is_taken_out_while_the_journal_that_gives_it_back_is_on_its_way() {
    let mut cluster = Cluster::installed(4, 1, Strategy { max_unavailable: Int(1), ..Strategy::default() });
    cluster.apply_image(2);
    cluster.run_until("a pod is reserved", |c| !c.sets[0].journal.is_empty());
    let (set, reserved) = (cluster.sets[0].uid, cluster.sets[0].journal[0].uid);
    let other = cluster.pods.keys().copied().find(|uid| *uid != reserved).unwrap();
    cluster.sicken(other, true);
    while let Some(step) = cluster.moves().first().copied() {
        cluster.make(step);
    }
    cluster.send(Planner::Set(set));
    cluster.sicken(other, false);
    while let Some(step) = cluster.moves().first().copied() {
        cluster.make(step);
    }
    let plan = cluster.plan_set(set);
    assert!(!plan.actions.iter().any(|a| matches!(a, Action::TakeOut { .. })), "{plan:?}");
}

/// Two units of two pods, one pod out at a time, whose drains a silent protector holds beyond the time-out.
fn held(on_timeout: OnDrainTimeout) -> Cluster {
    let mut cluster = protected();
    cluster.edit(|spec| {
        (spec.traffic.drain_timeout_seconds, spec.traffic.on_drain_timeout) = (60, on_timeout);
        spec.strategy.max_unavailable = Int(2);
    });
    cluster.settle().set_protector("slb", Protector::Silent).apply_image(2);
    cluster
}

fn draining(cluster: &Cluster) -> Vec<(Uid, Op)> {
    let op = |p: &SimPod| if let Gate::Draining(op) = p.pod.gate { Some((p.pod.uid, op)) } else { None };
    cluster.pods.values().filter_map(op).collect()
}

#[test]
fn a_drain_that_takes_too_long_names_pod_and_protector_and_starts_no_other() {
    let mut cluster = held(OnDrainTimeout::Hold);
    cluster.budget_of(Int(1)).run_for(59);
    assert_eq!(cluster.told("DrainTimedOut"), 0);
    cluster.run_for(2).settle();
    let (uid, op) = draining(&cluster)[0];
    let name = cluster.pods[&uid].pod.name.clone();
    let advice = format!(
        "group 1/2 of revision 2 waits: pod {name} has been draining for longer than drainTimeoutSeconds: protector slb has not \
         answered drain {op}; mend that or, to go on without it: kubectl -n prod annotate pod {name} --overwrite cafe.dev/force-drain={op}"
    );
    assert_eq!((cluster.message(), cluster.told("DrainTimedOut")), (&*advice, 1));
    let stalled = |conditions: &[Condition]| {
        conditions
            .iter()
            .any(|c| c.type_ == "Stalled" && c.reason == "DrainTimedOut" && c.message.contains("slb"))
    };
    assert!(stalled(&cluster.deployment.status.conditions));
    assert!(cluster.sets.iter().any(|set| stalled(&set.status.conditions)));
    assert!(cluster.sets.iter().all(|set| set.spec.update_strategy.paused), "the whole group is held");
    cluster.budget_of(Int(4)).settle();
    assert_eq!(draining(&cluster).len(), 1, "no other pod is started\n{}", cluster.story());
    cluster.assert_rests();
    cluster.set_protector("slb", Protector::Prompt).settle();
    assert_eq!((cluster.updated(), cluster.token().as_deref()), (vec![1, 1], Some("2/1")));
}

#[test]
fn a_drain_that_no_live_read_confirms_takes_too_long_as_well_and_can_be_forced() {
    let mut cluster = Cluster::installed(2, 1, Strategy::default());
    cluster.edit(|spec| spec.traffic.drain_timeout_seconds = 60).settle();
    cluster.unproven = true;
    cluster.apply_image(2).run_for(59);
    assert_eq!((cluster.in_service(), cluster.updated()), (1, vec![0]), "{}", cluster.story());
    assert_eq!(cluster.told("DrainTimedOut"), 0);
    cluster.run_for(2).settle();
    assert!(
        cluster.message().contains("which a live read of them could not confirm"),
        "{}",
        cluster.message()
    );
    assert_eq!((cluster.updated(), cluster.told("DrainTimedOut")), (vec![0], 1));
    let (uid, op) = draining(&cluster)[0];
    cluster.edit_pod(uid, |pod| pod.force_drain = Some(op)).settle();
    assert_eq!((cluster.updated(), cluster.told("DrainForced")), (vec![1], 1), "{}", cluster.story());
}

#[test]
fn a_drain_that_no_live_read_confirms_is_cut_short_where_the_spec_says_so() {
    let mut cluster = Cluster::installed(2, 1, Strategy::default());
    cluster
        .edit(|spec| {
            (spec.traffic.drain_timeout_seconds, spec.traffic.on_drain_timeout) = (60, OnDrainTimeout::Force);
        })
        .settle();
    cluster.unproven = true;
    cluster.apply_image(2).run_for(59);
    assert_eq!(cluster.updated(), [0], "{}", cluster.story());
    cluster.run_for(2).settle();
    assert_eq!((cluster.updated(), cluster.told("DrainForced")), (vec![1], 1), "{}", cluster.story());
}

#[test]
fn a_rollback_is_not_held_by_a_drain_that_takes_too_long() {
    let mut cluster = held(OnDrainTimeout::Hold);
    cluster.run_for(70).apply_image(1).settle();
    assert_eq!((cluster.in_service(), cluster.updated()), (4, vec![2, 2]), "{}", cluster.story());
}

#[test]
fn a_drain_that_may_be_forced_goes_on_after_the_time_out_and_says_so() {
    let mut cluster = held(OnDrainTimeout::Force);
    cluster.run_for(59);
    assert_eq!((cluster.updated(), cluster.told("DrainForced")), (vec![0, 0], 0));
    cluster.run_for(2);
    assert_eq!((cluster.updated(), cluster.told("DrainForced")), (vec![1, 1], 2), "{}", cluster.story());
    let forced = |p: &&SimPod| {
        p.pod.in_place.as_ref().is_some_and(|r| r.forced.as_deref().is_some_and(|f| f.contains("slb")))
    };
    assert_eq!(cluster.pods.values().filter(forced).count(), 2, "the pods remember it");
}

#[test]
fn people_cut_short_the_drain_that_they_name_and_no_other() {
    let mut cluster = held(OnDrainTimeout::Hold);
    cluster.run_for(1);
    let (uid, op) = draining(&cluster)[0];
    cluster.edit_pod(uid, |pod| pod.force_drain = Some(Op(op.0 ^ 1))).settle();
    assert_eq!((cluster.updated(), cluster.told("DrainForced")), (vec![0, 0], 0));
    cluster.edit_pod(uid, |pod| pod.force_drain = Some(op)).settle();
    assert_eq!((cluster.updated().iter().sum::<i32>(), cluster.told("DrainForced")), (1, 1));
    cluster.set_protector("slb", Protector::Prompt).confirm_all().settle();
    cluster.assert_converged();
    cluster.set_protector("slb", Protector::Silent).apply_image(3).settle();
    assert_eq!(cluster.updated(), [0, 0], "the annotation that stayed is worth nothing for the next drain");
}

#[test]
fn a_pod_that_people_take_offline_stays_out_until_they_let_it_back() {
    let mut cluster = protected();
    let uid = *cluster.pods.keys().next().unwrap();
    cluster.edit_pod(uid, |pod| pod.offline = true).settle();
    assert_eq!((cluster.pods[&uid].pod.gate, cluster.in_service()), (Gate::Offline, 3));
    cluster.assert_rests();
    cluster.apply_image(2).confirm_all().settle();
    let pod = &cluster.pods[&uid].pod;
    assert_eq!((pod.gate, &*pod.containers[0].image), (Gate::Offline, "app:2"), "{}", cluster.story());
    assert!(
        cluster.message().contains(&format!("annotate pod {} cafe.dev/offline-", pod.name)),
        "{}",
        cluster.message()
    );
    assert!(cluster.sets.iter().all(|set| set.journal.is_empty()), "nothing is in flight");
    cluster.edit_pod(uid, |pod| pod.offline = false).settle();
    cluster.assert_converged();
}

#[test]
fn a_pod_is_born_offline_when_its_template_says_so_and_never_serves() {
    let mut cluster = protected();
    cluster.scale(5);
    cluster.run_until("it is created", |c| c.pods.len() == 5);
    let new = *cluster.pods.iter().find(|(_, p)| p.pod.gate == Gate::Missing).unwrap().0;
    cluster.edit_pod(new, |pod| pod.offline = true).settle();
    assert_eq!(cluster.pods[&new].pod.gate, Gate::Offline);
}

#[test]
fn a_serving_label_that_was_taken_off_is_put_back() {
    let mut cluster = protected();
    cluster.edit(|spec| spec.traffic.mode = TrafficMode::Unselect).settle();
    let uid = *cluster.pods.keys().next().unwrap();
    cluster.edit_pod(uid, |pod| pod.selected = false).settle();
    assert!(cluster.pods.values().all(|p| p.pod.selected));
    cluster.assert_rests();
}

#[test]
fn without_a_grace_a_pod_that_has_just_become_ready_is_not_taken_out_at_once() {
    let mut cluster = Cluster::installed(1, 1, Strategy::default());
    cluster.edit(|spec| spec.traffic.grace_seconds = 0).settle();
    let uid = *cluster.pods.keys().next().unwrap();
    cluster.run_for(10).sicken(uid, true).settle();
    cluster.sicken(uid, false);
    while let Some(step) = cluster.moves().first().copied() {
        cluster.make(step);
    }
    let since = cluster.pods[&uid].pod.ready_since.unwrap();
    cluster.apply_image(2);
    cluster.run_until("it is taken out", |c| !draining(c).is_empty());
    assert!(cluster.now.wall.0 - since.0 >= 2, "{}", cluster.story());
}

#[test]
fn after_a_restart_no_grant_grows_before_the_other_sets_are_fenced() {
    let mut cluster = Cluster::installed(4, 2, Strategy { max_unavailable: Int(1), ..Strategy::default() });
    let touched = |c: &Cluster| c.writes.get("touch set").copied().unwrap_or_default();
    cluster.apply_image(2).confirm_all();
    cluster.run_until("one unit is done", |c| c.updated().contains(&2));
    assert_eq!(touched(&cluster), 0, "one process knows what it has sent");
    cluster.restart();
    cluster.settle().assert_converged();
    cluster.restart();
    cluster.apply_image(3).confirm_all().settle().assert_converged();
    assert!(touched(&cluster) > 0, "{}", cluster.story());
}

#[test]
fn after_a_restart_no_pod_is_taken_out_before_the_journal_is_known_to_be_in_force() {
    let mut cluster = Cluster::installed(4, 1, Strategy { max_unavailable: Int(1), ..Strategy::default() });
    cluster.apply_image(2);
    cluster.run_until("a pod is reserved", |c| !c.sets[0].journal.is_empty());
    let set = cluster.sets[0].uid;
    let has_take_out =
        |c: &Cluster| c.plan_set(set).actions.iter().any(|a| matches!(a, Action::TakeOut { .. }));
    assert!(has_take_out(&cluster), "the process that wrote the journal goes on at once");
    cluster.restart();
    assert!(!has_take_out(&cluster));
    cluster.run_planner(Planner::Set(set), usize::MAX);
    assert!(has_take_out(&cluster), "{}", cluster.story());
}

#[test]
fn a_quick_change_of_mind_between_two_images_ends_at_the_last() {
    for middle in [0, 1, 2, 3] {
        let mut cluster =
            Cluster::installed(2, 1, Strategy { need_waiting_for_confirm: false, ..Strategy::default() });
        cluster.apply_image(2);
        cluster.run_until("the image is written", |c| c.writes.contains_key("W2"));
        for _ in 0..middle {
            if let Some(step) = cluster.moves().first().copied() {
                cluster.make(step);
            }
        }
        cluster.apply_image(1).settle();
        cluster.assert_converged();
        cluster.apply_image(3).settle();
        cluster.assert_converged();
    }
}

#[test]
fn a_controller_that_dies_after_any_action_of_a_release_picks_it_up() {
    let whole = {
        let mut cluster = protected();
        let before = cluster.actions;
        cluster.apply_image(2).confirm_all().settle().assert_converged();
        cluster.actions - before
    };
    for n in 1..=whole {
        let mut cluster = protected();
        cluster.pods.values_mut().for_each(|p| (p.writes, p.starts) = (0, 0));
        cluster.quiet = true;
        cluster.apply_image(2).confirm_all();
        cluster.dies_after = Some(n);
        cluster.settle();
        cluster.assert_converged();
        assert!(cluster.pods.values().all(|p| p.starts == 1), "{n}: restarted once\n{}", cluster.story());
        // A pod whose last write's outcome is unknown is touched once more.
        assert!(cluster.pods.values().all(|p| p.writes <= 4), "{n}\n{}", cluster.story());
    }
}

#[test]
fn a_controller_that_dies_after_every_few_actions_still_ends() {
    for every in 1..12 {
        let mut cluster = protected();
        cluster.apply_image(2).confirm_all();
        for _ in 0..200 {
            cluster.dies_after = Some(every);
            cluster.run_for(2);
        }
        cluster.dies_after = None;
        cluster.settle();
        cluster.assert_converged();
    }
}

/// Seen on a real kubelet with a container that took three seconds to stop: it had begun to go to v2 when the spec went back to
/// v1, so it started v2 first and v1 afterwards.
#[test]
fn a_container_of_the_image_that_was_asked_for_in_between_is_not_the_new_one() {
    let text = |text: &str| Text::from(text);
    let pod = |wants: &str, id: &str, runs: &str, generation: i64, in_place: Option<InPlace>| Pod {
        generation,
        observed_generation: generation,
        containers_ready: true,
        containers: Box::new([Container {
            id: id.into(),
            state: Arc::new(ContainerState {
                name: text("app"),
                wants: text(wants),
                image: text(runs),
                running: true,
                ready: true,
                waiting: None,
            }),
        }]),
        in_place: in_place.map(Box::new),
        ..Pod::default()
    };
    let update = |pod: &Pod, to: &str| Some(record(pod, Op(7), &[(text("app"), text(to))]));
    let to_v2 = update(&pod("v1", "first", "v1", 1, None), "v2");
    let back = update(&pod("v2", "first", "v1", 2, to_v2), "v1");
    assert!(!runs_what_it_wants(&pod("v1", "second", "v2", 3, back.clone())), "v2 runs, v1 is wanted");
    assert!(runs_what_it_wants(&pod("v1", "third", "v1", 3, back.clone())), "started again with v1");
    assert!(runs_what_it_wants(&pod("v1", "first", "v1", 3, back.clone())), "never touched");

    let and_again = update(&pod("v1", "first", "v1", 3, back), "v2");
    assert!(
        !runs_what_it_wants(&pod("v2", "second", "v1", 4, and_again.clone())),
        "v1 was started again first"
    );
    assert!(runs_what_it_wants(&pod("v2", "third", "v2", 4, and_again)));
}

#[test]
fn no_image_is_changed_before_the_kubelet_has_noticed_the_closed_gate() {
    let mut cluster = Cluster::installed(2, 1, Strategy::default());
    cluster.edit(|spec| spec.traffic.grace_seconds = 30).settle();
    cluster.apply_image(2);
    let drained = |c: &Cluster| {
        c.pods.values().find(|p| matches!(p.pod.gate, Gate::Draining(_)) && !p.serving).map(|p| p.pod.uid)
    };
    cluster.run_until("a pod is out of the endpoints", |c| drained(c).is_some());
    let uid = drained(&cluster).unwrap();
    cluster.edit_pod(uid, |pod| pod.gate_noticed = false).settle();
    assert_eq!((cluster.in_service(), cluster.updated()), (1, vec![0]), "{}", cluster.story());
    cluster.edit_pod(uid, |pod| pod.gate_noticed = true).settle();
    assert_eq!((cluster.in_service(), cluster.updated()), (2, vec![1]), "{}", cluster.story());
}
