//! Requests of ours, by themselves.

use crate::{Breach, Verdict};

/// S10 of one write to an existing object: it carries uid and version, and was accepted (`version` is what the object had; none
/// when not known) only on that version.
///
/// # Errors
/// When a precondition is missing or was not what the object had.
pub const fn s10(uid: bool, on: Option<u64>, version: Option<u64>) -> Verdict {
    if !uid {
        return Err(Breach::NoPrecondition("uid"));
    }
    let Some(on) = on else { return Err(Breach::NoPrecondition("resourceVersion")) };
    match version {
        Some(version) if version != on => Err(Breach::StaleWrite { on, version }),
        _ => Ok(()),
    }
}

/// S12 of one write of ours to a pod.
///
/// # Errors
/// When the pod is neither of a set of ours nor adopted by this write.
pub const fn s12_write(of_our_set: bool, adopts: bool) -> Verdict {
    if of_our_set || adopts { Ok(()) } else { Err(Breach::NotOurs) }
}

/// S15 of one write of ours: whether it changes finalizers of an existing object, or creates a pod with a protector's.
///
/// # Errors
/// When it does.
pub const fn s15(touches_finalizers: bool) -> Verdict {
    if touches_finalizers { Err(Breach::FinalizersTouched) } else { Ok(()) }
}

/// S16 of one write: received at `at`, by a writer whose claim ended at `until` (its last renewal plus the lease, or the moment
/// when another took over), all in milliseconds; `margin` is what a request may take on its way.
///
/// # Errors
/// When the claim had ended.
pub const fn s16(at: i64, until: i64, margin: i64) -> Verdict {
    let late = at - until;
    if late > margin { Err(Breach::WroteWithoutClaim { late }) } else { Ok(()) }
}

/// S17 of one accepted write: the version before and after.
///
/// # Errors
/// When the write changed nothing.
pub const fn s17_empty(on: u64, version: u64) -> Verdict {
    if on == version { Err(Breach::EmptyWrite) } else { Ok(()) }
}

/// S17 at the goal: `writes` since it was reached with nothing else happening, of which `most` may still report it.
///
/// # Errors
/// When there are more.
pub const fn s17_goal(writes: i64, most: i64) -> Verdict {
    if writes > most { Err(Breach::RestlessAtGoal(writes)) } else { Ok(()) }
}

/// S22 of one write: its namespace is one with a workload of ours, and its kind one that we write (`None`), else where or what
/// it went to.
///
/// # Errors
/// When it went elsewhere.
pub const fn s22(elsewhere: Option<&'static str>) -> Verdict {
    match elsewhere {
        Some(place) => Err(Breach::ForeignNamespace(place)),
        None => Ok(()),
    }
}
