//! An InPlaceSet is deleted by hand, drains its pod first, and is made again.

use anyhow::{Result, ensure};
use cafe_tests::scenario::{Kind, View, Workload};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::one_by_one;
use crate::story::{End, Story};

pub(crate) struct Drained;

const SET: &str = "web-cella";

impl Story for Drained {
    const NAME: &'static str = "drained";
    const SETS: usize = 3;

    fn manifest() -> Value {
        one_by_one(4)
    }

    async fn prepare(web: &Workload) -> Result<()> {
        // Another size than at first: an InPlaceSet of the same size would be told of in the same words.
        web.scale(2).await?;
        web.wait_until("smaller", |view| view.is_settled() && view.pods.len() == 2).await?;
        let drain = Patch::Merge(json!({ "metadata": { "finalizers": ["cafe.dev/drain"] } }));
        web.api(Kind::Set).patch(SET, &PatchParams::default(), &drain).await?;
        Ok(())
    }

    async fn play(web: &Workload) -> Result<()> {
        let uid = |view: &View| view.set(SET).and_then(|set| set.pointer("/metadata/uid")).cloned();
        let before = uid(&web.look().await?);
        web.api(Kind::Set).delete(SET, &DeleteParams::background()).await?;
        let again = |view: &View| {
            view.is_settled() && view.pods.len() == 2 && view.sets.len() == 2 && uid(view) != before
        };
        web.wait_until("made again", again).await?;
        Ok(())
    }

    fn check(end: &End) -> Result<()> {
        end.serves("v1", 2, 5)?;
        end.has_revisions(&[1])?;
        let drains: Vec<usize> = end.verdict.drains.values().copied().collect();
        ensure!(drains == [1, 1, 1], "three pods are drained once each: {:?}", end.verdict.drains);
        let left: Vec<_> = end.view.pods().filter(|pod| end.before.contains_key(pod.name())).collect();
        ensure!(left.len() == 1, "the pod of the other unit is the one it was");
        ensure!(end.view.pods().all(|pod| pod.restarts() == 0), "a container was started again");
        Ok(())
    }
}
