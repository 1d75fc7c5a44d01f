//! What must hold at every version of every object, whatever a scenario does.
//!
//! All versions of all kinds are replayed in the order of their resource versions, which one etcd hands out. A rule looks
//! at the write it is about, on the version that the write was decided on, so a watch that lags cannot make it fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::object::{Pod, list, number, text};
use super::view;
use super::watcher::{Kind, Seen};

/// What a replay has found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Broken rules, in order.
    pub violations: Vec<String>,
    /// Drains that began, by pod name.
    pub drains: BTreeMap<String, usize>,
    /// Images that were changed in a running pod, by pod name.
    pub updates: BTreeMap<String, usize>,
    /// The most pods that were missing in service at once, since all of them served for the first time.
    pub most_out: i64,
}

/// Replays a history, which must be in order. `killed` are the uids of pods that somebody else deleted.
#[must_use]
pub(super) fn check(history: &[Seen], killed: &BTreeSet<String>) -> Verdict {
    let mut replay = Replay { killed: killed.clone(), ..Replay::default() };
    for seen in history {
        replay.step(seen);
    }
    replay.verdict
}

#[derive(Default)]
struct Replay {
    killed: BTreeSet<String>,
    deployment: Arc<Value>,
    /// The spec of the CafeDeployment before its last change: what a write on its way may still be about.
    former_spec: Value,
    sets: BTreeMap<String, Arc<Value>>,
    pods: BTreeMap<String, Arc<Value>>,
    slices: BTreeMap<String, Arc<Value>>,
    /// What a unit could go to before scaling lowered it, until its InPlaceSet has heard of that.
    lowered: BTreeMap<String, i64>,
    /// uids of pods that were in service when they were drained, and are not back.
    out: BTreeSet<String>,
    /// uids of pods that were reserved under a larger grant: their drains may still come.
    reserved_before: BTreeSet<String>,
    all_served: bool,
    verdict: Verdict,
}

impl Replay {
    fn step(&mut self, seen: &Seen) {
        match seen.kind {
            Kind::Deployment => self.deployment(seen),
            Kind::Set => self.set(seen),
            Kind::Pod => self.pod(seen),
            Kind::Slice => keep(&mut self.slices, seen),
            Kind::Event => {}
        }
    }

    fn broken(&mut self, seen: &Seen, rule: &str) {
        self.verdict.violations.push(format!("at version {}, {}: {rule}", seen.version, seen.name));
    }

    /// No gate is passed without its token in the very version that the passage was decided on.
    fn deployment(&mut self, seen: &Seen) {
        let before = std::mem::replace(&mut self.deployment, Arc::clone(&seen.object));
        if before.get("spec") != seen.object.get("spec") {
            self.former_spec = before.get("spec").cloned().unwrap_or_default();
        }
        for (unit, (_, updated)) in quotas(&before) {
            if quotas(&seen.object).get(&unit).is_some_and(|(_, now)| *now < updated) {
                self.lowered.insert(unit, updated);
            }
        }
        let at = |object: &Value| {
            let of = |field| number(object, &format!("/status/release/{field}"));
            (of("revision"), of("group"))
        };
        let ((revision, group), (now, next)) = (at(&before), at(&seen.object));
        let gated =
            !text(&before, "/status/release/state").is_empty() && flag(&before, "needWaitingForConfirm");
        if gated && revision == now && next > group {
            let token = text(&before, "/spec/release/confirm");
            if next != group + 1 || (token != format!("{now}/{group}") && token != format!("{now}/all")) {
                self.broken(seen, &format!("gate {now}/{group} was passed to {next} by the token {token:?}"));
            }
        }
    }

    /// The grants never add up to more than the budget.
    fn set(&mut self, seen: &Seen) {
        let before = self.sets.get(&seen.name).map_or(0, |set| grant(set));
        if grant(&seen.object) < before {
            self.reserved_before.extend(
                list(&seen.object, "/status/inFlight").map(|entry| text(entry, "/podUID").to_owned()),
            );
        }
        keep(&mut self.sets, seen);
        self.heard(&seen.object);
        let (granted, budget) = (self.granted(), self.budget());
        if !seen.gone && grant(&seen.object) > before && granted > budget {
            self.broken(seen, &format!("the grants add up to {granted}, the budget is {budget}"));
        }
    }

