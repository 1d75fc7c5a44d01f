//! The next step of each pod: its phase is computed from the pod, never stored.

use cafe_crds::{time::Seconds, traffic::TrafficMode};

use crate::{
    Text,
    identity::{Op, RevisionHash},
    pod::{Gate, InPlace, Pod, PodView},
    set::{
        Action, Plan, Snapshot,
        action::{On, Why},
        drain::{self, Patience},
        intent::{Intended, Intent},
        journal::Journal,
    },
    time::Millis,
    traffic,
};

/// Adds the next step of every pod that has one.
pub fn plan(s: &Snapshot<'_>, pods: &[Intended<'_>], journal: &Journal, plan: &mut Plan) {
    let mut unproven = Vec::new();
    let (mut settling, mut unfenced) = (s.proving, false);
    for p in pods.iter().filter(|p| p.intent != Intent::Gone) {
        let pod = p.view.pod;
        let drained = traffic::is_drained(pod, p.view.endpoints.counted_in(s.set.spec.traffic.mode));
        if drained {
            plan.drained.push(pod.uid);
        }
        if p.view.busy {
            // A W1 on its way belongs to the wave: one proof for all of them, begun after the last is acknowledged.
            settling |= p.reserved();
            continue;
        }
        match step(s, p, drained, journal) {
            Step::Do(action) => plan.actions.push(action),
            Step::Force(op) => {
                let passed_over = drain::holder(s, &p.view, op);
                drain::force(pod, op, &passed_over, plan);
                let action = past_the_point_of_no_return(s, p, op, Some(passed_over.into()));
                plan.actions.extend(action);
            }
            Step::Fence => unfenced = true,
            Step::AtWall(when) => plan.wake.at_wall(s.now, when),
            Step::Prove(op) => unproven.push((pod.uid, op)),
            Step::At(at) => plan.wake.at(at),
            Step::Wait => {}
        }
    }
    plan.needs_fence = unfenced;
    if !unproven.is_empty() && !settling {
        plan.actions.push(Action::ProveDrained { pods: unproven });
    }
}

enum Step {
    Do(Action),
    /// Act although the drain is not complete.
    Force(Op),
    Prove(Op),
    /// Find out first whether the journal is the one in force.
    Fence,
    At(Millis),
    AtWall(Seconds),
    Wait,
}

/// With `graceSeconds: 0` nothing else gives EndpointSlices the time to catch up with a pod that has just become Ready: it
/// is not taken out again sooner than this, in seconds.
const SETTLE: i64 = 2;

fn step(s: &Snapshot<'_>, p: &Intended<'_>, drained: bool, journal: &Journal) -> Step {
    let pod = p.view.pod;
    let reserved = p.reserved() && journal.holds(pod.uid);
    match (p.intent, pod.gate) {
        (Intent::Bury, _) => delete(pod, Why::Finished),
        // Nobody would open its gate once it is let go.
        (Intent::Release, Gate::Draining(_)) if reserved && traffic::runs_what_it_wants(pod) => put_back(pod),
        (Intent::Release, _) => Step::Do(Action::Release { on: on(pod) }),
        _ if journal.unfenced.contains(&pod.uid) => touch(pod),
        // A pause holds its move, not its entry into service.
        (Intent::Relabel | Intent::Update | Intent::Recreate, Gate::Missing)
            if s.is_paused() && !p.reserved() =>
        {
            put_back(pod)
        }
        // Labels do not wait for a pod that is not well; a pause lets them wait, but not the pod.
        (Intent::Relabel, Gate::Draining(_)) if reserved && s.is_paused() => put_back(pod),
        (Intent::Relabel, _) if !s.is_paused() => relabel(s, pod),
        (Intent::Keep, Gate::Draining(_)) if reserved => put_back(pod),
        (Intent::Keep, Gate::Missing) => put_back(pod),
        (intent, gate) if !intent.drains() || !reserved => as_people_wish(s, pod, gate),
        // Never had a node: no container runs and nobody can route to it.
        (Intent::Remove | Intent::Recreate, _) if !pod.scheduled => delete(pod, why(p.intent)),
        (intent, Gate::Draining(op)) if drained && (pod.gate_noticed || intent != Intent::Update) => {
            at_the_point_of_no_return(s, p, op)
        }
        (_, Gate::Draining(op)) => match drain::patience(s, pod, op) {
            Patience::Until(when) => Step::AtWall(when),
            Patience::Over => Step::Wait,
            Patience::Forced => Step::Force(op),
        },
        // The write of the journal that is on its way may be the one that gives the pod back.
        _ if s.busy => Step::Wait,
        // A process before this one may have written the journal since it was seen here.
        _ if !s.fenced => Step::Fence,
        _ => take_out(s, pod),
    }
}

