//! The steps that are timed, in the same order for every subject.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cafe_tests::bed::control_plane::APISERVER;
use cafe_tests::bed::{Bed, usage};
use cafe_tests::scenario::image;
use jiff::Timestamp;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::calibration::Calibration;
use super::pods::{Count, Pods};
use super::report::Figures;
use super::restart::Restart;
use super::subject::{NAME, Shape, Subject};

/// How long any one step may take.
const PATIENCE: Duration = Duration::from_secs(1800);
const IDLE: Duration = Duration::from_secs(60);
/// Nobody releases again in the same breath: for so long after a pod has become ready, Services may not have heard of it yet, and it is
/// left alone.
const PAUSE: Duration = Duration::from_secs(3);
/// The fewest writes that an update in place takes per pod, whoever sends them: three of the subject's, four of the kubelet's (not ready,
/// stopped, started, ready), and the pod's share of Endpoints and EndpointSlices.
const WRITES_PER_POD: f64 = 7.4;
/// Those of them that come before its container is started again: taken out, not ready, swapped, stopped.
const WRITES_BEFORE_RESTART: f64 = 4.0;
/// Seconds that the calls of one wave take one after the other, whatever its size.
const HOPS: f64 = 0.05;
/// Milliseconds that a container takes to start where waiting is what is measured.
const RESTART: u32 = 1000;

/// One subject on one bed.
pub(crate) struct Course<'a> {
    pub(crate) bed: &'a Bed,
    pub(crate) subject: &'a Subject,
    pub(crate) pods: usize,
    pub(crate) repeats: usize,
}

/// A workload that runs.
pub(crate) struct Work<'a> {
    bed: &'a Bed,
    subject: &'a Subject,
    shape: Shape,
    api: Api<DynamicObject>,
    pub(crate) namespace: String,
    pods: Pods,
    /// The number of the image that is wanted.
    wanted: usize,
    /// The highest number there has been.
    newest: usize,
}

/// What one release took.
pub(crate) struct Released {
    wall: f64,
    cpu: f64,
    apiserver: f64,
    /// The share of the machine's processors that was in use, by whomever.
    busy: f64,
    /// The most pods that were out of service at once.
    out: usize,
}

impl Course<'_> {
    /// As fast as it goes, then in groups with containers that take their time.
    pub(crate) async fn play(&self, speed: &Calibration) -> Result<Figures> {
        let mut figures = Figures::default();
        let fast = Shape { pods: self.pods, budget: 100, groups: 1, restart: 0, spread: 0 };
        let mut work = self.create(fast, &mut figures).await?;
        // The first release after a start pays for connections and warm caches.
        work.release().await?;
        for _ in 0..self.repeats {
            let released = work.release().await?;
            figures.released(&released, self.pods);
            figures.add("eta_write_bound", floor(&fast, speed) / released.wall);
        }
        self.idle(&mut figures).await?;
        work.remove().await?;

        let slow = Shape { pods: self.pods, budget: 25, groups: 5, restart: RESTART, spread: 0 };
        let mut work = self.create(slow, &mut Figures::default()).await?;
        for _ in 0..self.repeats {
            let released = work.release().await?;
            figures.add("groups_wall_s", released.wall);
            figures.add("eta_drain_bound", floor(&slow, speed) / released.wall);
            figures.add("most_out_of_service", released.out as f64);
        }
        figures.add("rollback_s", work.roll_back_halfway().await?);
        if matches!(self.subject, Subject::Cafe) {
            let restart = work.kill_halfway().await?;
            figures.add("restart_to_synced_s", restart.synced);
            figures.add("restart_to_first_write_s", restart.written);
        }
        figures.add("scale_out_s", work.scale_out().await?);
        figures.add("peak_rss_mib", usage::peak_rss_mib(self.pid()?)?);
        if let Subject::CloneSet(peer, _) = self.subject {
            figures.program = Some(peer.hash.clone());
        }
        Ok(figures)
    }

    /// What grows with the number of pods.
    pub(crate) async fn play_large(&self) -> Result<Figures> {
        let mut figures = Figures::default();
        let shape = Shape { pods: self.pods, budget: 25, groups: 1, restart: 0, spread: 0 };
        let mut work = self.create(shape, &mut figures).await?;
        for _ in 0..self.repeats {
            let released = work.release().await?;
            figures.released(&released, self.pods);
        }
        self.idle(&mut figures).await?;
        figures.add("peak_rss_mib", usage::peak_rss_mib(self.pid()?)?);
        Ok(figures)
    }

    pub(crate) async fn create(&self, shape: Shape, figures: &mut Figures) -> Result<Work<'_>> {
        let cpu = usage::cpu_seconds(self.pid()?)?;
        let began = Instant::now();
        let work = Work::create(self.bed, self.subject, shape).await?;
        figures.add("create_s", began.elapsed().as_secs_f64());
        figures.add("create_cpu_s", usage::cpu_seconds(self.pid()?)? - cpu);
        println!("  {} pods serve after {:.1} s", shape.pods, began.elapsed().as_secs_f64());
        Ok(work)
    }

    async fn idle(&self, figures: &mut Figures) -> Result<()> {
        let pid = self.pid()?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let cpu = usage::cpu_seconds(pid)?;
        tokio::time::sleep(IDLE).await;
        figures.add("idle_mcpu", (usage::cpu_seconds(pid)? - cpu) / IDLE.as_secs_f64() * 1000.0);
        figures.add("idle_rss_mib", usage::rss_mib(pid)?);
        Ok(())
    }

    fn pid(&self) -> Result<u32> {
        pid(self.bed, self.subject.process())
    }
}

