//! CafeReleases: what stays on record of a release.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use cafe_crds::{
    deployment::{OnFailure, Strategy, UpgradeType},
    intstr::IntOrPercent::Int,
    release::{IncidentKind, RollbackState, Stage, State},
    traffic::OnDrainTimeout,
};
use cafe_planner::{deployment::Chronicle, time::Millis};
use simulator::{Cluster, Protector};

fn installed() -> Cluster {
    let mut cluster = Cluster::installed(10, 2, Strategy { batch_size: Some(Int(4)), ..Strategy::default() });
    let authors = &mut cluster.deployment.authors;
    authors.template = Some("field manager helm".into());
    authors.confirm = Some("alice".into());
    authors.abort = Some("bob".into());
    authors.rollback = Some("carol".into());
    authors.retry = Some("dave".into());
    cluster
}

fn of(cluster: &Cluster, revision: i64) -> &Chronicle {
    let found = cluster.chronicles.iter().find(|c| c.spec.revision == revision);
    found.unwrap_or_else(|| panic!("no record of revision {revision}\n{}", cluster.story()))
}

fn stages(record: &Chronicle) -> Vec<Stage> {
    record.status.groups.iter().map(|g| g.state).collect()
}

#[test]
fn a_release_is_told_from_its_first_group_to_its_end_with_who_confirmed_what() {
    let mut cluster = installed();
    cluster.apply_image(2).settle();
    let record = of(&cluster, 2);
    assert_eq!((record.status.state, &*record.status.progress), (State::WaitingForConfirmation, "1/3"));
    assert_eq!(stages(record), [Stage::Done, Stage::Pending, Stage::Pending]);
    cluster.confirm("2/1").settle();
    cluster.confirm("2/all").settle();
    let record = of(&cluster, 2);
    assert_eq!(record.name.as_ref(), "shop-2");
    assert_eq!(record.spec.from_revision, Some(1));
    assert_eq!(&*record.spec.summary, "app: app:1 -> 2");
    assert_eq!(record.spec.started_by.as_deref(), Some("field manager helm"));
    assert_eq!((record.status.state, record.status.updated_replicas), (State::Completed, 10));
    assert_eq!(stages(record), [Stage::Done; 3]);
    assert!(record.status.groups.iter().all(|g| g.started_at <= g.finished_at && g.finished_at.is_some()));
    let gates: Vec<_> = record.status.groups.iter().map(|g| g.gate.as_ref()).collect();
    let by = |gate: usize| gates[gate].map(|g| (g.token.as_deref().unwrap(), g.by.as_deref().unwrap()));
    assert_eq!((by(0), by(1), by(2)), (Some(("2/1", "alice")), Some(("2/all", "alice")), None));
    assert_eq!(record.status.ended_at, record.status.groups[2].finished_at);
    cluster.assert_rests();
}

#[test]
fn the_first_installation_is_on_record_as_well() {
    let cluster = installed();
    let record = of(&cluster, 1);
    assert_eq!((record.spec.from_revision, &*record.spec.summary), (None, "app: app:1"));
    assert_eq!((record.status.state, record.status.updated_replicas), (State::Completed, 10));
}

#[test]
fn a_way_back_is_told_by_the_record_of_what_it_leaves() {
    let mut cluster = installed();
    cluster.apply_image(2).settle();
    cluster.confirm_next().settle();
    cluster.roll_back(2, 1).settle();
    let status = of(&cluster, 2).status.clone();
    assert_eq!((status.state, status.rollbacks.len()), (State::RolledBack, 1), "{}", cluster.story());
    let back = &status.rollbacks[0];
    assert_eq!((back.to, back.state, back.by.as_deref()), (1, RollbackState::Completed, Some("carol")));
    assert!(back.ended_at >= back.started_at);
    assert_eq!(status.message, "rolled back to revision 1 by carol: every pod is there");
    assert_eq!(of(&cluster, 1).status.state, State::Completed);
    // Taken up again, it is a release of its own.
    cluster.retry(2).settle();
    let again = of(&cluster, 3);
    assert_eq!((again.spec.started_by.as_deref(), &*again.spec.former_revisions), (Some("dave"), &[2][..]));
    assert_eq!(of(&cluster, 2).status, status);
}

#[test]
fn a_group_that_was_cut_short_is_told_as_stopped() {
    let mut cluster = installed();
    cluster.apply_image(2).settle();
    cluster.confirm_next().run_until("in the second group", |c| c.in_service() < 10);
    cluster.abort(2).settle();
    let status = &of(&cluster, 2).status;
    assert_eq!((status.state, status.aborted_by.as_deref()), (State::Aborted, Some("bob")));
    assert_eq!(stages(of(&cluster, 2)), [Stage::Done, Stage::Stopped]);
    assert!(status.message.starts_with("aborted by bob in group 2/"), "{}", status.message);
    assert_eq!(status.updated_replicas, cluster.updated().iter().sum::<i32>());
    cluster.assert_rests();
}

