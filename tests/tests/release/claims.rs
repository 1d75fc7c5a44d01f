//! Claims on real volumes: bound by the real controllers, kept by updates, found again, and given back by the policy.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use cafe_tests::scenario::{Kind, View, Workload, bed, merge, solo, web};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

use crate::restart::{restart, uids};

/// A claim template that only the volumes of this test's class satisfy.
fn template(name: &str, class: &str) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "tier": "gold" }, "annotations": { "example.com/note": "mine" } },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": class,
            "resources": { "requests": { "storage": "1Gi" } },
        },
    })
}

/// The manifest with a claim template `data`, in place of an empty volume of that name.
fn with_data(mut manifest: Value, class: &str) -> Value {
    let container = &mut manifest["spec"]["template"]["spec"]["containers"][0];
    container["volumeMounts"] = json!([{ "name": "data", "mountPath": "/data" }]);
    let volumes = json!([{ "name": "data", "emptyDir": {} }, { "name": "tmp", "emptyDir": {} }]);
    merge(
        &mut manifest,
        &json!({ "spec": {
            "template": { "spec": { "volumes": volumes } },
            "volumeClaimTemplates": [template("data", class)],
        }}),
    );
    manifest
}

fn with_policy(mut manifest: Value, when_deleted: &str, when_scaled: &str) -> Value {
    let policy = json!({ "whenDeleted": when_deleted, "whenScaled": when_scaled });
    merge(&mut manifest, &json!({ "spec": { "persistentVolumeClaimRetentionPolicy": policy } }));
    manifest
}

/// A CafeDeployment whose releases have no gates.
fn free(replicas: i32) -> Value {
    let mut manifest = web(replicas);
    merge(&mut manifest, &json!({ "spec": { "strategy": { "needWaitingForConfirm": false } } }));
    manifest
}

/// Volumes of this class, each for one claim.
async fn volumes(class: &str, count: usize) -> Result<()> {
    let api: Api<PersistentVolume> = Api::all(bed().await?.client().await?);
    for number in 0..count {
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": format!("{class}-{number}") },
            "spec": {
                "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"], "storageClassName": class,
                "persistentVolumeReclaimPolicy": "Retain", "hostPath": { "path": format!("/var/{class}/{number}") },
            },
        });
        api.create(&PostParams::default(), &serde_json::from_value(volume)?).await?;
    }
    Ok(())
}

async fn api(web: &Workload) -> Result<Api<PersistentVolumeClaim>> {
    Ok(Api::namespaced(bed().await?.client().await?, web.namespace()))
}

async fn claims(web: &Workload) -> Result<Vec<PersistentVolumeClaim>> {
    Ok(api(web).await?.list(&ListParams::default()).await?.items)
}

/// uid and volume of each claim, by name.
async fn data(web: &Workload) -> Result<BTreeMap<String, (String, String)>> {
    let of = |claim: PersistentVolumeClaim| {
        let volume = claim.spec.and_then(|spec| spec.volume_name).unwrap_or_default();
        (claim.metadata.name.unwrap_or_default(), (claim.metadata.uid.unwrap_or_default(), volume))
    };
    Ok(claims(web).await?.into_iter().map(of).collect())
}

/// The claims that say that their pods were scaled away, and what is to become of them.
async fn given_up(web: &Workload) -> Result<BTreeMap<String, String>> {
    let label = |claim: PersistentVolumeClaim| {
        let label = claim.metadata.labels?.remove("cafe.dev/scaled-in")?;
        Some((claim.metadata.name?, label))
    };
    Ok(claims(web).await?.into_iter().filter_map(label).collect())
}

