//! What pods are, who they belong to, and what is said of them.

use crate::{Breach, Verdict};

/// S7 of one pod that was born or moved: whether its revision is the base or the target.
///
/// # Errors
/// When it is neither.
pub const fn s7_revision(base: bool, target: bool) -> Verdict {
    if base || target { Ok(()) } else { Err(Breach::StrayRevision) }
}

/// S7 of one journal write: it adds `bases` pods that serve at the base, and leaves `superseded` ones of neither revision that
/// could go unreserved.
///
/// # Errors
/// When a pod at the base goes before a superseded one.
pub const fn s7_order(bases: i64, superseded: i64) -> Verdict {
    if bases > 0 && superseded > 0 { Err(Breach::SupersededWaits(superseded)) } else { Ok(()) }
}

/// S8 of one pod that is reserved or drained in a rollback.
///
/// # Errors
/// When it is at the target already (and neither found drained with no reservation nor on its way out).
pub const fn s8(rolling_back: bool, at_target: bool) -> Verdict {
    if rolling_back && at_target { Err(Breach::RollbackTouchesGood) } else { Ok(()) }
}

/// S9 of one journal write that adds `costing` pods that serve, for an update: the updated pod that has been unavailable for
/// longest has been so for `failed` seconds; the failure window is `window` seconds.
///
/// # Errors
/// When the write ignores the failure.
pub const fn s9(costing: i64, failed: i64, window: i64) -> Verdict {
    if costing > 0 && failed > window { Err(Breach::FailureIgnored { failed, window }) } else { Ok(()) }
}

/// S11 of two pods of one revision and one architecture: the imageID of one container in each, empty when not known.
///
/// # Errors
/// When they differ.
pub fn s11(one: &str, other: &str) -> Verdict {
    let known = !one.is_empty() && !other.is_empty();
    if known && one != other { Err(Breach::ImagesDiffer) } else { Ok(()) }
}

/// S12 of one pod: its owner references with `controller: true`.
///
/// # Errors
/// When it has more than one controller.
pub const fn s12(controllers: i64) -> Verdict {
    if controllers > 1 { Err(Breach::TwoControllers(controllers)) } else { Ok(()) }
}

/// A unit is capped: places move to other units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Move {
    /// The unit's new ceiling.
    pub ceiling: i64,
    /// Places that it loses by this.
    pub moved: i64,
    /// Its pods in service.
    pub serving: i64,
    /// Its pods out of service, and those missing.
    pub out: i64,
    /// Its nodes, as far as known.
    pub nodes: i64,
    /// Its nodes that are not Ready.
    pub down: i64,
}

/// S13 of one write that lowers the ceiling of a unit. An unschedulable pod serves nobody, so it is no budget that bounds
/// the moves but the number of pods out of service; and more than half of the nodes down is an outage, not a full unit.
///
/// # Errors
/// When a place that serves moves, too many move, or the unit is in an outage.
pub const fn s13(it: &Move) -> Verdict {
    if it.nodes > 0 && it.down * 2 > it.nodes {
        return Err(Breach::MovedInOutage { down: it.down, nodes: it.nodes });
    }
    if it.ceiling < it.serving {
        return Err(Breach::MovedServing { ceiling: it.ceiling, serving: it.serving });
    }
    if it.moved > it.out { Err(Breach::MovedTooMany { moved: it.moved, most: it.out }) } else { Ok(()) }
}

/// S14 of one pod that runs: whether another pod with its name or one of its claims runs, on a node not known to be dead.
///
/// # Errors
/// When both run.
pub const fn s14(other_runs: bool) -> Verdict {
    if other_runs { Err(Breach::RunsTwice) } else { Ok(()) }
}

/// S14 of one pod before and after: it keeps its address (`changed` is false when it had none).
///
/// # Errors
/// When the address changed.
pub const fn s14_address(changed: bool) -> Verdict {
    if changed { Err(Breach::AddressChanged) } else { Ok(()) }
}

/// S14 of a deletion by us: `forced` is one without a grace period, which frees the identity while the container may run.
///
/// # Errors
/// When it is forced, the pod has a node, and the node is not known to be dead.
pub const fn s14_forced(forced: bool, on_live_node: bool) -> Verdict {
    if forced && on_live_node { Err(Breach::ForcedDeletion) } else { Ok(()) }
}

/// The least and the most that a figure was while a status may have been computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    /// The least.
    pub least: i64,
    /// The most.
    pub most: i64,
}

impl Range {
    /// Exactly this.
    #[must_use]
    pub const fn exactly(value: i64) -> Self {
        Self { least: value, most: value }
    }
}

/// S18 of one figure of a status.
///
/// # Errors
/// When it lies outside of what was true.
pub const fn s18_count(what: &'static str, said: i64, there: Range) -> Verdict {
    let Range { least, most } = there;
    if said < least || said > most { Err(Breach::WrongCount { what, said, least, most }) } else { Ok(()) }
}

/// S18 of `observedGeneration` before (of the same uid) and after.
///
/// # Errors
/// When it is ahead of the generation or goes back.
pub const fn s18_observed(before: Option<i64>, after: Option<i64>, generation: i64) -> Verdict {
    let Some(to) = after else {
        return match before {
            Some(from) => Err(Breach::ObservedBack { from, to: 0 }),
            None => Ok(()),
        };
    };
    if to > generation {
        return Err(Breach::ObservedAhead { observed: to, generation });
    }
    match before {
        Some(from) if to < from => Err(Breach::ObservedBack { from, to }),
        _ => Ok(()),
    }
}

/// S19 of one pod that we delete for a workload.
///
/// # Errors
/// When the pod belongs to another owner.
pub const fn s19_pod(of_workload: bool) -> Verdict {
    if of_workload { Ok(()) } else { Err(Breach::ForeignPodDeleted) }
}

/// S19 of one set that we delete: `serving` of its pods serve.
///
/// # Errors
/// When any does.
pub const fn s19_set(serving: i64) -> Verdict {
    if serving > 0 { Err(Breach::DeletedServing(serving)) } else { Ok(()) }
}
