//! What is on its way: an object with a write in flight is not decided about until its outcome is seen.

use cafe_planner::identity::Uid;
use foldhash::HashMap;

/// Why an object is not to be decided about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Busy {
    /// A write is in flight.
    InFlight,
    /// A write met something newer than this resource version; the frame with it has not come yet.
    Behind(u64),
}

/// The objects that are busy.
#[derive(Debug, Default)]
pub(crate) struct Writes(HashMap<Uid, Busy>);

impl Writes {
    /// A write to the object leaves.
    pub(crate) fn begin(&mut self, uid: Uid) {
        self.0.insert(uid, Busy::InFlight);
    }

    /// The write's outcome is known and seen.
    pub(crate) fn end(&mut self, uid: Uid) {
        self.0.remove(&uid);
    }

    /// The write was decided on `rv`, which is no longer the newest: wait for a frame that is.
    pub(crate) fn fell_behind(&mut self, uid: Uid, rv: u64) {
        self.0.insert(uid, Busy::Behind(rv));
    }

    /// The object was seen at `rv`.
    pub(crate) fn saw(&mut self, uid: Uid, rv: u64) {
        if matches!(self.0.get(&uid), Some(Busy::Behind(behind)) if rv > *behind) {
            self.0.remove(&uid);
        }
    }

    /// The object is gone.
    pub(crate) fn forget(&mut self, uid: Uid) {
        self.0.remove(&uid);
    }

    /// Whether the object is not to be decided about.
    pub(crate) fn is_busy(&self, uid: Uid) -> bool {
        self.0.contains_key(&uid)
    }
}

impl super::World {
    /// A write to the object leaves.
    pub(crate) fn begin_write(&mut self, uid: Uid) {
        self.writes.begin(uid);
    }

    /// The write's outcome is known and seen. An InPlaceSet that its CafeDeployment has written to is planned itself now: the
    /// frame that would have had it planned may have come while it was busy.
    pub(crate) fn end_write(&mut self, uid: Uid) {
        self.writes.end(uid);
        if self.sets.contains_key(&uid) {
            self.mark(super::Owner::Set(uid));
        }
    }

    /// The write was decided on `rv`, which is no longer true: not to be decided about until something newer is seen.
    pub(crate) fn fell_behind(&mut self, kind: super::Kind, uid: Uid, rv: u64) {
        if self.resource_version_of(kind, uid).is_some_and(|known| known <= rv) {
            self.writes.fell_behind(uid, rv);
        }
    }

    /// A write to the pod or InPlaceSet was acknowledged: nothing older can land on it any more.
    pub(crate) fn fence(&mut self, uid: Uid) {
        if let Some(record) = self.pods.get_mut(uid) {
            record.fenced = true;
        } else if self.sets.contains_key(&uid) {
            self.fenced.insert(uid);
        }
    }

    /// A write to the object may still be on its way.
    pub(crate) fn unfence(&mut self, uid: Uid) {
        if let Some(record) = self.pods.get_mut(uid) {
            record.fenced = false;
        } else {
            self.fenced.remove(&uid);
        }
    }

    /// A live read has shown the pod drained.
    pub(crate) fn prove(&mut self, pod: Uid, op: cafe_planner::identity::Op, at: cafe_planner::time::Millis) {
        if self.pods.contains(pod) {
            self.proofs.insert(pod, (op, at));
        }
    }
}
