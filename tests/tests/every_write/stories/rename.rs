//! At a gate one unit goes and another comes: what a new name is.

use anyhow::{Result, ensure};
use cafe_tests::scenario::{Pod, View, Workload};
use serde_json::{Value, json};

use super::one_by_one;
use crate::story::{End, Story};

pub(crate) struct Rename;

/// The updated pod of the unit that stays has passed the gate, and nobody else.
fn has_moved(view: &View) -> bool {
    let in_unit = |unit| view.pods().filter(|pod| pod.unit() == unit && pod.in_service()).count();
    view.waits_at("2/1")
        && view.sets.len() == 2
        && view.pods.len() == 4
        && (in_unit("CellA"), in_unit("CellC")) == (2, 2)
}

impl Story for Rename {
    const NAME: &'static str = "rename";
    const SETS: usize = 3;

    fn manifest() -> Value {
        one_by_one(4)
    }

    async fn prepare(web: &Workload) -> Result<()> {
        web.release("v2").await?;
        web.wait_for_gate("2/1").await?;
        Ok(())
    }

    async fn play(web: &Workload) -> Result<()> {
        web.patch(json!({ "spec": { "topology": { "values": ["CellA", "CellC"] } } })).await?;
        let view = web.wait_until("in its new unit", has_moved).await?;
        ensure!(view.serving("v2") == [("CellA", 1)].into(), "past the gate: {:?}", view.serving("v2"));
        web.confirm("2/all").await?;
        web.wait_until_settled().await?;
        Ok(())
    }

    fn check(end: &End) -> Result<()> {
        end.serves("v2", 4, 6)?;
        end.has_revisions(&[1, 2])?;
        for pod in end.view.pods() {
            end.pod_was_updated(pod, 1, 1)?;
        }
        let stayed = end.view.pods().map(Pod::name).filter(|name| end.before.contains_key(*name)).count();
        ensure!(stayed == 2, "{stayed} pods of the unit that stays are the ones they were");
        // Of the unit that went, one pod had been updated; both were taken out before they went.
        let gone = end.verdict.drains.iter().filter(|(name, _)| end.view.pod(name).is_none());
        let mut drains: Vec<usize> = gone.map(|(_, drains)| *drains).collect();
        drains.sort_unstable();
        ensure!(drains == [1, 2], "drains of pods that went: {drains:?}");
        Ok(())
    }
}
