//! What came of a call: seen, refused, outdated or unknown.

use std::time::{Duration, Instant};

use cafe_planner::{identity::Uid, time::Millis};
use cafe_process::log::Look;
use futures::FutureExt;

use super::{Done, Engine};
use crate::{
    apply::{self, Answer, Call, Target},
    client::{CallError, Outcome, Retry},
    tally,
    world::{Kind, Owner, World, refusals::Refused},
};

/// The first pause after a failure, in milliseconds; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: u64 = 250;
/// The longest pause after failures, in milliseconds.
const LONGEST_PAUSE: u64 = 30_000;
/// How long no record is written after one was refused, in milliseconds.
const RECORD_PAUSE: u64 = 10_000;
/// How long to wait before reading an object again whose read failed.
const REREAD_PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    pub(super) fn settle(&mut self, done: Done) {
        let (Done::Call(call, ..) | Done::Reread(call, ..)) = &done;
        // What comes of a call belongs to the look that decided it.
        let _look = Look { controller: tally::controller(call.owner), id: call.look }.enter();
        match done {
            Done::Call(call, outcome, took) => self.settle_call(*call, outcome, took),
            Done::Reread(call, answer, took) => {
                let code = answer.as_ref().map_or_else(CallError::code, |_| 200);
                self.metrics.api_request("get", call.kind.resource(), code, took);
                self.settle_reread(*call, answer);
            }
        }
        self.pace.answered(Instant::now(), self.in_flight.len());
        self.metrics.set_writes_in_flight(self.in_flight.len());
    }

    fn settle_call(&mut self, call: Call, outcome: Outcome<Answer>, took: Duration) {
        self.tally.answered(&call, &outcome, took);
        self.world.mark(call.owner);
        let retry = outcome.retry();
        match outcome {
            Outcome::Applied(answer) if has_changed_nothing(&call, &answer) => {
                tracing::warn!(
                    decision = call.decision,
                    namespace = &*call.namespace,
                    name = &*call.name,
                    "the API server took it and changed nothing: does an admission webhook undo it? Tries again later"
                );
                self.release(&call);
                self.leave_alone(&call, Some(Retry::Backoff), "");
            }
            Outcome::Applied(answer) => self.applied(&call, answer),
            outcome if call.kind == Kind::Release => self.not_on_record(call, &outcome),
            Outcome::Conflict | Outcome::Gone => {
                tracing::debug!(decision = call.decision, name = &*call.name, "outdated: looks again");
                self.outdated(call);
            }
            Outcome::NotApplied(refusal) => {
                tracing::warn!(
                    decision = call.decision,
                    resource = call.kind.resource(),
                    namespace = &*call.namespace,
                    name = &*call.name,
                    reason = refusal.reason(),
                    message = refusal.message,
                    "refused"
                );
                self.reporter.refused(&self.world, &call, &refusal);
                self.release(&call);
                self.leave_alone(&call, retry, &refusal.message);
            }
            Outcome::TooManyRequests { .. } => {
                self.release(&call);
                self.rest(call.owner, retry);
            }
            Outcome::Unknown(error) => {
                tracing::warn!(
                    decision = call.decision,
                    resource = call.kind.resource(),
                    namespace = &*call.namespace,
                    name = &*call.name,
                    error = &error as &dyn std::error::Error,
                    "outcome unknown: reads the object before anything else"
                );
                self.unknown(call);
            }
        }
    }

    fn applied(&mut self, call: &Call, answer: Answer) {
        tracing::info!(
            decision = call.decision,
            resource = call.kind.resource(),
            namespace = &*call.namespace,
            name = &*call.name,
            "applied"
        );
        let memory = self.world.memory(call.owner);
        memory.failures = 0;
        if let Some(what) = refused(&call.target) {
            memory.refusals.succeeded(what);
            if what == Refused::Births {
                memory.refused = None;
            }
        }
        let now = self.clock.now().mono;
        if call.is_status {
            self.world.memory(call.owner).status_written = Some(now);
        }
        if let Answer::Slices(versions) = &answer {
            self.await_proof(call, versions);
            return;
        }
        if let Target::Confirmation { uid, sightings } = call.target {
            let found = uid_of(&answer) == Some(uid);
            self.see(answer);
            self.release(call);
            if found {
                self.world.memory(call.owner).confirmed = sightings;
            } else {
                self.rest(call.owner, Some(Retry::Backoff));
            }
            return;
        }
        let is_shown_later = matches!(answer, Answer::Nothing | Answer::Changed(_));
        let born = match (&call.target, &answer) {
            (Target::NewSet, Answer::Set(set)) => {
                set.metadata.0.uid.as_deref().and_then(|uid| uid.parse().ok())
            }
            _ => None,
        };
        self.see(answer);
        if let Some(set) = born {
            self.world.fence(set);
        }
        self.release(call);
        if let Target::Existing { uid, rv } = call.target {
            self.world.fence(uid);
            if is_shown_later {
                self.world.fell_behind(call.kind, uid, rv);
            }
        }
        self.reporter.applied(&self.world, call);
        self.tally.applied(&self.world, call);
    }

    /// Nothing waits for a record for long: what could not be written is tried again later, and everything else goes on.
    fn not_on_record(&mut self, call: Call, outcome: &Outcome<Answer>) {
        if let (Outcome::Conflict | Outcome::Gone, Target::Existing { .. }) = (outcome, &call.target) {
            self.outdated(call);
            return;
        }
        let (namespace, name, reason) = (&*call.namespace, &*call.name, outcome.reason());
        tracing::warn!(
            decision = call.decision,
            namespace,
            name,
            reason,
            "no record of this release for now"
        );
        self.release(&call);
        let now = self.clock.now().mono;
        self.world.memory(call.owner).refusals.add(Refused::Records, now, |_| RECORD_PAUSE);
    }

    fn see(&mut self, answer: Answer) {
        let world = &mut self.world;
        match answer {
            Answer::Deployment(o) => world.see_answer(Kind::Deployment, *o, World::see_deployment),
            Answer::Set(o) => world.see_answer(Kind::Set, *o, World::see_set),
            Answer::Release(o) => world.see_answer(Kind::Release, *o, World::see_chronicle),
            Answer::Revision(o) => world.see_answer(Kind::Revision, *o, World::see_revision),
            Answer::Pod(o) => world.see_answer(Kind::Pod, *o, World::see_pod),
            Answer::Claim(o) => world.see_answer(Kind::Claim, *o, World::see_claim),
            Answer::Slices(_) | Answer::Changed(_) | Answer::Nothing => {}
        }
    }

    /// The call no longer keeps its object, or its owner, busy.
    fn release(&mut self, call: &Call) {
        match &call.target {
            Target::Existing { uid, .. } => self.world.end_write(*uid),
            Target::NewPod { name, .. } => {
                self.world.memory(call.owner).creating.retain(|(n, _)| n != name);
            }
            Target::NewClaim { name, .. } => {
                self.world.memory(call.owner).claiming.retain(|n| n != name);
            }
            Target::NewRevision(_) | Target::NewSet => {
                let memory = self.world.memory(call.owner);
                memory.births = memory.births.saturating_sub(1);
            }
            Target::NewChronicle => self.world.memory(call.owner).chronicling = false,
            Target::Confirmation { .. } => self.world.memory(call.owner).confirming = false,
            Target::Proof { .. } => {
                let memory = self.world.memory(call.owner);
                (memory.proving, memory.unproven) = (false, true);
            }
        }
    }

    /// The object has moved on or is gone: the watch brings what is true. A name that is held is looked up: its holder
    /// may be what an earlier, unanswered try has made, or somebody else's.
    fn outdated(&mut self, call: Call) {
        match call.target {
            Target::Existing { uid, rv } => {
                self.release(&call);
                self.world.fell_behind(call.kind, uid, rv);
            }
            Target::NewPod { .. } | Target::NewClaim { .. } | Target::NewRevision(_) => {
                self.reread(call, Duration::ZERO);
            }
            Target::NewSet | Target::NewChronicle | Target::Confirmation { .. } | Target::Proof { .. } => {
                self.release(&call);
                self.rest(call.owner, Some(Retry::Backoff));
            }
        }
    }

    /// Remembers a name that turned out to be somebody else's, so that another is taken.
    fn avoid_if_foreign(&mut self, call: &Call) {
        let (Owner::Set(owner) | Owner::Deployment(owner)) = call.owner;
        match &call.target {
            Target::NewPod { name, .. } if !self.world.has_pod(owner, name) => {
                self.world.memory(call.owner).occupied.push(name.clone());
            }
            Target::NewClaim { name, pod } if !self.world.has_claim(owner, name) => {
                self.world.memory(call.owner).occupied.push(pod.clone());
            }
            Target::NewRevision(hash) if !self.world.has_revision(owner, *hash) => {
                self.world.memory(call.owner).held.push(*hash);
            }
            _ => {}
        }
    }

    fn unknown(&mut self, call: Call) {
        match &call.target {
            Target::Existing { uid, .. } => self.world.unfence(*uid),
            Target::Confirmation { .. } | Target::Proof { .. } => {
                self.release(&call);
                self.rest(call.owner, Some(Retry::Backoff));
                return;
            }
            Target::NewPod { .. }
            | Target::NewClaim { .. }
            | Target::NewRevision(_)
            | Target::NewSet
            | Target::NewChronicle => {}
        }
        self.reread(call, Duration::ZERO);
    }

    fn reread(&mut self, call: Call, after: Duration) {
        let client = self.client.clone();
        self.in_flight.push(
            async move {
                tokio::time::sleep(after).await;
                let started = Instant::now();
                let answer = apply::fetch(&client, call.kind, apply::reread(&call)).await;
                Done::Reread(Box::new(call), answer, started.elapsed())
            }
            .boxed(),
        );
    }

    fn settle_reread(&mut self, call: Call, answer: Result<Answer, CallError>) {
        match answer {
            Ok(answer) => {
                self.see(answer);
                self.avoid_if_foreign(&call);
                self.release(&call);
                self.world.mark(call.owner);
            }
            Err(error) if error.is_unreadable() => {
                // Reading it again would give the same: the watch, which skips what it cannot read, goes on from here.
                tracing::warn!(
                    name = &*call.name,
                    error = &error as &dyn std::error::Error,
                    "cannot make sense of it"
                );
                self.release(&call);
                if let Target::Existing { uid, rv } = call.target {
                    self.world.fell_behind(call.kind, uid, rv);
                }
                self.rest(call.owner, Some(Retry::Backoff));
            }
            Err(error) if error.code() == 404 => {
                if let Target::Existing { uid, .. } = call.target {
                    self.world.remove(call.kind, uid);
                }
                self.release(&call);
                self.rest(call.owner, Some(Retry::Backoff));
            }
            Err(error) => {
                tracing::warn!(
                    name = &*call.name,
                    error = &error as &dyn std::error::Error,
                    "cannot read it: tries again"
                );
                self.reread(call, REREAD_PAUSE);
            }
        }
    }

    /// Leaves what was refused alone for a while, and nothing else: pods that are out of traffic must get back meanwhile.
    fn leave_alone(&mut self, call: &Call, retry: Option<Retry>, message: &str) {
        let Some(what) = refused(&call.target) else {
            self.rest(call.owner, retry);
            return;
        };
        self.metrics.put_off(tally::controller(call.owner));
        let now = self.clock.now().mono;
        let memory = self.world.memory(call.owner);
        memory.refusals.add(what, now, |times| pause(retry, times));
        match &call.target {
            Target::NewPod { .. } => memory.refused = Some(message.into()),
            Target::NewClaim { name, pod } => {
                let why = format!(
                    "pod {pod} waits for PersistentVolumeClaim {name}: {message}; to see the quotas: kubectl -n {} \
                     describe resourcequota",
                    call.namespace
                );
                memory.refused = Some(why.into());
            }
            _ => {}
        }
        self.world.mark(call.owner);
    }

    /// Lets an owner rest after a failure: twice as long each time, or as long as the server asks for. A refusal that
    /// only a change can mend rests longest; the change itself ends the rest.
    fn rest(&mut self, owner: Owner, retry: Option<Retry>) {
        self.metrics.put_off(tally::controller(owner));
        let now = self.clock.now().mono;
        let memory = self.world.memory(owner);
        memory.resting_until = Some(Millis(now.0 + pause(retry, memory.failures)));
        memory.failures = memory.failures.saturating_add(1);
        self.world.mark(owner);
    }
}

