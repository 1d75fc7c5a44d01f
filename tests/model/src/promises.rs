//! The promises, judged by the predicates of `cafe-invariants`.

use cafe_invariants::rules::{self, Stop};

use crate::{
    object::Set,
    setup::Setup,
    state::{Broken, Mask, State, bit},
};

/// S3: whether the kubelet may stop the pod's container for a write of ours. The wait is not a clock but the assumption
/// behind [`Settled`](crate::world::Event::Settled).
pub(crate) fn may_stop(s: &State, i: usize) -> bool {
    let endpoints = i64::from(s.serving & bit(i) != 0);
    let (closed, ready) = (!s.pods[i].gate(), s.pods[i].ready());
    let stop = Stop { what: "stopped", closed, ready, endpoints, unanswered: 0, forced: false, waited: None };
    rules::s3(&stop).is_ok()
}

/// S2, S4 and S5 of a journal write, just before it is carried out.
pub(crate) fn judge_journal(setup: &Setup, s: &mut State, set: Set, costly: Mask) {
    let count = |mask: Mask| i64::from(mask.count_ones());
    let (old, new) = (s.set.reserved(), set.reserved());
    let costing = costly & !old;
    s.broken.s2 |= rules::s2(count(costing), count(old & new) + count(costing), budget(setup)).is_err();
    // A pod that was found drained with no reservation is no move.
    let moves = (0..setup.pods).filter(|i| new & !old & bit(*i) != 0 && s.pods[*i].gate());
    let moves = moves.count() as i64;
    s.broken.s5 |= rules::s5(s.set.paused(), moves).is_err();
    let target = s.set.target();
    let bound = |i: &usize| new_entry(set, *i) == Some(target) || s.pods[*i].spec() == target;
    let there = (0..setup.pods).filter(bound).count() as i64;
    let allowed = setup.pods as i64 - i64::from(s.set.partition());
    s.broken.s4 |= moves > 0 && rules::s4(there, allowed).is_err();
}

/// The revision that the pod is reserved for.
fn new_entry(set: Set, pod: usize) -> Option<u8> {
    set.entry(pod).map(|(_, to)| to)
}

/// Pods that are out of service on our account.
fn out(setup: &Setup, s: &State) -> i64 {
    let is_out =
        |i: &usize| s.taken & bit(*i) != 0 || (s.pods[*i].gate() && s.pods[*i].spec() != s.pods[*i].run());
    (0..setup.pods).filter(is_out).count() as i64
}

/// S1.
pub(crate) fn keeps_the_budget(setup: &Setup, s: &State) -> bool {
    rules::s1(out(setup, s), budget(setup)).is_ok()
}

fn budget(setup: &Setup) -> i64 {
    i64::from(setup.budget)
}

/// Whether nothing has been broken so far.
pub(crate) fn is_sound(s: &State) -> bool {
    s.broken == Broken::default()
}
