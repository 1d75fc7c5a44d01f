//! What a change of template asks of a running pod.

use std::collections::BTreeMap;

use crate::{Text, identity::Digest};

/// What the planner knows of a pod template: enough to say whether a pod can follow in place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Digest of everything but the images below and the metadata.
    pub rest: Digest,
    /// Containers and native sidecars (init containers that restart always), in order of the template.
    pub containers: Vec<ContainerImage>,
    /// Labels of the template.
    pub labels: BTreeMap<Text, Text>,
    /// Annotations of the template.
    pub annotations: BTreeMap<Text, Text>,
    /// Names of the volume claim templates.
    pub claims: Vec<Text>,
}

/// The image one container runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerImage {
    /// Container name.
    pub name: Text,
    /// Image reference, as written in the template.
    pub image: Text,
    /// True for a native sidecar, which lives under `initContainers`.
    pub sidecar: bool,
}

/// How a pod gets from one template to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Nothing differs.
    Nothing,
    /// Labels or annotations only: one patch, neither drain nor restart.
    Metadata,
    /// Images (and perhaps metadata): in place, drained.
    Images,
    /// Anything else: a new pod, after a drain.
    Recreate,
}

/// The change that leads from `from` to `to`.
#[must_use]
pub fn change(from: &Facts, to: &Facts) -> Change {
    let same_containers = from.containers.len() == to.containers.len()
        && from
            .containers
            .iter()
            .zip(&to.containers)
            .all(|(a, b)| a.name == b.name && a.sidecar == b.sidecar);
    if from.rest != to.rest || !same_containers {
        Change::Recreate
    } else if from.containers != to.containers {
        Change::Images
    } else if from.labels != to.labels || from.annotations != to.annotations {
        Change::Metadata
    } else {
        Change::Nothing
    }
}
