//! How a rule is broken: small and copyable, so that a model may ask a million times.

use thiserror::Error;

use crate::Rule;

/// What the evaluation of a rule yields.
pub type Verdict = Result<(), Breach>;

/// A broken rule and the figures that show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[allow(missing_docs, reason = "the texts say what the figures mean")]
pub enum Breach {
    #[error("{out} pods that served are out at once, the budget is {budget}")]
    OverBudget { out: i64, budget: i64 },
    #[error("a pod that serves is reserved, with which {out} are out and the grant is {grant}")]
    ReservedOverGrant { out: i64, grant: i64 },
    #[error("it was {0} without a reservation")]
    Unreserved(&'static str),
    #[error("the journal names a pod twice or holds {0} entries, more than the 500 it may")]
    NoJournal(i64),
    #[error("{0} while its gate was not closed by a drain")]
    StoppedInService(&'static str),
    #[error("{0} while it was Ready")]
    StoppedReady(&'static str),
    #[error("{what} while {endpoints} endpoints stood for it")]
    StoppedWithEndpoints { what: &'static str, endpoints: i64 },
    #[error("{what} although {protectors} protectors had not answered this drain")]
    StoppedUnanswered { what: &'static str, protectors: i64 },
    #[error("{what} {waited} ms after it was drained, the grace period is {grace} ms")]
    StoppedEarly { what: &'static str, waited: i64, grace: i64 },
    #[error("an endpoint serves it again before its gate is open")]
    ServedWhileStopped,
    #[error("{there} pods are at the target or reserved for it, the gates let {quota} in")]
    PastGate { there: i64, quota: i64 },
    #[error("it moved with group {group}, the group in hand is {open}")]
    GroupNotOpen { group: i64, open: i64 },
    #[error("it changed from group {from} to group {to} of one release")]
    GroupChanged { from: i64, to: i64 },
    #[error("{0} pods are reserved in a pause")]
    ReservedInPause(i64),
    #[error("the pause is acknowledged while {0} sets have not")]
    PauseNotHeard(i64),
    #[error("the release went from group {from} to group {to}")]
    GroupsOutOfOrder { from: i64, to: i64 },
    #[error("gate {0} was passed without its token")]
    NotConfirmed(i64),
    #[error("gate {0} was passed in a pause")]
    PassedInPause(i64),
    #[error("gate {gate} was passed with {there} pods done of {wanted}")]
    PassedIncomplete { gate: i64, there: i64, wanted: i64 },
    #[error("the release is complete, and nobody passed gate {0}")]
    CompleteBeforeGate(i64),
    #[error("it is at a revision that is neither the base nor the target")]
    StrayRevision,
    #[error("a pod at the base is reserved before {0} superseded ones")]
    SupersededWaits(i64),
    #[error("a rollback touches it, and it is at the target already")]
    RollbackTouchesGood,
    #[error(
        "a pod that serves is reserved while an updated pod has been unavailable for {failed} s, the window is {window} s"
    )]
    FailureIgnored { failed: i64, window: i64 },
    #[error("the write carries no {0}")]
    NoPrecondition(&'static str),
    #[error("a write decided on version {on} was accepted on version {version}")]
    StaleWrite { on: u64, version: u64 },
    #[error("two pods of its revision run different bytes of one image")]
    ImagesDiffer,
    #[error("it has {0} controllers")]
    TwoControllers(i64),
    #[error("it belongs to no set of ours, and we wrote to it")]
    NotOurs,
    #[error("a unit loses places while {down} of its {nodes} nodes are not ready")]
    MovedInOutage { down: i64, nodes: i64 },
    #[error("a unit is capped at {ceiling} while {serving} of its pods serve")]
    MovedServing { ceiling: i64, serving: i64 },
    #[error("{moved} places move at once, {most} pods are out of service")]
    MovedTooMany { moved: i64, most: i64 },
    #[error("another pod of the same identity still runs")]
    RunsTwice,
    #[error("we deleted it by force, and its node is not known to be dead")]
    ForcedDeletion,
    #[error("its address changed")]
    AddressChanged,
    #[error("we changed its finalizers")]
    FinalizersTouched,
    #[error("a write arrived {late} ms after the writer's claim had ended")]
    WroteWithoutClaim { late: i64 },
    #[error("a write changed nothing")]
    EmptyWrite,
    #[error("{0} writes at the goal, with nothing to cause them")]
    RestlessAtGoal(i64),
    #[error("observedGeneration {observed} is ahead of generation {generation}")]
    ObservedAhead { observed: i64, generation: i64 },
    #[error("observedGeneration went back from {from} to {to}")]
    ObservedBack { from: i64, to: i64 },
    #[error("the status says {said} {what} pods, there are {least} to {most}")]
    WrongCount { what: &'static str, said: i64, least: i64, most: i64 },
    #[error("we deleted it, and its set is not of the workload that goes")]
    ForeignPodDeleted,
    #[error("its set is deleted while {0} of its pods serve")]
    DeletedServing(i64),
    #[error("the grants add up to {sum}, the budget is {budget}")]
    OverGranted { sum: i64, budget: i64 },
    #[error("{pods} pods live, {replicas} are wanted")]
    TooManyPods { pods: i64, replicas: i64 },
    #[error("we wrote to {0}")]
    ForeignNamespace(&'static str),
    #[error("the API server gave up on the request")]
    Panicked,
}

impl Breach {
    /// The rule that is broken.
    #[must_use]
    pub fn rule(&self) -> Rule {
        match self {
            Self::OverBudget { .. } => Rule::S1,
            Self::ReservedOverGrant { .. } | Self::Unreserved(_) | Self::NoJournal(_) => Rule::S2,
            Self::StoppedInService(_)
            | Self::StoppedReady(_)
            | Self::StoppedWithEndpoints { .. }
            | Self::StoppedUnanswered { .. }
            | Self::StoppedEarly { .. }
            | Self::ServedWhileStopped => Rule::S3,
            Self::PastGate { .. } | Self::GroupNotOpen { .. } | Self::GroupChanged { .. } => Rule::S4,
            Self::ReservedInPause(_) | Self::PauseNotHeard(_) => Rule::S5,
            Self::GroupsOutOfOrder { .. }
            | Self::NotConfirmed(_)
            | Self::PassedInPause(_)
            | Self::PassedIncomplete { .. }
            | Self::CompleteBeforeGate(_) => Rule::S6,
            Self::StrayRevision | Self::SupersededWaits(_) => Rule::S7,
            Self::RollbackTouchesGood => Rule::S8,
            Self::FailureIgnored { .. } => Rule::S9,
            Self::NoPrecondition(_) | Self::StaleWrite { .. } => Rule::S10,
            Self::ImagesDiffer => Rule::S11,
            Self::TwoControllers(_) | Self::NotOurs => Rule::S12,
            Self::MovedInOutage { .. } | Self::MovedServing { .. } | Self::MovedTooMany { .. } => Rule::S13,
            Self::RunsTwice | Self::ForcedDeletion | Self::AddressChanged => Rule::S14,
            Self::FinalizersTouched => Rule::S15,
            Self::WroteWithoutClaim { .. } => Rule::S16,
            Self::EmptyWrite | Self::RestlessAtGoal(_) => Rule::S17,
            Self::ObservedAhead { .. } | Self::ObservedBack { .. } | Self::WrongCount { .. } => Rule::S18,
            Self::ForeignPodDeleted | Self::DeletedServing(_) => Rule::S19,
            Self::OverGranted { .. } => Rule::S20,
            Self::TooManyPods { .. } => Rule::S21,
            Self::ForeignNamespace(_) | Self::Panicked => Rule::S22,
        }
    }
}