    fn granted(&self) -> i64 {
        self.sets.values().map(|set| grant(set)).sum()
    }

    /// What scaling has lowered counts once the InPlaceSet works on it.
    fn heard(&mut self, set: &Value) {
        let unit = text(set, "/spec/placement/unit");
        let follows = number(set, "/status/observedGeneration") == number(set, "/metadata/generation");
        let size = quotas(&self.deployment).get(unit).map(|(replicas, _)| *replicas);
        if follows && size == Some(number(set, "/spec/replicas")) {
            self.lowered.remove(unit);
        }
    }

    /// Pods that may be out at once: by the spec as it is, or as it was before a write on its way heard of it.
    fn budget(&self) -> i64 {
        let Some(spec) = self.deployment.get("spec") else {
            // InPlaceSets that stand alone have no budget but their own.
            return self.granted();
        };
        let now = budget(spec);
        let observed = number(&self.deployment, "/status/observedGeneration");
        if observed < number(&self.deployment, "/metadata/generation") {
            now.max(budget(&self.former_spec))
        } else {
            now
        }
    }

    fn pod(&mut self, seen: &Seen) {
        let former = self.pods.get(&seen.name).cloned();
        keep(&mut self.pods, seen);
        let now = Pod(&seen.object);
        let before = former.as_deref().map(Pod).filter(|before| before.uid() == now.uid());
        if seen.gone {
            self.out.remove(now.uid());
            self.count_service();
            return;
        }
        self.quota(seen, before, now);
        if let Some(before) = before {
            self.address(seen, before, now);
            self.drain(seen, before, now);
            self.restart(seen, before, now);
            self.deletion(seen, before, now);
        }
        if now.in_service() && self.out.remove(now.uid()) {
            self.reserved_before.remove(now.uid());
        }
        self.count_service();
    }

    /// No pod is moved, or born, past a gate.
    fn quota(&mut self, seen: &Seen, before: Option<Pod<'_>>, now: Pod<'_>) {
        let target = text(&self.deployment, "/status/updateRevision");
        let target = target.rsplit('-').next().unwrap_or_default().to_owned();
        if now.revision() != target || before.is_some_and(|before| before.revision() == target) {
            return;
        }
        let Some((_, quota)) = quotas(&self.deployment).get(now.unit()).copied() else { return };
        let quota = quota.max(self.lowered.get(now.unit()).copied().unwrap_or_default());
        let there = self
            .pods
            .values()
            .map(|pod| Pod(pod))
            .filter(|pod| !pod.is_terminating() && pod.unit() == now.unit() && pod.revision() == target);
        let there = i64::try_from(there.count()).unwrap_or(i64::MAX);
        if there > quota {
            self.broken(
                seen,
                &format!("{there} pods of {} are at {target}, the gates let {quota} in", now.unit()),
            );
        }
    }

    /// A pod keeps its address.
    fn address(&mut self, seen: &Seen, before: Pod<'_>, now: Pod<'_>) {
        if !before.ip().is_empty() && before.ip() != now.ip() {
            self.broken(seen, &format!("its address went from {} to {:?}", before.ip(), now.ip()));
        }
    }

    /// W1: only a reserved pod is taken out, and never more pods than the budget.
    fn drain(&mut self, seen: &Seen, before: Pod<'_>, now: Pod<'_>) {
        if now.drain().is_none() || before.drain() == now.drain() {
            return;
        }
        *self.verdict.drains.entry(seen.name.clone()).or_default() += 1;
        let entry = self
            .sets
            .values()
            .flat_map(|set| list(set, "/status/inFlight"))
            .find(|entry| text(entry, "/podUID") == now.uid());
        let Some(entry) = entry else {
            self.broken(seen, "it was taken out of traffic without a reservation");
            return;
        };
        // One that is surplus was never promised.
        if !before.in_service() || text(entry, "/to").is_empty() {
            return;
        }
        self.out.insert(now.uid().to_owned());
        // A smaller budget counts for an InPlaceSet once it is granted.
        let budget = self.budget().max(self.granted());
        let out = i64::try_from(self.out.len()).unwrap_or(i64::MAX).min(self.missing());
        if out > budget && !self.reserved_before.contains(now.uid()) {
            self.broken(seen, &format!("{out} pods that served are out at once, the budget is {budget}"));
        }
    }

