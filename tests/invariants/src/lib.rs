//! The invariants S1 to S22 of Cafe, and a judge of them that shares no code with what it judges.
//!
//! - [`rules`]: each invariant as a pure function of a few figures, for models and simulations that know their state.
//! - [`Checker`]: gathers those figures from a stream of objects and requests, in the order of their revisions.
//! - [`read`]: makes its events from JSON objects of a watch and from lines of an audit log.
//! - [`Log`]: a whole audit log before the judge.
//! - [`record`]: what the checker knows of an object; any source can make one.
//!
//! What a rule means, and which part of it can be seen from outside, says [`Rule::statement`] and the rule's function.

pub mod read;
pub mod record;
pub mod rules;

mod breach;
mod checker;
mod event;
mod log;
mod rule;

pub use breach::{Breach, Verdict};
pub use checker::{Checker, Limits, Violation};
pub use event::{Body, Event, Kind, Verb, Write};
pub use log::{Error, Log, Report};
pub use rule::Rule;

/// The length of an iterator.
fn count(items: impl Iterator) -> i64 {
    i64::try_from(items.count()).unwrap_or(i64::MAX)
}
