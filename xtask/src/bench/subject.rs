//! What is measured: the same workload as an object of each kind.

use cafe_tests::bed::audit::Entry;
use cafe_tests::bed::{CONTROLLER, LIFTED};
use cafe_tests::scenario::{image, merge};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::peer::CloneSet;

/// The label of the pods, and the name of the workload and of its Service.
pub(crate) const NAME: &str = "bench";

/// Who updates the pods.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// A CafeDeployment of one unit.
    Cafe,
    /// A Deployment, whose controllers may ask so often per second, and so often in a burst.
    Deployment { limits: (u16, u16) },
    /// A CloneSet that updates in place, with the limits of its manager lifted or not.
    CloneSet(CloneSet, bool),
}

/// How the workload is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) pods: usize,
    /// Pods that may be out of service at once, in percent.
    pub(crate) budget: usize,
    /// Groups of a release, where the kind has groups.
    pub(crate) groups: usize,
    /// Milliseconds that a container takes to start again.
    pub(crate) restart: u32,
    /// Milliseconds of which each pod takes a part of its own on top.
    pub(crate) spread: u32,
}

impl Shape {
    /// Pods that may be out of service at once.
    pub(crate) fn budget(&self) -> usize {
        (self.pods * self.budget / 100).max(1)
    }
}

impl Subject {
    /// The name in the figures.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::Cafe => "cafe",
            Self::Deployment { limits } if *limits == LIFTED => "deployment",
            Self::Deployment { .. } => "deployment_as_shipped",
            Self::CloneSet(_, true) => "cloneset",
            Self::CloneSet(_, false) => "cloneset_as_shipped",
        }
    }

    /// The name for people.
    pub(crate) fn title(&self) -> &'static str {
        match self {
            Self::Cafe => "Cafe",
            Self::Deployment { limits } if *limits == LIFTED => "Deployment, limits lifted",
            Self::Deployment { .. } => "Deployment as shipped",
            Self::CloneSet(_, true) => "CloneSet, limits lifted",
            Self::CloneSet(_, false) => "CloneSet as shipped",
        }
    }

    pub(crate) fn manager_limits(&self) -> (u16, u16) {
        if let Self::Deployment { limits } = self { *limits } else { LIFTED }
    }

    /// The process that does the work. A Deployment's is shared with every other controller of Kubernetes.
    pub(crate) fn process(&self) -> &'static str {
        match self {
            Self::Cafe => "controller",
            Self::Deployment { .. } => "kube-controller-manager",
            Self::CloneSet(..) => super::peer::PROCESS,
        }
    }

    pub(crate) fn resource(&self) -> ApiResource {
        ApiResource::from_gvk(&match self {
            Self::Cafe => GroupVersionKind::gvk("cafe.dev", "v1alpha1", "CafeDeployment"),
            Self::Deployment { .. } => GroupVersionKind::gvk("apps", "v1", "Deployment"),
            Self::CloneSet(..) => GroupVersionKind::gvk("apps.kruise.io", "v1alpha1", "CloneSet"),
        })
    }

    /// Whether the request is one of the work.
    pub(crate) fn asked(&self, entry: &Entry) -> bool {
        match self {
            Self::Cafe => entry.user == CONTROLLER,
            Self::Deployment { .. } => ["deployment-controller", "replicaset-controller"]
                .iter()
                .any(|name| entry.user.ends_with(name)),
            Self::CloneSet(..) => entry.user_agent.starts_with(super::peer::USER_AGENT),
        }
    }

    /// How long a container takes to start, in milliseconds, in the words of the simulated kubelet. In place it starts again; in another
    /// pod it starts for the first time. One that starts at once is ready at once: a probe would be another write.
    fn pace(&self, Shape { restart, spread, .. }: &Shape) -> Value {
        let delay = if self.is_in_place() { "sim.cafe.dev/restart" } else { "sim.cafe.dev/ready-delay" };
        let annotations = [(delay, restart), ("sim.cafe.dev/spread", spread)];
        annotations
            .into_iter()
            .filter(|(_, time)| **time > 0)
            .map(|(name, time)| (name, json!(format!("{time}ms"))))
            .collect()
    }

    pub(crate) fn manifest(&self, shape: &Shape) -> Value {
        let resource = self.resource();
        let mut object = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": { "name": NAME },
            "spec": {
                "replicas": shape.pods,
                "selector": { "matchLabels": { "app": NAME } },
                "template": {
                    "metadata": { "labels": { "app": NAME }, "annotations": self.pace(shape) },
                    "spec": { "containers": [{ "name": "app", "image": image("v1") }] },
                },
            },
        });
        let share = format!("{}%", shape.budget);
        merge(
            &mut object,
            &match self {
                Self::Cafe => json!({ "spec": {
                    "strategy": {
                        "upgradeType": "Batch",
                        "batchSize": format!("{}%", 100_usize.div_ceil(shape.groups)),
                        "needWaitingForConfirm": false,
                        "maxUnavailable": share,
                    },
                    "topology": { "unitType": "None" },
                    "traffic": { "graceSeconds": 0 },
                }}),
                Self::Deployment { .. } => json!({ "spec": {
                    "strategy": { "rollingUpdate": { "maxUnavailable": share, "maxSurge": 0 } },
                    "revisionHistoryLimit": 2,
                }}),
                Self::CloneSet(..) => json!({ "spec": {
                    "updateStrategy": { "type": "InPlaceIfPossible", "maxUnavailable": share, "maxSurge": 0 },
                }}),
            },
        );
        object
    }

    fn is_in_place(&self) -> bool {
        !matches!(self, Self::Deployment { .. })
    }
}
