//! A release without gates that makes every pod anew.

use anyhow::{Result, ensure};
use cafe_tests::scenario::{Workload, merge};
use serde_json::{Value, json};

use super::one_by_one;
use crate::story::{End, Story};

pub(crate) struct Recreate;

impl Story for Recreate {
    const NAME: &'static str = "recreate";

    fn manifest() -> Value {
        let mut manifest = one_by_one(3);
        let strategy = json!({ "podUpdatePolicy": "Recreate", "needWaitingForConfirm": false });
        merge(&mut manifest, &json!({ "spec": { "strategy": strategy } }));
        manifest
    }

    async fn play(web: &Workload) -> Result<()> {
        web.release("v2").await?;
        web.wait_until_settled().await?;
        Ok(())
    }

    fn check(end: &End) -> Result<()> {
        end.serves("v2", 3, 6)?;
        end.has_revisions(&[1, 2])?;
        let kept = end.view.pods().find(|pod| end.before.values().any(|(uid, _)| uid == pod.uid()));
        ensure!(kept.is_none(), "{:?} was kept", kept.map(|pod| pod.name().to_owned()));
        ensure!(end.view.pods().all(|pod| pod.restarts() == 0), "a new container was started again");
        let drains = end.verdict.drains.values().sum::<usize>();
        ensure!(drains == 3, "three pods are drained once each: {:?}", end.verdict.drains);
        Ok(())
    }
}
