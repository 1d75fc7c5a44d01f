//! The way to the end, which the messages show.

use anyhow::{Result, bail, ensure};
use cafe_tests::scenario::{Pod, View};
use serde_json::Value;

use super::{Action, Cell, Stand, State};
use crate::restart::uids;

/// More orders than any way to the end takes.
const MOST_ORDERS: usize = 8;

/// Does what the message says until every pod serves the image of the cell and nothing is left to do.
pub(super) async fn bring(stand: &Stand, cell: &Cell) -> Result<()> {
    let web = &stand.web;
    if (cell.state, cell.action) == (State::Complete, Action::Pause) {
        hold_the_next_release(stand).await?;
    }
    for _ in 0..MOST_ORDERS {
        let known =
            |view: &View| view.is_observed() && (is_at_end(stand, cell, view) || advice(view).is_some());
        let view = web.wait_until("at the end, or told what to do", known).await?;
        let Some(order) = advice(&view) else { return Ok(()) };
        let done = web.shell(&order).await?;
        ensure!(done.status.success(), "{order}: {}", String::from_utf8_lossy(&done.stderr));
        let taken = |now: &View| generation(now) > generation(&view) && now.is_observed();
        web.wait_until(&format!("taken up: {order}"), taken).await?;
    }
    bail!("no end in sight\n{}", web.look().await?.dump())
}

/// The pause of what is complete is for the release to come: none of its pods moves.
async fn hold_the_next_release(stand: &Stand) -> Result<()> {
    stand.web.release("next").await?;
    let held = |view: &View| view.is_observed() && view.state() == "Paused" && view.revision() == 3;
    let view = stand.web.wait_until("held", held).await?;
    ensure!(view.serving_in_all("v2") == 4, "a pod has moved in the pause\n{}", view.dump());
    Ok(())
}

fn generation(view: &View) -> i64 {
    view.deployment.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default()
}

/// The first order that the message gives. What has come to an end rests, although a retry may be offered.
fn advice(view: &View) -> Option<String> {
    if view.state() == "Completed" {
        return None;
    }
    let message = view.message();
    let mut lines = message.match_indices("kubectl -n ").filter_map(|(at, _)| message.get(at..));
    command(lines.find(|line| line.split(' ').nth(3) == Some("patch"))?)
}

/// The command line up to the end of its quoted patch.
fn command(line: &str) -> Option<String> {
    let open = line.find('\'')?;
    let close = line.get(open + 1..)?.find('\'')?;
    line.get(..open + close + 2).map(str::to_owned)
}

fn is_at_end(stand: &Stand, cell: &Cell, view: &View) -> bool {
    let replicas = if cell.action == Action::Scale { 6 } else { 4 };
    let anew = cell.action != Action::Restart || uids(view).is_disjoint(&uids(&stand.before));
    let rests = view.has("Ready", "True") || view.has("Stalled", "True");
    view.state() == "Completed"
        && rests
        && anew
        && view.reserved() == 0
        && view.pods.len() == replicas
        && view.pods().all(Pod::in_service)
        && view.serving_in_all(cell.end) == replicas
}