    /// Pods in service that the InPlaceSets lack. Fewer may be missing than are out, when those on their way out have
    /// become surplus; and more, when pods broke by themselves.
    fn missing(&self) -> i64 {
        let wanted: i64 = self.sets.values().map(|set| number(set, "/spec/replicas")).sum();
        wanted - self.serving()
    }

    fn serving(&self) -> i64 {
        let serving = self.pods.values().filter(|pod| Pod(pod).in_service()).count();
        i64::try_from(serving).unwrap_or(i64::MAX)
    }

    /// W2: the images of a pod change only while nobody routes to it.
    fn restart(&mut self, seen: &Seen, before: Pod<'_>, now: Pod<'_>) {
        let images = |pod: Pod<'_>| pod.containers().into_iter().map(|c| c.wants).collect::<Vec<_>>();
        let started_again = before
            .containers()
            .iter()
            .zip(now.containers())
            .any(|(old, new)| !old.id.is_empty() && old.id != new.id && old.waiting.is_empty());
        if images(before) != images(now) {
            *self.verdict.updates.entry(seen.name.clone()).or_default() += 1;
            self.out_of_traffic(seen, before, "its images were changed");
        } else if started_again && !now.is_terminating() {
            self.out_of_traffic(seen, before, "a container was started again");
        }
    }

    /// A pod that Cafe deletes after a drain has left every endpoint.
    fn deletion(&mut self, seen: &Seen, before: Pod<'_>, now: Pod<'_>) {
        if now.is_terminating()
            && !before.is_terminating()
            && before.drain().is_some()
            && !self.killed.contains(now.uid())
        {
            self.out_of_traffic(seen, before, "it was deleted");
        }
    }

    fn out_of_traffic(&mut self, seen: &Seen, before: Pod<'_>, what: &str) {
        let Some(reason) = before.drain() else {
            self.broken(seen, &format!("{what} while its gate was {:?}", before.gate()));
            return;
        };
        if forced(&reason, Pod(&seen.object)) {
            return;
        }
        if before.is_ready() {
            self.broken(seen, &format!("{what} while it was Ready"));
        }
        if self.slices.values().any(|slice| view::serving(slice).any(|uid| uid == before.uid())) {
            self.broken(seen, &format!("{what} while an endpoint served it"));
        }
        let unanswered = before.unanswered(&reason);
        if !unanswered.is_empty() {
            self.broken(seen, &format!("{what} although {unanswered:?} had not answered {reason}"));
        }
    }

    fn count_service(&mut self) {
        let serving = self.serving();
        let missing = match self.deployment.pointer("/spec/replicas") {
            Some(replicas) => replicas.as_i64().unwrap_or_default() - serving,
            None => self.missing(),
        };
        self.all_served |= missing <= 0 && serving > 0;
        if self.all_served {
            self.verdict.most_out = self.verdict.most_out.max(missing);
        }
    }
}

/// Whether people, or a time-out, have cut this very drain short, which is on record.
fn forced(reason: &str, now: Pod<'_>) -> bool {
    let record = text(now.0, "/metadata/annotations/cafe.dev~1in-place");
    let record: Value = serde_json::from_str(record).unwrap_or_default();
    !text(&record, "/forced").is_empty() && reason.ends_with(text(&record, "/op"))
}

fn grant(set: &Value) -> i64 {
    let given = set.pointer("/spec/updateStrategy/maxUnavailable").unwrap_or(&Value::Null);
    pods(given, number(set, "/spec/replicas"))
}

fn keep(objects: &mut BTreeMap<String, Arc<Value>>, seen: &Seen) {
    if seen.gone {
        objects.remove(&seen.name);
    } else {
        objects.insert(seen.name.clone(), Arc::clone(&seen.object));
    }
}

/// Size and quota of each unit.
fn quotas(deployment: &Value) -> BTreeMap<String, (i64, i64)> {
    let quota = |quota: &Value| {
        let sizes = (number(quota, "/replicas"), number(quota, "/updated"));
        (text(quota, "/name").to_owned(), sizes)
    };
    list(deployment, "/status/release/quota").map(quota).collect()
}

