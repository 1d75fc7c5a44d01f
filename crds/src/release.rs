//! `CafeRelease`: the record of one release, kept for people.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Seconds;

mod course;

pub use course::{CafeReleaseStatus, Group, Incident, IncidentKind, Rollback, RollbackState, Stage, State};

/// What is released: fixed when the release starts.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cafe.dev",
    version = "v1alpha1",
    kind = "CafeRelease",
    plural = "cafereleases",
    singular = "caferelease",
    shortname = "cafer",
    category = "cafe",
    namespaced,
    status = "CafeReleaseStatus",
    derive = "PartialEq",
    doc = "The record of one release of a CafeDeployment: what changed, the groups and their gates, who confirmed, what went wrong and how it ended. Written by the controller; it decides nothing. The last `historyLimit` of them are kept."
)]
#[serde(rename_all = "camelCase")]
pub struct CafeReleaseSpec {
    /// Name of the CafeDeployment.
    pub deployment: String,
    /// Number of the revision that was released.
    pub revision: i64,
    /// Number of the revision it came from; absent for the first installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_revision: Option<i64>,
    /// Numbers that the same template had in earlier releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend("x-kubernetes-list-type" = "atomic"))]
    pub former_revisions: Vec<i64>,
    /// What the release changes, in one line.
    pub summary: String,
    /// The images it changes, by container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["container"]))]
    pub images: Vec<ImageChange>,
    /// Whether anything but images changes: then pods are made anew, unless it is labels and annotations only.
    pub other_changes: bool,
    /// Number of pods over all units when it started.
    pub replicas: i32,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Seconds>,
    /// Who changed the template: a user that the admission webhook has seen, or `field manager NAME`, which is what the client
    /// calls itself and no proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
}

/// The image of one container, before and after.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageChange {
    /// Name of the container.
    pub container: String,
    /// The image before; absent for a new container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The image after; absent for a container that goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl CafeReleaseStatus {
    /// Whether the release has come to an end; a rollback may still follow.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Completed | State::Aborted | State::RolledBack | State::Superseded)
    }
}
