//! How an application leaves Cafe: the commands of docs/operations.md.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cafe_tests::bed::Bed;
use cafe_tests::scenario::{View, Workload, bed, image, web};
use serde_json::{Value, json};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The template without anything of Cafe's.
fn plain(kind: &str, tag: &str) -> Value {
    let labels = json!({ "app": "web" });
    json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": "web", "labels": labels },
        "spec": {
            "replicas": 4,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "app", "image": image(tag) }] },
            },
        },
    })
}

async fn kubectl(web: &Workload, args: &[&str]) -> Result<()> {
    let output = web.kubectl(args).await?;
    ensure!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

async fn apply(bed: &Bed, web: &Workload, object: &Value) -> Result<()> {
    let file = bed.dir().join(format!("{}.json", web.namespace()));
    std::fs::write(&file, object.to_string())?;
    kubectl(web, &["apply", "-f", &file.display().to_string()]).await
}

/// Looks until `holds`: the watches wait for an object that is gone.
async fn until(web: &Workload, what: &str, holds: impl Fn(&View) -> bool) -> Result<View> {
    let end = Instant::now() + PATIENCE;
    loop {
        let view = web.look().await?;
        if holds(&view) {
            return Ok(view);
        }
        ensure!(Instant::now() < end, "not {what} after {PATIENCE:?}:\n{}", view.dump());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn uids(view: &View) -> BTreeSet<String> {
    view.pods().map(|pod| pod.uid().to_owned()).collect()
}

/// Whether every pod belongs to a ReplicaSet and serves.
fn is_taken_over(view: &View) -> bool {
    let owner = |pod: &Value| pod.pointer("/metadata/ownerReferences/0/kind").cloned().unwrap_or_default();
    view.pods.len() == 4 && view.pods().all(|pod| owner(pod.0) == "ReplicaSet" && pod.is_ready())
}

#[tokio::test]
async fn an_application_leaves_cafe_for_a_deployment_and_no_pod_notices() -> Result<()> {
    let bed = bed().await?;
    let web = Workload::install(bed, "leave", &web(4)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    web.confirm("2/all").await?;
    let before = uids(&web.wait_until_settled().await?);

    kubectl(&web, &["delete", "cafedeployment", "web", "--cascade=orphan"]).await?;
    kubectl(&web, &["delete", "inplaceset", "-l", "app=web", "--cascade=orphan"]).await?;
    apply(bed, &web, &plain("ReplicaSet", "v2")).await?;
    until(&web, "owned by the ReplicaSet", is_taken_over).await?;
    apply(bed, &web, &plain("Deployment", "v2")).await?;
    kubectl(&web, &["rollout", "status", "deployment/web", "--timeout=2m"]).await?;
    let view = web.look().await?;
    ensure!(is_taken_over(&view) && uids(&view) == before, "pods were replaced:\n{}", view.dump());
    ensure!(view.pods().all(|pod| pod.restarts() == 1), "a pod was started again:\n{}", view.dump());

    kubectl(&web, &["delete", "controllerrevision", "-l", "app=web"]).await?;
    kubectl(&web, &["delete", "caferelease", "-l", "cafe.dev/deployment=web"]).await?;
    ensure!(web.look().await?.revisions.is_empty(), "something of Cafe's is left");

    // From here on it is a Deployment like any other.
    kubectl(&web, &["set", "image", "deployment/web", &format!("app={}", image("v3"))]).await?;
    kubectl(&web, &["rollout", "status", "deployment/web", "--timeout=2m"]).await?;
    let moved = |view: &View| {
        view.pods.len() == 4
            && view.pods().all(|pod| pod.containers()[0].runs.ends_with(":v3"))
            && is_taken_over(view)
    };
    until(&web, "rolled by the Deployment", moved).await?;
    Ok(())
}
