//! The live read before the point of no return: it tells which EndpointSlices there are in which versions, and the caches, once they
//! hold these or newer ones, what is in them.

use cafe_planner::{
    Text,
    identity::{Op, Uid},
    time::Millis,
};

use super::Engine;
use crate::{
    apply::{Call, Target},
    observe::{records, slim::SliceVersions},
    world::Owner,
};

/// How long the caches may take to hold what a live read has told of, in milliseconds: a slice that has gone meanwhile never comes.
const PATIENCE: u64 = 5000;
/// How soon a drain that was not complete is looked at again, in milliseconds.
const NOT_DRAINED_YET: u64 = 50;

/// A live read that was answered.
#[derive(Debug)]
pub(super) struct Proof {
    owner: Owner,
    namespace: Text,
    /// The version of the list, and how many lists of slices the watch had begun before.
    listed: u64,
    lists: u64,
    /// The pods and drains that it is for.
    pods: Vec<(Uid, Op)>,
    /// Slices, and the versions from which on the caches may judge.
    slices: Vec<(Uid, u64)>,
    /// When it is worth nothing any more.
    pub(super) until: Millis,
}

impl Engine {
    /// A live read has told of these: to be judged as soon as the caches have them.
    pub(super) fn await_proof(&mut self, call: &Call, versions: &SliceVersions) {
        let Target::Proof { pods, known, lists } = &call.target else { return };
        let listed: u64 = versions.metadata.resource_version.parse().unwrap_or_default();
        let slices: Vec<_> = versions.items.iter().flatten().filter_map(records::slice_version).collect();
        if listed < *known || self.world.contradicts(listed, &slices) {
            tracing::error!(listed, known, "history of EndpointSlices went backwards");
            self.world.rewound = true;
            return;
        }
        self.proofs.push(Proof {
            owner: call.owner,
            namespace: call.namespace.clone(),
            listed,
            lists: *lists,
            pods: pods.clone(),
            slices,
            until: Millis(self.clock.now().mono.0 + PATIENCE),
        });
    }

    /// Judges the live reads that the caches have caught up with.
    pub(super) fn judge_proofs(&mut self) {
        if self.proofs.is_empty() {
            return;
        }
        let now = self.clock.now().mono;
        for proof in std::mem::take(&mut self.proofs) {
            // A list that has begun since then may come from an API server that lags, and forget slices that it does not know yet.
            let is_outdated = self.world.slice_lists() != proof.lists;
            if is_outdated || now >= proof.until {
                tracing::warn!(
                    namespace = &*proof.namespace,
                    "the watch of EndpointSlices lags or has begun anew: reads them again"
                );
                self.end_proof(proof.owner, now, None);
            } else if self.world.holds_slices(&proof.namespace, proof.listed, &proof.slices) {
                self.judge(&proof, now);
            } else {
                self.proofs.push(proof);
            }
        }
    }

    /// Each drain is proven from now on, or looked at again shortly.
    fn judge(&mut self, proof: &Proof, now: Millis) {
        let mut all = true;
        for (pod, op) in &proof.pods {
            if self.world.is_unserved(proof.owner, *pod) {
                self.world.prove(*pod, *op, now);
                self.tally.proven(*pod);
            } else {
                all = false;
            }
        }
        self.end_proof(proof.owner, now, Some(all));
    }

    /// The verdict is whether all of its drains are proven; there is none if the caches did not catch up.
    fn end_proof(&mut self, owner: Owner, now: Millis, verdict: Option<bool>) {
        let memory = self.world.memory(owner);
        (memory.proving, memory.unproven) = (false, verdict.is_none());
        if verdict != Some(true) {
            memory.resting_until = memory.resting_until.max(Some(Millis(now.0 + NOT_DRAINED_YET)));
        }
        self.world.mark(owner);
    }
}

#[cfg(test)]
mod tests {
    use cafe_planner::set::Action;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;
    use crate::{
        apply,
        engine::tests::{Api, UID, engine, lists, pod},
        observe::slim::SliceObject,
        watch::{Frame, Observed},
    };

