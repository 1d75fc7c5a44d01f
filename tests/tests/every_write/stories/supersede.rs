//! A release that takes the place of another one at its first gate. The way there is the story of the release.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use cafe_tests::scenario::Workload;
use serde_json::Value;

use super::one_by_one;
use crate::story::{End, Story};

pub(crate) struct Supersede;

impl Story for Supersede {
    const NAME: &'static str = "supersede";

    fn manifest() -> Value {
        one_by_one(3)
    }

    async fn prepare(web: &Workload) -> Result<()> {
        web.release("v2").await?;
        web.wait_for_gate("2/1").await?;
        Ok(())
    }

    async fn play(web: &Workload) -> Result<()> {
        web.release("v3").await?;
        let view = web.wait_for_gate("3/1").await?;
        let (new, old) = (view.serving_in_all("v3"), view.serving_in_all("v2"));
        ensure!((new, old) == (2, 0), "{new} pods serve v3 and {old} v2 at gate 3/1");
        web.confirm("3/1").await?;
        web.wait_until_settled().await?;
        Ok(())
    }

    /// The beta pods of the first release are those of the second: they move twice, the third pod once.
    fn check(end: &End) -> Result<()> {
        end.serves("v3", 3, 3)?;
        end.has_revisions(&[1, 2, 3])?;
        ensure!(end.view.identities() == end.before, "other pods than before: {:?}", end.before);
        let mut moves: BTreeMap<usize, usize> = BTreeMap::new();
        for pod in end.view.pods() {
            let (_, updates) = end.moves(pod);
            end.pod_was_updated(pod, updates, updates)?;
            *moves.entry(updates).or_default() += 1;
        }
        ensure!(moves == BTreeMap::from([(1, 1), (2, 2)]), "pods by updates: {moves:?}");
        Ok(())
    }
}
