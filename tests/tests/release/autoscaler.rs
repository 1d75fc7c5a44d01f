//! A HorizontalPodAutoscaler, and the real controller behind it, at the scale of both kinds.

use anyhow::{Result, ensure};
use cafe_tests::bed::Bed;
use cafe_tests::bed::metrics_api::{BYTES_PER_POD, MetricsApi};
use cafe_tests::scenario::{Pod, View, Workload, bed, merge, solo, web};
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{cells, web_with_grace};

/// One metrics API for all tests of this bed.
async fn metrics(bed: &Bed) -> Result<&'static MetricsApi> {
    static METRICS: OnceCell<MetricsApi> = OnceCell::const_new();
    METRICS.get_or_try_init(|| MetricsApi::start(bed)).await
}

/// A workload with an autoscaler on it.
struct Scaled {
    web: Workload,
    metrics: &'static MetricsApi,
}

impl Scaled {
    /// Installs `manifest` under as much load as its replicas carry.
    async fn install(prefix: &str, manifest: &Value) -> Result<Self> {
        let bed = bed().await?;
        let metrics = metrics(bed).await?;
        let web = Workload::install(bed, prefix, manifest).await?;
        let scaled = Self { web, metrics };
        scaled.load(manifest["spec"]["replicas"].as_u64().unwrap_or(1));
        scaled.autoscalers().create(&PostParams::default(), &autoscaler(manifest)?).await?;
        Ok(scaled)
    }

    fn autoscalers(&self) -> Api<DynamicObject> {
        self.web.objects(&ApiResource::from_gvk(&GroupVersionKind::gvk(
            "autoscaling",
            "v2",
            "HorizontalPodAutoscaler",
        )))
    }

    fn load(&self, pods: u64) {
        self.metrics.set_load(self.web.namespace(), pods);
    }

    /// Puts it under the load of so many pods and waits until they serve.
    async fn follows(&self, pods: usize, and: impl Fn(&View) -> bool) -> Result<View> {
        self.load(pods as u64);
        let scaled = |view: &View| {
            view.is_observed() && view.pods.len() == pods && view.pods().all(Pod::in_service) && and(view)
        };
        self.web.wait_until(&format!("scaled to {pods}"), scaled).await
    }

    /// Waits until the autoscaler says this of itself.
    async fn says(&self, condition: &str, status: &str, reason: &str) -> Result<()> {
        let told = async {
            loop {
                let now = self.autoscalers().get("web").await?;
                let conditions = now.data.pointer("/status/conditions").and_then(Value::as_array).cloned();
                let is = |c: &Value| c["type"] == condition && c["status"] == status && c["reason"] == reason;
                if conditions.iter().flatten().any(is) {
                    return Ok(());
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(120), told).await?
    }
}

/// As many pods as the load asks for, at once and in both directions.
fn autoscaler(target: &Value) -> Result<DynamicObject> {
    let at_once = json!({
        "stabilizationWindowSeconds": 0,
        "policies": [{ "type": "Pods", "value": 1000, "periodSeconds": 1 }],
    });
    let object = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "web" },
        "spec": {
            "scaleTargetRef": {
                "apiVersion": target["apiVersion"], "kind": target["kind"], "name": target["metadata"]["name"],
            },
            "minReplicas": 1, "maxReplicas": 100,
            "metrics": [{ "type": "Resource", "resource": {
                "name": "memory", "target": { "type": "AverageValue", "averageValue": BYTES_PER_POD.to_string() },
            }}],
            "behavior": { "scaleUp": at_once, "scaleDown": at_once },
        },
    });
    Ok(serde_json::from_value(object)?)
}

#[tokio::test]
async fn an_autoscaler_moves_a_cafe_deployment_to_any_total() -> Result<()> {
    let scaled = Scaled::install("hpa", &web(4)).await?;
    scaled.says("ScalingActive", "True", "ValidMetricFound").await?;
    for (total, a, b) in [(7, 4, 3), (3, 2, 1), (13, 7, 6), (1, 1, 0)] {
        let view = scaled.follows(total, View::is_settled).await?;
        assert_eq!(view.serving("v1"), cells(a, b), "{total}");
    }
    // Whoever scales to nothing has switched the autoscaler off.
    scaled.web.scale(0).await?;
    scaled.says("ScalingActive", "False", "ScalingDisabled").await?;
    scaled.web.wait_until("empty", |view| view.is_settled() && view.pods.is_empty()).await?;
    scaled.load(5);
    scaled.web.scale(2).await?;
    scaled.follows(5, View::is_settled).await?;
    scaled.web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn an_autoscaler_moves_an_in_place_set_that_stands_alone() -> Result<()> {
    let scaled = Scaled::install("hpa-set", &solo(2)).await?;
    for total in [5, 1, 4] {
        scaled.follows(total, View::is_settled).await?;
    }
    // In the middle of an update its partition is kept.
    let strategy = json!({ "spec": { "updateStrategy": { "partition": 3 } } });
    scaled.web.patch(strategy).await?;
    scaled.web.release("v2").await?;
    scaled
        .web
        .wait_until("one is updated", |view| view.is_settled() && view.serving_in_all("v2") == 1)
        .await?;
    let split = |old: usize, new: usize| {
        move |view: &View| (view.serving_in_all("v1"), view.serving_in_all("v2")) == (old, new)
    };
    scaled.follows(6, split(3, 3)).await?;
    scaled.follows(4, split(3, 1)).await?;
    scaled.web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn an_autoscaler_that_scales_in_the_middle_of_a_release_passes_no_gate() -> Result<()> {
    let mut manifest = web_with_grace(10);
    merge(&mut manifest, &json!({ "spec": { "strategy": { "maxUnavailable": 2 } } }));
    let scaled = Scaled::install("hpa-release", &manifest).await?;
    let web = &scaled.web;
    web.release_with("v2", &[("restart", "200ms")]).await?;
    web.wait_for_gate("2/1").await?;
    let at = |token: &'static str| move |view: &View| view.waits_at(token);
    let view = scaled.follows(15, at("2/1")).await?;
    assert_eq!((view.serving("v2"), view.serving_in_all("v1")), (cells(1, 1), 13));
    let view = scaled.follows(7, at("2/1")).await?;
    assert_eq!((view.serving("v2"), view.serving_in_all("v1")), (cells(1, 1), 5));
    // In the middle of a group as well.
    web.confirm("2/1").await?;
    let at_work = |view: &View| view.group() == 2 && view.pods().any(|pod| pod.drain().is_some());
    web.wait_until("in group 2", at_work).await?;
    let view = scaled.follows(11, at("2/2")).await?;
    assert_eq!((view.serving_in_all("v2"), view.serving_in_all("v1")), (6, 5));
    ensure!(view.groups().iter().filter(|(state, _)| state == "Pending").count() == 2, "{:?}", view.groups());
    web.confirm("2/all").await?;
    scaled.follows(9, |view| view.is_settled() && view.serving_in_all("v2") == 9).await?;
    web.finish().await?;
    Ok(())
}
