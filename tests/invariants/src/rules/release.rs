//! Groups, gates and pauses.

use crate::{Breach, Verdict};

/// S4 of one unit: `there` pods at the target, the ones reserved for it included; `quota`, what the gates passed so far let in.
///
/// # Errors
/// When there are more.
pub const fn s4(there: i64, quota: i64) -> Verdict {
    if there > quota { Err(Breach::PastGate { there, quota }) } else { Ok(()) }
}

/// S4 of one pod that moved with `group` of a release whose group in hand is `open`.
///
/// # Errors
/// When that group has not opened.
pub const fn s4_group(group: i64, open: i64) -> Verdict {
    if group > open { Err(Breach::GroupNotOpen { group, open }) } else { Ok(()) }
}

/// S4 of one pod before and after a write: `(release, group)` of its label. The membership in a group is for the whole release.
///
/// # Errors
/// When it changed its group.
pub const fn s4_membership(before: Option<(i64, i64)>, after: Option<(i64, i64)>) -> Verdict {
    match (before, after) {
        (Some((release, from)), Some((same, to))) if release == same && from != to => {
            Err(Breach::GroupChanged { from, to })
        }
        _ => Ok(()),
    }
}

/// S5 of one journal write: `paused` by the version of the set it was written on, `moves` entries added that move a pod (one
/// that leaves for good, or that was found drained with no reservation, is no move).
///
/// # Errors
/// When something was added in a pause.
pub const fn s5(paused: bool, moves: i64) -> Verdict {
    if paused && moves > 0 { Err(Breach::ReservedInPause(moves)) } else { Ok(()) }
}

/// S5 of an acknowledgement: the CafeDeployment says `Paused`, and so many sets are not told or have not heard.
///
/// # Errors
/// When a set has not acknowledged.
pub const fn s5_acknowledged(says_paused: bool, deaf: i64) -> Verdict {
    if says_paused && deaf > 0 { Err(Breach::PauseNotHeard(deaf)) } else { Ok(()) }
}

/// Where a release stands, with what the spec of the same version says about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Progress {
    /// Number of the revision.
    pub revision: i64,
    /// The group in hand.
    pub group: i64,
    /// The last group of the plan.
    pub total: i64,
    /// It is complete.
    pub completed: bool,
    /// It stands at a gate.
    pub waiting: bool,
    /// It goes group by group: neither a first installation nor a rollback.
    pub gated: bool,
    /// A gate opens only by its token.
    pub needs_confirm: bool,
    /// The token in the spec opens the gate after `group`.
    pub confirmed: bool,
    /// `spec.strategy.pause`.
    pub paused: bool,
    /// Its groups only add pods of a revision that had completed.
    pub scale_out: bool,
    /// Pods that are wanted and that no group has let in.
    pub left: i64,
}

/// S6 of one write of the status: the version it was written on, and what it says.
///
/// # Errors
/// When groups are skipped, a gate is passed without its token or in a pause, or a gate is left behind.
pub const fn s6(before: &Progress, after: &Progress) -> Verdict {
    if before.revision != after.revision {
        return Ok(());
    }
    let (from, to) = (before.group, after.group);
    if to < from || to > from + 1 {
        return Err(Breach::GroupsOutOfOrder { from, to });
    }
    if !before.gated {
        return Ok(());
    }
    if to == from {
        let completes = !before.completed && after.completed;
        // The gate of a scale-out guards what is not there yet, and falls with it.
        let guards = !after.scale_out || after.left > 0;
        let gate_left = guards && (to < before.total || before.waiting);
        return if completes && gate_left { Err(Breach::CompleteBeforeGate(to)) } else { Ok(()) };
    }
    if before.completed {
        // The last group had no gate; after it nothing but more pods can come.
        return if after.scale_out { Ok(()) } else { Err(Breach::GroupsOutOfOrder { from, to }) };
    }
    if before.needs_confirm && !before.confirmed {
        return Err(Breach::NotConfirmed(from));
    }
    if before.paused { Err(Breach::PassedInPause(from)) } else { Ok(()) }
}

/// S6 of a passage of `gate`: `there` pods are updated and available, the group ends with `wanted`.
///
/// # Errors
/// When the group was not complete.
pub const fn s6_complete(gate: i64, there: i64, wanted: i64) -> Verdict {
    if there < wanted { Err(Breach::PassedIncomplete { gate, there, wanted }) } else { Ok(()) }
}
