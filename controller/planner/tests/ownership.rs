//! Whose pods, sets and revisions they are, as the planners see it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use cafe_crds::deployment::{Phase, Strategy};
use cafe_planner::{
    bonds::{Bonds, Kin, Orphan, Others},
    deployment,
    identity::{RevisionHash, Uid},
    pod::{Gate, PodView},
    set::{self, Action, Set},
    time::Millis,
};
use simulator::Cluster;

/// A cluster of one unit whose pods serve.
fn installed(replicas: i32) -> (Cluster, Uid) {
    let cluster = Cluster::installed(replicas, 0, Strategy::default());
    let set = cluster.sets[0].uid;
    (cluster, set)
}

fn orphan(n: u128) -> Orphan {
    Orphan { kind: Kin::Pod, name: format!("pod-{n}").into(), uid: Uid(9000 + n), rv: 7 }
}

fn plan_with(cluster: &Cluster, set: Uid, others: Others<'_>) -> set::Plan {
    cluster.look_at_set(set, |s| set::plan(&set::Snapshot { others, ..s }))
}

/// Plans with pods that look other than they do.
fn plan_seeing(cluster: &Cluster, set: Uid, change: impl Fn(&mut PodView<'_>)) -> set::Plan {
    cluster.look_at_set(set, |s| {
        let mut pods = s.pods.to_vec();
        pods.iter_mut().for_each(change);
        set::plan(&set::Snapshot { pods: &pods, ..s })
    })
}

fn count(plan: &set::Plan, which: impl Fn(&Action) -> bool) -> usize {
    plan.actions.iter().filter(|action| which(action)).count()
}

fn is_birth(action: &Action) -> bool {
    matches!(action, Action::Create { .. })
}

#[test]
fn an_orphan_is_adopted_only_after_a_live_read_that_has_begun_since_it_was_seen() {
    let (cluster, set) = installed(4);
    let orphans = [orphan(1)];
    let seen = Others { orphans: &orphans, ..Others::default() };
    assert_eq!(plan_with(&cluster, set, seen).actions, [Action::Confirm]);
    let asked = Others { confirming: true, ..seen };
    assert_eq!(plan_with(&cluster, set, asked).actions, []);
    let confirmed = Others { confirmed: true, ..seen };
    let plan = plan_with(&cluster, set, confirmed);
    assert!(matches!(&plan.actions[..], [Action::Adopt { on }] if on.uid == orphans[0].uid && on.rv == 7));
    assert_eq!(plan.events[0].reason, "ChildAdopted");
}

#[test]
fn an_orphan_counts_before_it_is_adopted_so_that_no_pod_is_made_in_its_place() {
    let (mut cluster, set) = installed(4);
    let lost = *cluster.pods.keys().next().unwrap();
    cluster.pods.remove(&lost);
    assert_eq!(count(&cluster.plan_set(set), is_birth), 1);
    let orphans = [orphan(1)];
    let others = Others { orphans: &orphans, ..Others::default() };
    assert_eq!(count(&plan_with(&cluster, set, others), is_birth), 0);
}

#[test]
fn nothing_is_adopted_while_the_set_is_being_deleted() {
    let (mut cluster, set) = installed(4);
    cluster.sets[0].deleting = true;
    let orphans = [orphan(1)];
    let others = Others { orphans: &orphans, confirmed: true, ..Others::default() };
    let plan = plan_with(&cluster, set, others);
    assert_eq!(count(&plan, |action| !matches!(action, Action::WriteStatus { .. })), 0, "{plan:?}");
}

#[test]
fn a_pod_that_no_longer_matches_is_let_go_and_neither_drained_nor_deleted() {
    let (mut cluster, set) = installed(4);
    let stray = *cluster.pods.keys().next().unwrap();
    // Even when it would be the first to be moved and the first to go.
    cluster.sets[0].spec.replicas = 1;
    let plan = plan_seeing(&cluster, set, |view| view.stray = view.pod.uid == stray);
    assert_eq!(count(&plan, |a| matches!(a, Action::Release { on } if on.uid == stray)), 1);
    let entry = plan.actions.iter().find_map(|action| match action {
        Action::WriteStatus { status, .. } => Some(status.in_flight.clone()),
        _ => None,
    });
    assert!(entry.unwrap().iter().all(|e| e.pod_uid != stray.to_string()));
    assert_eq!(plan.notices[0].event.reason, "ChildReleased");
}

#[test]
fn a_pod_that_is_let_go_in_the_middle_of_a_drain_is_put_back_first() {
    let (mut cluster, set) = installed(4);
    cluster.apply_image(2);
    cluster.run_until("draining", |c| c.pods.values().any(|p| matches!(p.pod.gate, Gate::Draining(_))));
    let draining = cluster.pods.values().find(|p| matches!(p.pod.gate, Gate::Draining(_))).unwrap().pod.uid;
    let plan = plan_seeing(&cluster, set, |view| {
        view.stray = view.pod.uid == draining;
        view.busy = false;
    });
    assert_eq!(count(&plan, |a| matches!(a, Action::PutBack { on } if on.uid == draining)), 1);
    assert_eq!(count(&plan, |a| matches!(a, Action::Release { .. })), 0);
}

#[test]
fn a_set_that_is_deleted_drains_only_when_it_is_asked_to_and_then_lets_itself_go() {
    let (mut cluster, set) = installed(4);
    cluster.sets[0].deleting = true;
    let said = cluster.plan_set(set).actions;
    assert!(
        matches!(&said[..], [Action::WriteStatus { status, .. }] if status.in_flight.is_empty()),
        "{said:?}"
    );
    cluster.sets[0].bonds = Bonds { drain: Some(1), ..Bonds::default() };
    let plan = cluster.plan_set(set);
    let reserved = plan.actions.iter().find_map(|action| match action {
        Action::WriteStatus { status, .. } => Some(status.in_flight.len()),
        _ => None,
    });
    assert_eq!(reserved, Some(4));
    cluster.sets[0].bonds.orphans = true;
    let rv = cluster.sets[0].rv;
    assert_eq!(cluster.plan_set(set).actions, [Action::LetGo { rv, at: 1 }]);
    cluster.sets[0].bonds.orphans = false;
    cluster.pods.clear();
    assert_eq!(cluster.plan_set(set).actions, [Action::LetGo { rv, at: 1 }]);
}

#[test]
fn a_set_that_drains_needs_no_revision_any_more() {
    let (mut cluster, set) = installed(4);
    cluster.revisions.clear();
    cluster.sets[0].deleting = true;
    cluster.sets[0].bonds.drain = Some(0);
    assert_eq!(count(&cluster.plan_set(set), |a| matches!(a, Action::WriteStatus { .. })), 1);
    // As when its CafeDeployment is deleted in the foreground.
    cluster.sets[0].deleting = false;
    cluster.sets[0].spec.replicas = 0;
    assert_eq!(count(&cluster.plan_set(set), |a| matches!(a, Action::WriteStatus { .. })), 1);
}

#[test]
fn a_set_whose_selector_overlaps_with_an_older_one_creates_and_moves_nothing_and_says_so() {
    let (mut cluster, set) = installed(4);
    cluster.sets[0].owner = None;
    cluster.sets[0].status = Default::default();
    cluster.pods.clear();
    let older = "CafeDeployment other".into();
    let orphans = [orphan(1)];
    let others = Others { orphans: &orphans, confirmed: true, overlaps: Some(&older), ..Others::default() };
    let plan = plan_with(&cluster, set, others);
    assert_eq!(plan.events[0].reason, "SelectorOverlaps");
    let [Action::WriteStatus { status, .. }] = &plan.actions[..] else { panic!("{plan:#?}") };
    let stalled = status.conditions.iter().find(|c| c.type_ == "Stalled").unwrap();
    assert_eq!(stalled.reason, "SelectorOverlaps");
    assert!(stalled.message.contains("CafeDeployment other") && stalled.message.contains("kubectl delete"));
}

#[test]
fn a_revision_label_that_names_nothing_and_a_gate_that_others_closed_are_told() {
    let (mut cluster, set) = installed(2);
    let uids = cluster.look_at_set(set, |s| s.pods.iter().map(|view| view.pod.uid).collect::<Vec<_>>());
    cluster.pods.get_mut(&uids[0]).unwrap().pod.revision = Some(RevisionHash(5));
    cluster.pods.get_mut(&uids[1]).unwrap().pod.gate = Gate::parse("False", "Maintenance");
    let told: Vec<_> = cluster.plan_set(set).notices.into_iter().map(|n| (n.uid, n.event.reason)).collect();
    assert_eq!(told, [(uids[0], "ChildOverwritten"), (uids[1], "ChildOverwritten")]);
}

/// The set of the one unit, as a deletion with `--cascade=orphan` leaves it behind.
fn orphaned(cluster: &mut Cluster) -> Set {
    let mut set = cluster.sets.remove(0);
    set.owner = None;
    set
}

fn plan_deployment(cluster: &Cluster, others: Others<'_>) -> deployment::Plan {
    cluster.look_at_deployment(|s| deployment::plan(&deployment::Snapshot { others, ..s }))
}

fn asked(plan: &deployment::Plan) -> Vec<&deployment::Action> {
    plan.steps.iter().map(|step| &step.action).collect()
}

#[test]
fn a_set_that_nobody_owns_and_that_is_what_would_be_made_is_adopted_before_anything_else() {
    let (mut cluster, _) = installed(4);
    let set = orphaned(&mut cluster);
    let sets = [&set];
    let seen = Others { sets: &sets, ..Others::default() };
    assert_eq!(asked(&plan_deployment(&cluster, seen)), [&deployment::Action::Confirm]);
    let plan = plan_deployment(&cluster, Others { confirmed: true, ..seen });
    let adopts = deployment::Action::AdoptSet { name: set.name.clone(), uid: set.uid, rv: set.rv };
    assert_eq!(asked(&plan), [&adopts]);
    assert_eq!(plan.steps[0].events[0].reason, "ChildAdopted");
}

#[test]
fn a_set_that_nobody_owns_and_that_differs_is_reported_with_what_differs() {
    let (mut cluster, _) = installed(4);
    let set = orphaned(&mut cluster);
    let mut other = set.clone();
    other.spec.selector.match_labels.insert("tier".into(), "web".into());
    let mut owned = set.clone();
    owned.bonds.owned = true;
    let mut elsewhere = set;
    elsewhere.spec.placement = None;
    for (set, why) in [(other, "tier=web"), (owned, "owner reference"), (elsewhere, "placement")] {
        let (sets, taken) = ([&set], [set.name.clone()]);
        let others = Others { sets: &sets, confirmed: true, ..Others::default() };
        let plan = cluster
            .look_at_deployment(|s| deployment::plan(&deployment::Snapshot { others, taken: &taken, ..s }));
        assert!(!asked(&plan).iter().any(|a| matches!(a, deployment::Action::AdoptSet { .. })));
        let told = plan.notices.iter().find(|event| event.reason == "NameTaken").unwrap();
        assert!(told.note.contains(why) && told.note.contains("kubectl"), "{}", told.note);
    }
}

#[test]
fn history_that_nobody_owns_is_adopted_before_a_revision_is_looked_for() {
    let (cluster, _) = installed(4);
    let orphans = [Orphan { kind: Kin::Revision, ..orphan(1) }, Orphan { kind: Kin::Release, ..orphan(2) }];
    let others = Others { orphans: &orphans, confirmed: true, ..Others::default() };
    let plan = plan_deployment(&cluster, others);
    let adopt = |i: usize| deployment::Action::Adopt { orphan: orphans[i].clone() };
    assert_eq!(asked(&plan), [&adopt(0), &adopt(1)]);
}

#[test]
fn a_deletion_that_drains_scales_every_set_to_nothing_and_lets_go_when_all_are_empty() {
    let mut cluster = Cluster::installed(4, 2, Strategy::default());
    cluster.deployment.deleting = true;
    assert!(cluster.plan_deployment().steps.is_empty());
    cluster.deployment.bonds.drain = Some(0);
    cluster.deployment.generation += 1;
    let plan = cluster.plan_deployment();
    let [told, a, b] = &asked(&plan)[..] else { panic!("{plan:#?}") };
    for write in [a, b] {
        assert!(matches!(write, deployment::Action::WriteSet { spec, .. } if spec.replicas == 0));
    }
    let deployment::Action::WriteStatus { status, .. } = told else { panic!("{told:?}") };
    assert!(status.message.as_ref().unwrap().contains("4 pods yet to be drained"));
    cluster.run_until("let go", |c| c.deployment.bonds.drain.is_none());
    assert!(cluster.pods.is_empty());
}

#[test]
fn a_deletion_that_leaves_the_sets_behind_drains_nothing() {
    let mut cluster = Cluster::installed(4, 2, Strategy::default());
    cluster.deployment.deleting = true;
    cluster.deployment.bonds = Bonds { drain: Some(2), orphans: true, ..Bonds::default() };
    let rv = cluster.deployment.rv;
    assert_eq!(asked(&cluster.plan_deployment()), [&deployment::Action::LetGo { rv, at: 2 }]);
}

#[test]
fn a_cafe_deployment_whose_selector_overlaps_with_an_older_one_is_invalid_and_creates_nothing() {
    let cluster = Cluster::new(4, 2, Strategy::default());
    let older = "InPlaceSet solo".into();
    let plan = plan_deployment(&cluster, Others { overlaps: Some(&older), ..Others::default() });
    let [deployment::Action::WriteStatus { status, .. }] = &asked(&plan)[..] else { panic!("{plan:#?}") };
    assert_eq!(status.phase, Some(Phase::Invalid));
    let conditions: Vec<_> =
        status.conditions.iter().map(|c| (c.type_.as_str(), c.reason.as_str())).collect();
    assert_eq!(conditions, [("Ready", "SelectorOverlaps"), ("Stalled", "SelectorOverlaps")]);
    assert!(status.message.as_ref().unwrap().contains("InPlaceSet solo"));
    assert_eq!(plan.notices[0].reason, "SelectorOverlaps");
}

#[test]
fn what_somebody_else_has_written_into_a_child_is_told_with_the_name_when_it_is_undone() {
    let (mut cluster, _) = installed(4);
    cluster.sets[0].spec.min_ready_seconds = 7;
    cluster.sets[0].bonds.edited_by = Some("kubectl-edit".into());
    let plan = cluster.plan_deployment();
    let event =
        plan.steps.iter().flat_map(|step| &step.events).find(|e| e.reason == "ChildOverwritten").unwrap();
    assert!(event.note.contains("kubectl-edit"), "{}", event.note);
}

#[test]
fn a_pod_that_is_about_to_be_adopted_keeps_its_name() {
    let (mut cluster, set) = installed(4);
    let lost = cluster.pods.values().next().unwrap().pod.clone();
    cluster.pods.remove(&lost.uid);
    cluster.scale(5);
    cluster.sets[0].spec.replicas = 6;
    let orphans = [Orphan { kind: Kin::Pod, name: lost.name.clone(), uid: lost.uid, rv: 7 }];
    let plan = plan_with(&cluster, set, Others { orphans: &orphans, ..Others::default() });
    let names: Vec<_> = plan
        .actions
        .iter()
        .filter_map(|a| if let Action::Create { name, .. } = a { Some(name) } else { None })
        .collect();
    assert_eq!(names.len(), 2);
    assert!(!names.contains(&&lost.name), "{names:?}");
}

#[test]
fn sets_are_adopted_after_their_history_and_records_that_are_refused_hold_nothing_up() {
    let (mut cluster, _) = installed(4);
    let set = orphaned(&mut cluster);
    let kin = |kind, n: u128| Orphan { kind, name: format!("shop-{n}").into(), uid: Uid(9000 + n), rv: 7 };
    let all = [kin(Kin::Revision, 1), kin(Kin::Release, 2)];
    let others = |orphans| Others { orphans, sets: &[], confirmed: true, ..Others::default() };
    let sets = [&set];
    let plan = plan_deployment(&cluster, Others { sets: &sets, ..others(&all[..]) });
    assert!(asked(&plan).iter().all(|a| matches!(a, deployment::Action::Adopt { .. })), "{plan:?}");
    assert_eq!(plan.steps.len(), 2);
    cluster.no_chronicles_until = Some(Millis(u64::MAX));
    let plan = plan_deployment(&cluster, Others { sets: &sets, ..others(&all[1..]) });
    assert!(matches!(&asked(&plan)[..], [deployment::Action::AdoptSet { .. }]), "{plan:?}");
}

#[test]
fn no_pod_is_born_of_a_revision_whose_pods_the_set_does_not_select() {
    let (mut cluster, set) = installed(4);
    cluster.apply_image(2).settle();
    cluster.look_at_set(set, |s| {
        let mut other = s.set.clone();
        other.spec.selector.match_labels.insert("app".into(), "another".into());
        let target = s.target.unwrap();
        assert_eq!(set::Snapshot { set: &other, ..s.clone() }.base(target).uid, target.uid);
        assert_ne!(s.base(target).uid, target.uid);
    });
}

#[test]
fn a_gate_that_others_open_in_the_middle_of_a_drain_is_told_with_their_name() {
    let (mut cluster, set) = installed(4);
    cluster.apply_image(2);
    cluster.run_until("draining", |c| c.pods.values().any(|p| matches!(p.pod.gate, Gate::Draining(_))));
    let draining = cluster.pods.values().find(|p| matches!(p.pod.gate, Gate::Draining(_))).unwrap().pod.uid;
    let told = |cluster: &Cluster| {
        let notices = cluster.plan_set(set).notices.into_iter();
        notices.map(|n| (n.uid, n.event.reason, n.event.note)).collect::<Vec<_>>()
    };
    assert_eq!(told(&cluster), []);
    let pod = &mut cluster.pods.get_mut(&draining).unwrap().pod;
    (pod.gate, pod.gate_editor) = (Gate::True, Some("mallory".into()));
    let [(uid, reason, note)] = &told(&cluster)[..] else { panic!("{:?}", told(&cluster)) };
    assert_eq!((*uid, *reason), (draining, "ChildOverwritten"));
    assert!(note.contains("field manager mallory has opened it"), "{note}");
    // It is closed again: the pod is still to be moved.
    let plan = plan_seeing(&cluster, set, |view| view.busy = false);
    assert_eq!(count(&plan, |a| matches!(a, Action::TakeOut { on, .. } if on.uid == draining)), 1);
}

#[test]
fn a_gate_that_others_closed_is_told_with_their_name() {
    let (mut cluster, set) = installed(2);
    let uid = *cluster.pods.keys().next().unwrap();
    let pod = &mut cluster.pods.get_mut(&uid).unwrap().pod;
    (pod.gate, pod.gate_editor) = (Gate::parse("False", "Maintenance"), Some("mallory".into()));
    let told = cluster.plan_set(set).notices;
    assert!(told[0].event.note.contains("field manager mallory has closed it"), "{}", told[0].event.note);
}
