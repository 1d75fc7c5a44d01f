//! The names of the invariants, and what each says.

use std::fmt;

/// One invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "`Rule::statement` says what each means")]
#[rustfmt::skip]
pub enum Rule { S1, S2, S3, S4, S5, S6, S7, S8, S9, S10, S11, S12, S13, S14, S15, S16, S17, S18, S19, S20, S21, S22 }

impl Rule {
    /// All of them, in order.
    pub const ALL: [Self; 22] = {
        use Rule::*;
        [S1, S2, S3, S4, S5, S6, S7, S8, S9, S10, S11, S12, S13, S14, S15, S16, S17, S18, S19, S20, S21, S22]
    };

    /// What must hold, in one line: the part of it that can be seen from outside.
    #[must_use]
    pub fn statement(self) -> &'static str {
        match self {
            Self::S1 => {
                "we never have more pods that served out of service than the budget that was in force"
            }
            Self::S2 => {
                "only reserved pods are touched, and a pod that serves is reserved only within the grant"
            }
            Self::S3 => "a container is stopped only while nobody routes to its pod",
            Self::S4 => "no pod is moved or born past a gate, and a pod stays in the group it moved with",
            Self::S5 => "nothing is reserved in a pause, and a pause is acknowledged by every set first",
            Self::S6 => "a gate opens one at a time, by its token, after its group is complete",
            Self::S7 => "pods are at the base, at the target or superseded, and the superseded go first",
            Self::S8 => "a rollback touches only pods that are not at its target",
            Self::S9 => "nothing that serves is reserved while an updated pod has failed for too long",
            Self::S10 => "every write carries the uid and the resourceVersion it was decided on",
            Self::S11 => "pods of one revision run the same image bytes",
            Self::S12 => "a pod has one controller, and we write only to pods of our sets",
            Self::S13 => {
                "rescheduling never moves a pod that serves, nor anything while a unit's nodes are down"
            }
            Self::S14 => "two pods of one identity never run at once, and a pod keeps its address",
            Self::S15 => "we never add or remove a finalizer",
            Self::S16 => "nobody writes without holding the lease",
            Self::S17 => "at the goal nothing is written, and no write changes nothing",
            Self::S18 => "the status says what the pods say, and observedGeneration never runs ahead or back",
            Self::S19 => {
                "deleting a workload deletes no pod of another, and no unit goes while its pods serve"
            }
            Self::S20 => "the grants of all units never add up to more than the budget",
            Self::S21 => "no pod is created beyond the replicas",
            Self::S22 => "nothing is written outside the namespace of the workload",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