fn pid(bed: &Bed, process: &str) -> Result<u32> {
    bed.pid(process).with_context(|| format!("{process} does not run"))
}

/// The least time that a release can take at this speed of the API server: per wave either the requests of its pods, or those before the
/// last pod's restart and the restart.
fn floor(shape: &Shape, speed: &Calibration) -> f64 {
    let waves = shape.groups.max(100_usize.div_ceil(shape.budget)) as f64;
    let wave = shape.pods as f64 / waves;
    let written = wave * WRITES_PER_POD / speed.writes_per_s;
    let restarted = wave * WRITES_BEFORE_RESTART / speed.writes_per_s + f64::from(shape.restart) / 1000.0;
    waves * (HOPS + written.max(restarted))
}

impl<'a> Work<'a> {
    /// Creates it in a namespace of its own, with a Service, and waits until every pod serves.
    pub(crate) async fn create(bed: &'a Bed, subject: &'a Subject, shape: Shape) -> Result<Self> {
        let namespace = bed.namespace(NAME).await?;
        let client = bed.client().await?;
        let services: Api<DynamicObject> = Api::namespaced_with(
            client.clone(),
            &namespace,
            &kube::core::ApiResource::erase::<k8s_openapi::api::core::v1::Service>(&()),
        );
        let service = json!({
            "metadata": { "name": NAME },
            "spec": { "selector": { "app": NAME }, "ports": [{ "port": 80, "targetPort": 8080 }] },
        });
        services.create(&PostParams::default(), &serde_json::from_value(service)?).await?;
        let api = Api::namespaced_with(client, &namespace, &subject.resource());
        let pods = Pods::watch(bed, &namespace).await?;
        let object = serde_json::from_value(subject.manifest(&shape))?;
        api.create(&PostParams::default(), &object).await?;
        let work = Self { bed, subject, shape, api, namespace, pods, wanted: 1, newest: 1 };
        work.until_all("in service", shape.pods).await?;
        Ok(work)
    }

    async fn until_all(&self, what: &str, pods: usize) -> Result<Instant> {
        let image = self.image();
        self.pods.until(what, PATIENCE, |count| count.ready(&image) == pods && count.all == pods).await
    }

    fn image(&self) -> String {
        image(&format!("v{}", self.wanted))
    }

    async fn patch(&self, patch: Value) -> Result<()> {
        self.api
            .patch(NAME, &PatchParams::default(), &Patch::Json::<()>(serde_json::from_value(patch)?))
            .await?;
        Ok(())
    }

    async fn set_image(&self) -> Result<()> {
        let path = "/spec/template/spec/containers/0/image";
        self.patch(json!([{ "op": "replace", "path": path, "value": self.image() }])).await
    }

