//! The proofs of the lossless protocol: when a pod is drained, when its new containers run, when it is back.

use cafe_crds::time::Seconds;

use crate::{
    Text,
    container_id::ContainerId,
    pod::{Container, Endpoints, Gate, InPlace, Pod, ProtectorCondition, Ran},
};

/// Whether nobody routes to the pod any more, as far as the caches tell: gate False, Ready False, no endpoint serves
/// it, and every protector that holds a finalizer has answered this very drain.
#[must_use]
pub fn is_drained(pod: &Pod, endpoints: Endpoints) -> bool {
    let Gate::Draining(op) = pod.gate else {
        return false;
    };
    let answered =
        |p: &crate::pod::Protector| !p.finalizer || p.condition == Some(ProtectorCondition::False(Some(op)));
    !pod.is_ready() && endpoints.serving == 0 && pod.protectors.iter().all(answered)
}

/// Whether every declared protector has taken the pod back.
#[must_use]
pub fn is_back(pod: &Pod, declared: &[String]) -> bool {
    missing(pod, declared).is_none()
}

/// The first declared protector that has not taken the pod back.
#[must_use]
pub fn missing<'a>(pod: &Pod, declared: &'a [String]) -> Option<&'a str> {
    let has_it = |name: &&String| {
        pod.protectors.iter().any(|p| {
            *p.name == ***name && p.finalizer && p.condition.is_none_or(|c| c == ProtectorCondition::True)
        })
    };
    declared.iter().find(|name| !has_it(name)).map(String::as_str)
}

/// Whether every container runs what the pod's spec wants, and those that were changed are new containers.
///
/// A changed container is new when its id is none of those recorded. After a quick change of mind the recorded one may
/// have stayed: then it counts if it ran the wanted image and the kubelet has observed the last generation.
#[must_use]
pub fn runs_what_it_wants(pod: &Pod) -> bool {
    pod.containers_ready && pod.containers.iter().all(|c| c.running && c.ready && is_new(pod, c))
}

fn is_new(pod: &Pod, container: &Container) -> bool {
    let Some(record) = &pod.in_place else { return true };
    let mut recorded = record.ran.iter().filter(|r| r.container == container.name);
    recorded.all(|r| {
        if r.id.is_empty() {
            // It had not started, or not for certain, when the image changed: what starts first may still be of the old image.
            is_same_image(&r.image, &container.wants) || !is_same_image(&r.image, &container.image)
        } else if r.id == container.id {
            is_same_image(&r.image, &container.wants) && pod.observed_generation >= pod.generation
        } else {
            true
        }
    })
}

/// Whether two references name one image. The kubelet reports short names with their registry.
fn is_same_image(a: &str, b: &str) -> bool {
    let short = |image: &str| -> String {
        let image = image.strip_prefix("docker.io/").unwrap_or(image);
        image.strip_prefix("library/").unwrap_or(image).to_owned()
    };
    a == b || short(a) == short(b)
}

/// The record to write with an update of `pod` under drain `op`: what earlier updates of the same drain recorded and
/// asked for, and every container that runs now, or is yet to start, and is about to change.
#[must_use]
pub fn record(pod: &Pod, op: crate::identity::Op, changes: &[(Text, Text)]) -> InPlace {
    let earlier = pod.in_place.as_deref().filter(|r| r.op == op);
    let mut ran: Vec<Ran> = earlier.map(|r| r.ran.clone()).unwrap_or_default();
    let touched = |name: &Text| changes.iter().any(|(c, _)| c == name) || ran_has(earlier, name);
    let mut note = |container: &Text, id: &ContainerId, image: &Text| {
        let ran_so = |r: &Ran| {
            r.container == *container && r.id == *id && (!id.is_empty() || is_same_image(&r.image, image))
        };
        if !ran.iter().any(ran_so) {
            ran.push(Ran { container: container.clone(), id: id.clone(), image: image.clone() });
        }
    };
    for c in pod.containers.iter().filter(|c| touched(&c.name)) {
        // In the middle of an update the spec may be ahead of the container: then the kubelet's word counts.
        let is_ahead = earlier.is_some() && !is_new(pod, c);
        note(&c.name, &c.id, if is_ahead { &c.image } else { &c.wants });
        if earlier.is_some() {
            // What the spec asks for now may still be started, although it is about to ask for something else.
            note(&c.name, &ContainerId::default(), &c.wants);
        }
    }
    InPlace { op, ran, ..InPlace::default() }
}

fn ran_has(record: Option<&InPlace>, name: &Text) -> bool {
    record.is_some_and(|r| r.ran.iter().any(|ran| ran.container == *name))
}

/// When a pod that is Ready counts as available: at once, or at this moment.
#[must_use]
pub fn available_from(pod: &Pod, min_ready_seconds: i32) -> Option<Seconds> {
    pod.ready_since.map(|since| Seconds(since.0.saturating_add(i64::from(min_ready_seconds))))
}