#[test]
fn a_superseded_release_names_its_successor() {
    let mut cluster = installed();
    cluster.apply_image(2).settle();
    cluster.apply_image(3).settle();
    let status = &of(&cluster, 2).status;
    assert_eq!((status.state, status.superseded_by), (State::Superseded, Some(3)), "{}", cluster.story());
    assert_eq!(status.message, "the release of revision 3 took its place in group 1/3");
    assert_eq!(of(&cluster, 3).status.state, State::WaitingForConfirmation);
}

#[test]
fn what_went_wrong_is_told_with_pod_and_reason_once_per_group() {
    let mut cluster = installed();
    cluster.break_image(2, "ImagePullBackOff").apply_image(2).settle();
    let status = &of(&cluster, 2).status;
    assert_eq!(status.state, State::Failed, "{}", cluster.story());
    let kinds: Vec<_> = status.incidents.iter().map(|i| i.kind).collect();
    assert!(
        kinds.contains(&IncidentKind::PodFailed) && kinds.contains(&IncidentKind::NoProgress),
        "{kinds:?}"
    );
    let failed = &status.incidents[0];
    assert!(failed.pod.is_some() && failed.message == "container app: ImagePullBackOff", "{failed:?}");
    assert!(status.incidents.len() <= 3, "{:#?}", status.incidents);
    cluster.edit(|spec| spec.strategy.on_failure = OnFailure::Rollback).settle();
    let status = &of(&cluster, 2).status;
    assert_eq!((status.state, &status.rollbacks[0].by), (State::RolledBack, &None));
    assert!(status.message.contains("ImagePullBackOff"), "{}", status.message);
}

#[test]
fn records_that_are_refused_hold_nobody_up_and_are_written_later() {
    let mut cluster = installed();
    cluster.no_chronicles_until = Some(Millis(u64::MAX));
    cluster.apply_image(2);
    cluster.run_until("at the gate", |c| c.token().as_deref() == Some("2/1"));
    cluster.confirm("2/all");
    cluster.run_until("done", |c| c.release().revision == 2 && c.updated() == [5, 5] && c.in_service() == 10);
    assert_eq!(cluster.chronicles.len(), 1);
    cluster.no_chronicles_until = None;
    cluster.settle();
    assert_eq!((of(&cluster, 2).status.state, of(&cluster, 2).status.groups.len()), (State::Completed, 3));
}

#[test]
fn as_many_records_are_kept_as_revisions() {
    let mut cluster = installed();
    cluster.edit(|spec| spec.history_limit = 2);
    for image in 2..8 {
        cluster.apply_image(image).confirm_all().settle();
    }
    let mut kept: Vec<i64> = cluster.chronicles.iter().map(|c| c.spec.revision).collect();
    kept.sort_unstable();
    assert_eq!(kept, [5, 6, 7]);
    cluster.assert_rests();
}

#[test]
fn a_status_that_was_lost_takes_nothing_from_the_record() {
    let mut cluster = installed();
    cluster.apply_image(2).confirm_all().settle();
    let before = of(&cluster, 2).status.clone();
    cluster.lose_status().settle();
    assert_eq!(of(&cluster, 2).status, before, "{}", cluster.story());
}

#[test]
fn a_release_of_ten_thousand_pods_stays_small() {
    let strategy = Strategy {
        batch_size: Some(Int(1)),
        upgrade_type: UpgradeType::Batch,
        need_waiting_for_confirm: false,
        max_unavailable: Int(50),
        ..Strategy::default()
    };
    // A group per pod: more than are listed.
    let mut cluster = Cluster::installed(150, 10, strategy);
    cluster.apply_image(2).settle();
    let record = of(&cluster, 2);
    assert_eq!((record.status.groups.len(), record.status.groups_left_out), (100, 50));
    assert_eq!((record.status.groups[0].number, record.status.groups[99].number), (1, 150));
    // Every unit in every group, names as long as may be.
    let mut status = record.status.clone();
    for group in &mut status.groups {
        group.units = (0..32).map(|i| (format!("{i:0>40}"), 1000)).collect();
    }
    let size = serde_json::to_string(&status).unwrap().len();
    assert!(size < 300_000, "{size} bytes");
}

#[test]
fn a_drain_that_takes_too_long_and_one_cut_short_are_told_with_who_held_them() {
    let mut cluster = installed();
    cluster.protect("slb").settle();
    cluster.set_protector("slb", Protector::Silent).apply_image(2).settle();
    let incidents = of(&cluster, 2).status.incidents.clone();
    let held = incidents.iter().find(|i| i.kind == IncidentKind::DrainTimedOut).unwrap();
    assert!(held.pod.is_some() && held.message.contains("slb"), "{held:?}");
    cluster.edit(|spec| spec.traffic.on_drain_timeout = OnDrainTimeout::Force).settle();
    let incidents = &of(&cluster, 2).status.incidents;
    let forced = incidents.iter().find(|i| i.kind == IncidentKind::DrainForced).unwrap();
    assert!(forced.message.contains("slb"), "{forced:?}");
    assert_eq!(incidents.iter().filter(|i| (i.kind, &i.pod) == (forced.kind, &forced.pod)).count(), 1);
}
