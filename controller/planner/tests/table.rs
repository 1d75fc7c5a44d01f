//! Golden plans: groups as tables, messages and conditions as people read them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use std::fmt::Write as _;

use cafe_crds::{
    deployment::{Strategy, UpgradeType},
    intstr::IntOrPercent::{self, Int, Percent},
};
use cafe_planner::deployment::DeploymentSpec;
use insta::assert_snapshot;
use simulator::Cluster;

fn beta(size: Option<IntOrPercent>) -> Strategy {
    Strategy { batch_size: size, ..Strategy::default() }
}

fn batch(size: Option<IntOrPercent>) -> Strategy {
    Strategy { upgrade_type: UpgradeType::Batch, ..beta(size) }
}

/// The plan as it stands in the status when the release begins.
fn plan(mut cluster: Cluster) -> String {
    cluster.apply_image(2);
    cluster.run_until("the release has begun", |c| c.release().revision == 2);
    groups(&cluster)
}

fn groups(cluster: &Cluster) -> String {
    let mut out = String::new();
    for g in &cluster.release().groups {
        let units: Vec<String> = g.units.iter().map(|(u, n)| format!("{u} {n}")).collect();
        let _ = writeln!(out, "{} {:?} {:?}: {}", g.number, g.kind, g.state, units.join(", "));
    }
    let _ = write!(out, "of {}", cluster.release().group_total);
    out
}

/// What people see: phase, message, conditions.
fn face(cluster: &Cluster) -> String {
    let status = &cluster.deployment.status;
    let mut out = format!("{:?}: {}\n", status.phase.unwrap(), cluster.message());
    for c in &status.conditions {
        let _ = writeln!(out, "{} {:?} {}", c.type_, c.status, c.reason);
    }
    out
}

fn installed(replicas: i32, units: usize, strategy: Strategy) -> Cluster {
    Cluster::installed(replicas, units, strategy)
}

/// CellA gets a size of its own.
fn pin(spec: &mut DeploymentSpec, pods: i32) {
    spec.topology.unit_replicas.insert("CellA".into(), Int(pods));
}

