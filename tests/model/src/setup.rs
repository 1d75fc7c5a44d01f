//! What is searched: how many pods, which faults, which rules.

use crate::state::Faults;

/// A rule of the design that the surroundings of the planner keep. The shipped controller keeps them all; the model can take
/// each away, to see that it is needed and that the search would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Rule {
    /// Nothing is decided about an object before the cache holds our last write to it.
    R1,
    /// A write applies to exactly the resource version it was decided on; else to anything with the same values.
    R2,
    /// Reservations are a compare-and-swap on the set; else they are a note in the memory of the process.
    R3,
    /// Nothing is released, and no pod taken out, before a write of this process to it has been acknowledged.
    R4,
    /// Of R4: no pod is taken out before a write of this process to the set has been acknowledged.
    SetFence,
    /// A drain is proved by a live read of the EndpointSlices; else by those in the cache.
    R5,
    /// The grace is as long as the EndpointSlice controller may lag.
    Settle,
    /// An abort tells the set how many pods stay where they are, and pauses it; else the set hears nothing of it.
    Freeze,
}

/// What the caches of the process that takes over hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TakeOver {
    /// Complete lists: a process that has just started.
    Fresh,
    /// Also what a replica that stood by has been brought so far, each object by its own watch.
    Stale,
}

/// One search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Setup {
    /// Pods of the set.
    pub pods: usize,
    /// `maxUnavailable`.
    pub budget: i32,
    /// What may happen, and how often.
    pub faults: Faults,
    /// The EndpointSlice controller sees pods late.
    pub slices_lag: bool,
    /// What a new process knows.
    pub take_over: TakeOver,
    /// The rules taken away.
    pub without: &'static [Rule],
}

impl Setup {
    /// So many pods, this budget and these faults; all rules kept, nothing more lags than caches.
    #[must_use]
    pub const fn new(pods: usize, budget: i32, faults: Faults) -> Self {
        Self { pods, budget, faults, slices_lag: false, take_over: TakeOver::Fresh, without: &[] }
    }

    /// With releases that are aborted and rolled back by an order, so often.
    #[must_use]
    pub const fn with_orders(self, aborts: u8, rollbacks: u8) -> Self {
        Self { faults: Faults { aborts, rollbacks, ..self.faults }, ..self }
    }

    /// With an EndpointSlice controller whose own cache lags.
    #[must_use]
    pub const fn with_lagging_slices(self) -> Self {
        Self { slices_lag: true, ..self }
    }

    /// With a replica that stands by, whose watches lag one by one.
    #[must_use]
    pub const fn with_standby(self) -> Self {
        Self { take_over: TakeOver::Stale, ..self }
    }

    /// Without some rules.
    #[must_use]
    pub const fn without(self, without: &'static [Rule]) -> Self {
        Self { without, ..self }
    }

    /// Whether a rule is kept.
    #[must_use]
    pub fn keeps(&self, rule: Rule) -> bool {
        !self.without.contains(&rule)
    }
}
