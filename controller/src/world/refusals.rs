//! What the API server has refused lately: it alone is left alone for a while, and everything else of its owner goes on.

use std::collections::HashMap;

use cafe_planner::{identity::Uid, time::Millis};

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Refused {
    /// Pods and claims to be created: one refusal most often means all of them.
    Births,
    /// CafeReleases.
    Records,
    /// Live reads of EndpointSlices.
    Proofs,
    /// A write to this object.
    Object(Uid),
}

#[derive(Debug)]
struct Refusal {
    until: Millis,
    /// In a row.
    times: u32,
}

/// What is left alone for an owner, and until when.
#[derive(Debug, Default)]
pub(crate) struct Refusals(HashMap<Refused, Refusal>);

impl Refusals {
    /// Until when it is left alone, if it is.
    pub(crate) fn until(&self, what: Refused, now: Millis) -> Option<Millis> {
        self.0.get(&what).map(|refusal| refusal.until).filter(|until| *until > now)
    }

    /// When the first of them may be tried again.
    pub(crate) fn next(&self, now: Millis) -> Option<Millis> {
        self.0.values().map(|refusal| refusal.until).filter(|until| *until > now).min()
    }

    /// It was refused: leaves it alone for `pause` milliseconds, which grow with the refusals before this one.
    pub(crate) fn add(&mut self, what: Refused, now: Millis, pause: impl Fn(u32) -> u64) {
        // Of what was given up, or is gone, nothing is to be remembered for long.
        self.0.retain(|other, refusal| *other == what || refusal.until.0.saturating_add(FORGOTTEN) > now.0);
        let times = self.0.get(&what).map_or(0, |refusal| refusal.times);
        let until = Millis(now.0.saturating_add(pause(times)));
        self.0.insert(what, Refusal { until, times: times.saturating_add(1) });
    }

    /// It has succeeded: the next refusal is the first one again.
    pub(crate) fn succeeded(&mut self, what: Refused) {
        if let Some(refusal) = self.0.get_mut(&what) {
            refusal.times = 0;
        }
    }

    /// What was refused may be what has just been mended.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Milliseconds after its pause for which a refusal is remembered.
const FORGOTTEN: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_rests_for_longer_each_time_until_it_succeeds() {
        let (this, other) = (Refused::Object(Uid(1)), Refused::Object(Uid(2)));
        let mut refusals = Refusals::default();
        let pause = |times: u32| 100 << times;
        refusals.add(this, Millis(0), pause);
        assert_eq!(
            (refusals.until(this, Millis(99)), refusals.until(this, Millis(100))),
            (Some(Millis(100)), None)
        );
        assert_eq!(refusals.until(other, Millis(0)), None);
        refusals.add(this, Millis(100), pause);
        assert_eq!(refusals.next(Millis(100)), Some(Millis(300)));
        refusals.succeeded(this);
        refusals.add(this, Millis(300), pause);
        assert_eq!(refusals.next(Millis(300)), Some(Millis(400)));
    }

    #[test]
    fn what_was_refused_long_ago_is_forgotten() {
        let mut refusals = Refusals::default();
        refusals.add(Refused::Object(Uid(1)), Millis(0), |_| 100);
        refusals.add(Refused::Births, Millis(100 + FORGOTTEN), |_| 100);
        assert_eq!(refusals.0.len(), 1);
    }
}
