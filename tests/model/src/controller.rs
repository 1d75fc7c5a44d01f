//! The rest of the controller: what it does with a plan, with answers, and with what its watches bring.
//!
//! Each function names the one of the shipped controller that it stands for.

use crate::{
    api::{carry_out, reset_lateness},
    look::Ask,
    object::{Pod, Set},
    setup::{Rule, Setup, TakeOver},
    state::{Cache, Deed, Mask, SET, State, Write, bit},
};

/// `Engine::dispatch`: the write leaves, decided on what the cache holds. A live read is carried out and answered at once.
pub(crate) fn act(setup: &Setup, s: &mut State, ask: Ask) {
    let (object, deed) = match ask {
        Ask::Prove(pods) => return prove(setup, s, pods),
        Ask::TakeOut(i) => (usize::from(i), Deed::TakeOut),
        Ask::Update(i, to) => (usize::from(i), Deed::Update(to)),
        Ask::PutBack(i) => (usize::from(i), Deed::PutBack),
        Ask::Touch(i) => (usize::from(i), Deed::Touch),
        Ask::Fence => (SET, Deed::Touch),
        Ask::Journal(set, costly) => (SET, Deed::Journal { set, costly }),
    };
    keep_proofs(s);
    if !setup.keeps(Rule::R3)
        && let Deed::Journal { set, .. } = deed
    {
        return remember(s, set);
    }
    let on = if setup.keeps(Rule::R2) {
        Pod::default()
    } else {
        *s.cache.pods.get(object).unwrap_or(&Pod::default())
    };
    if s.cache.newer & bit(object) != 0 && (setup.keeps(Rule::R2) || object == SET) {
        return refused(setup, s, object);
    }
    s.live = Some(Write { object: object as u8, deed, on });
}

/// Without a journal: reservations are noted in the memory of the process at once; only the acknowledgement is written.
fn remember(s: &mut State, set: Set) {
    let changed = s.cache.set.reserved() ^ set.reserved();
    s.cache.set = set;
    if s.cache.newer & bit(SET) == 0 {
        s.set = s.set.acknowledging();
    }
    reset_lateness(s, changed);
}

/// `Engine::await_proof` and `Engine::judge_proofs`: pods that no EndpointSlice served when the live read was made are proved drained.
fn prove(setup: &Setup, s: &mut State, pods: Mask) {
    keep_proofs(s);
    let serving = if setup.keeps(Rule::R5) { s.serving } else { s.cache.serving };
    s.proven |= pods & !serving;
    if !setup.slices_lag {
        // Without a lag there is nothing to wait for.
        s.settled = s.proven;
    }
}

/// `World::keep_proofs`: a proof holds only as long as the caches agree with it.
fn keep_proofs(s: &mut State) {
    let drained = |i: usize| !s.cache.pods[i].gate() && s.cache.serving & bit(i) == 0;
    let drained = (0..s.cache.pods.len()).filter(|i| drained(*i)).fold(0, |mask, i| mask | bit(i));
    s.proven &= drained;
    s.settled &= drained;
}

/// `Engine::settle_call`: applied, or outdated.
pub(crate) fn answered(setup: &Setup, s: &mut State) {
    let Some(write) = s.live.take() else { return };
    let object = usize::from(write.object);
    if carry_out(setup, s, write) {
        s.fenced |= bit(object);
        if setup.keeps(Rule::R1) {
            see(s, object);
        }
    } else {
        refused(setup, s, object);
    }
}

/// `Engine::outdated` and `World::fell_behind`: a conflict; nothing is decided about the object before the cache has moved on.
pub(crate) fn refused(setup: &Setup, s: &mut State, object: usize) {
    if setup.keeps(Rule::R1) {
        s.cache.behind |= s.cache.newer & bit(object);
    }
}

/// `Engine::unknown`: the object is no longer fenced, and is read live before anything else is decided about it.
pub(crate) fn unknown(s: &mut State, object: usize) {
    s.fenced &= !bit(object);
    see(s, object);
}

/// The cache holds the object as it is.
fn see(s: &mut State, object: usize) {
    s.cache.see(object, &s.pods, s.set);
}

/// A watch brings the object: `World::see_pod`, `World::see_set`.
pub(crate) fn bring(setup: &Setup, s: &mut State, object: usize) {
    let remembered = s.cache.set;
    see(s, object);
    if !setup.keeps(Rule::R3) && object == SET {
        s.cache.set = s.set.with_status_of(remembered);
    }
}

/// `stop::freeze` and `children::partition`: by the caches, no more pods go to the target than are there or on their way.
pub(crate) fn frozen(setup: &Setup, s: &State) -> u8 {
    let Cache { pods, set, .. } = &s.cache;
    let there = |i: &usize| pods[*i].spec() == set.target();
    let on_the_way = |i: &usize| set.entry(*i).is_some() && !there(i);
    let gone = (0..setup.pods).filter(|i| there(i) || on_the_way(i)).count();
    (setup.pods - gone) as u8
}

/// The caches hold everything as it is.
pub(crate) fn bring_everything(setup: &Setup, s: &mut State) {
    (0..setup.pods).chain([SET]).for_each(|object| bring(setup, s, object));
    s.cache.serving = s.serving;
}

/// `World::take_over` in a new process: nothing is fenced, proved or on its way.
pub(crate) fn take_over(setup: &Setup, s: &mut State, caches: TakeOver) {
    s.left.crashes -= 1;
    if let Some(write) = s.live.take() {
        s.zombie = Some(write);
    }
    (s.fenced, s.proven, s.settled) = (0, 0, 0);
    match caches {
        TakeOver::Fresh => bring_everything(setup, s),
        TakeOver::Stale => s.cache = s.standby,
    }
    s.standby = Cache::default();
    if !setup.keeps(Rule::R3) {
        s.cache.set = s.set;
    }
}