    /// Releases the next image to every pod.
    pub(crate) async fn release(&mut self) -> Result<Released> {
        tokio::time::sleep(PAUSE).await;
        let (process, apiserver) = (pid(self.bed, self.subject.process())?, pid(self.bed, APISERVER)?);
        let (cpu, server) = (usage::cpu_seconds(process)?, usage::cpu_seconds(apiserver)?);
        let machine = usage::machine()?;
        let began = Instant::now();
        self.begin_next().await?;
        let done = self.until_all("updated", self.shape.pods).await?;
        let out = self.out_of_service()?;
        let released = Released {
            wall: (done - began).as_secs_f64(),
            cpu: usage::cpu_seconds(process)? - cpu,
            apiserver: usage::cpu_seconds(apiserver)? - server,
            busy: usage::machine()?.busy_since(machine),
            out,
        };
        println!("  released in {:.2} s, at most {out} pods out of service", released.wall);
        Ok(released)
    }

    /// No speed is bought with the budget.
    fn out_of_service(&self) -> Result<usize> {
        let out = self.shape.pods.saturating_sub(self.pods.now().least_ready);
        let budget = self.shape.budget();
        let is_ours = matches!(self.subject, Subject::Cafe);
        ensure!(!is_ours || out <= budget, "{out} pods were out of service, and {budget} may be");
        Ok(out)
    }

    /// Asks for an image that no pod has had.
    async fn begin_next(&mut self) -> Result<()> {
        self.newest += 1;
        self.wanted = self.newest;
        self.pods.mark();
        self.set_image().await
    }

    async fn until_a_third_is_updated(&mut self) -> Result<()> {
        self.begin_next().await?;
        let (image, third) = (self.image(), self.shape.pods / 3);
        self.pods.until("a third updated", PATIENCE, |count: &Count| count.of(&image) >= third).await?;
        Ok(())
    }

    /// Takes a release back when a third of the pods has it. Seconds until the last pod is back.
    async fn roll_back_halfway(&mut self) -> Result<f64> {
        let before = self.wanted;
        self.until_a_third_is_updated().await?;
        self.wanted = before;
        let began = Instant::now();
        self.set_image().await?;
        let done = self.until_all("rolled back", self.shape.pods).await?;
        self.out_of_service()?;
        Ok((done - began).as_secs_f64())
    }

    /// Kills the controller when a third of the pods is updated, and starts it again.
    #[allow(clippy::disallowed_methods, reason = "what the controller logs is compared with it")]
    async fn kill_halfway(&mut self) -> Result<Restart> {
        self.until_a_third_is_updated().await?;
        self.bed.kill_controller()?;
        let log = self.bed.log("controller");
        let (before, began) = (std::fs::metadata(&log)?.len(), Timestamp::now());
        self.bed.start_controller().await?;
        self.until_all("updated after the restart", self.shape.pods).await?;
        self.out_of_service()?;
        Restart::read(&log, before, began)
    }

    /// Half as many pods more. Seconds until they serve.
    async fn scale_out(&mut self) -> Result<f64> {
        let pods = self.shape.pods + self.shape.pods / 2;
        let began = Instant::now();
        self.patch(json!([{ "op": "replace", "path": "/spec/replicas", "value": pods }])).await?;
        let done = self.until_all("scaled out", pods).await?;
        self.shape.pods = pods;
        Ok((done - began).as_secs_f64())
    }

    /// Deletes it, and waits until no pod is left.
    pub(crate) async fn remove(self) -> Result<()> {
        self.api.delete(NAME, &kube::api::DeleteParams::background()).await?;
        self.pods.until("gone", PATIENCE, |count| count.all == 0).await?;
        Ok(())
    }
}

impl Figures {
    fn released(&mut self, released: &Released, pods: usize) {
        let per_1000 = 1000.0 / pods as f64;
        self.add("wall_s", released.wall);
        self.add("pods_per_s", pods as f64 / released.wall);
        self.add("controller_cpu_s_per_1000", released.cpu * per_1000);
        self.add("apiserver_cpu_s_per_1000", released.apiserver * per_1000);
        self.add("machine_busy", released.busy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_what_the_slower_of_writes_and_restarts_allows() {
        let speed = Calibration { writes_per_s: 330.0, latency_ms_p50: 4.0 };
        let fast = Shape { pods: 200, budget: 100, groups: 1, restart: 0, spread: 0 };
        assert!((floor(&fast, &speed) - (0.05 + 200.0 * 7.4 / 330.0)).abs() < 1e-9);
        let slow = Shape { pods: 50, budget: 25, groups: 5, restart: 1000, spread: 0 };
        assert!((floor(&slow, &speed) - 5.0 * (0.05 + 1.0 + 40.0 / 330.0)).abs() < 1e-9);
    }
}
