//! What was promised, and whether it held.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use cafe_tests::bed::audit::{Entry, Reader};

use super::narration::{Narrator, Tone};
use super::scene::Scene;

/// The account of the controller, as the API server knows it.
const CONTROLLER: &str = "system:serviceaccount:cafe-system:cafe-controller";
/// Out of traffic, new image, back into traffic.
const WRITES_PER_UPDATE: usize = 3;

/// The promises checked so far.
#[derive(Default)]
pub(super) struct Checks {
    failed: usize,
    verdicts: Vec<(bool, String)>,
}

impl Checks {
    /// Records a promise; one that broke is told at once.
    pub(super) fn record(&mut self, narrator: &Narrator, holds: bool, promise: impl Into<String>) {
        let promise = promise.into();
        if !holds {
            self.failed += 1;
            narrator.line("check", &format!("BROKEN: {promise}"), Tone::Bad);
        }
        self.verdicts.push((holds, promise));
    }

    /// Tells all verdicts. Fails if any promise broke.
    pub(super) fn conclude(&self, narrator: &Narrator) -> Result<()> {
        for (holds, promise) in &self.verdicts {
            narrator.text(&format!("  {}  {promise}", if *holds { "held  " } else { "BROKEN" }));
        }
        if self.failed > 0 {
            bail!(
                "{} of {} promises broke: please report it with the output above",
                self.failed,
                self.verdicts.len()
            );
        }
        Ok(())
    }
}

/// `1+1`: how many pods of each unit moved with this group label.
pub(super) fn moved(scene: &Scene<'_>, group: &str) -> String {
    let mut units: BTreeMap<&str, usize> = BTreeMap::new();
    for step in scene.moves.iter().filter(|step| step.group == group) {
        *units.entry(&step.unit).or_default() += 1;
    }
    units.values().map(ToString::to_string).collect::<Vec<_>>().join("+")
}

/// The controller's writes to pods.
#[derive(Debug, Default)]
pub(super) struct PodWrites {
    /// Accepted ones, by pod.
    accepted: BTreeMap<String, usize>,
    /// Refused because the pod had changed since they were decided on.
    pub(super) outdated: usize,
}

impl PodWrites {
    /// Reads the audit log until it tells of every update seen, or says no more.
    pub(super) async fn read(log: &mut Reader, updates: usize) -> Result<Self> {
        let mut writes = Self::default();
        for _ in 0..50 {
            log.entries()?.iter().for_each(|entry| writes.count(entry));
            if writes.total() >= updates * WRITES_PER_UPDATE {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(writes)
    }

    fn count(&mut self, entry: &Entry) {
        if entry.user != CONTROLLER || !entry.is_write() || entry.stage != "ResponseComplete" {
            return;
        }
        match (entry.resource.as_str(), entry.code) {
            ("pods", 200..=299) => *self.accepted.entry(entry.name.clone()).or_default() += 1,
            ("pods", _) => self.outdated += 1,
            _ => {}
        }
    }

    /// Accepted writes to pods.
    pub(super) fn total(&self) -> usize {
        self.accepted.values().sum()
    }

    /// Pods with another number of writes than three per update.
    pub(super) fn odd_ones(&self, scene: &Scene<'_>) -> Vec<String> {
        let updates = |pod: &str| scene.moves.iter().filter(|step| step.pod == pod).count();
        let writes = |pod: &str| self.accepted.get(pod).copied().unwrap_or(0);
        let mut odd: Vec<String> = scene
            .pods
            .keys()
            .filter(|pod| writes(pod) != updates(pod) * WRITES_PER_UPDATE)
            .map(|pod| format!("{pod}: {} writes for {} updates", writes(pod), updates(pod)))
            .collect();
        odd.extend(self.accepted.keys().filter(|pod| !scene.pods.contains_key(*pod)).cloned());
        odd
    }
}
