//! What has happened to a workload, and whether it was right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::PoisonError;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::Workload;
use crate::scenario::invariants::{self, Verdict};
use crate::scenario::object::{Pod, list, number, text};
use crate::scenario::view::View;
use crate::scenario::watcher::{Kind, version};
use crate::scenario::writes;

/// Lines of the controller's log in a dump.
const LOG_LINES: usize = 60;

impl Workload {
    /// Ends a release of ten pods over two cells whose controller died in group 2, and replays everything: each pod is the one it was,
    /// was drained once and started again once, and no more than two were out.
    ///
    /// # Errors
    /// When one of these is not so, or a rule was broken.
    pub async fn finish_from_group_two(&self, before: &BTreeMap<String, (String, String)>) -> Result<()> {
        let view = self.wait_for_gate("2/2").await?;
        let served = view.serving("v2");
        ensure!(served.values().eq(&[3, 3]), "after group 2 not three pods of each cell serve: {served:?}");
        self.confirm("2/all").await?;
        let view = self.wait_until_settled().await?;
        ensure!(view.identities() == *before, "pods were replaced: {:?}, not {before:?}", view.identities());
        ensure!(view.pods().all(|pod| pod.restarts() == 1), "not each pod was started again once");
        let verdict = self.finish().await?;
        ensure!(verdict.most_out <= 2, "{} pods were out", verdict.most_out);
        let drains: usize = verdict.drains.values().sum();
        ensure!(drains == 10, "{drains} drains of 10 pods: {:?}", verdict.drains);
        Ok(())
    }

    /// Replays everything that was seen.
    ///
    /// # Errors
    /// When a rule was broken, with what was seen of the pod or object that broke it.
    pub async fn finish(&self) -> Result<Verdict> {
        let there = self.look().await?;
        let kinds = [(Kind::Set, &there.sets), (Kind::Pod, &there.pods), (Kind::Slice, &there.slices)];
        let seen = |_: &View| {
            kinds.iter().all(|(kind, objects)| {
                objects.iter().all(|object| {
                    let seen = self.watcher.version_of(*kind, text(object, "/metadata/name"));
                    seen.is_some_and(|seen| seen >= version(object))
                })
            })
        };
        self.wait_until("seen by the watches", seen).await?;
        let sent = writes::read(self.bed, &mut self.log.clone(), &self.namespace).await?;
        let verdict = invariants::check(&self.watcher.history(), &sent, &self.killed(), &self.bereft());
        ensure!(
            verdict.violations.is_empty(),
            "rules were broken:\n{}\n{}\n{}",
            verdict.violations.join("\n"),
            self.story(),
            self.dump()
        );
        Ok(verdict)
    }

    fn killed(&self) -> BTreeSet<String> {
        self.killed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn bereft(&self) -> BTreeSet<String> {
        self.bereft.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What happened, in order: what to read when a rule was broken.
    #[must_use]
    pub fn story(&self) -> String {
        let mut lines = String::new();
        let mut last: BTreeMap<(Kind, String), String> = BTreeMap::new();
        for seen in self.watcher.history() {
            let now = match seen.kind {
                Kind::Pod => Pod(&seen.object).line(),
                Kind::Set => set_line(&seen.object),
                Kind::Deployment => deployment_line(&seen.object),
                Kind::Revision | Kind::Slice | Kind::Event | Kind::Node => continue,
            };
            let before = last.insert((seen.kind, seen.name.clone()), now.clone());
            if seen.gone || before.as_ref() != Some(&now) {
                let gone = if seen.gone { "gone " } else { "" };
                let _ = writeln!(lines, "{} {gone}{now}", seen.version);
            }
        }
        lines
    }

    pub(super) fn dump(&self) -> String {
        let log = std::fs::read_to_string(self.bed.log("controller")).unwrap_or_default();
        let needle = format!("\"{}\"", self.namespace);
        let mut lines: Vec<&str> =
            log.lines().rev().filter(|line| line.contains(&needle)).take(LOG_LINES).collect();
        lines.reverse();
        let events: Vec<String> =
            self.watcher.events().iter().map(|(reason, note)| format!("{reason}: {note}")).collect();
        format!(
            "namespace {}\n{}events:\n{}\ncontroller:\n{}",
            self.namespace,
            self.watcher.view().dump(),
            events.join("\n"),
            lines.join("\n")
        )
    }
}

fn set_line(set: &Value) -> String {
    let entry = |entry: &Value| format!("{}>{}", text(entry, "/podUID"), text(entry, "/to"));
    format!(
        "set {} replicas {} grant {} partition {} reserved {:?}",
        text(set, "/metadata/name"),
        number(set, "/spec/replicas"),
        number(set, "/spec/updateStrategy/maxUnavailable"),
        number(set, "/spec/updateStrategy/partition"),
        list(set, "/status/inFlight").map(entry).collect::<Vec<_>>(),
    )
}

fn deployment_line(deployment: &Value) -> String {
    format!(
        "deployment replicas {} revision {} {} group {} quota {}",
        number(deployment, "/spec/replicas"),
        number(deployment, "/status/release/revision"),
        text(deployment, "/status/release/state"),
        number(deployment, "/status/release/group"),
        deployment.pointer("/status/release/quota").unwrap_or(&Value::Null),
    )
}
