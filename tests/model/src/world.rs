//! What may happen: the controller, the API server, the kubelet, the EndpointSlice controller and people.

use crate::{
    api::{carry_out, moved, moved_pod},
    controller::{act, answered, bring, frozen, take_over, unknown},
    look::Ask,
    object::Pod,
    promises,
    setup::{Rule, Setup, TakeOver},
    state::{Mask, SET, State, bit},
};

/// The revision that every pod has at first, which a rollback goes back to.
const BASE: u8 = 0;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The controller does one thing that its plan asks for.
    Act(Ask),
    /// The write in flight is carried out (or refused as outdated) and answered.
    Answered,
    /// The write in flight is carried out but its answer is lost; the object is read live.
    AnswerLost,
    /// The write in flight is given up while it is still on its way; the object is read live.
    GivenUp,
    /// The abandoned write is carried out after all.
    Landed,
    /// The controller dies; the one that takes over has fresh caches, or those of a replica that stood by.
    TakenOver(TakeOver),
    /// A watch brings an object.
    Brought(u8),
    /// A watch brings the EndpointSlice.
    BroughtSlice,
    /// A watch of the replica that stands by brings it an object.
    BroughtToStandby(u8),
    /// A watch of the replica that stands by brings it the EndpointSlice.
    BroughtSliceToStandby,
    /// The kubelet stops the container: the spec asks for another image.
    Stopped(u8),
    /// The kubelet starts the container.
    Started(u8),
    /// The kubelet reports that it has seen the last spec.
    Observed(u8),
    /// A container dies by itself.
    Died(u8),
    /// The EndpointSlice controller sees a pod.
    Believed(u8),
    /// The EndpointSlice controller writes what it believes of a pod.
    Synced(u8),
    /// The grace of a proven drain is over.
    Settled(u8),
    /// The spec asks for another revision.
    Retargeted(u8),
    /// Somebody pauses the set.
    Paused,
    /// Somebody ends the pause.
    Unpaused,
    /// The CafeDeployment aborts the release, by what it knows.
    Aborted,
    /// The release is taken up again.
    TakenUp,
    /// The CafeDeployment goes back to the base.
    RolledBack,
}

/// Everything that may happen next, except what the planner asks for.
pub fn events(setup: &Setup, s: &State, events: &mut Vec<Event>) {
    if s.live.is_some() {
        events.push(Event::Answered);
        if s.left.lost > 0 {
            events.extend([Event::AnswerLost, Event::GivenUp]);
        }
    }
    if s.zombie.is_some() {
        events.push(Event::Landed);
    }
    if s.left.crashes > 0 {
        events.push(Event::TakenOver(TakeOver::Fresh));
        if setup.take_over == TakeOver::Stale {
            standby_events(setup, s, events);
        }
    }
    if s.cache.newer & bit(SET) != 0 {
        events.push(Event::Brought(SET as u8));
    }
    if s.cache.serving != s.serving {
        events.push(Event::BroughtSlice);
    }
    for i in 0..setup.pods {
        pod_events(setup, s, i, events);
    }
    people(s, events);
}

fn people(s: &State, events: &mut Vec<Event>) {
    if s.left.changes > 0 {
        events.extend((0..3).filter(|r| *r != s.set.target()).map(Event::Retargeted));
    }
    match s.set.paused() {
        true if s.set.is_aborted() => events.push(Event::TakenUp),
        true => events.push(Event::Unpaused),
        false if s.left.pauses > 0 => events.push(Event::Paused),
        false => {}
    }
    // Both are writes of the CafeDeployment, on the version of the set that its process knows.
    let knows_the_set = (s.cache.newer | s.cache.behind) & bit(SET) == 0;
    if s.left.aborts > 0 && knows_the_set && !s.set.is_aborted() {
        events.push(Event::Aborted);
    }
    if s.left.rollbacks > 0 && knows_the_set && s.set.target() != BASE {
        events.push(Event::RolledBack);
    }
}

fn standby_events(setup: &Setup, s: &State, events: &mut Vec<Event>) {
    events.push(Event::TakenOver(TakeOver::Stale));
    let lags = |object: &usize| s.standby.newer & bit(*object) != 0;
    let objects = (0..setup.pods).chain([SET]).filter(lags);
    events.extend(objects.map(|object| Event::BroughtToStandby(object as u8)));
    if s.standby.serving != s.serving {
        events.push(Event::BroughtSliceToStandby);
    }
}

