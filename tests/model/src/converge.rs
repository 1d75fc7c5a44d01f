//! The way to the goal: once faults have ended and everybody else does their part, the planner must bring every pod home.

use crate::{
    controller,
    look::Ask,
    search::Cluster,
    setup::Setup,
    state::{Faults, State, bit},
    world::{self, Event},
};

/// More steps than any way to the goal has.
const MOST_STEPS: usize = 200;

/// Every pod serves at the revision asked for, nothing is reserved, and the set knows of it.
#[must_use]
pub fn is_done(setup: &Setup, s: &State) -> bool {
    let home = |i: usize| {
        s.pods[i].ready() && s.pods[i].spec() == s.set.target() && s.pods[i].run() == s.set.target()
    };
    s.set.reserved() == 0 && s.set.acknowledged() && !s.set.paused() && (0..setup.pods).all(home)
}

/// What has been aborted stays aborted, and rests: no pod is out of service or reserved.
fn is_at_rest(setup: &Setup, s: &State) -> bool {
    let serves = |i: usize| s.pods[i].ready() && s.pods[i].run() == s.pods[i].spec();
    s.set.reserved() == 0 && s.set.acknowledged() && (0..setup.pods).all(serves)
}

/// Whether the goal can be reached from here without another fault: an abort has come to rest before it is taken up again.
/// The abandoned write never arrives.
pub(crate) fn can(cluster: &Cluster, from: &State) -> bool {
    let mut s = from.clone();
    (s.left, s.zombie) = (Faults::NONE, None);
    let mut walked = Vec::new();
    for _ in 0..MOST_STEPS {
        rest(&cluster.setup, &mut s);
        if s.set.is_aborted() && is_at_rest(&cluster.setup, &s) {
            s = world::after(&cluster.setup, &s, Event::TakenUp);
            rest(&cluster.setup, &mut s);
        }
        if is_done(&cluster.setup, &s) || cluster.is_known_to_converge(&s) {
            walked.into_iter().for_each(|s| cluster.note_converging(s));
            return true;
        }
        let mut first: Option<Ask> = None;
        cluster.planner.asks(&s, |ask| first = first.or(Some(ask)));
        let Some(ask) = first else { return false };
        let next = world::after(&cluster.setup, &s, Event::Act(ask));
        walked.push(std::mem::replace(&mut s, next));
    }
    false
}

/// Everybody but the planner does what is left to do.
fn rest(setup: &Setup, s: &mut State) {
    if s.live.is_some() {
        *s = world::after(setup, s, Event::Answered);
    }
    if s.set.paused() && !s.set.is_aborted() {
        *s = world::after(setup, s, Event::Unpaused);
    }
    for i in 0..setup.pods {
        let pod = s.pods[i];
        s.pods[i] = if pod.app() && pod.run() == pod.spec() { pod.observed() } else { pod.started() };
        let mark = |mask: &mut u8| *mask = if s.pods[i].ready() { *mask | bit(i) } else { *mask & !bit(i) };
        mark(&mut s.serving);
        if setup.slices_lag {
            mark(&mut s.believed);
        }
    }
    controller::bring_everything(setup, s);
    s.settled = s.proven;
}
