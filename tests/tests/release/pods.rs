use anyhow::Result;
use cafe_crds::names::LABEL_GROUP;
use cafe_tests::scenario::{Workload, bed, merge, web};
use serde_json::json;

use crate::cells;

#[tokio::test]
async fn a_change_of_labels_alone_reaches_the_pods_in_groups_without_a_drain_or_a_restart() -> Result<()> {
    let web = Workload::install(bed().await?, "metadata", &web(10)).await?;
    let before = web.look().await?.identities();
    let mut template = web.first_template();
    merge(
        &mut template,
        &json!({ "metadata": { "labels": { "tier": "gold" }, "annotations": { "note": "new" } } }),
    );
    web.set_template(&template).await?;
    let view = web.wait_for_gate("2/1").await?;
    assert_eq!(view.pods().filter(|pod| pod.label("tier") == "gold").count(), 2);
    web.confirm("2/all").await?;
    let view = web.wait_until_settled().await?;
    assert!(view.pods().all(|pod| pod.label("tier") == "gold" && pod.restarts() == 0));
    assert_eq!(view.identities(), before);
    let verdict = web.finish().await?;
    assert!(verdict.drains.is_empty(), "{:?}", verdict.drains);
    assert_eq!(verdict.most_out, 0);
    Ok(())
}

#[tokio::test]
async fn a_change_that_cannot_go_in_place_makes_new_pods_after_a_drain() -> Result<()> {
    let web = Workload::install(bed().await?, "recreate", &web(8)).await?;
    let before = web.look().await?.identities();
    let mut template = web.first_template();
    template["spec"]["containers"][0]["env"] = json!([{ "name": "MODE", "value": "new" }]);
    web.set_template(&template).await?;
    let view = web.wait_for_gate("2/1").await?;
    let new = |view: &cafe_tests::scenario::View| {
        let old: Vec<&String> = before.values().map(|(uid, _)| uid).collect();
        view.pods().filter(|pod| !old.iter().any(|uid| *uid == pod.uid())).count()
    };
    assert_eq!(new(&view), 2);
    web.confirm("2/all").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!(new(&view), 8);
    assert_eq!(view.serving("v1"), cells(4, 4));
    let verdict = web.finish().await?;
    assert_eq!(verdict.drains.len(), 8);
    assert!(verdict.most_out <= 2, "{} pods were out", verdict.most_out);
    Ok(())
}

#[tokio::test]
async fn the_policy_recreate_makes_new_pods_of_a_new_image() -> Result<()> {
    let mut manifest = web(4);
    merge(&mut manifest, &json!({ "spec": { "strategy": { "podUpdatePolicy": "Recreate" } } }));
    let web = Workload::install(bed().await?, "policy", &manifest).await?;
    let before = web.look().await?.identities();
    web.release("v2").await?;
    web.confirm("2/all").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!(view.serving("v2"), cells(2, 2));
    assert!(view.identities().iter().all(|(name, identity)| before.get(name) != Some(identity)));
    assert!(view.pods().all(|pod| pod.restarts() == 0));
    assert!(web.finish().await?.most_out <= 1);
    Ok(())
}

#[tokio::test]
async fn a_native_sidecar_gets_its_image_without_a_restart_of_the_others() -> Result<()> {
    let mut manifest = web(4);
    let sidecars = json!([{ "name": "proxy", "image": "example.org/proxy:v1", "restartPolicy": "Always" }]);
    merge(&mut manifest, &json!({ "spec": { "template": { "spec": { "initContainers": sidecars } } } }));
    let web = Workload::install(bed().await?, "sidecar", &manifest).await?;
    let before = web.look().await?.identities();
    let mut template = web.first_template();
    template["spec"]["initContainers"][0]["image"] = json!("example.org/proxy:v2");
    web.set_template(&template).await?;
    web.confirm("2/all").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!(view.identities(), before);
    for pod in view.pods() {
        let restarts: Vec<(String, String, i64)> =
            pod.containers().into_iter().map(|c| (c.name, c.runs, c.restarts)).collect();
        let proxy = ("proxy".to_owned(), "example.org/proxy:v2".to_owned(), 1);
        assert_eq!(restarts, [proxy, ("app".to_owned(), "example.org/web:v1".to_owned(), 0)]);
    }
    assert_eq!(web.finish().await?.updates.len(), 4);
    Ok(())
}

#[tokio::test]
async fn two_tags_of_one_digest_are_released_to_the_end() -> Result<()> {
    let web = Workload::install(bed().await?, "digest", &web(4)).await?;
    web.release_with("v2", &[("same-digest", "true")]).await?;
    web.confirm("2/all").await?;
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(2, 2));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_container_that_stops_slowly_is_waited_for() -> Result<()> {
    let web = Workload::install(bed().await?, "slow", &web(4)).await?;
    web.release_with("v2", &[("stop", "300ms"), ("restart", "200ms"), ("ready-delay", "200ms")]).await?;
    web.confirm("2/all").await?;
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(2, 2));
    assert!(web.finish().await?.most_out <= 1);
    Ok(())
}

#[tokio::test]
async fn pods_name_the_group_that_moved_them() -> Result<()> {
    let web = Workload::install(bed().await?, "labels", &web(10)).await?;
    web.release("v2").await?;
    for gate in ["2/1", "2/2"] {
        web.wait_for_gate(gate).await?;
        web.confirm(gate).await?;
    }
    let view = web.wait_until_settled().await?;
    let of = |label: &str| view.pods().filter(|pod| pod.label(LABEL_GROUP) == label).count();
    assert_eq!((of("2-1"), of("2-2"), of("2-3")), (2, 4, 4));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn endpoints_leave_and_come_back_with_every_pod() -> Result<()> {
    let web = Workload::install(bed().await?, "endpoints", &web(6)).await?;
    let all: std::collections::BTreeSet<String> =
        web.look().await?.endpoints().into_iter().map(str::to_owned).collect();
    assert_eq!(all.len(), 6);
    web.release_with("v2", &[("restart", "100ms")]).await?;
    web.confirm("2/all").await?;
    web.wait_until_settled().await?;
    let back = |view: &cafe_tests::scenario::View| {
        view.endpoints().into_iter().map(str::to_owned).collect::<std::collections::BTreeSet<_>>() == all
    };
    web.wait_until("back in every endpoint", back).await?;
    // The replay checks each of these against the EndpointSlices of that moment.
    assert_eq!(web.finish().await?.updates.len(), 6);
    Ok(())
}
