//! The columns of `kubectl get`. Each shows a scalar; those of priority 1 come with `-o wide`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceColumnDefinition;

/// Name, type, path, description, priority.
pub(super) type Column = (&'static str, &'static str, &'static str, &'static str, i32);

const AGE: Column = ("Age", "date", ".metadata.creationTimestamp", "Time since the object was created", 0);

const UPDATED: Column = ("Updated", "integer", ".status.updatedReplicas", "Pods on the update revision", 0);
const READY: Column = ("Ready", "integer", ".status.readyReplicas", "Pods that are Ready", 0);
const AVAILABLE: Column =
    ("Available", "integer", ".status.availableReplicas", "Pods that have been Ready for minReadySeconds", 0);

/// Columns of a CafeDeployment.
pub(super) const CAFE_DEPLOYMENT: &[Column] = &[
    ("Desired", "integer", ".spec.replicas", "Pods asked for over all units", 0),
    UPDATED,
    READY,
    AVAILABLE,
    (
        "Group",
        "string",
        ".status.release.summary",
        "The group in hand and the number of groups of the release",
        0,
    ),
    ("Phase", "string", ".status.phase", "The state in one word", 0),
    ("Revision", "integer", ".status.release.revision", "Number of the revision of the release", 1),
    (
        "Confirm",
        "string",
        ".status.release.confirmToken",
        "What to write into spec.release.confirm to go on",
        1,
    ),
    ("Message", "string", ".status.message", "What happens, then what to do", 1),
    AGE,
];

/// Columns of an InPlaceSet.
pub(super) const IN_PLACE_SET: &[Column] = &[
    ("Unit", "string", ".spec.placement.unit", "The unit whose pods these are", 0),
    ("Desired", "integer", ".spec.replicas", "Pods asked for", 0),
    UPDATED,
    READY,
    AVAILABLE,
    ("Partition", "string", ".spec.updateStrategy.partition", "Pods kept on the base revision", 0),
    ("Current", "string", ".status.currentRevision", "Name of the base revision", 1),
    ("Update", "string", ".status.updateRevision", "Name of the revision of the template", 1),
    AGE,
];

/// Columns of a CafeRelease: read from top to bottom they are the history.
pub(super) const CAFE_RELEASE: &[Column] = &[
    ("From", "integer", ".spec.fromRevision", "Number of the revision before", 0),
    ("To", "integer", ".spec.revision", "Number of the revision that was released", 0),
    ("State", "string", ".status.state", "Where it stands, or how it ended", 0),
    ("Group", "string", ".status.progress", "The last group and the number of groups", 0),
    ("Updated", "integer", ".status.updatedReplicas", "Pods that ran the revision", 0),
    ("Started", "date", ".spec.startedAt", "Time since it started", 0),
    ("Ended", "date", ".status.endedAt", "Time since it ended", 0),
    ("Summary", "string", ".spec.summary", "What it changes", 0),
    ("By", "string", ".spec.startedBy", "Who changed the template", 1),
    ("Message", "string", ".status.message", "How it stands or ended", 1),
];

/// The columns in the form of the API.
pub(super) fn definitions(columns: &[Column]) -> Vec<CustomResourceColumnDefinition> {
    let definition = |(name, type_, path, description, priority): &Column| CustomResourceColumnDefinition {
        name: (*name).into(),
        type_: (*type_).into(),
        json_path: (*path).into(),
        description: Some((*description).into()),
        priority: (*priority > 0).then_some(*priority),
        format: None,
    };
    columns.iter().map(definition).collect()
}
