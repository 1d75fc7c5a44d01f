//! First creation: three pods over two units.

use anyhow::{Result, ensure};
use cafe_tests::scenario::{Workload, web};
use serde_json::Value;

use crate::story::{End, Story};

pub(crate) struct Create;

impl Story for Create {
    const NAME: &'static str = "create";
    const FROM_THE_START: bool = true;

    fn manifest() -> Value {
        web(3)
    }

    async fn play(web: &Workload) -> Result<()> {
        let serves = |view: &cafe_tests::scenario::View| view.is_settled() && view.endpoints().len() == 3;
        web.wait_until("created", serves).await?;
        Ok(())
    }

    fn check(end: &End) -> Result<()> {
        end.serves("v1", 3, 3)?;
        end.has_revisions(&[1])?;
        ensure!(end.verdict.drains.is_empty(), "a new pod was drained: {:?}", end.verdict.drains);
        ensure!(end.view.pods().all(|pod| pod.restarts() == 0), "a new container was started again");
        Ok(())
    }
}
