//! Who ordered what: the annotation `cafe.dev/authors`, written by the admission webhook and read by the controller.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::time::Seconds;

/// Parts of a spec that have an author, and where they are in it.
pub const PARTS: [(&str, &[&str]); 6] = [
    ("template", &["/template", "/volumeClaimTemplates"]),
    ("confirm", &["/release/confirm"]),
    ("abort", &["/release/abort"]),
    ("retry", &["/release/retry"]),
    ("rollback", &["/release/rollback"]),
    ("pause", &["/strategy/pause"]),
];

/// The author of one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The authenticated user name of the request.
    pub user: String,
    /// The user's groups, as many as an annotation should hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// When the request was made.
    pub at: Seconds,
    /// The order itself: a stamp that was left behind, because the order changed while there was no webhook, names nobody. Absent for a
    /// template, which cannot change without a webhook where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Value>,
}

/// The annotation: each part's author.
pub type Stamps = BTreeMap<String, Stamp>;

/// Reads the annotation; none when it is none of the webhook's.
#[must_use]
pub fn parse(annotation: &str) -> Option<Stamps> {
    serde_json::from_str(annotation).ok()
}
