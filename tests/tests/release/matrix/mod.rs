//! Every order in every state of a release: 7 states, 9 orders, 63 cells.
//!
//! [`table`] says what must come of each. A cell brings a workload of its own into the state ([`reach`]), gives the order
//! ([`order`]), looks at what has come of it, and then does what the message says until everything is at its end ([`end`]): no
//! combination hangs. At every step of the way the conditions must be those of the state ([`conditions`]), and `Ready` must be
//! true when it says so ([`ready`]).

mod conditions;
mod end;
mod order;
mod reach;
mod ready;
mod table;

use anyhow::{Context, Result, bail, ensure};
use cafe_tests::scenario::{View, Workload};
use serde_json::Value;

use crate::balancer::Balancer;

/// Where a release may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Revision 2 has completed.
    Complete,
    /// The beta group of revision 2 is on its way: a load balancer holds its pods in their drain.
    Executing,
    /// Revision 2 waits at gate 2/1.
    Waiting,
    /// Revision 2 was paused at gate 2/1.
    Paused,
    /// Revision 3 is left for revision 1 by an order: a load balancer holds its pods in their drain.
    RollingBack,
    /// Revision 2 was aborted at gate 2/1.
    Aborted,
    /// The beta group of revision 2 has an image that cannot be pulled, and its time is over.
    Failed,
}

/// What people may order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// `spec.release.confirm` for the gate after the group in hand.
    Confirm,
    /// `spec.strategy.pause: true`.
    Pause,
    /// `spec.strategy.pause: false`.
    Resume,
    /// `spec.release.abort` of the release in hand.
    Abort,
    /// `spec.release.rollback`.
    Rollback,
    /// `spec.release.retry` of the template's revision.
    Retry,
    /// Another image, with the tag `next`.
    NewTemplate,
    /// From 4 to 6 pods.
    Scale,
    /// `spec.restartAt`.
    Restart,
}

/// What comes of an order in a state.
struct Cell {
    state: State,
    action: Action,
    /// `status.release.state` that it comes to by itself; what is held by the load balancer is still held.
    then: &'static str,
    /// What `status.message` says there.
    says: &'static str,
    /// An event that is told of the order; empty when the message is enough.
    told: &'static str,
    /// The image that every pod runs when all is done that the messages ask for.
    end: &'static str,
}

/// A workload in a state.
struct Stand {
    web: Workload,
    state: State,
    /// The number of the template's revision.
    template: i64,
    /// What there was before the order.
    before: View,
}

impl Stand {
    fn is_locked(&self) -> bool {
        matches!(self.state, State::Executing | State::RollingBack)
    }

    /// How often an event was told.
    fn told(&self, reason: &str) -> usize {
        self.web.watcher().events().iter().filter(|(told, _)| told == reason).count()
    }

    fn ignored(&self) -> usize {
        self.told("ConfirmIgnored") + self.told("OrderIgnored")
    }
}

/// `status.release` without its clock.
fn release(view: &View) -> Value {
    let mut release = view.deployment.pointer("/status/release").cloned().unwrap_or_default();
    release.as_object_mut().map(|release| release.remove("progress"));
    release
}

/// All nine orders in one state, side by side.
async fn every_order(state: State) -> Result<()> {
    let cells = table::CELLS.iter().filter(|cell| cell.state == state);
    let played = cells.map(|cell| async move {
        play(cell).await.with_context(|| format!("{:?} while {:?}", cell.action, cell.state))
    });
    let played = futures::future::join_all(played).await;
    ensure!(played.len() == 9, "{} cells for {state:?}", played.len());
    let failed: Vec<String> =
        played.into_iter().filter_map(Result::err).map(|error| format!("{error:?}")).collect();
    if !failed.is_empty() {
        bail!("{} of 9 cells:\n{}", failed.len(), failed.join("\n\n"));
    }
    Ok(())
}

async fn play(cell: &Cell) -> Result<()> {
    let stand = reach::reach(cell).await?;
    conditions::expect(&stand.before, stand.state)?;
    let (told, ignored) = (stand.told(cell.told), stand.ignored());
    order::give(&stand, cell.action).await?;
    let there =
        |view: &View| view.is_observed() && view.state() == cell.then && view.message().contains(cell.says);
    let view = stand.web.wait_until(&format!("{}: {}", cell.then, cell.says), there).await?;
    if !cell.told.is_empty() {
        stand.web.wait_until(cell.told, |_| stand.told(cell.told) > told).await?;
    }
    let expected = ignored + usize::from(cell.told.ends_with("Ignored"));
    ensure!(stand.ignored() == expected, "orders that were ignored: {:#?}", stand.web.watcher().events());
    order::look(&stand, cell, &view).await?;
    if stand.is_locked() {
        Balancer(&stand.web).unlock_all().await?;
    }
    end::bring(&stand, cell).await?;
    conditions::held_throughout(&stand.web)?;
    ready::never_early(&stand.web)?;
    stand.web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn after_a_release_has_completed_every_order_does_what_it_should() -> Result<()> {
    every_order(State::Complete).await
}

#[tokio::test]
async fn while_a_group_is_on_its_way_every_order_does_what_it_should() -> Result<()> {
    every_order(State::Executing).await
}

#[tokio::test]
async fn at_a_gate_every_order_does_what_it_should() -> Result<()> {
    every_order(State::Waiting).await
}

#[tokio::test]
async fn in_a_pause_every_order_does_what_it_should() -> Result<()> {
    every_order(State::Paused).await
}

#[tokio::test]
async fn on_the_way_back_every_order_does_what_it_should() -> Result<()> {
    every_order(State::RollingBack).await
}

#[tokio::test]
async fn after_an_abort_every_order_does_what_it_should() -> Result<()> {
    every_order(State::Aborted).await
}

#[tokio::test]
async fn after_a_group_has_failed_every_order_does_what_it_should() -> Result<()> {
    every_order(State::Failed).await
}
