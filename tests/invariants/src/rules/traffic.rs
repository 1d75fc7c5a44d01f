//! When a container may be stopped.

use crate::{Breach, Verdict};

/// A container is about to be stopped, by a patch of its image or by a deletion of ours.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// What is done, for the message: "its images were changed".
    pub what: &'static str,
    /// The gate was False for a drain before it. That somebody has taken the pod offline is no drain.
    pub closed: bool,
    /// Condition Ready before it.
    pub ready: bool,
    /// EndpointSlice entries in the way: those that serve or, with `mode: Unselect`, all.
    pub endpoints: i64,
    /// Protectors that hold a finalizer and have not answered this very drain.
    pub unanswered: i64,
    /// The drain has been cut short: nobody is waited for any longer (`cafe.dev/force-drain`, `onDrainTimeout: Force`).
    pub forced: bool,
    /// Milliseconds since the pod was drained, and those it must wait; none when no clock is known.
    pub waited: Option<(i64, i64)>,
}

/// S3 of one stop. A pod that never got a node has no container to lose: do not ask for it.
///
/// # Errors
/// When somebody may still route to the pod.
pub const fn s3(stop: &Stop) -> Verdict {
    let what = stop.what;
    if !stop.closed {
        return Err(Breach::StoppedInService(what));
    }
    if stop.forced {
        return Ok(());
    }
    if stop.ready {
        return Err(Breach::StoppedReady(what));
    }
    if stop.endpoints > 0 {
        return Err(Breach::StoppedWithEndpoints { what, endpoints: stop.endpoints });
    }
    if stop.unanswered > 0 {
        return Err(Breach::StoppedUnanswered { what, protectors: stop.unanswered });
    }
    match stop.waited {
        Some((waited, grace)) if waited < grace => Err(Breach::StoppedEarly { what, waited, grace }),
        _ => Ok(()),
    }
}

/// S3 after a stop, until the gate is True: no endpoint serves the pod.
///
/// # Errors
/// When one does.
pub const fn s3_after(stopped: bool, served: bool) -> Verdict {
    if stopped && served { Err(Breach::ServedWhileStopped) } else { Ok(()) }
}
