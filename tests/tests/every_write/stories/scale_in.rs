//! From four pods to two.

use anyhow::{Result, ensure};
use cafe_tests::scenario::Workload;
use serde_json::Value;

use super::one_by_one;
use crate::story::{End, Story};

pub(crate) struct ScaleIn;

impl Story for ScaleIn {
    const NAME: &'static str = "scale-in";

    fn manifest() -> Value {
        one_by_one(4)
    }

    async fn play(web: &Workload) -> Result<()> {
        web.scale(2).await?;
        web.wait_until("smaller", |view| view.is_settled() && view.pods.len() == 2).await?;
        Ok(())
    }

    fn check(end: &End) -> Result<()> {
        end.serves("v1", 2, 4)?;
        end.has_revisions(&[1])?;
        let drains: Vec<usize> = end.verdict.drains.values().copied().collect();
        ensure!(drains == [1, 1], "two pods are drained once each: {:?}", end.verdict.drains);
        for (name, identity) in end.view.identities() {
            ensure!(end.before.get(&name) == Some(&identity), "{name} is not the pod it was");
            ensure!(!end.verdict.drains.contains_key(&name), "{name} was drained and stayed");
        }
        ensure!(end.view.pods().all(|pod| pod.restarts() == 0), "a container was started again");
        Ok(())
    }
}
