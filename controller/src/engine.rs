//! The loop: frames in, plans out, writes in flight. One thread owns the world.

mod pace;
mod proofs;
mod settle;
#[cfg(test)]
mod tests;
mod wakes;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use cafe_planner::time::Millis;
use cafe_process::log::Look;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use kube::Client;

use crate::{
    admin::Health,
    apply::{self, Answer, Call, Target},
    client::{CallError, Outcome},
    clock::Clock,
    lease::Claim,
    metrics::Metrics,
    report::Reporter,
    tally::{self, Tally},
    watch::{Frame, Frames, Observed},
    world::{Owner, World, plan::Planned},
};
use pace::Pace;
use proofs::Proof;
use wakes::Wakes;

/// Frames taken in before the world is looked at again.
const FRAMES_AT_ONCE: usize = 4096;

/// The loop turns at least this often, in milliseconds: to show that it lives, and to tidy up.
const TICK: u64 = 10_000;

/// How long an object rests whose planning panicked, in milliseconds.
const PANIC_REST: u64 = 30_000;

/// Why the loop ended, other than being told to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// The claim ran out or was taken.
    #[error("lost the claim: another replica may write now; this process ends and starts over")]
    ClaimLost,
    /// What this process knows never happened.
    #[error(
        "the API server's history went backwards (restored from a backup?): this process ends and starts over"
    )]
    HistoryWentBackwards,
    /// The watches ended, which they never do.
    #[error("the watches ended")]
    WatchesEnded,
}

/// Something that was waited for.
enum Done {
    /// A call was answered, after this long.
    Call(Box<Call>, Outcome<Answer>, Duration),
    /// The object of a call whose outcome was lost has been read, which took so long.
    Reread(Box<Call>, Result<Answer, CallError>, Duration),
}

/// The engine.
pub(crate) struct Engine {
    client: Client,
    world: World,
    clock: Clock,
    claim: Claim,
    metrics: Metrics,
    tally: Tally,
    health: Arc<Health>,
    reporter: Reporter,
    frames: Frames,
    /// How many watches must have brought a complete list.
    watches: usize,
    in_flight: FuturesUnordered<BoxFuture<'static, Done>>,
    window: usize,
    pace: Pace,
    wakes: Wakes,
    /// Live reads that have been answered and are not yet judged.
    proofs: Vec<Proof>,
    /// Where planning goes on when the window was full: every owner gets its turn.
    turn: Option<Owner>,
    /// When the present turn of the loop began.
    turned: Instant,
    /// Owners that had to be left over, since the turn in which they were first.
    left_over: HashMap<Owner, Instant>,
    next_tick: Millis,
    complete: bool,
    /// Looks so far: the number of the present one.
    looks: u64,
}

