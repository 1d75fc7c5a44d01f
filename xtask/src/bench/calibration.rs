//! What the API server can do on this machine right now: every time is read against it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cafe_tests::bed::Bed;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde::Serialize;
use serde_json::json;

const PODS: usize = 200;
/// Enough to keep every core of the control plane busy.
const IN_FLIGHT: usize = 64;
const ALONE: usize = 200;
/// How long its pods may take to run, and how often they are looked at meanwhile.
const START: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(250);
const BURST: Duration = Duration::from_secs(5);
/// Bursts before the first that counts, at most, and by how much each has to be better than the last to be followed by another.
const WARM_UPS: usize = 6;
const STEADY: f64 = 0.05;

/// The speed of the API server.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Calibration {
    /// Patches of `pods/status` of running pods per second with 64 on their way.
    pub(crate) writes_per_s: f64,
    /// Median of one such patch with nothing else on its way, in milliseconds.
    pub(crate) latency_ms_p50: f64,
}

impl Calibration {
    /// The mean of two.
    pub(crate) fn between(before: &Self, after: &Self) -> Self {
        Self {
            writes_per_s: f64::midpoint(before.writes_per_s, after.writes_per_s),
            latency_ms_p50: f64::midpoint(before.latency_ms_p50, after.latency_ms_p50),
        }
    }

    /// By how much of itself the rate has changed.
    pub(crate) fn drift(&self, after: &Self) -> f64 {
        (after.writes_per_s - self.writes_per_s).abs() / self.writes_per_s
    }
}

/// Pods that run, like those of a release: whoever watches these is told of every write, and nobody has anything to do for it.
pub(crate) struct Fixture {
    api: Api<Pod>,
}

impl Fixture {
    pub(crate) async fn create(bed: &Bed) -> Result<Self> {
        let namespace = bed.namespace("calibration").await?;
        let api = Api::namespaced(bed.client().await?, &namespace);
        let create = |number: usize| {
            let api = &api;
            async move {
                let pod = serde_json::from_value(json!({
                    "metadata": { "name": format!("idle-{number:03}") },
                    "spec": { "containers": [{ "name": "idle", "image": "example.org/idle:1" }] },
                }))?;
                api.create(&PostParams::default(), &pod).await?;
                anyhow::Ok(())
            }
        };
        stream::iter(0..PODS).map(create).buffer_unordered(IN_FLIGHT).try_collect::<()>().await?;
        let fixture = Self { api };
        tokio::time::timeout(START, fixture.run())
            .await
            .context("the pods of the calibration do not run")??;
        fixture.warm_up().await?;
        Ok(fixture)
    }

    async fn run(&self) -> Result<()> {
        let is_ready = |pod: &Pod| {
            let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
            conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
        };
        while !self.api.list(&ListParams::default()).await?.items.iter().all(is_ready) {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// An API server that has just started is slower than it will be: its memory grows to what it needs.
    async fn warm_up(&self) -> Result<()> {
        let mut best = 0.0;
        for _ in 0..WARM_UPS {
            let rate = self.burst().await?;
            if rate < best * (1.0 + STEADY) {
                break;
            }
            best = rate;
        }
        Ok(())
    }

    pub(crate) async fn calibrate(&self) -> Result<Calibration> {
        let mut alone = Vec::with_capacity(ALONE);
        for number in 0..ALONE {
            let began = Instant::now();
            self.write(number).await?;
            alone.push(began.elapsed());
        }
        alone.sort_unstable();
        let median = alone.get(ALONE / 2).context("nothing was measured")?;
        let calibration =
            Calibration { writes_per_s: self.burst().await?, latency_ms_p50: median.as_secs_f64() * 1000.0 };
        println!(
            "  the API server takes {:.0} writes/s; one alone takes {:.1} ms",
            calibration.writes_per_s, calibration.latency_ms_p50
        );
        Ok(calibration)
    }

    /// Writes per second with as many on their way as are useful.
    async fn burst(&self) -> Result<f64> {
        let began = Instant::now();
        let writes = stream::iter(ALONE..)
            .take_while(|_| std::future::ready(began.elapsed() < BURST))
            .map(|number| self.write(number))
            .buffer_unordered(IN_FLIGHT)
            .try_fold(0_u32, |count, ()| std::future::ready(Ok(count + 1)))
            .await?;
        Ok(f64::from(writes) / began.elapsed().as_secs_f64())
    }

    /// A write that changes something, like those of a release: a condition of one pod.
    async fn write(&self, number: usize) -> Result<()> {
        let condition =
            json!({ "type": "cafe.dev/calibration", "status": "True", "message": number.to_string() });
        let patch = Patch::Strategic(json!({ "status": { "conditions": [condition] } }));
        let name = format!("idle-{:03}", number % PODS);
        self.api.patch_status(&name, &PatchParams::default(), &patch).await?;
        Ok(())
    }
}