fn flag(deployment: &Value, name: &str) -> bool {
    let value = deployment.pointer(&format!("/spec/strategy/{name}")).and_then(Value::as_bool);
    // The only flag that scenarios ask for is on unless it is turned off.
    value.unwrap_or(true)
}

/// `maxUnavailable` in pods: rounded down, at least one.
fn budget(spec: &Value) -> i64 {
    let replicas = number(spec, "/replicas");
    let given = spec.pointer("/strategy/maxUnavailable").cloned().unwrap_or_else(|| json!("25%"));
    pods(&given, replicas).max(1)
}

/// A number of pods, or a percentage of `replicas` rounded down: at least one, unless it is none.
fn pods(given: &Value, replicas: i64) -> i64 {
    let Value::String(percent) = given else { return given.as_i64().unwrap_or_default() };
    match percent.trim_end_matches('%').parse::<i64>().unwrap_or_default() {
        0 => 0,
        percent => (percent * replicas / 100).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(version: u64, kind: Kind, name: &str, object: Value) -> Seen {
        Seen { version, kind, name: name.to_owned(), object: Arc::new(object), gone: false }
    }

    fn pod(gate: &str, reason: &str, image: &str) -> Value {
        let ready = if gate == "True" { "True" } else { "False" };
        json!({
            "metadata": { "name": "p", "uid": "u" },
            "spec": { "containers": [{ "name": "app", "image": image }] },
            "status": { "phase": "Running", "podIP": "10.0.0.1", "conditions": [
                { "type": "cafe.dev/serving", "status": gate, "reason": reason },
                { "type": "Ready", "status": ready },
            ]},
        })
    }

    fn violations(history: &[Seen]) -> Vec<String> {
        check(history, &BTreeSet::new()).violations
    }

    #[test]
    fn a_drain_without_a_reservation_is_found() {
        let found = violations(&[
            seen(1, Kind::Pod, "p", pod("True", "Serving", "a")),
            seen(2, Kind::Pod, "p", pod("False", "Drain_1", "a")),
        ]);
        assert_eq!(found, ["at version 2, p: it was taken out of traffic without a reservation"]);
    }

    #[test]
    fn an_update_under_traffic_is_found() {
        let slice =
            json!({ "endpoints": [{ "conditions": { "ready": true }, "targetRef": { "uid": "u" } }] });
        let journal = json!({ "spec": { "updateStrategy": { "maxUnavailable": 1 } },
            "status": { "inFlight": [{ "podUID": "u", "to": "x" }] } });
        let found = violations(&[
            seen(1, Kind::Set, "s", journal),
            seen(2, Kind::Slice, "e", slice),
            seen(3, Kind::Pod, "p", pod("True", "Serving", "a")),
            seen(4, Kind::Pod, "p", pod("False", "Drain_1", "a")),
            seen(5, Kind::Pod, "p", pod("False", "Drain_1", "b")),
        ]);
        assert_eq!(found, ["at version 5, p: its images were changed while an endpoint served it"]);
    }

    #[test]
    fn a_gate_that_opens_by_another_token_is_found() {
        let at = |group: i64, token: &str| {
            json!({ "spec": { "release": { "confirm": token } },
                "status": { "release": { "revision": 2, "state": "Executing", "group": group } } })
        };
        let passage = |token| {
            violations(&[
                seen(1, Kind::Deployment, "web", at(1, token)),
                seen(2, Kind::Deployment, "web", at(2, token)),
            ])
        };
        assert_eq!(passage("2/1"), [""; 0]);
        assert_eq!(passage("2/all"), [""; 0]);
        assert_eq!(passage("2/2").len(), 1);
    }

    #[test]
    fn more_grants_than_the_budget_are_found() {
        let set = |grant: i64| json!({ "spec": { "updateStrategy": { "maxUnavailable": grant } } });
        let deployment = json!({ "spec": { "replicas": 10 } });
        let found = violations(&[
            seen(1, Kind::Deployment, "web", deployment),
            seen(2, Kind::Set, "a", set(1)),
            seen(3, Kind::Set, "b", set(2)),
        ]);
        assert_eq!(found, ["at version 3, b: the grants add up to 3, the budget is 2"]);
    }
}