    const SLICE: &str = "00000000-0000-0000-0000-0000000000dd";
    const POD: &str = "00000000-0000-0000-0000-000000000001";

    /// An engine that knows a pod, which a slice of version 10 serves, and has asked what slices there are.
    fn asked() -> (Engine, Call) {
        let mut engine = engine(&Api::default());
        for event in lists(vec![pod(1, true)]) {
            engine.world.fold(Frame { scope: None, event });
        }
        see(&mut engine, Event::Apply(slice(10, true)));
        ask(engine)
    }

    fn ask(mut engine: Engine) -> (Engine, Call) {
        let pod: Uid = POD.parse().unwrap();
        let action = Action::ProveDrained { pods: vec![(pod, Op::new(pod, 20))] };
        let call = apply::set_call(&engine.world, UID.parse().unwrap(), action, engine.clock.now()).unwrap();
        engine.begin(&call);
        (engine, call)
    }

    fn slice(version: u64, serving: bool) -> SliceObject {
        let endpoint = json!({"targetRef": {"uid": POD}, "conditions": {"serving": serving}});
        let meta =
            json!({"name": "web", "namespace": "shop", "uid": SLICE, "resourceVersion": version.to_string()});
        serde_json::from_value(json!({"metadata": meta, "endpoints": [endpoint]})).unwrap()
    }

    fn see(engine: &mut Engine, event: Event<SliceObject>) {
        see_in(engine, None, event);
    }

    /// By the watch of one namespace, or of all.
    fn see_in(engine: &mut Engine, scope: Option<&str>, event: Event<SliceObject>) {
        engine.world.fold(Frame { scope: scope.map(Into::into), event: Observed::Slice(event) });
        engine.judge_proofs();
    }

    /// The live read tells of the slice in this version.
    fn answer(engine: &mut Engine, call: &Call, version: u64) {
        let version = version.to_string();
        let item = json!({"metadata": {"name": "web", "uid": SLICE, "resourceVersion": version}});
        let list = json!({"metadata": {"resourceVersion": version}, "items": [item]});
        engine.await_proof(call, &serde_json::from_value(list).unwrap());
        engine.judge_proofs();
    }

    /// Whether the live read ended without saying whether the drain is over.
    fn is_unproven(engine: &mut Engine) -> bool {
        engine.world.memory(Owner::Set(UID.parse().unwrap())).unproven
    }

    /// Whether the drain was proven; none while that is open.
    fn verdict(engine: &mut Engine) -> Option<bool> {
        let memory = engine.world.memory(Owner::Set(UID.parse().unwrap()));
        (!memory.proving).then_some(memory.resting_until.is_none())
    }

    #[tokio::test]
    async fn a_drain_is_judged_by_caches_that_hold_what_the_live_read_has_told_of() {
        for (serving, drained) in [(true, false), (false, true)] {
            let (mut engine, call) = asked();
            answer(&mut engine, &call, 12);
            assert_eq!(verdict(&mut engine), None, "the caches are behind");
            see(&mut engine, Event::Apply(slice(11, false)));
            assert_eq!(verdict(&mut engine), None, "they are still behind");
            see(&mut engine, Event::Apply(slice(13, serving)));
            assert_eq!(verdict(&mut engine), Some(drained));
        }
    }

    #[tokio::test]
    async fn a_drain_is_judged_at_once_when_nothing_has_changed() {
        let (mut engine, call) = asked();
        answer(&mut engine, &call, 10);
        assert_eq!(verdict(&mut engine), Some(false), "the slice serves it");
    }

    #[tokio::test]
    async fn a_pod_that_no_service_selects_is_drained_at_once() {
        let (mut engine, call) = asked();
        see(&mut engine, Event::Delete(slice(11, true)));
        let none = json!({"metadata": {"resourceVersion": "11"}, "items": null});
        engine.await_proof(&call, &serde_json::from_value(none).unwrap());
        engine.judge_proofs();
        assert_eq!(verdict(&mut engine), Some(true));
    }

