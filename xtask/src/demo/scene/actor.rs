//! One pod as the demo sees it, and what its changes mean.

use cafe_crds::names::{GATE, LABEL_GROUP, LABEL_UNIT};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::super::narration::Tone;

/// A pod, as far as the demo looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Actor {
    /// Its uid.
    pub(in super::super) uid: String,
    /// Its address, empty before it has one.
    pub(in super::super) ip: String,
    /// The label `cafe.dev/unit`.
    pub(in super::super) unit: String,
    /// The label `cafe.dev/group`.
    pub(in super::super) group: String,
    /// The image of its first container.
    pub(in super::super) image: String,
    /// Restarts of its first container.
    pub(in super::super) restarts: i32,
    /// The gate is open, it is Ready, and it is not being deleted.
    pub(in super::super) serves: bool,
}

impl Actor {
    pub(super) fn of(pod: &Pod) -> Self {
        let label = |key: &str| pod.labels().get(key).cloned().unwrap_or_default();
        let status = pod.status.as_ref();
        let holds = |kind: &str| {
            let mut conditions = status.and_then(|s| s.conditions.as_ref()).into_iter().flatten();
            conditions.any(|c| c.type_ == kind && c.status == "True")
        };
        let container = status.and_then(|s| s.container_statuses.as_ref()?.first());
        Self {
            uid: pod.uid().unwrap_or_default(),
            ip: status.and_then(|s| s.pod_ip.clone()).unwrap_or_default(),
            unit: label(LABEL_UNIT),
            group: label(LABEL_GROUP),
            image: pod.spec.as_ref().and_then(|s| s.containers.first()?.image.clone()).unwrap_or_default(),
            restarts: container.map_or(0, |c| c.restart_count),
            serves: holds(GATE) && holds("Ready") && pod.metadata.deletion_timestamp.is_none(),
        }
    }
}

/// What there is to tell of a change.
pub(super) fn changes(before: Option<&Actor>, now: &Actor) -> Vec<(String, Tone)> {
    let mut told = Vec::new();
    let served = before.is_some_and(|b| b.serves);
    if served && !now.serves {
        told.push((format!("{}  out of traffic", now.unit), Tone::Out));
    }
    if before.is_some_and(|b| b.image != now.image) {
        told.push((format!("{}  updated in place to {}", now.unit, now.image), Tone::Plain));
    }
    if !served && now.serves {
        let text = match now.restarts {
            0 => format!("{}  in traffic, {} at {}", now.unit, now.image, now.ip),
            n => format!("{}  back in traffic, same pod, same {}, restart {n}", now.unit, now.ip),
        };
        told.push((text, Tone::Good));
    }
    told
}
