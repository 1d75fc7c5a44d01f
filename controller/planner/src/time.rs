//! Time as the planners see it: two readings of one moment, both fields of the snapshot.

use cafe_crds::time::Seconds;

/// Milliseconds on a monotonic clock of this process; never persisted, so that a clock jump cannot shorten a wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    /// This moment plus `seconds` (negative counts as zero).
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)))
    }
}

/// The moment a snapshot was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Now {
    /// Wall clock, for comparison with times that API objects carry (whole seconds).
    pub wall: Seconds,
    /// Monotonic clock, for waits that this process has watched from their beginning.
    pub mono: Millis,
}

/// The earliest of the wake-ups a plan asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Wake(pub Option<Millis>);

impl Wake {
    /// Also wake at `at`.
    pub fn at(&mut self, at: Millis) {
        self.0 = Some(self.0.map_or(at, |earlier| earlier.min(at)));
    }

    /// Also wake when the wall clock has reached `when`, reckoned from `now`.
    pub fn at_wall(&mut self, now: Now, when: Seconds) {
        self.at(now.mono.plus_seconds(when.0.saturating_sub(now.wall.0).max(1)));
    }
}
