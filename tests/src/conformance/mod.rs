//! The conformance test for protectors: plays pods through every state and watches what a protector does about it.
//!
//! The protector is a child process with the documented rights. The test plays the controller and the kubelet itself, so
//! it knows each of its own writes; every other version of a pod is the protector's work and is judged by `rules.rs`.
//!
//! - `subject.rs`: what is tested
//! - `stage.rs`: a namespace, its pods, and waiting for them
//! - `actor.rs`: one pod, played; `app.rs`: what answers at its address; `load.rs`: requests through the balancer
//! - `table.rs`: what the balancer routes to, seen from outside
//! - `rules.rs`: what no version of a pod may show
//! - `checks/`: the state table of docs/protectors.md, one check after the other

mod actor;
mod app;
mod checks;
mod load;
mod pod;
mod rules;
mod stage;
mod subject;
mod table;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::future::BoxFuture;

pub use subject::Subject;

use crate::bed::Bed;
use stage::Stage;

/// One thing that a protector must do or must not do.
pub struct Check {
    /// Its name, for `--only`.
    pub name: &'static str,
    /// What is true of a good protector.
    pub claim: &'static str,
    /// Where to look when it is not.
    pub fix: &'static str,
    /// Whether it sends requests through the balancer ([`Subject::front`]).
    pub needs_front: bool,
    run: for<'a> fn(&'a mut Stage) -> BoxFuture<'a, Result<()>>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What came of one check.
#[derive(Debug)]
pub struct Verdict {
    /// The check.
    pub check: &'static Check,
    /// What was seen instead; nothing when the check has passed.
    pub failure: Option<String>,
    /// Figures of a check that has passed.
    pub note: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// All checks, in the order in which they run.
#[must_use]
pub fn checks() -> &'static [Check] {
    &checks::CHECKS
}

/// Runs the checks named in `only`, or all of them, and calls `tell` after each. Says whether all have passed. Checks that
/// send requests are left out when the subject has no front.
///
/// # Errors
/// When the test itself cannot go on: the bed does not answer, a name is unknown, the protector cannot be started.
pub async fn run(
    bed: &Bed,
    subject: Subject,
    only: &[String],
    mut tell: impl FnMut(&Verdict),
) -> Result<bool> {
    for name in only {
        if !checks().iter().any(|check| check.name == name) {
            let names: Vec<&str> = checks().iter().map(|check| check.name).collect();
            bail!("there is no check {name}: choose from {}", names.join(", "));
        }
    }
    let mut stage = Stage::set(bed, subject).await?;
    let mut all = true;
    let has_front = stage.subject.front.is_some();
    let chosen = |check: &&Check| match only {
        [] => has_front || !check.needs_front,
        only => only.iter().any(|name| name == check.name),
    };
    for check in checks().iter().filter(chosen) {
        let start = Instant::now();
        stage.begin()?;
        let outcome = (check.run)(&mut stage).await;
        let breaches = stage.end().await?;
        let failure = judge(outcome, &breaches);
        all &= failure.is_none();
        tell(&Verdict { check, failure, note: stage.take_note(), took: start.elapsed() });
    }
    Ok(all)
}

/// What a check has missed, and what its pods have shown that must never be.
fn judge(outcome: Result<()>, breaches: &[String]) -> Option<String> {
    let missed = outcome.err().map(|error| format!("{error:#}"));
    let said: Vec<String> = missed.into_iter().chain(breaches.iter().cloned()).collect();
    (!said.is_empty()).then(|| said.join("\n"))
}
