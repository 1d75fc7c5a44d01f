//! Claims: every pod has its place, keeps its data there, and gives it back when it is scaled away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use std::collections::{BTreeMap, BTreeSet};

use cafe_crds::{
    claims::ClaimRetention::{self, Delete, Retain},
    deployment::{AutoReschedule, PodUpdatePolicy, Strategy},
    time::Seconds,
};
use cafe_planner::{Text, identity::Uid, set};
use simulator::{Cluster, EPOCH, Planner, Template, cells};

/// A workload at rest whose pods have a claim `data` each.
fn installed(replicas: i32, units: usize, when_scaled: ClaimRetention) -> Cluster {
    let strategy = Strategy { need_waiting_for_confirm: false, ..Strategy::default() };
    let mut cluster = Cluster::new(replicas, units, strategy);
    cluster.claim_templates = vec!["data".into()];
    cluster.deployment.spec.claim_retention.when_scaled = when_scaled;
    cluster.settle().assert_converged();
    cluster
}

/// The claims, by the name of the pod they are for.
fn data(cluster: &Cluster) -> BTreeMap<Text, Uid> {
    cluster.claims.values().map(|c| (c.claim.place.clone(), c.claim.uid)).collect()
}

fn pod_names(cluster: &Cluster) -> BTreeSet<Text> {
    cluster.pods.values().map(|p| p.pod.name.clone()).collect()
}

/// Lets the CafeDeployment act before the set looks at its pods.
fn tell_the_set(cluster: &mut Cluster, replicas: i32) {
    while cluster.sets[0].spec.replicas != replicas {
        assert!(cluster.run_planner(Planner::Deployment, usize::MAX) > 0, "{}", cluster.story());
    }
}

fn given_up(cluster: &Cluster) -> usize {
    cluster.claims.values().filter(|c| c.claim.given_up.is_some()).count()
}

#[test]
fn every_pod_has_a_claim_of_each_template_that_was_there_before_it() {
    let mut cluster = Cluster::new(4, 2, Strategy::default());
    cluster.claim_templates = vec!["data".into(), "logs".into()];
    cluster.settle().assert_converged();
    let expected: BTreeSet<Text> = pod_names(&cluster)
        .iter()
        .flat_map(|pod| ["data", "logs"].map(|template| format!("{template}-{pod}").into()))
        .collect();
    assert_eq!(cluster.claim_names().into_iter().collect::<BTreeSet<Text>>(), expected);
    assert_eq!((cluster.writes["create claim"], cluster.writes.get("write claim")), (8, None));
}

#[test]
fn without_templates_no_claim_is_written_or_asked_for() {
    let mut cluster = Cluster::installed(4, 2, Strategy::default());
    cluster.scale(2).settle();
    assert!(cluster.claims.is_empty() && cluster.writes.keys().all(|kind| !kind.contains("claim")));
}

#[test]
fn an_update_in_place_keeps_pods_and_claims() {
    let mut cluster = installed(4, 2, Delete);
    let before = (data(&cluster), cluster.pods.keys().copied().collect::<Vec<_>>());
    cluster.apply_image(2).settle().assert_converged();
    assert_eq!((data(&cluster), cluster.pods.keys().copied().collect::<Vec<_>>()), before);
}

#[test]
fn pods_that_are_made_anew_get_the_claims_they_had() {
    let mut cluster = installed(4, 2, Delete);
    let before = (data(&cluster), pod_names(&cluster));
    let uids: Vec<Uid> = cluster.pods.keys().copied().collect();
    cluster.apply_template(Template { image: 1, label: 0, rest: 1 }).settle().assert_converged();
    assert_eq!((data(&cluster), pod_names(&cluster)), before);
    assert!(uids.iter().all(|uid| !cluster.pods.contains_key(uid)), "every pod is a new one");
    cluster.edit(|spec| spec.restart_at = Some(Seconds(EPOCH + 1_000_000)));
    cluster.run_for(1_000_001).settle();
    assert_eq!((data(&cluster), pod_names(&cluster)), before);
    assert_eq!(cluster.writes.get("write claim"), None, "nobody was scaled away");
}

