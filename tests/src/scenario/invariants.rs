//! What must hold at every version of every object, whatever a scenario does.
//!
//! All versions of all kinds, and the controller's own writes from the audit log, are replayed before the judge in the order of
//! their resource versions, which one etcd hands out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cafe_invariants::record::Uid;
use cafe_invariants::{Checker, Event, Kind as Judged, Limits, Verb, Write, read};
use serde_json::Value;

use super::object::{Pod, number};
use super::watcher::{Kind, Seen};
use super::writes::Sent;

/// Milliseconds by which a watch, or a decision of the controller, may be behind on a busy machine.
const LAG: i64 = 30_000;

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
    /// How often each rule was evaluated.
    pub asked: BTreeMap<String, u64>,
}

/// Replays a history and the writes of the controller, which both must be in order. `killed` are the uids of pods that somebody
/// else deleted, `bereft` those of objects whose status somebody else took away.
#[must_use]
pub(super) fn check(
    history: &[Seen],
    sent: &[Sent],
    killed: &BTreeSet<String>,
    bereft: &BTreeSet<String>,
) -> Verdict {
    let attributed = !sent.is_empty() && sent.iter().all(Sent::tells_its_version);
    let mut checker = Checker::new(Limits { lag: LAG, attributed, steady: true, ..Limits::default() });
    killed.iter().for_each(|uid| checker.excuse_deletion(Uid::of(uid)));
    bereft.iter().for_each(|uid| checker.excuse_lost_status(Uid::of(uid)));
    let mut verdict = Verdict::default();
    let mut tally = Tally::default();
    let mut sent = in_order(sent, history).into_iter().peekable();
    for seen in history {
        while let Some((version, write)) = sent.next_if(|(version, _)| *version <= seen.version) {
            let found = checker.observe(version, Event::Write(Box::new(write.clone())));
            verdict.violations.extend(found.iter().map(ToString::to_string));
        }
        checker.set_time(seen.at);
        tally.step(seen, &mut verdict);
        let Some(event) = event_of(seen) else { continue };
        let found = checker.observe(seen.version, event);
        verdict.violations.extend(found.iter().map(ToString::to_string));
    }
    verdict.asked = checker.asked().iter().map(|(rule, asked)| (rule.to_string(), *asked)).collect();
    verdict
}

/// The writes in the order in which they took effect. A deletion makes no version of its own and may be answered long after its object is
/// gone: it took effect before that.
fn in_order<'a>(sent: &'a [Sent], history: &[Seen]) -> Vec<(u64, &'a Write)> {
    let gone = history.iter().filter(|seen| seen.gone);
    let ends: BTreeMap<Uid, u64> =
        gone.map(|seen| (Uid::of(Pod(&seen.object).uid()), seen.version)).collect();
    let place = |sent: &'a Sent| {
        let end = ends.get(&sent.write.object.uid).filter(|_| sent.write.verb == Verb::Delete);
        (end.map_or(sent.version, |end| sent.version.min(*end)), &sent.write)
    };
    let mut sent: Vec<(u64, &Write)> = sent.iter().map(place).collect();
    sent.sort_by_key(|(version, _)| *version);
    sent
}

fn event_of(seen: &Seen) -> Option<Event> {
    let kind = match seen.kind {
        Kind::Deployment => Judged::Deployment,
        Kind::Set => Judged::Set,
        Kind::Pod => Judged::Pod,
        Kind::Slice => Judged::Slice,
        Kind::Node => Judged::Node,
        Kind::Revision | Kind::Event => return None,
    };
    if seen.gone {
        return Some(Event::Gone(kind, read::identity(&seen.object)));
    }
    read::object(kind, &seen.object)
}

/// Counts what tests ask about.
#[derive(Default)]
struct Tally {
    /// Pods wanted, by the CafeDeployment or, without one, by the InPlaceSet that stands alone.
    replicas: i64,
    has_deployment: bool,
    pods: BTreeMap<String, Arc<Value>>,
    all_served: bool,
}

impl Tally {
    fn step(&mut self, seen: &Seen, verdict: &mut Verdict) {
        match seen.kind {
            Kind::Deployment => {
                self.has_deployment = true;
                self.replicas = number(&seen.object, "/spec/replicas");
            }
            Kind::Set if !self.has_deployment => self.replicas = number(&seen.object, "/spec/replicas"),
            Kind::Pod => self.pod(seen, verdict),
            Kind::Set | Kind::Revision | Kind::Slice | Kind::Event | Kind::Node => {}
        }
    }

