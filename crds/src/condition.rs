//! Conditions, in the shape of `metav1.Condition`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::reason;
use crate::time::Seconds;

/// The types of conditions that our kinds publish.
pub mod types {
    /// Everything asked for is done: spec observed, every replica on the desired revision and available.
    pub const READY: &str = "Ready";
    /// Work is in hand; present only while True.
    pub const RECONCILING: &str = "Reconciling";
    /// Nothing will move without help; present only while True.
    pub const STALLED: &str = "Stalled";
    /// Enough pods serve, whatever the release does.
    pub const AVAILABLE: &str = "Available";
    /// How the release goes, with the reasons of a Deployment.
    pub const PROGRESSING: &str = "Progressing";
    /// The release stands at a gate.
    pub const WAITING_FOR_CONFIRMATION: &str = "WaitingForConfirmation";
    /// `spec.strategy.pause` holds the release.
    pub const PAUSED: &str = "Paused";
    /// Every unit has the pods that the topology gives it.
    pub const UNITS_HEALTHY: &str = "UnitsHealthy";
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Not known yet.
    Unknown,
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// One aspect of the state of the object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Name of the condition, in CamelCase.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: ConditionStatus,
    /// `metadata.generation` that the condition was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// When `status` changed last; a new reason or message does not move it.
    pub last_transition_time: Seconds,
    /// Why, as one CamelCase word; events and metrics use the same words.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// What happens, and what to do next.
    #[schemars(length(max = 32768))]
    pub message: String,
}
