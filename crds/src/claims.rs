//! What becomes of the claims that are made from `volumeClaimTemplates`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of claims that are needed no longer, as in a StatefulSet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimRetentionPolicy {
    /// What becomes of all claims when the InPlaceSet is deleted, by itself or together with its CafeDeployment. `Retain`: they
    /// stay, and an InPlaceSet of the same name takes them up again. `Delete`: they go with it. Default `Retain`.
    pub when_deleted: ClaimRetention,
    /// What becomes of the claims of a pod that is scaled away, also because its unit leaves the topology. `Retain`: they stay,
    /// and the next pods of the unit get them. `Delete`: they go once their pod is gone. Default `Retain`.
    pub when_scaled: ClaimRetention,
}

/// What becomes of a claim.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum ClaimRetention {
    /// It stays.
    #[default]
    Retain,
    /// It is deleted.
    Delete,
}

impl ClaimRetention {
    /// The word in the API and in the label `cafe.dev/scaled-in`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retain => "Retain",
            Self::Delete => "Delete",
        }
    }

    /// Reads the label. Any other word says that the pod is scaled away and nothing more: the claim stays.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        if word == Self::Delete.as_str() { Self::Delete } else { Self::Retain }
    }
}