    fn pod(&mut self, seen: &Seen, verdict: &mut Verdict) {
        let former = if seen.gone {
            self.pods.remove(&seen.name)
        } else {
            self.pods.insert(seen.name.clone(), Arc::clone(&seen.object))
        };
        let now = Pod(&seen.object);
        let before = former.as_deref().map(Pod).filter(|before| before.uid() == now.uid() && !seen.gone);
        if let Some(before) = before {
            let images = |pod: Pod<'_>| pod.containers().into_iter().map(|c| c.wants).collect::<Vec<_>>();
            if now.drain().is_some() && before.drain() != now.drain() {
                *verdict.drains.entry(seen.name.clone()).or_default() += 1;
            }
            if images(before) != images(now) {
                *verdict.updates.entry(seen.name.clone()).or_default() += 1;
            }
        }
        let serving = self.pods.values().filter(|pod| Pod(pod).in_service()).count();
        let missing = self.replicas - i64::try_from(serving).unwrap_or(i64::MAX);
        self.all_served |= missing <= 0 && serving > 0;
        if self.all_served {
            verdict.most_out = verdict.most_out.max(missing);
        }
    }
}

#[cfg(test)]
mod tests {
    use cafe_invariants::record::Identity;
    use serde_json::json;

    use super::*;

    fn seen(version: u64, kind: Kind, name: &str, object: Value) -> Seen {
        let at = i64::try_from(version).unwrap_or_default() * 10_000;
        Seen { version, at, kind, name: name.to_owned(), object: Arc::new(object), gone: false }
    }

    fn pod(gate: &str, reason: &str, image: &str) -> Value {
        let ready = if gate == "True" { "True" } else { "False" };
        json!({
            "metadata": { "name": "p", "uid": "u", "ownerReferences": [
                { "apiVersion": "cafe.dev/v1alpha1", "kind": "InPlaceSet", "uid": "s", "controller": true },
            ]},
            "spec": { "nodeName": "n", "containers": [{ "name": "app", "image": image }] },
            "status": { "phase": "Running", "podIP": "10.0.0.1", "conditions": [
                { "type": "cafe.dev/serving", "status": gate, "reason": reason },
                { "type": "Ready", "status": ready },
            ]},
        })
    }

    fn set(journal: &Value) -> Value {
        json!({ "metadata": { "name": "s", "uid": "s", "generation": 1 },
            "spec": { "replicas": 1, "updateStrategy": { "maxUnavailable": 1 } },
            "status": { "observedGeneration": 1, "inFlight": journal } })
    }

    fn violations(history: &[Seen]) -> Vec<String> {
        check(history, &[], &BTreeSet::new(), &BTreeSet::new()).violations
    }

    #[test]
    fn a_drain_without_a_reservation_is_found() {
        let found = violations(&[
            seen(1, Kind::Set, "s", set(&json!([]))),
            seen(2, Kind::Pod, "p", pod("True", "Serving", "a")),
            seen(3, Kind::Pod, "p", pod("False", "Drain_1", "a")),
        ]);
        assert_eq!(found, ["S2 at version 3, p: it was taken out of traffic without a reservation"]);
    }

    #[test]
    fn an_update_under_traffic_is_found_and_counted() {
        let slice = json!({ "metadata": { "name": "e", "uid": "e" },
            "endpoints": [{ "conditions": { "ready": true }, "targetRef": { "uid": "u" } }] });
        let history = [
            seen(1, Kind::Set, "s", set(&json!([]))),
            seen(2, Kind::Slice, "e", slice),
            seen(3, Kind::Pod, "p", pod("True", "Serving", "a")),
            seen(4, Kind::Set, "s", set(&json!([{ "podUID": "u", "to": "x" }]))),
            seen(5, Kind::Pod, "p", pod("False", "Drain_1", "a")),
            seen(6, Kind::Pod, "p", pod("False", "Drain_1", "b")),
        ];
        let verdict = check(&history, &[], &BTreeSet::new(), &BTreeSet::new());
        let expected = "S3 at version 6, p: its images were changed while 1 endpoints stood for it";
        assert_eq!(verdict.violations, [expected]);
        assert_eq!((verdict.drains["p"], verdict.updates["p"]), (1, 1));
    }

    #[test]
    fn a_deletion_that_is_answered_after_its_pod_is_gone_came_before_that() {
        let gone = Seen { gone: true, ..seen(5, Kind::Pod, "p", pod("True", "Serving", "a")) };
        let sent = |version, verb, uid| {
            let object = Identity { uid: Uid::of(uid), ..Identity::default() };
            Sent { version, write: Write { verb, object, ..Write::default() } }
        };
        let sent = [sent(4, Verb::Change, "u"), sent(7, Verb::Change, "v"), sent(8, Verb::Delete, "u")];
        let order: Vec<_> = in_order(&sent, &[gone])
            .into_iter()
            .map(|(version, write)| (version, write.object.uid))
            .collect();
        assert_eq!(order, [(4, Uid::of("u")), (5, Uid::of("u")), (7, Uid::of("v"))]);
    }
}
