//! A rollback while a pod of the second group is out of traffic. The way there is the story of the release.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use cafe_tests::scenario::{View, Workload};
use serde_json::Value;

use super::one_by_one;
use crate::story::{End, Story};

pub(crate) struct Rollback;

impl Story for Rollback {
    const NAME: &'static str = "rollback";

    fn manifest() -> Value {
        one_by_one(4)
    }

    async fn prepare(web: &Workload) -> Result<()> {
        web.release("v2").await?;
        web.wait_for_gate("2/1").await?;
        web.confirm("2/1").await?;
        let inside = |view: &View| view.group() == 2 && view.pods().any(|pod| pod.drain().is_some());
        web.wait_until("inside group 2", inside).await?;
        Ok(())
    }

    async fn play(web: &Workload) -> Result<()> {
        web.roll_back().await?;
        web.wait_until_settled().await?;
        Ok(())
    }

    /// The two beta pods went there and back, in one drain each way. The third was on its way: it was updated and back
    /// again in one drain or in two, or its drain was called off before its container was touched.
    fn check(end: &End) -> Result<()> {
        end.serves("v1", 4, 4)?;
        end.has_revisions(&[2, 3])?;
        ensure!(end.view.identities() == end.before, "other pods than before: {:?}", end.before);
        let mut moves: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for pod in end.view.pods() {
            let (drains, updates) = end.moves(pod);
            if (drains, updates) == (1, 2) {
                // A change of mind may reach the kubelet before it has stopped the old container.
                ensure!(pod.restarts() <= 2, "{} was started again {} times", pod.name(), pod.restarts());
            } else {
                end.pod_was_updated(pod, drains, updates)?;
            }
            *moves.entry((drains, updates)).or_default() += 1;
        }
        let third = [(1, 0), (1, 2), (2, 2)];
        let fits = third.iter().any(|way| {
            let mut expected = BTreeMap::from([((0, 0), 1), ((2, 2), 2)]);
            *expected.entry(*way).or_default() += 1;
            moves == expected
        });
        ensure!(fits, "pods by (drains, updates): {moves:?}");
        Ok(())
    }
}
