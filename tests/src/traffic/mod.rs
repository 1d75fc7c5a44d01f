//! Requests at a constant rate, every one of them on record, and what a release does to the pods meanwhile.

mod client;
mod figures;
mod load;
mod record;
mod stopwatch;

pub use figures::{Spread, reach};
pub use load::{Load, Rate};
pub use record::{Answer, Connection, Ledger, Record};
pub use stopwatch::{Drain, Stopwatch, Timings};

use std::time::SystemTime;

/// Microseconds of the clock that all processes of this machine share.
#[must_use]
pub fn micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
