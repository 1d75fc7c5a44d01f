//! The only place that reads the clock.

use jiff::Timestamp;

/// The present moment.
#[allow(clippy::disallowed_methods, reason = "verdicts and certificates get their time here")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