#[test]
fn ten_pods_over_two_cells_in_fours() {
    assert_snapshot!(plan(installed(10, 2, beta(Some(Int(4))))), @r#"
    1 Beta Executing: CellA 1, CellB 1
    2 Batch Pending: CellA 2, CellB 2
    3 Batch Pending: CellA 2, CellB 2
    of 3
    "#);
}

#[test]
fn ten_pods_over_two_cells_without_a_batch_size() {
    assert_snapshot!(plan(installed(10, 2, beta(None))), @r#"
    1 Beta Executing: CellA 1, CellB 1
    2 Batch Pending: CellA 4, CellB 4
    of 2
    "#);
}

#[test]
fn ten_pods_over_two_cells_without_a_beta_group() {
    assert_snapshot!(plan(installed(10, 2, batch(Some(Int(4))))), @r#"
    1 Batch Executing: CellA 2, CellB 2
    2 Batch Pending: CellA 2, CellB 2
    3 Batch Pending: CellA 1, CellB 1
    of 3
    "#);
}

#[test]
fn seven_pods_over_two_cells_in_threes() {
    assert_snapshot!(plan(installed(7, 2, beta(Some(Int(3))))), @r#"
    1 Beta Executing: CellA 1, CellB 1
    2 Batch Pending: CellA 2, CellB 1
    3 Batch Pending: CellA 1, CellB 1
    of 3
    "#);
}

#[test]
fn thirteen_pods_over_three_cells_by_a_third() {
    assert_snapshot!(plan(installed(13, 3, beta(Some(Percent(33))))), @r#"
    1 Beta Executing: CellA 1, CellB 1, CellC 1
    2 Batch Pending: CellA 2, CellB 2, CellC 1
    3 Batch Pending: CellA 2, CellB 1, CellC 2
    of 3
    "#);
}

#[test]
fn thirteen_pods_over_three_cells_one_by_one_without_a_beta_group() {
    assert_snapshot!(plan(installed(13, 3, batch(Some(Int(1))))), @r#"
    1 Batch Executing: CellA 1
    2 Batch Pending: CellA 1
    3 Batch Pending: CellB 1
    4 Batch Pending: CellC 1
    5 Batch Pending: CellA 1
    6 Batch Pending: CellB 1
    7 Batch Pending: CellC 1
    8 Batch Pending: CellA 1
    9 Batch Pending: CellB 1
    10 Batch Pending: CellC 1
    11 Batch Pending: CellA 1
    12 Batch Pending: CellB 1
    13 Batch Pending: CellC 1
    of 13
    "#);
}

#[test]
fn ten_pods_with_four_pinned() {
    let mut cluster = Cluster::new(10, 3, beta(Some(Int(4))));
    cluster.edit(|spec| pin(spec, 6));
    cluster.settle();
    assert_snapshot!(plan(cluster), @r#"
    1 Beta Executing: CellA 1, CellB 1, CellC 1
    2 Batch Pending: CellA 3, CellB 1
    3 Batch Pending: CellA 2, CellC 1
    of 3
    "#);
}

#[test]
fn two_pods_over_three_cells() {
    assert_snapshot!(plan(installed(2, 3, beta(Some(Int(4))))), @r#"
    1 Beta Executing: CellA 1, CellB 1
    of 1
    "#);
}

#[test]
fn pods_without_a_topology() {
    assert_snapshot!(plan(installed(5, 0, beta(Some(Percent(1))))), @r#"
    1 Beta Executing: default 1
    2 Batch Pending: default 1
    3 Batch Pending: default 1
    4 Batch Pending: default 1
    5 Batch Pending: default 1
    of 5
    "#);
}

#[test]
fn groups_that_are_done_stay_visible_and_the_rest_is_planned_anew() {
    let mut cluster = installed(10, 2, beta(Some(Int(4))));
    cluster.apply_image(2).settle();
    cluster.confirm_next().settle();
    cluster.scale(14).settle();
    assert_snapshot!(groups(&cluster), @r#"
    1 Beta Done: CellA 1, CellB 1
    2 Batch Done: CellA 2, CellB 2
    3 Batch Pending: CellA 2, CellB 2
    4 Batch Pending: CellA 2, CellB 2
    of 4
    "#);
}

#[test]
fn a_healthy_deployment() {
    assert_snapshot!(face(&installed(10, 2, Strategy::default())), @r#"
    Healthy: revision 1 serves on 10 of 10 pods
    Ready True AllReplicasReady
    Available True MinimumReplicasAvailable
    Progressing True NewRevisionAvailable
    WaitingForConfirmation False NothingToConfirm
    Paused False NotPaused
    UnitsHealthy True AllUnitsHealthy
    "#);
}

#[test]
fn a_release_at_its_gate() {
    let mut cluster = installed(10, 2, beta(Some(Int(4))));
    cluster.apply_image(2).settle();
    assert_snapshot!(face(&cluster), @r#"
    Waiting: group 1/3 of revision 2 is done and gate 2/1 waits for confirmation (next: CellA 2, CellB 2); to go on: kubectl -n prod patch cafedeployment shop --type=merge -p '{"spec":{"release":{"confirm":"2/1"}}}'
    Ready False WaitingForConfirmation
    Available True MinimumReplicasAvailable
    Progressing Unknown WaitingForConfirmation
    Reconciling True WaitingForConfirmation
    WaitingForConfirmation True WaitingForConfirmation
    Paused False NotPaused
    UnitsHealthy True AllUnitsHealthy
    "#);
}

#[test]
fn a_release_that_is_paused() {
    let mut cluster = installed(10, 2, beta(Some(Int(4))));
    cluster.apply_image(2).settle();
    cluster.pause(true).settle();
    assert_snapshot!(face(&cluster), @r#"
    Paused: paused in group 1/3 of revision 2: no further pod is started; to go on: kubectl -n prod patch cafedeployment shop --type=merge -p '{"spec":{"strategy":{"pause":null}}}'
    Ready False Paused
    Available True MinimumReplicasAvailable
    Progressing Unknown Paused
    Reconciling True Paused
    WaitingForConfirmation False NothingToConfirm
    Paused True Paused
    UnitsHealthy True AllUnitsHealthy
    "#);
}

#[test]
fn a_release_that_moves() {
    let mut cluster = installed(10, 2, beta(Some(Int(4))));
    cluster.apply_image(2);
    cluster.run_until("a pod is drained", |c| c.in_service() < 10);
    assert_snapshot!(face(&cluster), @r#"
    Progressing: group 1/3 of revision 2: 0 of 2 pods updated and available; to watch: kubectl -n prod get cafedeployment shop -w
    Ready False ReleaseProgressing
    Available True MinimumReplicasAvailable
    Progressing True ReleaseProgressing
    Reconciling True ReleaseProgressing
    WaitingForConfirmation False NothingToConfirm
    Paused False NotPaused
    UnitsHealthy True AllUnitsHealthy
    "#);
}

#[test]
fn a_release_whose_image_cannot_be_pulled() {
    let mut cluster = installed(10, 2, beta(Some(Int(4))));
    cluster.break_image(2, "ImagePullBackOff").apply_image(2).run_for(60);
    assert_snapshot!(face(&cluster), @r#"
    Progressing: group 1/3 of revision 2: 0 of 2 pods updated and available; pod shop-cella-47hj4, container app: ImagePullBackOff; to see why: kubectl -n prod describe pod shop-cella-47hj4; apply a corrected template or, to go back to revision 1: kubectl -n prod patch cafedeployment shop --type=merge -p '{"spec":{"release":{"rollback":{"abandon":2,"to":1}}}}'
    Ready False ReleaseProgressing
    Available True MinimumReplicasAvailable
    Progressing True ReleaseProgressing
    Reconciling True ReleaseProgressing
    WaitingForConfirmation False NothingToConfirm
    Paused False NotPaused
    UnitsHealthy True AllUnitsHealthy
    "#);
    cluster.settle();
    assert_snapshot!(face(&cluster), @r#"
    Degraded: group 1/3 of revision 2 made no progress for 600 s: pod shop-cella-47hj4, container app: ImagePullBackOff; to see why: kubectl -n prod describe pod shop-cella-47hj4; apply a corrected template or, to go back to revision 1: kubectl -n prod patch cafedeployment shop --type=merge -p '{"spec":{"release":{"rollback":{"abandon":2,"to":1}}}}'
    Ready False ProgressDeadlineExceeded
    Available True MinimumReplicasAvailable
    Progressing False ProgressDeadlineExceeded
    Stalled True ProgressDeadlineExceeded
    WaitingForConfirmation False NothingToConfirm
    Paused False NotPaused
    UnitsHealthy True AllUnitsHealthy
    "#);
}

#[test]
fn a_first_installation_that_crashes() {
    let mut cluster = Cluster::new(4, 2, Strategy::default());
    cluster.break_image(1, "CrashLoopBackOff").run_for(60);
    assert_snapshot!(face(&cluster), @r#"
    Progressing: installing revision 1: 0 of 4 pods updated and available; pod shop-cella-47hj4, container app: CrashLoopBackOff; to see why: kubectl -n prod describe pod shop-cella-47hj4
    Ready False ReleaseProgressing
    Available False MinimumReplicasUnavailable
    Progressing True ReleaseProgressing
    Reconciling True ReleaseProgressing
    WaitingForConfirmation False NothingToConfirm
    Paused False NotPaused
    UnitsHealthy True AllUnitsHealthy
    "#);
}

#[test]
fn a_rollback_on_its_way() {
    let mut cluster = installed(10, 2, beta(Some(Int(4))));
    cluster.apply_image(2).confirm_all().settle();
    cluster.apply_image(1);
    cluster.run_until("half of the pods are home", |c| c.in_service() < 10 && c.updated() == [2, 2]);
    assert_snapshot!(face(&cluster), @r#"
    RollingBack: rolling back to revision 3: 2 of 10 pods updated and available; to watch: kubectl -n prod get cafedeployment shop -w
    Ready False ReleaseProgressing
    Available True MinimumReplicasAvailable
    Progressing True ReleaseProgressing
    Reconciling True ReleaseProgressing
    WaitingForConfirmation False NothingToConfirm
    Paused False NotPaused
    UnitsHealthy True AllUnitsHealthy
    "#);
}

#[test]
fn a_deployment_that_lost_pods_after_its_release() {
    let mut cluster = installed(4, 2, Strategy { max_unavailable: Int(1), ..Strategy::default() });
    for uid in cluster.pods_in("CellA") {
        cluster.sicken(uid, true);
    }
    cluster.settle();
    assert_snapshot!(face(&cluster), @r#"
    Degraded: revision 1 serves on 2 of 4 pods; pod shop-cella-47hj4, container app: CrashLoopBackOff; to see why: kubectl -n prod describe pod shop-cella-47hj4
    Ready False ReplicasNotReady
    Available False MinimumReplicasUnavailable
    Progressing True NewRevisionAvailable
    Reconciling True ReplicasNotReady
    WaitingForConfirmation False NothingToConfirm
    Paused False NotPaused
    UnitsHealthy True AllUnitsHealthy
    "#);
}

#[test]
fn pins_that_do_not_fit() {
    let mut cluster = installed(4, 2, Strategy::default());
    cluster.edit(|spec| pin(spec, 9)).settle();
    let healthy = cluster.deployment.status.conditions.iter().find(|c| c.type_ == "UnitsHealthy").unwrap();
    assert_snapshot!(format!("{:?} {}: {}", healthy.status, healthy.reason, healthy.message), @r#"False PinsDoNotFit: spec.topology.unitReplicas do not add up to spec.replicas (4), which wins: adjust one of them"#);
}

#[test]
fn the_events_of_a_release_with_a_wrong_token_and_a_rollback() {
    let mut cluster = installed(4, 2, Strategy::default());
    cluster.events.clear();
    cluster.apply_image(2).settle();
    cluster.confirm("1/1").settle();
    cluster.confirm_next().settle();
    cluster.apply_image(1).settle();
    let told: Vec<String> = cluster.events.iter().map(|e| format!("{}: {}", e.reason, e.note)).collect();
    assert_snapshot!(told.join("\n"), @r#"
    ReleaseStarted: from revision 1 to revision 2 over 4 pods
    GroupStarted: group 1 of revision 2: CellA 1, CellB 1
    GroupCompleted: group 1 of revision 2: CellA 1, CellB 1
    WaitingForConfirmation: gate 2/1 waits for confirmation: set spec.release.confirm to "2/1"
    ConfirmIgnored: spec.release.confirm "1/1" opens no gate of revision 2: the gate that waits opens by "2/1"
    Confirmed: gate 2/1 opens by "2/1"
    GroupStarted: group 2 of revision 2: CellA 1, CellB 1
    GroupCompleted: group 2 of revision 2: CellA 1, CellB 1
    ReleaseCompleted: every pod runs revision 2
    RollbackStarted: back from revision 2 to revision 3, without gates
    GroupCompleted: group 1 of revision 3: CellA 2, CellB 2
    RollbackCompleted: every pod runs revision 3
    "#);
}

#[test]
fn a_first_creation_in_groups_at_its_first_gate() {
    let strategy = Strategy { group_scale_out: true, ..beta(Some(Int(4))) };
    let mut cluster = Cluster::new(10, 2, strategy);
    cluster.settle();
    assert_snapshot!(face(&cluster), @r#"
    Waiting: group 1/3 of revision 1 is done and gate 1/1 waits for confirmation (next: CellA 2, CellB 2; 2 of 10 pods let in by spec.strategy.groupScaleOut); to go on: kubectl -n prod patch cafedeployment shop --type=merge -p '{"spec":{"release":{"confirm":"1/1"}}}'
    Ready False WaitingForConfirmation
    Available False WaitingForConfirmation
    Progressing Unknown WaitingForConfirmation
    Reconciling True WaitingForConfirmation
    WaitingForConfirmation True WaitingForConfirmation
    Paused False NotPaused
    UnitsHealthy True AllUnitsHealthy
    "#);
    assert_snapshot!(groups(&cluster), @r#"
    1 Beta Done: CellA 1, CellB 1
    2 Batch Pending: CellA 2, CellB 2
    3 Batch Pending: CellA 2, CellB 2
    of 3
    "#);
}

#[test]
fn a_scale_out_at_its_gate_and_aborted_there() {
    let mut cluster = installed(10, 2, beta(Some(Int(4))));
    cluster.edit(|spec| (spec.strategy.group_scale_out, spec.replicas) = (true, 20)).settle();
    assert_snapshot!(face(&cluster), @r#"
    Waiting: group 2/4 of revision 1 is done and gate 1/2 waits for confirmation (next: CellA 2, CellB 2; 14 of 20 pods let in by spec.strategy.groupScaleOut); to go on: kubectl -n prod patch cafedeployment shop --type=merge -p '{"spec":{"release":{"confirm":"1/2"}}}'
    Ready False WaitingForConfirmation
    Available False WaitingForConfirmation
    Progressing Unknown WaitingForConfirmation
    Reconciling True WaitingForConfirmation
    WaitingForConfirmation True WaitingForConfirmation
    Paused False NotPaused
    UnitsHealthy True AllUnitsHealthy
    "#);
    assert_snapshot!(groups(&cluster), @r#"
    1 Batch Done: CellA 5, CellB 5
    2 Batch Done: CellA 2, CellB 2
    3 Batch Pending: CellA 2, CellB 2
    4 Batch Pending: CellA 1, CellB 1
    of 4
    "#);
    cluster.abort(1).settle();
    assert_snapshot!(face(&cluster), @r#"
    Aborted: the scale-out of revision 1 was aborted in group 2/4; 14 of 20 pods let in by spec.strategy.groupScaleOut; to take it up again: kubectl -n prod patch cafedeployment shop --type=merge -p '{"spec":{"release":{"retry":"1"}}}'; to stay at 14 pods: kubectl -n prod scale cafedeployment shop --replicas=14
    Ready False ReleaseAborted
    Available False ReleaseAborted
    Progressing False ReleaseAborted
    Stalled True ReleaseAborted
    WaitingForConfirmation False NothingToConfirm
    Paused False NotPaused
    UnitsHealthy True AllUnitsHealthy
    "#);
    let told: Vec<String> = cluster.events.iter().map(|e| format!("{}: {}", e.reason, e.note)).collect();
    assert_snapshot!(told.join("\n"), @r#"
    ReleaseStarted: revision 1 over 10 pods, without gates: nothing has completed yet
    GroupStarted: group 1 of revision 1: CellA 5, CellB 5
    UnitCreated: unit CellA: InPlaceSet shop-cella with 5 pods
    UnitCreated: unit CellB: InPlaceSet shop-cellb with 5 pods
    GroupCompleted: group 1 of revision 1: CellA 5, CellB 5
    ReleaseCompleted: every pod runs revision 1
    GroupStarted: group 2 of revision 1: CellA 2, CellB 2
    ScaledOut: unit CellA: from 5 to 7 pods
    ScaledOut: unit CellB: from 5 to 7 pods
    GroupCompleted: group 2 of revision 1: CellA 2, CellB 2
    WaitingForConfirmation: gate 1/2 waits for confirmation: set spec.release.confirm to "1/2"
    ReleaseAborted: revision 1 stays on 14 of 20 pods; no further pod is moved
    "#);
}
