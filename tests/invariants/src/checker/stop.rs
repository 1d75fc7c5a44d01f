//! Containers that are stopped: by a patch of an image, or by a deletion.

use crate::record::{Pod, Uid};
use crate::rules::Stop;
use crate::{Rule, rules};

use super::Checker;

impl Checker {
    pub(super) fn stopped(&mut self, before: &Pod, now: &Pod) {
        let uid = now.identity.uid;
        // Neither a patch of images nor a deletion changes the status: the version it made shows what it was decided on, also
        // where the stream has missed the one before.
        let decided = if self.limits.chained { before } else { now };
        if images(before).ne(images(now)) {
            self.touched(uid, "updated", now);
            let forced = self.out_of_traffic(decided, "its images were changed");
            if let Some((_, tracked)) = self.world.tracked_mut(uid) {
                tracked.stopped = now.drain().is_some() && !forced;
            }
        } else if self.limits.steady && started_again(before, now) && !now.terminating {
            self.out_of_traffic(before, "a container was started again");
        }
        let deleted = now.terminating && !before.terminating;
        // A pod that never got a node, or has finished, has no container to lose.
        if deleted && !before.node.is_empty() && !before.finished && self.deleted_by_us(before) {
            self.touched(uid, "deleted", now);
            self.out_of_traffic(decided, "it was deleted");
        }
    }

    /// Whether the deletion is ours to answer for. Without a word about who asked, a drain before it says so.
    fn deleted_by_us(&self, before: &Pod) -> bool {
        let said = self.deletions.get(&before.identity.uid).copied();
        said.unwrap_or(!self.limits.attributed && before.drain().is_some())
    }

    fn touched(&mut self, uid: Uid, what: &'static str, now: &Pod) {
        let Some((unit, _)) = self.world.tracked(uid) else { return };
        let Some(set) = &unit.set else { return };
        let reserved = set.entry(uid).is_some();
        // The garbage collector and a deletion of the whole workload need no reservation.
        let goes = set.deleting || self.world.application(set).is_some_and(|a| a.now.deleting);
        self.judge(Rule::S2, rules::s2_touch(reserved || goes, what), &now.identity);
    }

    /// S3. Whether the drain was cut short: then endpoints may go on serving.
    fn out_of_traffic(&mut self, before: &Pod, what: &'static str) -> bool {
        let uid = before.identity.uid;
        let Some((unit, tracked)) = self.world.tracked(uid) else { return false };
        let set = unit.set.as_ref();
        let unselect = set.is_some_and(|s| s.unselect);
        let asked = before
            .force_drain
            .as_deref()
            .is_some_and(|op| before.drain().is_some_and(|drain| drain.ends_with(op) && !op.is_empty()));
        // What people told a set that stands alone may have been missed.
        let told = self.limits.complete || set.is_some_and(|s| s.owner.is_some());
        let grace = set.filter(|_| told).map_or(0, |s| s.grace);
        let waited = self.now.zip(tracked.drained).map(|(now, since)| now - since + self.limits.lag);
        let patience = set.and_then(|s| s.forces_after);
        let drains = self.now.zip(tracked.draining).map(|(now, since)| now - since + self.limits.lag);
        let timed_out = patience.is_some_and(|most| drains.is_none_or(|drains| drains >= most));
        let stop = Stop {
            what,
            closed: before.drain().is_some(),
            ready: before.ready,
            endpoints: self.world.endpoints(uid).in_the_way(unselect),
            unanswered: before.unanswered(),
            forced: asked || timed_out,
            waited: waited.map(|waited| (waited, grace)),
        };
        self.judge(Rule::S3, rules::s3(&stop), &before.identity);
        stop.forced
    }
}

fn images(pod: &Pod) -> impl Iterator<Item = &str> {
    pod.containers.iter().map(|c| &*c.wants)
}

/// Whether a container that ran is another one now.
fn started_again(before: &Pod, now: &Pod) -> bool {
    let mut pairs = before.containers.iter().zip(&now.containers);
    pairs.any(|(old, new)| !old.id.is_empty() && old.id != new.id && !old.waits)
}
