//! A pod is deleted and comes back to its volume; another is scaled away with its own.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cafe_tests::scenario::{Pod, Workload, merge};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};

use super::one_by_one;
use crate::ground::ground;
use crate::story::{End, Story};

pub(crate) struct Volumes;

/// Volumes of all cases; each case brings as many as it uses.
const CLASS: &str = "every-write";
const PODS: i32 = 2;
const POLL: Duration = Duration::from_millis(50);

/// uids of the claims, by name.
async fn claims(web: &Workload) -> Result<BTreeMap<String, String>> {
    let api: Api<PersistentVolumeClaim> =
        Api::namespaced(ground().await?.bed.client().await?, web.namespace());
    let all = api.list(&ListParams::default()).await?.items.into_iter();
    all.map(|claim| Ok((claim.metadata.name.context("a name")?, claim.metadata.uid.context("a uid")?)))
        .collect()
}

fn of_unit(view: &cafe_tests::scenario::View, unit: &str) -> Option<(String, String)> {
    view.pods()
        .find(|pod| pod.unit() == unit && !pod.is_terminating())
        .map(|pod| (pod.name().to_owned(), pod.uid().to_owned()))
}

impl Story for Volumes {
    const NAME: &'static str = "volumes";

    fn manifest() -> Value {
        let mut manifest = one_by_one(PODS);
        let claim = json!({
            "metadata": { "name": "data" },
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": CLASS,
                "resources": { "requests": { "storage": "1Mi" } },
            },
        });
        let policy = json!({ "whenDeleted": "Delete", "whenScaled": "Delete" });
        merge(
            &mut manifest,
            &json!({ "spec": { "volumeClaimTemplates": [claim], "persistentVolumeClaimRetentionPolicy": policy } }),
        );
        manifest
    }

    async fn found(web: &Workload) -> Result<()> {
        let api: Api<PersistentVolume> = Api::all(ground().await?.bed.client().await?);
        for number in 0..PODS {
            let name = format!("{}-{number}", web.namespace());
            let volume = json!({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name },
                "spec": {
                    "capacity": { "storage": "1Mi" }, "accessModes": ["ReadWriteOnce"], "storageClassName": CLASS,
                    "persistentVolumeReclaimPolicy": "Retain", "hostPath": { "path": format!("/var/{name}") },
                },
            });
            api.create(&PostParams::default(), &serde_json::from_value(volume)?).await?;
        }
        Ok(())
    }

    async fn play(web: &Workload) -> Result<()> {
        let before = claims(web).await?;
        ensure!(before.len() == 2, "{before:?}");
        let (name, uid) = of_unit(&web.look().await?, "CellA").context("a pod in CellA")?;
        web.delete_pod(&name).await?;
        let back = |view: &cafe_tests::scenario::View| {
            let now = of_unit(view, "CellA");
            view.is_settled() && view.pods.len() == 2 && now.is_some_and(|now| now.0 == name && now.1 != uid)
        };
        web.wait_until("back in its place", back).await?;
        ensure!(claims(web).await? == before, "{:?} was {before:?}", claims(web).await?);
        web.scale(1).await?;
        web.wait_until("smaller", |view| view.is_settled() && view.pods.len() == 1).await?;
        let place = format!("data-{name}");
        loop {
            let now = claims(web).await?;
            ensure!(now.get(&place) == before.get(&place), "{now:?} was {before:?}");
            if now.len() == 1 {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn check(end: &End) -> Result<()> {
        end.serves("v1", 1, 3)?;
        end.has_revisions(&[1])?;
        let drains: Vec<usize> = end.verdict.drains.values().copied().collect();
        ensure!(drains == [1], "the pod that was scaled away is drained once: {:?}", end.verdict.drains);
        let kept = end.view.pods().map(Pod::name).all(|name| end.before.contains_key(name));
        ensure!(kept, "a pod that comes back has the name, and so the volume, that it had");
        Ok(())
    }
}
