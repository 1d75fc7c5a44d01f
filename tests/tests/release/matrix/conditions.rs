//! The conditions that go with each state, as kstatus reads them: `Ready` always, and while it is not True exactly one of
//! `Reconciling` (wait) and `Stalled` (people have to do something), with the same reason.

use anyhow::{Context, Result, ensure};
use cafe_tests::scenario::{Kind, View, Workload};
use serde_json::Value;

use super::State;

/// One way in which a state may be.
struct Row {
    /// `status.release.state`.
    state: &'static str,
    /// Status and reason of `Ready`.
    ready: (&'static str, &'static str),
    /// Which of `Reconciling` and `Stalled` is there.
    beside: &'static str,
    /// Status and reason of `Progressing`.
    progressing: (&'static str, &'static str),
}

const fn row(
    state: &'static str,
    ready: (&'static str, &'static str),
    beside: &'static str,
    progressing: (&'static str, &'static str),
) -> Row {
    Row { state, ready, beside, progressing }
}

const DONE: (&str, &str) = ("True", "NewRevisionAvailable");

#[rustfmt::skip]
const ROWS: [Row; 10] = [
    row("Executing",              ("False", "ReleaseProgressing"),       "Reconciling", ("True", "ReleaseProgressing")),
    row("WaitingForConfirmation", ("False", "WaitingForConfirmation"),   "Reconciling", ("Unknown", "WaitingForConfirmation")),
    row("Paused",                 ("False", "Paused"),                   "Reconciling", ("Unknown", "Paused")),
    row("RollingBack",            ("False", "ReleaseProgressing"),       "Reconciling", ("True", "ReleaseProgressing")),
    row("Aborted",                ("False", "ReleaseAborted"),           "Stalled",     ("False", "ReleaseAborted")),
    row("Failed",                 ("False", "ProgressDeadlineExceeded"), "Stalled",     ("False", "ProgressDeadlineExceeded")),
    row("Completed",              ("True",  "AllReplicasReady"),         "",            DONE),
    row("Completed",              ("False", "ReplicasNotReady"),         "Reconciling", DONE),
    row("Completed",              ("False", "Restarting"),               "Reconciling", DONE),
    row("Completed",              ("False", "RolledBack"),               "Stalled",     DONE),
];

/// Checks that a workload which was brought into `state` says so, and that enough of its pods serve.
pub(super) fn expect(view: &View, state: State) -> Result<()> {
    let reason = match state {
        State::Complete => "AllReplicasReady",
        State::Executing | State::RollingBack => "ReleaseProgressing",
        State::Waiting => "WaitingForConfirmation",
        State::Paused => "Paused",
        State::Aborted => "ReleaseAborted",
        State::Failed => "ProgressDeadlineExceeded",
    };
    let ready = condition(&view.deployment, "Ready").context("no condition Ready")?;
    ensure!(text(ready, "reason") == reason, "{state:?}: {ready}");
    ensure!(view.has("Available", "True"), "{state:?}\n{}", view.dump());
    check(&view.deployment)
}

/// Checks every version of the CafeDeployment that anybody could have read.
pub(super) fn held_throughout(web: &Workload) -> Result<()> {
    let history = web.watcher().history();
    let versions = history.iter().filter(|seen| seen.kind == Kind::Deployment && !seen.gone);
    let told = versions.filter(|seen| seen.object.pointer("/status/release").is_some());
    for seen in told {
        check(&seen.object)
            .with_context(|| format!("at version {}: {:#}", seen.version, seen.object["status"]))?;
    }
    Ok(())
}

fn check(deployment: &Value) -> Result<()> {
    let status = &deployment["status"];
    let state = text(&status["release"], "state");
    let is = |kind| condition(deployment, kind).map(|c| (text(c, "status"), text(c, "reason")));
    let ready = is("Ready").context("no condition Ready")?;
    let row = ROWS.iter().find(|row| row.state == state && row.ready == ready);
    let row = row.with_context(|| format!("{state} with Ready {ready:?}"))?;
    for kind in ["Reconciling", "Stalled"] {
        let expected = (row.beside == kind).then_some(("True", row.ready.1));
        ensure!(is(kind) == expected, "{state}: {kind} is {:?}, expected {expected:?}", is(kind));
    }
    ensure!(is("Progressing") == Some(row.progressing), "{state}: Progressing is {:?}", is("Progressing"));
    gate(status, state, is("WaitingForConfirmation"))?;
    available(deployment, is("Available"))?;
    let paused = is("Paused").context("no condition Paused")?.0 == "True";
    ensure!(paused || state != "Paused", "state Paused without the condition");
    for c in status["conditions"].as_array().into_iter().flatten() {
        ensure!(c["observedGeneration"] == status["observedGeneration"], "observedGeneration of {c}");
    }
    Ok(())
}

/// The token is there exactly while the gate waits.
fn gate(status: &Value, state: &str, is: Option<(&str, &str)>) -> Result<()> {
    let waits = state == "WaitingForConfirmation";
    let expected = if waits { ("True", "WaitingForConfirmation") } else { ("False", "NothingToConfirm") };
    ensure!(is == Some(expected), "{state}: WaitingForConfirmation is {is:?}");
    let token = status.pointer("/release/confirmToken");
    ensure!(token.is_some() == waits, "{state} with the token {token:?}");
    Ok(())
}

/// Enough pods serve, whatever the release does: that depends on figures alone.
fn available(deployment: &Value, is: Option<(&str, &str)>) -> Result<()> {
    let number = |pointer| deployment.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    if number("/status/observedGeneration") != number("/metadata/generation") {
        return Ok(());
    }
    let floor = number("/spec/replicas") - number("/spec/strategy/maxUnavailable");
    let expected = if number("/status/availableReplicas") >= floor {
        ("True", "MinimumReplicasAvailable")
    } else {
        ("False", "MinimumReplicasUnavailable")
    };
    ensure!(is == Some(expected), "Available is {is:?}, expected {expected:?}");
    Ok(())
}

fn condition<'a>(deployment: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = deployment.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().find(|c| text(c, "type") == kind)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}
