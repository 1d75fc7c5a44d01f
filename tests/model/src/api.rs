//! The API server: it carries writes out or refuses them, and counts every change.

use crate::{
    controller::refused,
    object::{Pod, Set},
    promises,
    setup::{Rule, Setup, TakeOver},
    state::{Deed, Mask, SET, State, Write, bit},
};

/// The API server carries a write out, or refuses it. Whether it did.
pub(crate) fn carry_out(setup: &Setup, s: &mut State, write: Write) -> bool {
    let object = usize::from(write.object);
    if !setup.keeps(Rule::R2) && !has_same_values(s, &write) {
        return false;
    }
    match write.deed {
        Deed::Journal { set, costly } => return write_journal(setup, s, set, costly),
        Deed::TakeOut => {
            if s.pods[object].ready() {
                s.taken |= bit(object);
            }
            s.pods[object] = s.pods[object].gated(false);
            forget_proof(s, object);
        }
        Deed::PutBack => {
            s.pods[object] = s.pods[object].gated(true);
            s.taken &= !bit(object);
            forget_proof(s, object);
        }
        Deed::Update(to) => s.pods[object] = s.pods[object].updated(to),
        Deed::Touch => {}
    }
    moved(setup, s, object);
    true
}

/// A proof is of one drain: another has another name.
fn forget_proof(s: &mut State, pod: usize) {
    s.proven &= !bit(pod);
    s.settled &= !bit(pod);
}

/// What a JSON patch with `test` on the values would ask, instead of a resource version.
fn has_same_values(s: &State, write: &Write) -> bool {
    let Some(now) = s.pods.get(usize::from(write.object)) else { return true };
    now.gate() == write.on.gate() && now.spec() == write.on.spec()
}

fn write_journal(setup: &Setup, s: &mut State, set: Set, costly: Mask) -> bool {
    let (old, new) = (s.set.reserved(), set.reserved());
    promises::judge_journal(setup, s, set, costly);
    s.set = s.set.with_status_of(set);
    reset_lateness(s, old ^ new);
    moved(setup, s, SET);
    true
}

pub(crate) fn reset_lateness(s: &mut State, pods: Mask) {
    for i in (0..s.pods.len()).filter(|i| pods & bit(*i) != 0) {
        s.pods[i] = s.pods[i].on_time();
        s.cache.pods[i] = s.cache.pods[i].on_time();
        s.standby.pods[i] = s.standby.pods[i].on_time();
    }
}

pub(crate) fn moved_pod(setup: &Setup, s: &mut State, pod: u8, change: fn(Pod) -> Pod) {
    let i = usize::from(pod);
    s.pods[i] = change(s.pods[i]);
    moved(setup, s, i);
}

/// The object has a new resource version: the cache is behind it, and writes decided on an older one come to nothing.
pub(crate) fn moved(setup: &Setup, s: &mut State, object: usize) {
    s.cache.newer |= bit(object);
    if setup.take_over == TakeOver::Stale && s.left.crashes > 0 {
        s.standby.newer |= bit(object);
    }
    if !setup.keeps(Rule::R2) && object != SET {
        return;
    }
    let is_about = |w: &Write| usize::from(w.object) == object;
    if s.live.as_ref().is_some_and(is_about) {
        // It will be refused; nothing is lost by having it refused now.
        s.live = None;
        refused(setup, s, object);
    }
    if s.zombie.as_ref().is_some_and(is_about) {
        s.zombie = None;
    }
}
