//! What people do to give each order, and what must have come of it besides what [`super::table`] says.

use anyhow::{Result, ensure};
use cafe_tests::scenario::View;
use serde_json::json;

use super::{Action, Cell, Stand, State, release};
use crate::restart::{restart, uids};

/// Gives the order.
pub(super) async fn give(stand: &Stand, action: Action) -> Result<()> {
    let (web, template) = (&stand.web, stand.template);
    let order = |order| web.patch(json!({ "spec": { "release": order } }));
    let pause = |pause: bool| web.patch(json!({ "spec": { "strategy": { "pause": pause } } }));
    match action {
        // There is no gate after the last group.
        Action::Confirm if stand.state == State::Complete => web.confirm("2/2").await,
        Action::Confirm => web.confirm(&format!("{template}/1")).await,
        Action::Pause => pause(true).await,
        Action::Resume => pause(false).await,
        Action::Abort => order(json!({ "abort": stand.before.revision().to_string() })).await,
        Action::Rollback if stand.state == State::RollingBack => {
            order(json!({ "rollback": { "abandon": template, "to": 2 } })).await
        }
        Action::Rollback => order(json!({ "rollback": { "abandon": template, "to": 1 } })).await,
        Action::Retry => order(json!({ "retry": template.to_string() })).await,
        Action::NewTemplate => web.release("next").await,
        Action::Scale => web.scale(6).await,
        Action::Restart => restart(web).await,
    }
}

/// Looks at what has come of the order when the workload stands where the table says.
pub(super) async fn look(stand: &Stand, cell: &Cell, view: &View) -> Result<()> {
    let own_state = view.state() == stand.before.state();
    match cell.action {
        Action::Confirm | Action::Resume | Action::Abort | Action::Retry if own_state => {
            unchanged(stand, view)
        }
        Action::Pause => paused(stand, view),
        Action::Scale => grown(stand).await,
        Action::Restart if stand.state != State::Complete => {
            ensure!(uids(view) == uids(&stand.before), "a pod was replaced before the release had ended");
            unchanged(stand, view)
        }
        Action::NewTemplate if stand.state == State::Paused => untouched_by_next(view),
        _ => Ok(()),
    }
}

/// The order has changed nothing about the release.
fn unchanged(stand: &Stand, view: &View) -> Result<()> {
    let (before, now) = (release(&stand.before), release(view));
    ensure!(before == now, "the release was {before:#} and is {now:#}");
    Ok(())
}

/// Only a rollback is not held. Where nothing moved before, the release is as it was; a gate keeps the time since when it waits.
fn paused(stand: &Stand, view: &View) -> Result<()> {
    let held = if stand.state == State::RollingBack { "False" } else { "True" };
    ensure!(view.has("Paused", held), "Paused is not {held}\n{}", view.dump());
    if view.state() == stand.before.state() {
        return unchanged(stand, view);
    }
    let since = |view: &View| release(view).get("waitingSince").cloned();
    ensure!(since(view) == since(&stand.before), "the gate has begun to wait anew");
    Ok(())
}

/// New pods have the revision that they belong to before the next gate: the old one while there is a gate.
async fn grown(stand: &Stand) -> Result<()> {
    let born = if stand.state == State::Complete { "v2" } else { "v1" };
    let old = uids(&stand.before);
    let wants = |view: &View| {
        let new = view.pods().filter(|pod| !old.contains(pod.uid()) && pod.in_service());
        new.filter(|pod| pod.containers()[0].wants.ends_with(&format!(":{born}"))).count()
    };
    stand.web.wait_until("two new pods serve", |view| wants(view) == 2).await?;
    let view = stand.web.look().await?;
    ensure!(old.is_subset(&uids(&view)) && view.pods.len() == 6, "{}", view.dump());
    Ok(())
}

fn untouched_by_next(view: &View) -> Result<()> {
    let touched = view.pods().any(|pod| pod.containers()[0].wants.ends_with(":next"));
    ensure!(!touched, "a pod has moved in the pause\n{}", view.dump());
    Ok(())
}
