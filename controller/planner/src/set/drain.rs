//! A drain that takes long: who holds it, until when it is waited for, and how it is cut short.

use cafe_crds::{names::ANNOTATION_FORCE_DRAIN, reason, time::Seconds, traffic::OnDrainTimeout};

use crate::{
    Text,
    event::Event,
    identity::Op,
    pod::{Gate, Pod, PodView, ProtectorCondition},
    set::{Plan, Snapshot, action::Notice},
    traffic,
};

/// A drain that is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Held {
    /// Pod name.
    pub pod: Text,
    /// Who holds it, for people.
    pub by: String,
    /// The drain.
    pub op: Op,
}

impl Held {
    /// What happens and what to do, with the exact command.
    #[must_use]
    pub fn advice(&self, namespace: Option<&str>) -> String {
        let Self { pod, by, op } = self;
        let within = namespace.map(|n| format!(" -n {n}")).unwrap_or_default();
        format!(
            "pod {pod} has been draining for longer than drainTimeoutSeconds: {by}; mend that or, to go on without it: \
             kubectl{within} annotate pod {pod} --overwrite {ANNOTATION_FORCE_DRAIN}={op}"
        )
    }
}

/// How long a drain is waited for yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until this moment, by the wall clock.
    Until(Seconds),
    /// It is over, and nobody is to be passed over for that.
    Over,
    /// It is over: go on.
    Forced,
}

/// Whether drain `op` of the pod is waited for.
pub(super) fn patience(s: &Snapshot<'_>, pod: &Pod, op: Op) -> Patience {
    let traffic = &s.set.spec.traffic;
    let until = Seconds(pod.gate_since.0.saturating_add(i64::from(traffic.drain_timeout_seconds)));
    if pod.force_drain == Some(op) {
        return Patience::Forced;
    }
    match traffic.on_drain_timeout {
        _ if s.now.wall < until => Patience::Until(until),
        OnDrainTimeout::Hold => Patience::Over,
        OnDrainTimeout::Force => Patience::Forced,
    }
}

/// Who holds drain `op`: a protector that has not answered it, else endpoints that still serve the pod, else the pod.
pub(super) fn holder(s: &Snapshot<'_>, view: &PodView<'_>, op: Op) -> String {
    let answered = Some(ProtectorCondition::False(Some(op)));
    let silent = view.pod.protectors.iter().filter(|p| p.finalizer && p.condition != answered);
    let names: Vec<&str> = silent.map(|p| &*p.name).collect();
    let serving = view.endpoints.counted_in(s.set.spec.traffic.mode).serving;
    match names.as_slice() {
        [] if serving > 0 => format!("EndpointSlices still serve it ({serving} endpoints)"),
        [] if view.pod.is_ready() => "it is Ready although its gate is False".to_owned(),
        [] if s.unproven => {
            "no EndpointSlice is known to serve it, which a live read of them could not confirm (the controller's log says why)"
                .to_owned()
        }
        [] => "its kubelet has not answered its gate".to_owned(),
        [one] => format!("protector {one} has not answered drain {op}"),
        many => format!("protectors {} have not answered drain {op}", many.join(", ")),
    }
}

/// Notes the first drain, and the drains that take too long and that nobody cuts short, and tells of each of these once.
pub(super) fn survey(s: &Snapshot<'_>, plan: &mut Plan) {
    for view in s.pods.iter().filter(|view| view.entry.is_some() && view.pod.is_live()) {
        let Gate::Draining(op) = view.pod.gate else { continue };
        let drained = traffic::is_drained(view.pod, view.endpoints.counted_in(s.set.spec.traffic.mode));
        let unproven = s.unproven && view.drained_at.is_none();
        if (drained && !unproven) || has_acted(view.pod, op) {
            continue;
        }
        let over = patience(s, view.pod, op) == Patience::Over;
        let is_first = |first: &Option<Held>| first.as_ref().is_none_or(|first| view.pod.name < first.pod);
        if !over && !is_first(&plan.census.draining) {
            continue;
        }
        let held = Held { pod: view.pod.name.clone(), by: holder(s, view, op), op };
        if over {
            tell(view.pod, op, reason::DRAIN_TIMED_OUT, held.advice(None), plan);
        }
        if over && is_first(&plan.census.held) {
            plan.census.held = Some(held.clone());
        }
        if is_first(&plan.census.draining) {
            plan.census.draining = Some(held);
        }
    }
}

/// Whether what the drain was for has been done to the pod.
fn has_acted(pod: &Pod, op: Op) -> bool {
    pod.in_place.as_ref().is_some_and(|record| record.op == op)
}

/// Tells that a drain was cut short.
pub(super) fn force(pod: &Pod, op: Op, passed_over: &str, plan: &mut Plan) {
    tell(pod, op, reason::DRAIN_FORCED, format!("drain {op} was forced: {passed_over}"), plan);
}

fn tell(pod: &Pod, op: Op, reason: &'static str, note: String, plan: &mut Plan) {
    let event = Event { once: op.to_string(), ..Event::warning(reason, note) };
    plan.notices.push(Notice { pod: pod.name.clone(), uid: pod.uid, event });
}