fn pod_events(setup: &Setup, s: &State, i: usize, events: &mut Vec<Event>) {
    let (pod, n) = (s.pods[i], i as u8);
    let is = |mask: Mask| mask & bit(i) != 0;
    if is(s.cache.newer) {
        events.push(Event::Brought(n));
    }
    if !pod.app() {
        events.push(Event::Started(n));
    } else {
        if pod.run() != pod.spec() {
            events.push(Event::Stopped(n));
        }
        if !pod.is_observed() {
            events.push(Event::Observed(n));
        }
        if s.left.deaths > 0 {
            events.push(Event::Died(n));
        }
    }
    if setup.slices_lag && is(s.believed) != pod.ready() {
        events.push(Event::Believed(n));
    }
    if is(s.serving) != believes(setup, s, i) {
        events.push(Event::Synced(n));
    }
    if is(s.proven) && !is(s.settled) && may_settle(setup, s, i) {
        events.push(Event::Settled(n));
    }
}

/// What the EndpointSlice controller would write of the pod.
fn believes(setup: &Setup, s: &State, i: usize) -> bool {
    if setup.slices_lag { s.believed & bit(i) != 0 } else { s.pods[i].ready() }
}

/// The grace is longer than the EndpointSlice controller lags: when it is over, the pod's last change has been seen.
fn may_settle(setup: &Setup, s: &State, i: usize) -> bool {
    !setup.keeps(Rule::Settle)
        || (believes(setup, s, i) == s.pods[i].ready() && believes(setup, s, i) == (s.serving & bit(i) != 0))
}

/// The state after an event.
pub fn after(setup: &Setup, before: &State, event: Event) -> State {
    let mut s = before.clone();
    match event {
        Event::Act(ask) => act(setup, &mut s, ask),
        Event::Answered => answered(setup, &mut s),
        Event::AnswerLost => {
            s.left.lost -= 1;
            if let Some(write) = s.live.take() {
                carry_out(setup, &mut s, write);
                unknown(&mut s, usize::from(write.object));
            }
        }
        Event::GivenUp => {
            s.left.lost -= 1;
            if let Some(write) = s.live.take() {
                s.zombie = Some(write);
                unknown(&mut s, usize::from(write.object));
            }
        }
        Event::Landed => {
            if let Some(write) = s.zombie.take() {
                carry_out(setup, &mut s, write);
            }
        }
        Event::TakenOver(caches) => take_over(setup, &mut s, caches),
        Event::Brought(object) => bring(setup, &mut s, usize::from(object)),
        Event::BroughtSlice => s.cache.serving = s.serving,
        Event::BroughtToStandby(object) => s.standby.see(usize::from(object), &s.pods, s.set),
        Event::BroughtSliceToStandby => s.standby.serving = s.serving,
        Event::Stopped(i) => {
            s.broken.s3 |= !promises::may_stop(&s, usize::from(i));
            moved_pod(setup, &mut s, i, Pod::stopped);
        }
        Event::Started(i) => moved_pod(setup, &mut s, i, Pod::started),
        Event::Observed(i) => moved_pod(setup, &mut s, i, Pod::observed),
        Event::Died(i) => {
            s.left.deaths -= 1;
            moved_pod(setup, &mut s, i, Pod::stopped);
        }
        Event::Believed(i) => s.believed ^= bit(usize::from(i)),
        Event::Synced(i) => s.serving ^= bit(usize::from(i)),
        Event::Settled(i) => s.settled |= bit(usize::from(i)),
        Event::Retargeted(target) => {
            s.left.changes -= 1;
            s.set = s.set.retargeted(target);
            moved(setup, &mut s, SET);
        }
        Event::Paused => {
            s.left.pauses -= 1;
            s.set = s.set.with_pause(true);
            moved(setup, &mut s, SET);
        }
        Event::Unpaused => {
            s.set = s.set.with_pause(false);
            moved(setup, &mut s, SET);
        }
        Event::Aborted => {
            s.left.aborts -= 1;
            let aborted = s.set.aborted(frozen(setup, &s));
            s.set = if setup.keeps(Rule::Freeze) { aborted } else { aborted.with_pause(false) };
            moved(setup, &mut s, SET);
        }
        Event::TakenUp => {
            s.set = s.set.taken_up();
            moved(setup, &mut s, SET);
        }
        Event::RolledBack => {
            s.left.rollbacks -= 1;
            s.set = s.set.taken_up().retargeted(BASE);
            moved(setup, &mut s, SET);
        }
    }
    s
}
