//! The way of an event through the controller, without a cluster: a line of a watch goes in, the body of a write comes out. Benchmarks
//! time it; it is the code that the event loop runs.

use cafe_planner::{identity::Uid, set::Action, time::Now};
use kube::{core::WatchEvent, runtime::watcher::Event};
use serde::de::DeserializeOwned;

use crate::{
    apply,
    watch::{Frame, Observed},
    world::{Owner, World, plan::Planned},
};

/// A world that is told of everything by hand.
#[derive(Debug, Default)]
pub struct Workbench {
    world: World,
}

impl Workbench {
    /// Takes in a line of the watch of pods.
    ///
    /// # Errors
    /// It is no event of that watch.
    pub fn pod(&mut self, line: &str) -> serde_json::Result<()> {
        self.take(line, Observed::Pod)
    }

    /// Takes in a line of the watch of EndpointSlices.
    ///
    /// # Errors
    /// It is no event of that watch.
    pub fn slice(&mut self, line: &str) -> serde_json::Result<()> {
        self.take(line, Observed::Slice)
    }

    /// Takes in a line of the watch of InPlaceSets.
    ///
    /// # Errors
    /// It is no event of that watch.
    pub fn set(&mut self, line: &str) -> serde_json::Result<()> {
        self.take(line, Observed::Set)
    }

    /// Takes in a line of the watch of ControllerRevisions.
    ///
    /// # Errors
    /// It is no event of that watch.
    pub fn revision(&mut self, line: &str) -> serde_json::Result<()> {
        self.take(line, Observed::Revision)
    }

    /// A write of the status of an InPlaceSet, and with it of its journal, was acknowledged.
    pub fn wrote_status(&mut self, set: Uid, now: Now) {
        self.world.memory(Owner::Set(set)).status_written = Some(now.mono);
        self.world.fence(set);
    }

    /// Plans every InPlaceSet that something has happened to, once, and answers what each of them asks for.
    pub fn plan(&mut self, now: Now) -> Vec<(Uid, Vec<Action>)> {
        let owners = self.world.take_dirty().into_iter();
        let plans = owners.map(|owner| (owner, self.world.plan(owner, now)));
        let asked = plans.filter_map(|plan| match plan {
            (Owner::Set(uid), Planned::Set(plan)) => Some((uid, plan.actions)),
            _ => None,
        });
        asked.collect()
    }

    /// The body of the write that carries out an action of the InPlaceSet `set`; none if what it needs is not there.
    pub fn body(&self, set: Uid, action: Action, now: Now) -> Option<Vec<u8>> {
        apply::set_call(&self.world, set, action, now).map(|call| call.request.into_body())
    }

    /// As kube's client reads a line, and its watcher passes it on.
    fn take<K: DeserializeOwned>(
        &mut self,
        line: &str,
        observed: fn(Event<K>) -> Observed,
    ) -> serde_json::Result<()> {
        let event: WatchEvent<K> = serde_json::from_str(line)?;
        let event = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => Event::Apply(object),
            WatchEvent::Deleted(object) => Event::Delete(object),
            // Neither brings an object.
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => return Ok(()),
        };
        self.world.fold(Frame { scope: None, event: observed(event) });
        Ok(())
    }
}
