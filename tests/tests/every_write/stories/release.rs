//! A release of four pods over two units: a beta group, a gate, one pod, a gate, one pod.

use anyhow::{Result, ensure};
use cafe_tests::scenario::Workload;
use serde_json::Value;

use super::one_by_one;
use crate::story::{End, Story};

pub(crate) struct Release;

impl Story for Release {
    const NAME: &'static str = "release";

    fn manifest() -> Value {
        one_by_one(4)
    }

    async fn play(web: &Workload) -> Result<()> {
        web.release("v2").await?;
        for (gate, updated) in [("2/1", 2), ("2/2", 3)] {
            let view = web.wait_for_gate(gate).await?;
            let serving = view.serving_in_all("v2");
            ensure!(serving == updated, "{serving} pods serve v2 at gate {gate}, not {updated}");
            web.confirm(gate).await?;
        }
        web.wait_until_settled().await?;
        Ok(())
    }

    fn check(end: &End) -> Result<()> {
        end.serves("v2", 4, 4)?;
        end.has_revisions(&[1, 2])?;
        end.same_pods(1)
    }
}
