//! Releases whose every figure is known: what they do is counted here as they do it.

use anyhow::Result;
use cafe_tests::bed::Bed;
use cafe_tests::scenario::{Cell, Kind, View, Workload, merge, web};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

fn with_grace(replicas: i32) -> Value {
    let mut manifest = web(replicas);
    merge(&mut manifest, &json!({ "spec": { "traffic": { "graceSeconds": 1 } } }));
    manifest
}

/// Six pods over two cells: v1; v2 in place; v3 made anew; v4 paused, resumed, aborted at its gate and rolled back.
pub(crate) async fn six(bed: &'static Bed) -> Result<Workload> {
    let web = Workload::install(bed, "eyes", &with_grace(6)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    web.confirm("2/1").await?;
    web.wait_until_settled().await?;

    let changed = |tag: &str| {
        let mut template = web.template(tag, &[]);
        template["spec"]["containers"][0]["env"] = json!([{ "name": "MODE", "value": "new" }]);
        template
    };
    web.set_template(&changed("v2")).await?;
    web.wait_for_gate("3/1").await?;
    web.confirm("3/all").await?;
    web.wait_until_settled().await?;

    web.set_template(&changed("v4")).await?;
    web.wait_for_gate("4/1").await?;
    web.patch(json!({ "spec": { "strategy": { "pause": true } } })).await?;
    web.wait_until("paused", |view: &View| view.state() == "Paused").await?;
    web.patch(json!({ "spec": { "strategy": { "pause": null } } })).await?;
    web.wait_for_gate("4/1").await?;
    web.confirm("4/9").await?;
    let ignored = |_: &View| web.watcher().events().iter().any(|(reason, _)| reason == "ConfirmIgnored");
    web.wait_until("told that the token opens nothing", ignored).await?;
    web.order(json!({ "abort": "4" })).await?;
    web.wait_until("aborted", |view: &View| view.state() == "Aborted").await?;
    web.order(json!({ "rollback": { "abandon": 4, "to": 3 } })).await?;
    let back = |view: &View| view.state() == "Completed" && view.revision() == 3;
    web.wait_until("rolled back", back).await?;
    assert_eq!(web.look().await?.serving_in_all("v2"), 6);
    Ok(web)
}

/// Four pods that somebody holds: the two of the beta group are forced out, and the release stays at its gate.
pub(crate) async fn held(bed: &'static Bed) -> Result<Workload> {
    let mut manifest = with_grace(4);
    let traffic = json!({ "drainTimeoutSeconds": 1, "onDrainTimeout": "Force" });
    merge(&mut manifest, &json!({ "spec": { "traffic": traffic } }));
    let web = Workload::install(bed, "eyes-held", &manifest).await?;
    let lock = Patch::Merge(json!({ "metadata": { "finalizers": ["protect.cafe.dev/balancer"] } }));
    for pod in web.look().await?.identities().keys() {
        web.api(Kind::Pod).patch(pod, &PatchParams::default(), &lock).await?;
    }
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    Ok(web)
}

/// Lets go of the pods of [`held`].
pub(crate) async fn let_go(web: &Workload) -> Result<()> {
    let unlock = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    for pod in web.look().await?.identities().keys() {
        web.api(Kind::Pod).patch(pod, &PatchParams::default(), &unlock).await?;
    }
    Ok(())
}

/// Four pods over two cells of which one has room for one: one place moves.
pub(crate) async fn moved(bed: &'static Bed) -> Result<Workload> {
    let small = Cell::with_room(bed, "Eyes-a", 1).await?;
    let large = Cell::with_room(bed, "Eyes-b", 100).await?;
    let web = Workload::create(bed, "eyes-moved", &Cell::web(4, &[&small, &large])).await?;
    web.wait_until_settled().await?;
    Ok(web)
}
