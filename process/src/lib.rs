//! What `cafe-controller` and `cafe-webhook` share as processes: logs whose level changes while they run, the word to stop, what they use of
//! the machine, settings that are refused when they mean nothing, and the questions that are asked of a cluster before any work begins.
//!
//! A process that cannot work says what is wrong and what to do, and ends; it never works by halves.

pub mod connect;
pub mod definitions;
pub mod log;
pub mod rights;
pub mod settings;
pub mod stop;
pub mod usage;
pub mod version;

use std::time::Duration;

/// How long what was changed in the cluster a moment ago (a role, a definition) may take until its API server knows of it.
const SETTLING: Duration = Duration::from_secs(15);
/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at what may still settle.
const PAUSE: Duration = Duration::from_millis(250);
