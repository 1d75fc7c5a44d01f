use std::time::Duration;

use cafe_crds::{
    deployment::{
        CafeDeploymentStatus, Gate, GroupKind, GroupState, GroupStatus, LastAction, ReleaseState,
        ReleaseStatus,
    },
    reason,
    release::{CafeReleaseStatus, Group, Stage},
    time::Seconds,
};
use cafe_planner::{deployment::Event, identity::Uid};

use super::edges::{self, Edge};
use crate::{
    apply::{Call, Target},
    client::Outcome,
    metrics::Metrics,
    tally::Tally,
    world::{Kind, Owner, World},
};

fn group(number: i32, kind: GroupKind, from: i64, to: Option<i64>) -> GroupStatus {
    let state = if to.is_some() { GroupState::Done } else { GroupState::Executing };
    GroupStatus {
        number,
        kind,
        state,
        started_at: Some(Seconds(from)),
        finished_at: to.map(Seconds),
        ..GroupStatus::default()
    }
}

fn opened(group: GroupStatus, at: i64, by: Option<&str>) -> GroupStatus {
    let token = Some(format!("2/{}", group.number));
    GroupStatus { gate: Some(Gate { opened_at: Seconds(at), token, by: by.map(str::to_owned) }), ..group }
}

fn release(state: ReleaseState, groups: Vec<GroupStatus>) -> ReleaseStatus {
    ReleaseStatus {
        revision: 2,
        from_revision: Some(1),
        started_at: Some(Seconds(100)),
        state,
        groups,
        ..ReleaseStatus::default()
    }
}

fn status(release: ReleaseStatus) -> CafeDeploymentStatus {
    CafeDeploymentStatus { release: Some(release), ..CafeDeploymentStatus::default() }
}

fn edges(before: &ReleaseStatus, after: &ReleaseStatus) -> Vec<Edge> {
    edges::of(&status(before.clone()), &status(after.clone()), None, &[])
}

/// At the gate after the beta group, which took 20 s.
fn at_gate() -> ReleaseStatus {
    let groups = vec![group(1, GroupKind::Beta, 100, Some(120))];
    ReleaseStatus {
        waiting_since: Some(Seconds(120)),
        ..release(ReleaseState::WaitingForConfirmation, groups)
    }
}

#[test]
fn a_group_and_the_token_that_opens_its_gate_are_counted_once() {
    let running = release(ReleaseState::Executing, vec![group(1, GroupKind::Beta, 100, None)]);
    assert_eq!(edges(&running, &at_gate()), [Edge::Batch("beta", 20.0)]);
    assert_eq!(edges(&at_gate(), &at_gate()), []);
    let groups = vec![
        opened(group(1, GroupKind::Beta, 100, Some(120)), 150, Some("field manager ci")),
        group(2, GroupKind::Batch, 150, None),
    ];
    let on = release(ReleaseState::Executing, groups);
    assert_eq!(edges(&at_gate(), &on), [Edge::Order("confirm", "field_manager")]);
    assert_eq!(edges(&on, &on), []);
}

#[test]
fn a_release_is_counted_when_it_completes_with_the_time_at_its_gates_and_of_groups_the_status_forgot() {
    let groups = vec![opened(group(11, GroupKind::Batch, 500, Some(520)), 550, Some("alice"))];
    let running = release(ReleaseState::Executing, groups.clone());
    let done =
        ReleaseStatus { ended_at: Some(Seconds(1100)), ..release(ReleaseState::Completed, groups.clone()) };
    let forgotten = Group {
        number: 1,
        kind: GroupKind::Beta,
        state: Stage::Done,
        units: [].into(),
        started_at: Some(Seconds(100)),
        finished_at: Some(Seconds(120)),
        gate: Some(Gate { opened_at: Seconds(220), token: None, by: None }),
    };
    let record = CafeReleaseStatus { groups: vec![forgotten], ..CafeReleaseStatus::default() };
    let found = edges::of(&status(running), &status(done.clone()), Some(&record), &[]);
    assert_eq!(found, [Edge::Release("completed", Some((1000.0, 130.0)))]);
    assert_eq!(edges(&done, &done), []);
}

#[test]
fn what_takes_the_place_of_a_release_says_how_that_ended() {
    let next = |rollback| ReleaseStatus {
        revision: 3,
        rollback,
        started_at: Some(Seconds(160)),
        started_by: Some("alice".into()),
        ..ReleaseStatus::default()
    };
    // 60 s, of which it waited 40 at the gate.
    let took = Some((60.0, 40.0));
    assert_eq!(edges(&at_gate(), &next(false)), [Edge::Release("superseded", took)]);
    let back = [Edge::Release("rolled_back", took), Edge::Order("rollback", "webhook")];
    assert_eq!(edges(&at_gate(), &next(true)), back);
    let completed = release(ReleaseState::Completed, Vec::new());
    assert_eq!(edges(&completed, &next(false)), []);
    // A way back is no release, and is told as one group.
    let running = next(true);
    let there = ReleaseStatus {
        state: ReleaseState::Completed,
        ended_at: Some(Seconds(190)),
        groups: vec![group(1, GroupKind::Batch, 160, Some(190))],
        ..next(true)
    };
    assert_eq!(edges(&running, &there), [Edge::Batch("rollback", 30.0)]);
    assert_eq!(edges(&there, &next(false)), []);
}

#[test]
fn a_rollback_after_a_failure_is_the_controllers_own() {
    let failed = release(ReleaseState::Failed, Vec::new());
    assert_eq!(
        edges(&release(ReleaseState::Executing, Vec::new()), &failed),
        [Edge::Release("failed", None)]
    );
    let back =
        ReleaseStatus { revision: 1, rollback: true, started_at: Some(Seconds(700)), ..failed.clone() };
    let back = ReleaseStatus { state: ReleaseState::RollingBack, ..back };
    let found = edges(&failed, &back);
    assert_eq!(
        found,
        [Edge::Release("rolled_back", Some((600.0, 0.0))), Edge::Order("rollback", "controller")]
    );
}

