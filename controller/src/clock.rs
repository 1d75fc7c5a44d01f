//! The only place that reads the clocks for decisions.

use std::time::Instant;

use cafe_crds::time::Seconds;
use cafe_planner::time::{Millis, Now};

/// The clocks of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    /// Starts the monotonic clock. It begins at one hour, so that "an hour ago" can be told.
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// The present moment, on both clocks.
    #[allow(clippy::disallowed_methods, reason = "snapshots get their time here")]
    pub(crate) fn now(&self) -> Now {
        let mono = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now {
            wall: Seconds(jiff::Timestamp::now().as_second()),
            mono: Millis(mono.saturating_add(3_600_000)),
        }
    }

    /// The instant of a monotonic reading.
    pub(crate) fn instant(&self, at: Millis) -> Instant {
        self.started + std::time::Duration::from_millis(at.0.saturating_sub(3_600_000))
    }
}