#[test]
fn pods_that_die_come_back_to_their_claims_however_they_died() {
    for how in [Cluster::lose, Cluster::evict, Cluster::fail] {
        let mut cluster = installed(4, 2, Delete);
        let before = (data(&cluster), pod_names(&cluster));
        for uid in cluster.pods_in("CellA") {
            how(&mut cluster, uid);
        }
        cluster.settle().assert_converged();
        assert_eq!((data(&cluster), pod_names(&cluster)), before);
    }
}

#[test]
fn a_pod_that_dies_after_a_scale_in_gets_its_own_claim_and_not_one_that_was_left() {
    // Whichever slots the scale-in has freed, one of the rounds has a lower one free than that of the pod that dies.
    for victim in 0..2 {
        let mut cluster = installed(5, 0, Retain);
        cluster.scale(2).settle().assert_converged();
        let (uid, place) = {
            let pod = &cluster.pods.values().nth(victim).unwrap().pod;
            (pod.uid, pod.name.clone())
        };
        cluster.lose(uid).settle().assert_converged();
        assert!(pod_names(&cluster).contains(&place), "{}", cluster.story());
    }
}

#[test]
fn a_crash_between_claim_and_pod_leaves_a_claim_that_is_used() {
    for writes in 1..12 {
        let mut cluster = Cluster::new(3, 0, Strategy::default());
        cluster.claim_templates = vec!["data".into(), "logs".into()];
        cluster.dies_after = Some(writes);
        cluster.settle().assert_converged();
        assert_eq!((cluster.claims.len(), cluster.pods.len()), (6, 3), "died after {writes} writes");
    }
}

#[test]
fn a_scale_in_keeps_claims_and_a_scale_out_takes_them_up_again() {
    let mut cluster = installed(6, 2, Retain);
    let before = (data(&cluster), pod_names(&cluster));
    cluster.scale(2).settle().assert_converged();
    assert_eq!((data(&cluster), given_up(&cluster)), (before.0.clone(), 4));
    cluster.scale(6).settle().assert_converged();
    assert_eq!((data(&cluster), pod_names(&cluster)), before);
    assert_eq!((given_up(&cluster), cluster.writes["create claim"]), (0, 6));
}

#[test]
fn a_scale_in_deletes_claims_where_the_policy_says_so_and_only_after_their_pods() {
    let mut cluster = installed(6, 2, Delete);
    cluster.scale(2);
    cluster.run_until("a pod is on its way out", |c| c.pods.values().any(|p| p.pod.terminating));
    assert_eq!(cluster.claims.len(), 6, "{}", cluster.story());
    cluster.settle().assert_converged();
    let places: BTreeSet<Text> = data(&cluster).into_keys().collect();
    assert_eq!(places, pod_names(&cluster));
}

#[test]
fn a_claim_says_what_becomes_of_it_before_its_pod_goes() {
    let mut cluster = installed(3, 0, Delete);
    cluster.scale(2);
    cluster.run_until("the pod is deleted", |c| c.pods.values().any(|p| p.pod.terminating));
    let leaving = cluster.pods.values().find(|p| p.pod.terminating).unwrap().pod.name.clone();
    let claim = cluster.claims.values().find(|c| c.claim.place == leaving).unwrap();
    assert_eq!(claim.claim.given_up, Some(Delete));
}

#[test]
fn a_scale_in_that_is_called_off_deletes_nothing() {
    let mut cluster = installed(3, 0, Delete);
    let before = data(&cluster);
    cluster.scale(2);
    cluster.run_until("the pod is deleted", |c| c.pods.values().any(|p| p.pod.terminating));
    cluster.scale(3);
    tell_the_set(&mut cluster, 3);
    cluster.settle().assert_converged();
    assert_eq!((data(&cluster), given_up(&cluster)), (before, 0));
}