#[test]
fn an_abort_is_an_order_and_an_outcome() {
    let action = LastAction { token: "abort 2".into(), by: None, at: Seconds(130) };
    let aborted = ReleaseStatus {
        state: ReleaseState::Aborted,
        ended_at: Some(Seconds(130)),
        waiting_since: None,
        last_action: Some(action),
        ..at_gate()
    };
    assert_eq!(
        edges(&at_gate(), &aborted),
        [Edge::Order("abort", "unknown"), Edge::Release("aborted", Some((30.0, 10.0)))]
    );
    assert_eq!(edges(&aborted, &aborted), []);
}

#[test]
fn a_status_that_was_lost_and_rebuilt_counts_nothing_again() {
    let rebuilt = ReleaseStatus { started_at: None, ..release(ReleaseState::Completed, Vec::new()) };
    let nothing = CafeDeploymentStatus::default();
    assert_eq!(edges::of(&nothing, &status(rebuilt), None, &[]), []);
}

#[test]
fn scaled_out_groups_have_a_kind_of_their_own_and_are_no_release() {
    let scaling = |state, end: Option<i64>| ReleaseStatus {
        scale_out: true,
        ended_at: end.map(Seconds),
        ..release(state, vec![group(4, GroupKind::Batch, 100, end)])
    };
    let (before, after) =
        (scaling(ReleaseState::Executing, None), scaling(ReleaseState::Completed, Some(130)));
    assert_eq!(edges(&before, &after), [Edge::Batch("scale", 30.0)]);
}

#[test]
fn a_pause_is_counted_by_its_event() {
    let paused = status(release(ReleaseState::Paused, Vec::new()));
    let event = Event::normal(reason::RELEASE_PAUSED, String::new());
    assert_eq!(edges::of(&paused, &paused, None, &[event]), [Edge::Order("pause", "unknown")]);
}

#[test]
fn orders_that_are_ignored_are_told_apart_by_their_events() {
    assert_eq!(edges::ignored(reason::CONFIRM_IGNORED, "2/9"), Some("confirm"));
    assert_eq!(edges::ignored(reason::ORDER_IGNORED, "abort 7"), Some("abort"));
    assert_eq!(
        edges::ignored(reason::ORDER_IGNORED, "spec.release.retry \"7\": nothing to take up"),
        Some("retry")
    );
    assert_eq!(edges::ignored(reason::REVISION_NOT_FOUND, "7/6"), Some("rollback"));
    assert_eq!(edges::ignored(reason::RELEASE_STARTED, ""), None);
}

const POD: Uid = Uid(7);

fn decision(decision: &'static str) -> Call {
    Call {
        owner: Owner::Set(Uid(1)),
        target: Target::Existing { uid: POD, rv: 1 },
        kind: Kind::Pod,
        namespace: "shop".into(),
        name: "web-1".into(),
        verb: "patch",
        decision,
        is_status: false,
        request: http::Request::default(),
        events: Vec::new(),
        edges: Vec::new(),
        look: 0,
    }
}

/// What is told after these decisions have been carried out on one pod.
fn after(decisions: &[&'static str], more: impl FnOnce(&mut Tally)) -> String {
    let metrics = Metrics::default();
    let mut tally = Tally::new(metrics.clone());
    for word in decisions {
        tally.answered(&decision(word), &Outcome::Applied(()), Duration::ZERO);
    }
    more(&mut tally);
    metrics.encode().unwrap()
}

fn updates(text: &str, result: &str) -> u64 {
    let series = format!("cafe_pod_updates_total{{mode=\"in_place\",result=\"{result}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap()
}

#[test]
fn an_update_that_another_one_overtakes_is_superseded_and_the_pod_counts_once() {
    let text = after(&["TakeOut", "UpdateInPlace", "UpdateInPlace", "PutBack"], |_| {});
    assert_eq!((updates(&text, "superseded"), updates(&text, "ok")), (1, 1));
    assert!(text.contains(r#"phase="drain"} 1"#) && text.contains(r#"phase="swap"} 1"#), "{text}");
}

#[test]
fn a_pod_that_goes_before_it_serves_is_lost_and_one_whose_drain_is_called_off_is_no_update() {
    let lost = after(&["TakeOut", "UpdateInPlace"], |tally| tally.sweep(&World::default()));
    assert_eq!((updates(&lost, "lost"), updates(&lost, "ok")), (1, 0));
    let called_off = after(&["TakeOut", "PutBack"], |tally| tally.sweep(&World::default()));
    assert_eq!((updates(&called_off, "lost"), updates(&called_off, "ok")), (0, 0));
}

#[test]
fn a_drain_is_counted_once_and_without_a_proof_as_cut_short() {
    let drains = |text: &str, result: &str| {
        let series = format!("cafe_traffic_drain_seconds_count{{result=\"{result}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&series)?.parse::<u64>().ok()).unwrap()
    };
    let clean = after(&["TakeOut"], |tally| {
        tally.proven(POD);
        tally.answered(&decision("DeleteSurplus"), &Outcome::Applied(()), Duration::ZERO);
    });
    assert_eq!((drains(&clean, "clean"), drains(&clean, "timeout")), (1, 0));
    let forced = after(&["TakeOut", "UpdateInPlace"], |tally| tally.proven(POD));
    assert_eq!((drains(&forced, "clean"), drains(&forced, "timeout")), (0, 1));
}