    #[tokio::test]
    async fn nothing_is_judged_in_the_middle_of_a_list() {
        let (mut engine, _) = asked();
        see(&mut engine, Event::Init);
        let (mut engine, call) = ask(engine);
        see(&mut engine, Event::InitApply(slice(12, false)));
        answer(&mut engine, &call, 12);
        assert_eq!(verdict(&mut engine), None);
        see(&mut engine, Event::InitDone);
        assert_eq!(verdict(&mut engine), Some(true));
    }

    #[tokio::test]
    async fn a_list_that_begins_after_the_live_read_may_know_less() {
        let (mut engine, call) = asked();
        answer(&mut engine, &call, 12);
        see(&mut engine, Event::Init);
        see(&mut engine, Event::InitApply(slice(12, false)));
        see(&mut engine, Event::InitDone);
        assert_eq!(verdict(&mut engine), Some(false), "it is read again");
    }

    #[tokio::test]
    async fn a_slice_that_has_gone_is_not_awaited_once_the_watch_is_past_the_live_read() {
        let (mut engine, call) = asked();
        answer(&mut engine, &call, 12);
        see(&mut engine, Event::Delete(slice(13, false)));
        assert_eq!(verdict(&mut engine), None, "nothing tells where the watch is");
        let other = json!({"name": "other", "namespace": "shop", "uid": "00000000-0000-0000-0000-0000000000ee", "resourceVersion": "14"});
        see(&mut engine, Event::Apply(serde_json::from_value(json!({"metadata": other})).unwrap()));
        assert_eq!(verdict(&mut engine), Some(true));
    }

    #[tokio::test]
    async fn the_watch_of_another_namespace_proves_nothing() {
        let (mut engine, call) = asked();
        answer(&mut engine, &call, 12);
        see_in(&mut engine, Some("shop"), Event::Delete(slice(13, false)));
        let other =
            json!({"name": "other", "uid": "00000000-0000-0000-0000-0000000000ee", "resourceVersion": "14"});
        let event = || Event::Apply(serde_json::from_value(json!({"metadata": other})).unwrap());
        see_in(&mut engine, Some("else"), event());
        assert_eq!(verdict(&mut engine), None);
        see_in(&mut engine, Some("shop"), event());
        assert_eq!(verdict(&mut engine), Some(true));
    }

    #[tokio::test]
    async fn a_live_read_that_contradicts_what_is_known_means_that_history_went_backwards() {
        let (mut engine, call) = asked();
        let older = json!({"metadata": {"name": "web", "uid": SLICE, "resourceVersion": "5"}});
        let list = json!({"metadata": {"resourceVersion": "2000"}, "items": [older]});
        engine.await_proof(&call, &serde_json::from_value(list).unwrap());
        assert!(engine.world.rewound);
    }

    #[tokio::test]
    async fn what_never_comes_is_not_awaited_for_ever() {
        let (mut engine, call) = asked();
        answer(&mut engine, &call, 12);
        let until = engine.proofs.first().unwrap().until;
        assert!(engine.next_turn() <= until, "the loop turns although nothing happens");
        engine.proofs.first_mut().unwrap().until = Millis(0);
        engine.judge_proofs();
        assert_eq!(verdict(&mut engine), Some(false), "it is read again");
        assert!(
            is_unproven(&mut engine),
            "the planner is told, who waits no longer than drainTimeoutSeconds"
        );
        let (mut engine, call) = ask(engine);
        answer(&mut engine, &call, 10);
        assert!(!is_unproven(&mut engine), "it serves the pod: that is a verdict");
    }

    #[tokio::test]
    async fn a_live_read_older_than_what_the_watch_has_shown_means_that_history_went_backwards() {
        let (mut engine, call) = asked();
        answer(&mut engine, &call, 9);
        assert!(engine.world.rewound);
    }
}