#[test]
fn a_crash_anywhere_in_a_scale_in_and_back_harms_no_claim_that_stays() {
    for when_scaled in [Retain, Delete] {
        for writes in 1..24 {
            let mut cluster = installed(4, 0, when_scaled);
            cluster.dies_after = Some(writes);
            cluster.scale(2).settle().assert_converged();
            let kept = data(&cluster);
            cluster.scale(4).settle().assert_converged();
            let after = data(&cluster);
            let missing = kept.iter().find(|(place, uid)| after.get(*place) != Some(uid));
            assert_eq!((missing, after.len()), (None, 4), "died after {writes} writes\n{}", cluster.story());
        }
    }
}

#[test]
fn a_policy_that_changes_later_concerns_no_claim_that_was_left_before() {
    let mut cluster = installed(3, 0, Retain);
    cluster.scale(2).settle();
    cluster.edit(|spec| spec.claim_retention.when_scaled = Delete).settle();
    assert_eq!((cluster.claims.len(), given_up(&cluster)), (3, 1));
    cluster.scale(1).settle().assert_converged();
    assert_eq!((cluster.claims.len(), given_up(&cluster)), (2, 1));
}

#[test]
fn a_deletion_that_was_decided_before_a_scale_out_cannot_land_after_it() {
    let mut cluster = installed(2, 0, Delete);
    let set = cluster.sets[0].uid;
    cluster.scale(1);
    cluster.run_until("its pod is gone", |c| c.pods.len() == 1 && given_up(c) == 1);
    cluster.send(Planner::Set(set));
    assert!(!cluster.flying.is_empty(), "the deletion is on its way");
    cluster.restart();
    cluster.scale(2);
    tell_the_set(&mut cluster, 2);
    cluster.settle();
    while !cluster.flying.is_empty() {
        cluster.land(0, false);
    }
    cluster.settle().assert_converged();
    assert_eq!((cluster.claims.len(), cluster.writes["create claim"]), (2, 2), "{}", cluster.story());
}

#[test]
fn a_unit_that_leaves_keeps_or_loses_its_claims_like_a_scale_in_and_finds_them_when_it_comes_back() {
    for (when_scaled, left) in [(Retain, 4), (Delete, 2)] {
        for when_deleted in [Retain, Delete] {
            let mut cluster = installed(4, 2, when_scaled);
            cluster.edit(|spec| spec.claim_retention.when_deleted = when_deleted).settle();
            let before = data(&cluster);
            cluster.edit(|spec| (spec.topology, spec.replicas) = (cells(1), 2)).settle();
            assert_eq!((cluster.sets.len(), cluster.claims.len()), (1, left), "{}", cluster.story());
            cluster.edit(|spec| (spec.topology, spec.replicas) = (cells(2), 4)).settle().assert_converged();
            assert_eq!(cluster.claims.len(), 4);
            assert_eq!(data(&cluster) == before, when_scaled == Retain);
        }
    }
}

#[test]
fn claims_belong_to_the_set_only_where_they_are_to_go_with_it() {
    let mut cluster = installed(2, 0, Retain);
    let owned = |c: &Cluster| c.claims.values().filter(|c| !c.claim.owners.is_empty()).count();
    assert_eq!(owned(&cluster), 0);
    cluster.edit(|spec| spec.claim_retention.when_deleted = Delete).settle().assert_converged();
    assert_eq!(owned(&cluster), 2);
    cluster.edit(|spec| spec.claim_retention.when_deleted = Retain).settle().assert_converged();
    assert_eq!(owned(&cluster), 0);
}