/// What is due to a pod that nothing of ours takes out of service.
fn as_people_wish(s: &Snapshot<'_>, pod: &Pod, gate: Gate) -> Step {
    let unselects = s.set.spec.traffic.mode == TrafficMode::Unselect;
    match gate {
        Gate::True | Gate::Missing if pod.offline => Step::Do(Action::TakeOffline { on: on(pod) }),
        Gate::Offline if !pod.offline => put_back(pod),
        // Somebody took the label off, or the mode has changed.
        Gate::True if unselects && !pod.selected => put_back(pod),
        _ => Step::Wait,
    }
}

/// W1.
fn take_out(s: &Snapshot<'_>, pod: &Pod) -> Step {
    let settled = pod.ready_since.map_or(s.now.wall, |since| Seconds(since.0.saturating_add(SETTLE)));
    let fresh = pod.in_service() && pod.ready_since <= Some(s.now.wall) && s.now.wall < settled;
    if s.set.spec.traffic.grace_seconds == 0 && fresh {
        return Step::AtWall(settled);
    }
    Step::Do(Action::TakeOut { on: on(pod), op: Op::new(pod.uid, pod.rv) })
}

/// Drained by the caches' account: prove it live, wait out the grace, then act.
fn at_the_point_of_no_return(s: &Snapshot<'_>, p: &Intended<'_>, op: Op) -> Step {
    let Some(proven) = p.view.drained_at else {
        let is_forced = s.unproven && drain::patience(s, p.view.pod, op) == Patience::Forced;
        return if is_forced { Step::Force(op) } else { Step::Prove(op) };
    };
    let end = proven.plus_seconds(i64::from(s.set.spec.traffic.grace_seconds));
    if s.now.mono < end {
        return Step::At(end);
    }
    past_the_point_of_no_return(s, p, op, None).map_or(Step::Wait, Step::Do)
}

/// W2, or the deletion. `forced` names who was not waited for.
fn past_the_point_of_no_return(
    s: &Snapshot<'_>,
    p: &Intended<'_>,
    op: Op,
    forced: Option<Text>,
) -> Option<Action> {
    match p.intent {
        Intent::Update => update(s, p.view, op, forced),
        intent => Some(Action::Delete { on: on(p.view.pod), why: why(intent) }),
    }
}

fn update(s: &Snapshot<'_>, view: PodView<'_>, op: Op, forced: Option<Text>) -> Option<Action> {
    let target = s.target?;
    let pod = view.pod;
    let wanted = |c: &crate::template::ContainerImage| {
        let differs = pod.containers.iter().any(|p| p.name == c.name && p.wants != c.image);
        differs.then(|| (c.name.clone(), c.image.clone(), c.sidecar))
    };
    let images: Vec<_> = target.facts.containers.iter().filter_map(wanted).collect();
    let changes: Vec<_> = images.iter().map(|(name, image, _)| (name.clone(), image.clone())).collect();
    let record = InPlace { forced, ..traffic::record(pod, op, &changes) };
    Some(Action::Update {
        on: on(pod),
        from: pod.revision,
        to: target.hash,
        group: group(s),
        images,
        record: Some(record),
    })
}

fn relabel(s: &Snapshot<'_>, pod: &Pod) -> Step {
    let Some(target) = s.target.map(|t| t.hash) else {
        return Step::Wait;
    };
    Step::Do(Action::Update {
        on: on(pod),
        from: pod.revision,
        to: target,
        group: group(s),
        images: Vec::new(),
        record: None,
    })
}

/// W3, once the containers are those the pod wants; a pod that people want out of traffic goes back to that.
fn put_back(pod: &Pod) -> Step {
    match (traffic::runs_what_it_wants(pod), pod.offline) {
        (true, true) => Step::Do(Action::TakeOffline { on: on(pod) }),
        (true, false) => Step::Do(Action::PutBack { on: on(pod) }),
        (false, _) => Step::Wait,
    }
}

fn touch(pod: &Pod) -> Step {
    let record = pod.in_place.as_deref().cloned().unwrap_or_default();
    Step::Do(Action::Touch { on: on(pod), record: InPlace { fence: record.fence.wrapping_add(1), ..record } })
}

fn delete(pod: &Pod, why: Why) -> Step {
    Step::Do(Action::Delete { on: on(pod), why })
}

fn why(intent: Intent) -> Why {
    if intent == Intent::Recreate { Why::Recreate } else { Why::ScaleIn }
}

fn on(pod: &Pod) -> On {
    On { pod: pod.name.clone(), uid: pod.uid, rv: pod.rv }
}

fn group(s: &Snapshot<'_>) -> Option<Text> {
    s.set.spec.update_strategy.group.as_deref().map(Into::into)
}

/// The group label of a pod born at `revision`.
#[must_use]
pub(crate) fn birth_group(s: &Snapshot<'_>, revision: RevisionHash) -> Option<Text> {
    s.target.filter(|t| t.hash == revision).and_then(|_| group(s))
}