/// What the engine is made of.
pub(crate) struct Parts {
    pub(crate) client: Client,
    pub(crate) claim: Claim,
    pub(crate) metrics: Metrics,
    pub(crate) health: Arc<Health>,
    pub(crate) reporter: Reporter,
    pub(crate) frames: Frames,
    pub(crate) watches: usize,
    pub(crate) window: usize,
    pub(crate) trusts_stamps: bool,
    pub(crate) sees_nodes: bool,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            client: parts.client,
            world: World::seeing(parts.trusts_stamps, parts.sees_nodes),
            clock: Clock::start(),
            claim: parts.claim,
            tally: Tally::new(parts.metrics.clone()),
            metrics: parts.metrics,
            health: parts.health,
            reporter: parts.reporter,
            frames: parts.frames,
            watches: parts.watches,
            in_flight: FuturesUnordered::new(),
            window: parts.window,
            pace: Pace::default(),
            wakes: Wakes::default(),
            proofs: Vec::new(),
            turn: None,
            turned: Instant::now(),
            left_over: HashMap::new(),
            next_tick: Millis(0),
            complete: false,
            looks: 0,
        }
    }

    /// Turns until `stop`, then lets the writes in flight end.
    ///
    /// # Errors
    /// The claim is lost: whatever this process still believes may be outdated, so it must not go on.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), EngineError> {
        let mut stop = std::pin::pin!(stop);
        let mut claim = self.claim.clone();
        let mut held = false;
        loop {
            let wake = tokio::time::Instant::from_std(self.clock.instant(self.next_turn()));
            tokio::select! {
                () = &mut stop => break,
                now_held = claim.changed() => {
                    if held && !now_held {
                        return Err(EngineError::ClaimLost);
                    }
                    held = now_held;
                    self.metrics.set_leader(held);
                    if held {
                        tracing::info!("holds the claim: writes from now on");
                        self.world.take_over();
                    }
                }
                frame = self.frames.next() => {
                    self.fold(frame.ok_or(EngineError::WatchesEnded)?);
                    self.drain_frames();
                }
                Some(done) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                    self.settle(done);
                    while let Some(Some(done)) = self.in_flight.next().now_or_never() {
                        self.settle(done);
                    }
                    self.drain_frames();
                }
                () = tokio::time::sleep_until(wake) => {}
                told = self.reporter.progress() => self.tally.told(&told),
            }
            self.turned = Instant::now();
            self.judge_proofs();
            if self.world.rewound {
                return Err(EngineError::HistoryWentBackwards);
            }
            // After the wait: what has come due is planned in this very turn.
            self.tick();
            self.check_complete();
            if held && self.complete {
                self.plan();
            }
        }
        tracing::info!(writes = self.in_flight.len(), "stopping: lets the writes in flight end");
        while let Some(done) = self.in_flight.next().await {
            if let Done::Call(call, outcome, _) = done {
                tracing::debug!(decision = call.decision, outcome = outcome.reason(), "last write");
            }
        }
        Ok(())
    }

    /// When the loop turns although nothing happens.
    fn next_turn(&self) -> Millis {
        let due = [self.wakes.next(), self.proofs.first().map(|proof| proof.until)];
        due.into_iter().flatten().fold(self.next_tick, Millis::min)
    }

    fn drain_frames(&mut self) {
        for _ in 0..FRAMES_AT_ONCE {
            match self.frames.next().now_or_never() {
                Some(Some(frame)) => self.fold(frame),
                _ => break,
            }
        }
    }

    fn fold(&mut self, frame: Frame) {
        if let Observed::Broken(kind, _) = &frame.event {
            self.metrics.watch_restarted(kind);
        }
        self.world.fold(frame);
    }

    fn check_complete(&mut self) {
        if !self.complete && self.world.is_complete(self.watches) {
            self.complete = true;
            self.health.set_synced(true);
            let counts = self.world.counts().map(|(kind, n)| format!("{} {n}", kind.resource())).join(", ");
            tracing::info!(counts, "every watch has brought its first complete list");
        }
    }

    /// Now and then: shows that the loop lives, tidies up, refreshes the figures.
    fn tick(&mut self) {
        let now = self.clock.now().mono;
        self.health.beat();
        for owner in self.wakes.due(now) {
            self.world.mark(owner);
        }
        for (namespace, name) in self.world.take_departed() {
            self.metrics.forget_deployment(&namespace, &name);
        }
        if now < self.next_tick {
            return;
        }
        self.next_tick = Millis(now.0 + TICK);
        self.world.sweep();
        self.tally.sweep(&self.world);
        for (kind, count) in self.world.counts() {
            self.metrics.set_cache_objects(kind.resource(), count);
        }
        tracing::debug!(texts = self.world.texts(), "tidied up");
    }

    /// Plans every owner that something has happened to.
    fn plan(&mut self) {
        while self.world.is_dirty() {
            let mut owners: Vec<Owner> = self.world.take_dirty().into_iter().collect();
            if let Some(turn) = self.turn.take() {
                let first = owners.partition_point(|o| *o < turn);
                owners.rotate_left(first);
            }
            for (i, owner) in owners.iter().enumerate() {
                if self.in_flight.len() >= self.window {
                    owners.iter().skip(i).for_each(|o| self.leave_over(*o));
                    self.turn = Some(*owner);
                    self.show_queue();
                    return;
                }
                self.plan_one(*owner);
            }
        }
        self.show_queue();
    }

    /// There is no room for its writes: it is planned again when there is.
    fn leave_over(&mut self, owner: Owner) {
        self.world.mark(owner);
        self.left_over.entry(owner).or_insert(self.turned);
    }

    fn show_queue(&self) {
        let sets = self.left_over.keys().filter(|owner| matches!(owner, Owner::Set(_))).count();
        self.metrics.set_queue_depth("inplaceset", sets);
        self.metrics.set_queue_depth("cafedeployment", self.left_over.len() - sets);
    }

    fn plan_one(&mut self, owner: Owner) {
        self.looks += 1;
        let _look = Look { controller: tally::controller(owner), id: self.looks }.enter();
        let now = self.clock.now();
        let started = Instant::now();
        // A poisoned object must not end the process for all the others: it is told, and left alone for a while.
        let planned = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.world.plan(owner, now)));
        let waiting = self.left_over.remove(&owner).unwrap_or(self.turned);
        let Ok(planned) = planned else {
            tracing::error!(?owner, "planning panicked: a bug; this object rests, the others go on");
            self.metrics.failed(tally::controller(owner), "Panicked");
            self.world.memory(owner).resting_until = Some(Millis(now.mono.0 + PANIC_REST));
            self.wakes.set(owner, Millis(now.mono.0 + PANIC_REST));
            return;
        };
        match planned {
            Planned::Nothing(until) => {
                if let Some(until) = until {
                    self.wakes.set(owner, until);
                }
            }
            Planned::Set(plan) => {
                let took = self.measured(owner, waiting, started);
                self.wake(owner, plan.wake.0, now.mono);
                let Owner::Set(uid) = owner else { return };
                if let Some(record) = self.world.sets.get(&uid) {
                    self.reporter.pod_notices(&record.namespace, plan.notices);
                    self.reporter.set_notices(&record.namespace, &record.set, plan.events);
                }
                let all_sent = plan.actions.into_iter().all(|action| {
                    let call = apply::set_call(&self.world, uid, action, now);
                    self.dispatch(owner, call, now.mono)
                });
                self.pause(owner, took, all_sent, now.mono);
            }
            Planned::Deployment(plan) => {
                let took = self.measured(owner, waiting, started);
                self.wake(owner, plan.wake.0, now.mono);
                let Owner::Deployment(uid) = owner else { return };
                if let Some(record) = self.world.deployments.get(&uid) {
                    self.reporter.notice(&record.deployment, plan.notices);
                }
                let all_sent = plan.steps.into_iter().all(|step| {
                    let call = apply::deployment_call(&self.world, uid, step);
                    self.dispatch(owner, call, now.mono)
                });
                self.pause(owner, took, all_sent, now.mono);
            }
        }
    }

    /// How long the plan took.
    fn measured(&mut self, owner: Owner, waiting: Instant, started: Instant) -> Duration {
        let took = started.elapsed();
        self.tally.planned(&self.world, owner, started.saturating_duration_since(waiting), took);
        took
    }

    /// After a plan the owner rests: what happens meanwhile is served by the next one, all at once.
    fn pause(&mut self, owner: Owner, took: Duration, all_sent: bool, now: Millis) {
        let pause = self.pace.rest(took, self.in_flight.len(), all_sent);
        if pause > 0 {
            self.world.memory(owner).pausing_until = Some(Millis(now.0 + pause));
        }
    }

    /// The owner is planned again when its plan says so, or something that was refused may be tried again.
    fn wake(&mut self, owner: Owner, planned: Option<Millis>, now: Millis) {
        self.wakes.replace(owner, planned);
        if let Some(at) = self.world.memory(owner).refusals.next(now) {
            self.wakes.set(owner, at);
        }
    }

    /// Sends a call, if there is room and what it is about was not refused lately. False: no room, plan the owner again when there
    /// is.
    fn dispatch(&mut self, owner: Owner, call: Option<Call>, now: Millis) -> bool {
        let Some(mut call) = call else { return true };
        let is_left_alone = |what| self.world.memory(owner).refusals.until(what, now).is_some();
        if settle::refused(&call.target).is_some_and(is_left_alone) {
            return true;
        }
        if self.in_flight.len() >= self.window {
            self.leave_over(owner);
            self.turn = Some(owner);
            return false;
        }
        // The last look before the wire: nothing is written without the claim.
        if !self.claim.is_held() {
            return false;
        }
        call.look = self.looks;
        self.begin(&call);
        self.tally.sent(&self.world, &call);
        let client = self.client.clone();
        self.in_flight.push(
            async move {
                let started = Instant::now();
                let outcome = apply::send(&client, &mut call).await;
                Done::Call(Box::new(call), outcome, started.elapsed())
            }
            .boxed(),
        );
        self.metrics.set_writes_in_flight(self.in_flight.len());
        true
    }

    fn begin(&mut self, call: &Call) {
        match &call.target {
            Target::Existing { uid, .. } => self.world.begin_write(*uid),
            Target::NewPod { name, revision } => {
                self.world.memory(call.owner).creating.push((name.clone(), *revision));
            }
            Target::NewClaim { name, .. } => self.world.memory(call.owner).claiming.push(name.clone()),
            Target::NewRevision(_) | Target::NewSet => self.world.memory(call.owner).births += 1,
            Target::NewChronicle => self.world.memory(call.owner).chronicling = true,
            Target::Confirmation { .. } => self.world.memory(call.owner).confirming = true,
            Target::Proof { .. } => self.world.memory(call.owner).proving = true,
        }
    }
}
