//! InPlaceSets.

use cafe_crds::intstr::IntOrPercent;
use cafe_crds::names::ANNOTATION_CEILING;
use serde_json::Value;

use super::json::{
    containers, controller, entry, flag, identity, is_deleting, list, number, share, shared, text,
};
use crate::record::{Counts, Entry, Revision, Set, Uid};

pub(super) fn read(value: &Value) -> Set {
    let replicas = number(value, "/spec/replicas").unwrap_or(1);
    let of = |rounded: i32| i64::from(rounded);
    let total = i32::try_from(replicas).unwrap_or(i32::MAX);
    let strategy = |field: &str| format!("/spec/updateStrategy/{field}");
    let partition = share(value, &strategy("partition")).unwrap_or(IntOrPercent::Int(0));
    let grant = share(value, &strategy("maxUnavailable")).unwrap_or(IntOrPercent::Percent(25));
    let grant = match grant {
        IntOrPercent::Percent(0) => 0,
        IntOrPercent::Percent(_) => grant.rounded_down(total).max(1),
        IntOrPercent::Int(pods) => pods.max(0),
    };
    let named = text(value, &strategy("baseRevision"));
    let current = text(value, "/status/currentRevision");
    let forces = text(value, "/spec/traffic/onDrainTimeout") == "Force";
    let patience = number(value, "/spec/traffic/drainTimeoutSeconds").unwrap_or(600);
    let place = ["/spec/placement/nodeLabelKey", "/spec/placement/value"].map(|field| text(value, field));
    Set {
        identity: identity(value),
        owner: controller(value).map(|(_, _, uid)| uid),
        deleting: is_deleting(value),
        generation: number(value, "/metadata/generation").unwrap_or(0),
        observed: number(value, "/status/observedGeneration"),
        unit: shared(text(value, "/spec/placement/unit")),
        replicas,
        partition: of(partition.rounded_up(total)).clamp(0, replicas.max(0)),
        grant: of(grant),
        paused: flag(value, &strategy("paused")).unwrap_or(false),
        target: Revision::of_name(text(value, "/status/updateRevision")),
        base: Revision::of_name(if named.is_empty() { current } else { named }),
        ceiling: entry(value, "/metadata/annotations", ANNOTATION_CEILING).and_then(|c| c.parse().ok()),
        unselect: text(value, "/spec/traffic/mode") == "Unselect",
        grace: number(value, "/spec/traffic/graceSeconds").unwrap_or(3) * 1000,
        forces_after: forces.then_some(patience * 1000),
        restarts: value.pointer("/spec/restartAt").is_some(),
        waits_for_ready: number(value, "/spec/minReadySeconds").unwrap_or(0) > 0,
        in_place_only: text(value, &strategy("podUpdatePolicy")) == "InPlaceOnly",
        images: value
            .pointer("/spec/template/spec")
            .map(|spec| containers(spec).map(|c| shared(text(c, "/image"))).collect())
            .unwrap_or_default(),
        place: (!place.contains(&"")).then(|| (shared(place[0]), shared(place[1]))),
        counts: counts(value),
        journal: journal(value),
    }
}

/// The figures of a status: CafeDeployments have the same.
pub(super) fn counts(value: &Value) -> Counts {
    let of = |field: &str| number(value, &format!("/status/{field}")).unwrap_or(0);
    Counts {
        replicas: of("replicas"),
        ready: of("readyReplicas"),
        available: of("availableReplicas"),
        updated: of("updatedReplicas"),
        updated_available: of("updatedAvailableReplicas"),
    }
}

fn journal(value: &Value) -> Vec<Entry> {
    let entry =
        |entry: &Value| Entry { pod: Uid::of(text(entry, "/podUID")), to: Revision::of(text(entry, "/to")) };
    let mut journal: Vec<Entry> = list(value, "/status/inFlight").map(entry).collect();
    journal.sort_unstable();
    journal
}
