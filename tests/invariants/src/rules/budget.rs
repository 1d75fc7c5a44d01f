//! How many pods may be out, reserved, granted and there.

use crate::{Breach, Verdict};

/// Most entries of one journal.
const MOST_ENTRIES: usize = 500;

/// S1 of one state: `out_by_us` pods that served when we took them out and are not back; `budget`, the largest that was in
/// force since the first of them was reserved.
///
/// # Errors
/// When more are out than the budget.
pub const fn s1(out_by_us: i64, budget: i64) -> Verdict {
    if out_by_us > budget { Err(Breach::OverBudget { out: out_by_us, budget }) } else { Ok(()) }
}

/// S2 of one journal write: it adds `costing` pods that serve (neither unavailable nor surplus: those are free), after which
/// `out` pods of the set are out of service or reserved; `grant` is that of the set's version it was written on.
///
/// # Errors
/// When a pod that serves is reserved beyond the grant.
pub const fn s2(costing: i64, out: i64, grant: i64) -> Verdict {
    if costing > 0 && out > grant { Err(Breach::ReservedOverGrant { out, grant }) } else { Ok(()) }
}

/// S2 of one write to a pod that takes it out (`what` is "taken out") or stops it: only reserved pods are touched.
///
/// # Errors
/// When the pod is not reserved.
pub const fn s2_touch(reserved: bool, what: &'static str) -> Verdict {
    if reserved { Ok(()) } else { Err(Breach::Unreserved(what)) }
}

/// S2 of the form of a journal: at most 500 entries, a pod at most once. `pods` must be sorted.
///
/// # Errors
/// When a pod stands twice in it, or it is too long.
pub fn s2_journal<T: PartialEq>(pods: &[T]) -> Verdict {
    let twice = pods.iter().zip(pods.iter().skip(1)).any(|(a, b)| a == b);
    if twice || pods.len() > MOST_ENTRIES {
        return Err(Breach::NoJournal(i64::try_from(pods.len()).unwrap_or(i64::MAX)));
    }
    Ok(())
}

/// S20 of one write of a set's spec: `sum` of all grants after it, `grows` when it raised its own (a sum that is too large
/// because the budget has just shrunk is being worked on); `budget` in force.
///
/// # Errors
/// When a grant was raised beyond the budget.
pub const fn s20(sum: i64, budget: i64, grows: bool) -> Verdict {
    if grows && sum > budget { Err(Breach::OverGranted { sum, budget }) } else { Ok(()) }
}

/// S21 of one birth: `pods` of the set that live once it is born (terminating and finished ones do not), `replicas` wanted.
///
/// # Errors
/// When a pod too many is born.
pub const fn s21(pods: i64, replicas: i64) -> Verdict {
    if pods > replicas { Err(Breach::TooManyPods { pods, replicas }) } else { Ok(()) }
}