/// Whether a write of which the watch would have to tell has left its object as it was.
fn has_changed_nothing(call: &Call, answer: &Answer) -> bool {
    matches!((&call.target, answer), (Target::Existing { rv, .. }, Answer::Changed(version)) if version == rv)
}

/// How long to pause after a failure that so many went before in a row, in milliseconds.
fn pause(retry: Option<Retry>, failures: u32) -> u64 {
    match retry {
        None | Some(Retry::Soon) => 0,
        Some(Retry::Never) => LONGEST_PAUSE,
        Some(Retry::After(pause)) => u64::try_from(pause.as_millis()).unwrap_or(LONGEST_PAUSE),
        Some(Retry::Backoff) => {
            FIRST_PAUSE.checked_shl(failures.min(16)).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE)
        }
    }
}

/// What a refusal of a call is about; none where the owner can do nothing else without it.
pub(super) fn refused(target: &Target) -> Option<Refused> {
    match target {
        Target::NewPod { .. } | Target::NewClaim { .. } => Some(Refused::Births),
        Target::Existing { uid, .. } => Some(Refused::Object(*uid)),
        Target::Proof { .. } => Some(Refused::Proofs),
        Target::NewChronicle => Some(Refused::Records),
        Target::NewRevision(_) | Target::NewSet | Target::Confirmation { .. } => None,
    }
}

/// The uid of the owner that answered.
fn uid_of(answer: &Answer) -> Option<Uid> {
    let meta = match answer {
        Answer::Deployment(o) => &o.metadata.0,
        Answer::Set(o) => &o.metadata.0,
        _ => return None,
    };
    meta.uid.as_deref().and_then(|uid| uid.parse().ok())
}
