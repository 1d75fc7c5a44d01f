//! How long an owner rests after a plan, so that one plan serves many frames and answers.

use std::time::{Duration, Instant};

/// A plan that took longer makes its owner rest [`TIMES`] as long, or [`TIMES_WITH_MORE_TO_SEND`].
const LONG_PLAN: Duration = Duration::from_micros(100);

/// Planning takes no more than a hundredth of the thread.
const TIMES: u32 = 100;

/// While plans ask for more than there is room for, the next one sends it: they take up to a tenth of the thread.
const TIMES_WITH_MORE_TO_SEND: u32 = 10;

/// A plan that took longer is not repeated for each of many answers.
const WORTH_SHARING: Duration = Duration::from_micros(20);

/// While writes are on their way the owner rests until one in so many is answered: the API server has work for longer than that.
const ANSWERED: u32 = 4;

/// No rest is longer, whatever the plan took: people wait for what they have asked for.
const LIMIT: Duration = Duration::from_secs(1);

/// How many answers the mean remembers.
const REMEMBERED: u32 = 16;

/// How fast the API server answers while it has work.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The last answer, if others were awaited then.
    last: Option<Instant>,
    /// The mean time between two answers.
    gap: Duration,
}

impl Pace {
    /// A call was answered; so many are on their way yet.
    pub(super) fn answered(&mut self, now: Instant, in_flight: usize) {
        if let Some(last) = self.last {
            let gap = now.saturating_duration_since(last);
            self.gap = (self.gap * (REMEMBERED - 1) + gap) / REMEMBERED;
        }
        self.last = (in_flight > 0).then_some(now);
    }

    /// How long an owner rests after a plan that took so long and had all that it asked for sent or not, while so many writes are on
    /// their way, in milliseconds.
    pub(super) fn rest(&self, took: Duration, in_flight: usize, all_sent: bool) -> u64 {
        let in_flight = u32::try_from(in_flight).unwrap_or(u32::MAX);
        let times = if all_sent { TIMES } else { TIMES_WITH_MORE_TO_SEND };
        let long = if took > LONG_PLAN { took.saturating_mul(times) } else { Duration::ZERO };
        let busy =
            if took > WORTH_SHARING { self.gap.saturating_mul(in_flight) / ANSWERED } else { Duration::ZERO };
        u64::try_from(long.max(busy).min(LIMIT).as_millis()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pace of one answer every `gap` milliseconds.
    fn every(gap: u64) -> Pace {
        let (mut pace, begin) = (Pace::default(), Instant::now());
        for answer in 0..200 {
            pace.answered(begin + Duration::from_millis(answer * gap), 1);
        }
        pace
    }

    fn rest(pace: &Pace, took: u64, in_flight: usize) -> u64 {
        pace.rest(Duration::from_micros(took), in_flight, true)
    }

    #[test]
    fn a_plan_rests_only_when_it_was_long_or_others_have_work_of_it() {
        let pace = every(2);
        assert_eq!(rest(&pace, 15, 64), 0, "a plan that costs nothing");
        assert_eq!(rest(&pace, 60, 0), 0, "nothing is on its way: whatever happens is answered at once");
        assert_eq!(rest(&pace, 2_000, 0), 200, "a hundredth of the thread");
        assert_eq!(rest(&pace, 60, 64), 31, "until a quarter is answered");
    }

    #[test]
    fn no_rest_is_longer_than_people_would_notice() {
        assert_eq!(rest(&every(8), 60, 64), 127, "until a quarter is answered");
        assert_eq!(rest(&every(100), 60, 64), 1_000);
        assert_eq!(rest(&every(100), 1_000_000, 64), 1_000);
        assert_eq!(rest(&every(100), 36_000, 0), 1_000, "a plan that takes long by itself");
    }

    #[test]
    fn a_plan_that_has_more_to_send_is_not_far_from_the_next() {
        let after = |pace: &Pace, took| pace.rest(Duration::from_micros(took), 64, false);
        assert_eq!(after(&every(0), 2_000), 20, "a tenth of the thread");
        assert_eq!(after(&every(2), 400), 31, "until a quarter is answered");
    }

    #[test]
    fn an_api_server_that_answers_at_once_is_not_made_to_wait() {
        assert_eq!(rest(&Pace::default(), 60, 64), 0, "it has not answered yet");
        assert_eq!(rest(&every(0), 60, 64), 0);
        assert_eq!(rest(&every(1), 60, 64), 15);
    }

    #[test]
    fn time_in_which_nothing_was_awaited_is_no_pace() {
        let begin = Instant::now();
        let mut pace = Pace::default();
        pace.answered(begin, 0);
        pace.answered(begin + Duration::from_secs(60), 0);
        assert_eq!(rest(&pace, 60, 64), 0);
    }
}
