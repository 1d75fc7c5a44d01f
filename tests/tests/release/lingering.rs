//! An InPlaceSet of a CafeDeployment that somebody deletes by hand in the middle of a release, and somebody's finalizer keeps.

use anyhow::{Context, Result};
use cafe_tests::scenario::{Kind, Pod, View, Workload, bed, merge, web};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::balancer::{Balancer, draining};
use crate::restart::uids;

/// Six pods over two units, of which one may be out, released in a single group.
fn one_at_a_time() -> Value {
    let mut manifest = web(6);
    let strategy = json!({ "upgradeType": "Batch", "batchSize": null, "maxUnavailable": 1 });
    merge(&mut manifest, &json!({ "spec": { "strategy": strategy } }));
    manifest
}

/// A unit's InPlaceSet, deleted while a pod of it is out of traffic, and there as long as it has a finalizer.
struct Kept<'a> {
    web: &'a Workload,
    set: String,
    unit: String,
    /// The pod, and its drain.
    out: (String, String),
}

impl<'a> Kept<'a> {
    /// Begins a release, and deletes the set of the first pod that is drained: a balancer holds it there.
    async fn delete(web: &'a Workload, finalizers: &[&str], how: DeleteParams) -> Result<Self> {
        Balancer(web).lock_all().await?;
        web.release("v2").await?;
        let view = web.wait_until("draining", |view| draining(view).is_some()).await?;
        let out = draining(&view).context("a pod that is drained")?;
        let unit = view.pod(&out.0).context("the pod")?.unit().to_owned();
        let kept = Self { web, set: format!("web-{}", unit.to_lowercase()), unit, out };
        kept.put_finalizers(json!(finalizers)).await?;
        web.api(Kind::Set).delete(&kept.set, &how).await?;
        Ok(kept)
    }

    async fn put_finalizers(&self, finalizers: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "metadata": { "finalizers": finalizers } }));
        self.web.api(Kind::Set).patch(&self.set, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    fn pods<'v>(&self, view: &'v View) -> impl Iterator<Item = Pod<'v>> {
        view.pods().filter(|pod| pod.unit() == self.unit)
    }

    /// It is still there, and has neither a share of the budget nor a reservation.
    fn holds_nothing(&self, view: &View) -> bool {
        let is = |set: &Value| {
            let reserved = set.pointer("/status/inFlight").and_then(Value::as_array).map_or(0, Vec::len);
            let grant = set.pointer("/spec/updateStrategy/maxUnavailable") == Some(&json!(0));
            let heard = set["status"]["observedGeneration"] == set["metadata"]["generation"];
            !set["metadata"]["deletionTimestamp"].is_null() && grant && heard && reserved == 0
        };
        view.set(&self.set).is_some_and(is)
    }

    /// The pods of the other unit are all updated.
    fn other_went_on(&self, view: &View) -> bool {
        let serving = view.serving("v2");
        serving.values().sum::<usize>() == 3 && !serving.contains_key(&*self.unit)
    }

    /// Nobody keeps it any more: it goes, is made again, and the release ends.
    async fn let_go(self) -> Result<View> {
        self.put_finalizers(Value::Null).await?;
        let ended = |view: &View| view.is_settled() && view.serving_in_all("v2") == 6 && view.pods.len() == 6;
        self.web.wait_until("updated everywhere", ended).await
    }
}

#[tokio::test]
async fn a_pod_that_was_drained_serves_again_and_the_other_unit_goes_on_with_the_only_place_of_the_budget()
-> Result<()> {
    let web = Workload::install(bed().await?, "lingering", &one_at_a_time()).await?;
    let kept = Kept::delete(&web, &["example.org/keep"], DeleteParams::background()).await?;
    let back = |view: &View| {
        let serves = |pod: Pod<'_>| pod.in_service() && pod.containers()[0].runs.ends_with(":v1");
        view.pod(&kept.out.0).is_some_and(serves) && kept.holds_nothing(view)
    };
    web.wait_until("back in traffic", back).await?;
    // One pod after the other is held, too, until it is let go.
    let balancer = Balancer(&web);
    while !kept.other_went_on(&web.look().await?) {
        balancer.unlock_all().await?;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let view = web.wait_until("told", |view| view.reason("UnitsHealthy") == "UnitBeingDeleted").await?;
    assert!(kept.holds_nothing(&view), "{}", view.dump());
    assert!(
        kept.pods(&view).all(|pod| pod.restarts() == 0),
        "its other pods are left alone: {}",
        view.dump()
    );
    kept.let_go().await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_set_that_drains_before_it_goes_is_empty_and_out_of_the_way_while_somebody_else_keeps_it()
-> Result<()> {
    let web = Workload::install(bed().await?, "lingering-drain", &one_at_a_time()).await?;
    let finalizers = ["example.org/keep", "cafe.dev/drain"];
    let kept = Kept::delete(&web, &finalizers, DeleteParams::background()).await?;
    let balancer = Balancer(&web);
    let emptied = |view: &View| {
        let left = view.set(&kept.set).and_then(|set| set.pointer("/metadata/finalizers"));
        kept.pods(view).count() == 0 && left == Some(&json!(["example.org/keep"])) && kept.holds_nothing(view)
    };
    while !emptied(&web.look().await?) {
        balancer.unlock_all().await?;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // Nothing more is taken out of an application that has lost half of its pods to its people.
    assert_eq!(web.look().await?.pods().filter(|pod| pod.in_service()).count(), 3);
    kept.let_go().await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_that_is_orphaned_in_its_drain_is_adopted_and_finished_by_the_set_that_is_made_again()
-> Result<()> {
    let web = Workload::install(bed().await?, "lingering-orphan", &one_at_a_time()).await?;
    let before = uids(&web.look().await?);
    let kept = Kept::delete(&web, &["example.org/keep"], DeleteParams::orphan()).await?;
    let orphaned =
        |view: &View| kept.pods(view).all(|pod| pod.0.pointer("/metadata/ownerReferences").is_none());
    web.wait_until("orphaned", orphaned).await?;
    web.wait_until("let go", |view| kept.holds_nothing(view)).await?;
    Balancer(&web).unlock_all().await?;
    let view = kept.let_go().await?;
    assert_eq!(uids(&view), before, "no pod was made anew");
    assert!(view.pods().all(|pod| pod.restarts() == 1), "each was updated once: {}", view.dump());
    web.finish().await?;
    Ok(())
}