#[test]
fn another_claim_template_is_for_new_places_and_those_that_lack_it() {
    let mut cluster = installed(2, 0, Delete);
    let before = data(&cluster);
    cluster.claim_templates = vec!["data".into(), "logs".into()];
    cluster.apply_template(Template { image: 1, label: 0, rest: 1 }).settle().assert_converged();
    assert_eq!(cluster.claims.len(), 4);
    assert!(before.values().all(|uid| cluster.claims.contains_key(uid)));
    // Fewer templates: what is left over stays where it is, whatever the policy.
    cluster.claim_templates = Vec::new();
    cluster.apply_template(Template { image: 1, label: 0, rest: 2 }).settle();
    cluster.scale(1).settle();
    assert!(before.values().all(|uid| cluster.claims.contains_key(uid)), "{}", cluster.story());
}

#[test]
fn in_place_only_refuses_another_claim_template() {
    let mut cluster = installed(2, 0, Retain);
    cluster.edit(|spec| spec.strategy.pod_update_policy = PodUpdatePolicy::InPlaceOnly).settle();
    cluster.claim_templates = vec!["data".into(), "logs".into()];
    cluster.apply_template(Template { image: 1, label: 0, rest: 1 }).run_for(5);
    assert_eq!(cluster.claims.len(), 2);
    assert!(cluster.message().contains("InPlaceOnly"), "{}", cluster.message());
}

#[test]
fn a_pod_that_gives_its_place_away_because_it_finds_no_node_leaves_its_data_whatever_a_scale_in_would_do() {
    let mut cluster = installed(4, 2, Delete);
    let auto = AutoReschedule { enable: true, initial_delay_seconds: 10 };
    cluster.edit(|spec| spec.topology.auto_reschedule = Some(auto)).settle();
    let before = data(&cluster);
    cluster.rooms.insert("CellA".into(), 1);
    let homeless = cluster.pods_in("CellA")[0];
    cluster.lose(homeless).settle();
    assert_eq!((cluster.live(), cluster.told("PodRescheduled")), (vec![1, 3], 1), "{}", cluster.story());
    let after = data(&cluster);
    assert!(before.iter().all(|(place, claim)| after.get(place) == Some(claim)), "{}", cluster.story());
}

#[test]
fn a_unit_that_leaves_with_another_policy_in_the_same_breath_follows_that_one() {
    let mut cluster = installed(6, 3, Delete);
    let before = data(&cluster);
    cluster.edit(|spec| {
        spec.claim_retention.when_scaled = Retain;
        spec.topology.values.pop();
    });
    cluster.settle();
    let after = data(&cluster);
    assert!(before.iter().all(|(place, claim)| after.get(place) == Some(claim)), "{}", cluster.story());
}

#[test]
fn claims_let_go_of_the_set_of_a_unit_that_leaves_before_it_is_deleted_whatever_was_on_its_way() {
    for writes in 0..16 {
        let mut cluster = installed(4, 2, Retain);
        cluster.edit(|spec| spec.claim_retention.when_deleted = Delete);
        // The first claims have an owner; the references of others may be on their way while the unit leaves.
        cluster.dies_after = Some(writes + 1);
        cluster.flow();
        let before = data(&cluster);
        cluster.edit(|spec| (spec.topology, spec.replicas) = (cells(1), 2));
        cluster.settle().assert_converged();
        assert_eq!((cluster.sets.len(), data(&cluster)), (1, before), "{}", cluster.story());
    }
}

#[test]
fn a_set_whose_claim_is_being_written_is_not_deleted() {
    let mut cluster = installed(4, 2, Retain);
    cluster.edit(|spec| (spec.topology, spec.replicas) = (cells(1), 2));
    let gone = |c: &Cluster| c.pods.len() == 2 && c.sets.len() == 2 && c.sets[1].status.replicas == 0;
    cluster.run_until("the unit is empty", gone);
    let set = cluster.sets[1].uid;
    let counted = |cluster: &Cluster, busy: bool| {
        cluster.look_at_set(set, |s| {
            let mut claims = s.claims.to_vec();
            claims.iter_mut().for_each(|view| view.busy = busy);
            set::plan(&set::Snapshot { claims: &claims, ..s }).census.owned_claims
        })
    };
    assert_eq!((counted(&cluster, false), counted(&cluster, true)), (0, 2));
}