/// Waits for something that no watch of the scenario shows.
async fn until<F: Future<Output = Result<bool>>>(what: &str, holds: impl Fn() -> F) -> Result<()> {
    for _ in 0..2400 {
        if holds().await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("not {what}")
}

/// The claim that each pod mounts as `data`, by the pod's name.
fn mounted(view: &View) -> BTreeMap<String, String> {
    let claim = |pod: &Value| {
        let volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let data = volumes.iter().find(|volume| volume["name"] == "data");
        data.and_then(|v| v["persistentVolumeClaim"]["claimName"].as_str()).unwrap_or_default().to_owned()
    };
    view.pods().map(|pod| (pod.name().to_owned(), claim(pod.0))).collect()
}

/// Waits until `count` pods serve, none of them one of `before`.
async fn anew(web: &Workload, before: &BTreeSet<String>, count: usize) -> Result<View> {
    let all_new = |view: &View| {
        view.is_settled()
            && view.pods.len() == count
            && uids(view).is_disjoint(before)
            && view.reserved() == 0
    };
    web.wait_until("anew", all_new).await
}

#[tokio::test]
async fn every_pod_gets_a_bound_claim_of_its_own_that_an_update_in_place_keeps() -> Result<()> {
    let class = "claims-in-place";
    volumes(class, 4).await?;
    let web = Workload::install(bed().await?, class, &with_data(free(4), class)).await?;
    let view = web.look().await?;
    let before = data(&web).await?;
    let expected: BTreeMap<String, String> =
        view.pods().map(|pod| (pod.name().to_owned(), format!("data-{}", pod.name()))).collect();
    assert_eq!(mounted(&view), expected);
    assert_eq!(before.keys().cloned().collect::<BTreeSet<_>>(), expected.into_values().collect());
    let bound: BTreeSet<&String> = before.values().map(|(_, volume)| volume).collect();
    assert_eq!((bound.len(), bound.iter().all(|volume| volume.starts_with(class))), (4, true), "{before:?}");
    for claim in claims(&web).await? {
        let (labels, name) =
            (claim.metadata.labels.unwrap_or_default(), claim.metadata.name.unwrap_or_default());
        let place = format!("data-{}-{}", labels["cafe.dev/set"], labels["cafe.dev/place"]);
        assert_eq!(
            (place.as_str(), labels["app"].as_str(), labels["tier"].as_str()),
            (&*name, "web", "gold")
        );
        assert!(["CellA", "CellB"].contains(&labels["cafe.dev/unit"].as_str()));
        assert_eq!(claim.metadata.annotations.unwrap_or_default()["example.com/note"], "mine");
        assert_eq!(claim.metadata.owner_references, None);
    }
    for pod in view.pods() {
        let names: Vec<&str> =
            pod.0["spec"]["volumes"].as_array().unwrap().iter().filter_map(|v| v["name"].as_str()).collect();
        assert_eq!(&names[..2], ["data", "tmp"], "the claim takes the place of the volume of its name");
    }
    web.release("v2").await?;
    let after = web.wait_until_settled().await?;
    assert_eq!((after.serving_in_all("v2"), after.identities()), (4, view.identities()));
    assert_eq!(data(&web).await?, before);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_that_is_made_anew_gets_its_volume_back_whatever_the_cause() -> Result<()> {
    let class = "claims-anew";
    volumes(class, 3).await?;
    let manifest = with_policy(with_data(solo(3), class), "Delete", "Delete");
    let web = Workload::install(bed().await?, class, &manifest).await?;
    let (before, places) = (data(&web).await?, mounted(&web.look().await?));
    let same = async |view: &View, cause: &str| {
        ensure!(mounted(view) == places, "{cause}: {:?} was {places:?}", mounted(view));
        let now = data(&web).await?;
        ensure!(now == before, "{cause}: {now:?} was {before:?}");
        Ok(())
    };

    let former = uids(&web.look().await?);
    let mut template = web.first_template();
    template["spec"]["containers"][0]["env"] = json!([{ "name": "MODE", "value": "new" }]);
    web.set_template(&template).await?;
    same(&anew(&web, &former, 3).await?, "a change that recreates").await?;

    let former = uids(&web.look().await?);
    restart(&web).await?;
    same(&anew(&web, &former, 3).await?, "a restart").await?;

    for _ in 0..2 {
        let view = web.look().await?;
        let former = uids(&view);
        for pod in view.pods() {
            web.delete_pod(pod.name()).await?;
        }
        same(&anew(&web, &former, 3).await?, "a deletion by hand").await?;
    }
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_scale_in_leaves_the_volumes_and_the_next_scale_out_gets_them() -> Result<()> {
    let class = "claims-retained";
    volumes(class, 6).await?;
    let web = Workload::install(bed().await?, class, &with_data(free(6), class)).await?;
    let (before, places) = (data(&web).await?, mounted(&web.look().await?));
    web.scale(2).await?;
    let view = web.wait_until("smaller", |view| view.is_settled() && view.pods.len() == 2).await?;
    let stayed: BTreeSet<String> = mounted(&view).into_values().collect();
    let left: BTreeSet<String> = before.keys().filter(|name| !stayed.contains(*name)).cloned().collect();
    let labelled = given_up(&web).await?;
    assert_eq!(labelled.keys().cloned().collect::<BTreeSet<_>>(), left);
    assert!(labelled.values().all(|what| what == "Retain"), "{labelled:?}");
    // One that stayed dies: its volume is its own, and not one of those that were left.
    let victim = view.pods().next().unwrap();
    let former = BTreeSet::from([victim.uid().to_owned()]);
    web.delete_pod(victim.name()).await?;
    let replaced = |v: &View| v.is_settled() && v.pods.len() == 2 && uids(v).is_disjoint(&former);
    let view = web.wait_until("replaced", replaced).await?;
    assert_eq!(mounted(&view).into_values().collect::<BTreeSet<_>>(), stayed);

    web.scale(6).await?;
    let view = web.wait_until("larger", |view| view.is_settled() && view.pods.len() == 6).await?;
    assert_eq!((mounted(&view), data(&web).await?), (places, before));
    assert_eq!(given_up(&web).await?, BTreeMap::new());
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_scale_in_deletes_the_claims_of_the_pods_that_went_and_no_other() -> Result<()> {
    let class = "claims-scaled";
    volumes(class, 6).await?;
    let manifest = with_policy(with_data(free(4), class), "Retain", "Delete");
    let web = Workload::install(bed().await?, class, &manifest).await?;
    let before = data(&web).await?;
    web.scale(2).await?;
    let view = web.wait_until("smaller", |view| view.is_settled() && view.pods.len() == 2).await?;
    let stayed: BTreeSet<String> = mounted(&view).into_values().collect();
    until("deleted", || async { Ok(data(&web).await?.len() == 2) }).await?;
    let after = data(&web).await?;
    assert_eq!(after.keys().cloned().collect::<BTreeSet<_>>(), stayed);
    assert!(after.iter().all(|(name, claim)| before.get(name) == Some(claim)));
    web.scale(4).await?;
    let view = web.wait_until("larger", |view| view.is_settled() && view.pods.len() == 4).await?;
    let used: BTreeSet<&String> = before.values().map(|(_, volume)| volume).collect();
    let new: Vec<String> = data(&web)
        .await?
        .into_iter()
        .filter(|(name, _)| !stayed.contains(name))
        .map(|(_, (_, v))| v)
        .collect();
    assert_eq!((view.pods.len(), new.len()), (4, 2));
    assert!(new.iter().all(|volume| !used.contains(volume)), "{new:?} holds what was deleted: {used:?}");
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn claims_go_with_a_workload_that_is_deleted_where_the_policy_says_so() -> Result<()> {
    let class = "claims-deleted";
    volumes(class, 2).await?;
    let manifest = with_policy(with_data(free(2), class), "Delete", "Retain");
    let web = Workload::install(bed().await?, class, &manifest).await?;
    let owners = |claim: PersistentVolumeClaim| claim.metadata.owner_references.unwrap_or_default();
    let owned: Vec<String> =
        claims(&web).await?.into_iter().flat_map(owners).map(|owner| owner.kind).collect();
    assert_eq!(owned, ["InPlaceSet", "InPlaceSet"]);
    // Changed and changed back, the policy is followed by claims that are there.
    let policy =
        |when: &str| json!({ "spec": { "persistentVolumeClaimRetentionPolicy": { "whenDeleted": when } } });
    for (when, count) in [("Retain", 0), ("Delete", 2)] {
        web.patch(policy(when)).await?;
        let followed = || async { Ok(claims(&web).await?.into_iter().flat_map(owners).count() == count) };
        until("followed", followed).await?;
    }
    let done = web.kubectl(&["delete", "cafedeployment", "web", "--timeout=60s"]).await?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    until("collected", || async { Ok(claims(&web).await?.is_empty()) }).await
}

#[tokio::test]
async fn claims_that_outlive_their_set_are_found_by_another_of_its_name() -> Result<()> {
    let class = "claims-outlive";
    volumes(class, 2).await?;
    let manifest = with_data(solo(2), class);
    let web = Workload::install(bed().await?, class, &manifest).await?;
    let (before, places) = (data(&web).await?, mounted(&web.look().await?));
    web.api(Kind::Set).delete("solo", &DeleteParams::default()).await?;
    until("gone", || async { Ok(web.look().await?.pods.is_empty()) }).await?;
    assert_eq!(data(&web).await?, before);
    web.start().await?;
    let view = web.wait_until_served().await?;
    assert_eq!((mounted(&view), data(&web).await?), (places, before));
    Ok(())
}

#[tokio::test]
async fn a_unit_that_leaves_and_comes_back_finds_its_volumes_again() -> Result<()> {
    let class = "claims-unit";
    volumes(class, 6).await?;
    // Also where the claims belong to the unit's InPlaceSet: it is scaled away, not deleted.
    let manifest = with_policy(with_data(free(4), class), "Delete", "Retain");
    let web = Workload::install(bed().await?, class, &manifest).await?;
    let before = data(&web).await?;
    web.patch(json!({ "spec": { "topology": { "values": ["CellA"] }, "replicas": 2 } })).await?;
    web.wait_until("one unit", |view| view.is_settled() && view.sets.len() == 1).await?;
    assert_eq!(data(&web).await?, before);
    assert_eq!(given_up(&web).await?.len(), 2);
    web.patch(json!({ "spec": { "topology": { "values": ["CellA", "CellB"] }, "replicas": 4 } })).await?;
    let view = web.wait_until("two units", |view| view.is_settled() && view.pods.len() == 4).await?;
    assert_eq!(data(&web).await?, before);
    assert_eq!(mounted(&view).into_values().collect::<BTreeSet<_>>(), before.keys().cloned().collect());
    let owned = || async {
        let claims = claims(&web).await?;
        Ok(claims.iter().all(|claim| claim.metadata.owner_references.as_ref().is_some_and(|o| o.len() == 1)))
    };
    until("owned by the InPlaceSets that are there", owned).await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn another_claim_template_is_mounted_by_new_pods_beside_the_volumes_they_had() -> Result<()> {
    let class = "claims-template";
    volumes(class, 4).await?;
    let web = Workload::install(bed().await?, class, &with_data(solo(2), class)).await?;
    let (before, former) = (data(&web).await?, uids(&web.look().await?));
    let templates = json!([template("data", class), template("logs", class)]);
    web.patch(json!({ "spec": { "volumeClaimTemplates": templates } })).await?;
    let view = anew(&web, &former, 2).await?;
    let after = data(&web).await?;
    assert!(before.iter().all(|(name, claim)| after.get(name) == Some(claim)), "{after:?} was {before:?}");
    let logs: BTreeSet<String> = view.pods().map(|pod| format!("logs-{}", pod.name())).collect();
    let added: BTreeSet<String> = after.keys().filter(|name| !before.contains_key(*name)).cloned().collect();
    assert_eq!(added, logs);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_claim_that_is_refused_is_named_with_what_to_do() -> Result<()> {
    let class = "claims-quota";
    volumes(class, 2).await?;
    let web = Workload::open(bed().await?, class, &with_data(free(2), class)).await?;
    let quota = ["create", "quota", "small", "--hard=persistentvolumeclaims=1"];
    let made = web.kubectl(&quota).await?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    web.serve("web", &json!({})).await?;
    web.start().await?;
    let told = |view: &View| {
        let message = view.message();
        ["waits for PersistentVolumeClaim data-web-cell", "exceeded quota: small", "kubectl"]
            .iter()
            .all(|word| message.contains(word))
    };
    web.wait_until("told, and the other pod there", |view| told(view) && view.pods.len() == 1).await?;
    let raised =
        ["patch", "quota", "small", "--patch={\"spec\":{\"hard\":{\"persistentvolumeclaims\":\"2\"}}}"];
    let made = web.kubectl(&raised).await?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    web.wait_until_served().await?;
    assert_eq!(data(&web).await?.len(), 2);
    web.finish().await?;
    Ok(())
}
