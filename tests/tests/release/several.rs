//! More than one protector on a pod, declared and not.

use std::time::Duration;

use anyhow::Result;
use cafe_tests::scenario::{Kind, Pod, View, Workload, bed, merge, web};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::balancer::{draining, is_held};
use crate::cells;

/// How long something that must not happen is given to happen.
const WINDOW: Duration = Duration::from_millis(400);

/// One of several protectors: it leaves the entries of the others.
struct Protector<'a> {
    web: &'a Workload,
    lock: String,
}

impl<'a> Protector<'a> {
    fn new(web: &'a Workload, name: &str) -> Self {
        Self { web, lock: format!("protect.cafe.dev/{name}") }
    }

    async fn lock(&self, pod: &str) -> Result<()> {
        self.metadata(pod, json!({ "finalizers": [self.lock] })).await
    }

    async fn unlock(&self, pod: &str) -> Result<()> {
        self.metadata(pod, json!({ "$deleteFromPrimitiveList/finalizers": [self.lock] })).await
    }

    async fn say(&self, pod: &str, status: &str, reason: &str) -> Result<()> {
        self.condition(pod, json!({ "type": self.lock, "status": status, "reason": reason })).await
    }

    async fn take_back(&self, pod: &str) -> Result<()> {
        self.condition(pod, json!({ "type": self.lock, "$patch": "delete" })).await
    }

    async fn metadata(&self, pod: &str, metadata: Value) -> Result<()> {
        let patch = Patch::Strategic(json!({ "metadata": metadata }));
        self.web.api(Kind::Pod).patch(pod, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    async fn condition(&self, pod: &str, condition: Value) -> Result<()> {
        let patch = Patch::Strategic(json!({ "status": { "conditions": [condition] } }));
        self.web.api(Kind::Pod).patch_status(pod, &PatchParams::default(), &patch).await?;
        Ok(())
    }
}

/// Two pods, one at a time, with these protectors declared.
fn manifest(declared: &[&str]) -> Value {
    let mut manifest = web(2);
    let spec = json!({ "strategy": { "maxUnavailable": 1 }, "traffic": { "protectors": declared } });
    merge(&mut manifest, &json!({ "spec": spec }));
    manifest
}

async fn next_drain(web: &Workload) -> Result<(String, String)> {
    let view = web.wait_until("draining", |view| draining(view).is_some()).await?;
    Ok(draining(&view).unwrap())
}

/// The pod serves with the new image, whatever its protectors say.
fn is_updated(view: &View, pod: &str) -> bool {
    view.pod(pod).is_some_and(|pod| pod.in_service() && pod.containers()[0].runs.ends_with(":v2"))
}

#[tokio::test]
async fn every_protector_on_a_pod_is_waited_for_whether_it_is_declared_or_not() -> Result<()> {
    let web = Workload::install(bed().await?, "several", &manifest(&[])).await?;
    let (balancer, dns) = (Protector::new(&web, "balancer"), Protector::new(&web, "dns"));
    for pod in web.look().await?.identities().keys() {
        balancer.lock(pod).await?;
        dns.lock(pod).await?;
    }
    web.release("v2").await?;
    for first_is_dns in [true, false] {
        let (first, last) = if first_is_dns { (&dns, &balancer) } else { (&balancer, &dns) };
        let (pod, reason) = next_drain(&web).await?;
        let held = |view: &View| is_held(view, &pod, &reason);
        web.stays("both are missing", WINDOW, held).await?;
        first.say(&pod, "False", &reason).await?;
        web.stays("one is missing", WINDOW, held).await?;
        last.unlock(&pod).await?;
        web.wait_until("updated", |view| is_updated(view, &pod)).await?;
    }
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(1, 1));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_taken_back_counts_no_more() -> Result<()> {
    let web = Workload::install(bed().await?, "taken-back", &manifest(&[])).await?;
    let (balancer, dns) = (Protector::new(&web, "balancer"), Protector::new(&web, "dns"));
    for pod in web.look().await?.identities().keys() {
        balancer.lock(pod).await?;
        dns.lock(pod).await?;
    }
    web.release("v2").await?;
    let (pod, reason) = next_drain(&web).await?;
    let held = |view: &View| is_held(view, &pod, &reason);
    for again in ["taken away", "True", "another drain"] {
        balancer.say(&pod, "False", &reason).await?;
        match again {
            "taken away" => balancer.take_back(&pod).await?,
            "True" => balancer.say(&pod, "True", "Registered").await?,
            _ => balancer.say(&pod, "False", "Drain_00000000").await?,
        }
        // Now everybody else has answered.
        dns.say(&pod, "False", &reason).await?;
        web.stays(&format!("the answer is {again}"), WINDOW, held).await?;
        dns.take_back(&pod).await?;
    }
    balancer.say(&pod, "False", &reason).await?;
    dns.say(&pod, "False", &reason).await?;
    web.wait_until("updated", |view| is_updated(view, &pod)).await?;
    let (pod, _) = next_drain(&web).await?;
    balancer.unlock(&pod).await?;
    dns.unlock(&pod).await?;
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(1, 1));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_return_waits_for_every_declared_protector_and_for_no_other() -> Result<()> {
    let web = Workload::create(bed().await?, "declared", &manifest(&["balancer", "mesh"])).await?;
    let (balancer, mesh) = (Protector::new(&web, "balancer"), Protector::new(&web, "mesh"));
    let dns = Protector::new(&web, "dns");
    let view =
        web.wait_until("serving", |view| view.pods.len() == 2 && view.pods().all(Pod::in_service)).await?;
    for pod in view.identities().keys() {
        for protector in [&balancer, &mesh, &dns] {
            protector.lock(pod).await?;
        }
    }
    web.wait_until_settled().await?;
    web.release("v2").await?;
    let (pod, reason) = next_drain(&web).await?;
    balancer.say(&pod, "False", &reason).await?;
    mesh.unlock(&pod).await?;
    dns.unlock(&pod).await?;
    web.wait_until("updated", |view| is_updated(view, &pod)).await?;
    // The other pod keeps its turn until both declared ones have this pod back: finalizer, and no condition or True.
    let waits = |view: &View| view.pods().all(|pod| pod.drain().is_none()) && is_updated(view, &pod);
    web.stays("balancer still says False, mesh has no finalizer", WINDOW, waits).await?;
    balancer.say(&pod, "True", "Registered").await?;
    web.stays("mesh has no finalizer", WINDOW, waits).await?;
    mesh.say(&pod, "False", "Registering").await?;
    mesh.lock(&pod).await?;
    web.stays("mesh says that it is not ready yet", WINDOW, waits).await?;
    mesh.say(&pod, "True", "Registered").await?;
    // Nobody waits for dns, which is not declared.
    let (other, _) = next_drain(&web).await?;
    assert_ne!(other, pod);
    for protector in [&balancer, &mesh, &dns] {
        protector.unlock(&other).await?;
    }
    web.wait_until("updated", |view| is_updated(view, &other)).await?;
    balancer.lock(&other).await?;
    mesh.lock(&other).await?;
    assert_eq!(web.wait_until_settled().await?.serving("v2"), cells(1, 1));
    web.finish().await?;
    Ok(())
}
