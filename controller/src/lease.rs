//! Leader election over a `coordination.k8s.io/v1` Lease: who may write.
//!
//! kube has none, so this is ours: a pure decision, a loop around it, and a [`Claim`] that is asked before every
//! write. Time is monotonic and local: how long *we* saw the record unchanged, never its timestamps, so the clocks of
//! the replicas may differ. A write of the record carries its resourceVersion: of two replicas that try at once, one
//! gets a conflict.

mod claim;
mod decide;
mod standby;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::time::Instant;

pub(crate) use claim::Claim;
use claim::Grant;
use decide::{Next, decide, given_back, held_by};

use crate::client::{CallError, Outcome, call_within};

/// Name of the Lease object.
pub(crate) const LEASE_NAME: &str = "cafe-controller";

/// The times of the election, all shares of how long a lease stays valid unrenewed (15 s by default).
#[derive(Debug, Clone, Copy)]
struct Times {
    valid_for: Duration,
}

impl Times {
    /// Between two renewals.
    fn renew_every(self) -> Duration {
        self.valid_for / 3
    }

    /// Between two looks at a lease that somebody else holds, while it cannot be watched.
    fn look_every(self) -> Duration {
        self.valid_for / 7
    }

    /// After a call that failed.
    fn retry_after(self) -> Duration {
        self.valid_for / 15
    }

    /// How long one call may take, so that a renewal that hangs leaves time for another.
    fn call(self) -> Duration {
        self.valid_for / 5
    }

    /// How long the claim is good after the moment a renewal was *sent*. It ends well before others may take the lease,
    /// so that a write that was let through has time to arrive.
    fn claim(self) -> Duration {
        self.valid_for - self.valid_for / 5
    }
}

/// What comes before the next turn.
enum Until {
    /// So much time.
    Pause(Duration),
    /// Somebody else holds the lease, as of this version, for so long unless it is renewed or given back.
    Free { version: String, left: Duration },
}

/// The part of one replica in the election.
pub(crate) struct Election {
    api: Api<Lease>,
    identity: String,
    times: Times,
    grant: Grant,
    /// The lease as our last write left it: a renewal needs no look before.
    ours: Option<Lease>,
    /// The record as last seen, and since when we see it like that.
    seen: Option<(Option<LeaseSpec>, Instant)>,
    /// The reason last reported, so that an outage is one line and not one per second.
    reported: Option<&'static str>,
}

impl Election {
    /// Prepares the election of `identity`, which no other live process may use. The claim is not held before
    /// [`Election::run`] has acquired the lease; a lease that is not renewed for `valid_for` may be taken by others.
    pub(crate) fn new(client: Client, namespace: &str, identity: &str, valid_for: Duration) -> (Self, Claim) {
        let (grant, claim) = claim::channel();
        let election = Self {
            api: Api::namespaced(client, namespace),
            identity: identity.to_owned(),
            times: Times { valid_for },
            grant,
            ours: None,
            seen: None,
            reported: None,
        };
        (election, claim)
    }

    /// Acquires and renews until `stop`, then ends the claim and gives the lease back, so that another replica need
    /// not wait for it to run out. Let the writes in flight end before `stop`.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        loop {
            let turn_and_pause = async {
                match self.turn().await {
                    Until::Pause(pause) => tokio::time::sleep(pause).await,
                    Until::Free { version, left } => self.wait_until_free(&version, left).await,
                }
            };
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = turn_and_pause => {}
            }
        }
        self.grant.revoke();
        if let Err(error) = self.give_back().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not give the lease back; it runs out by itself"
            );
        }
    }

    /// One look if needed, at most one write. Answers what to wait for.
    async fn turn(&mut self) -> Until {
        match self.try_turn().await {
            Ok(until) => {
                self.reported = None;
                until
            }
            Err(error) => {
                self.report(error);
                Until::Pause(self.times.retry_after())
            }
        }
    }

    async fn try_turn(&mut self) -> Result<Until, CallError> {
        // Taken, so that after a failure or an unknown outcome the next turn looks first.
        if let Some(lease) = self.ours.take() {
            return self.hold(lease).await;
        }
        let Some((lease, unchanged_for)) = self.look().await? else {
            return self.hold(Lease::default()).await;
        };
        let next =
            lease.spec.as_ref().map_or(Next::Acquire, |spec| decide(spec, &self.identity, unchanged_for));
        match next {
            Next::Acquire | Next::Renew => self.hold(lease).await,
            Next::Wait(left) => {
                self.stand_by(&lease);
                Ok(Until::Free { version: lease.metadata.resource_version.unwrap_or_default(), left })
            }
        }
    }

    /// Reads the lease and says for how long it has been as it is, at least: from when we first had it in hand to when
    /// we asked again. `None` when there is none.
    async fn look(&mut self) -> Result<Option<(Lease, Duration)>, CallError> {
        let asked = Instant::now();
        let Some(lease) = call_within(self.times.call(), self.api.get_opt(LEASE_NAME)).await? else {
            self.seen = None;
            return Ok(None);
        };
        let since = match &self.seen {
            Some((spec, since)) if *spec == lease.spec => *since,
            _ => Instant::now(),
        };
        self.seen = Some((lease.spec.clone(), since));
        Ok(Some((lease, asked.saturating_duration_since(since))))
    }

    /// Writes this replica into the lease; one without a resourceVersion is created.
    async fn hold(&mut self, mut lease: Lease) -> Result<Until, CallError> {
        let old = lease.spec.take().unwrap_or_default();
        lease.spec = Some(held_by(&self.identity, &old, self.times.valid_for, wall_clock()));
        let sent = Instant::now();
        let written = if lease.metadata.resource_version.is_some() {
            call_within(self.times.call(), self.api.replace(LEASE_NAME, &PostParams::default(), &lease))
                .await?
        } else {
            lease.metadata = ObjectMeta { name: Some(LEASE_NAME.to_owned()), ..ObjectMeta::default() };
            call_within(self.times.call(), self.api.create(&PostParams::default(), &lease)).await?
        };
        if !self.grant.is_held() {
            let before = old.holder_identity.as_deref().unwrap_or_default();
            tracing::info!(identity = %self.identity, before, "acquired the lease: this replica writes");
        }
        self.grant.extend(sent + self.times.claim());
        self.ours = Some(written);
        Ok(Until::Pause(self.times.renew_every()))
    }

    fn stand_by(&mut self, lease: &Lease) {
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
        if self.grant.is_held() {
            tracing::warn!(identity = %self.identity, holder, "lost the lease: this replica stops writing");
        }
        self.grant.revoke();
    }

    async fn give_back(&mut self) -> Result<(), CallError> {
        let Some((mut lease, _)) = self.look().await? else {
            return Ok(());
        };
        let Some(spec) =
            lease.spec.take().filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity))
        else {
            return Ok(());
        };
        lease.spec = Some(given_back(&spec, wall_clock()));
        call_within(self.times.call(), self.api.replace(LEASE_NAME, &PostParams::default(), &lease)).await?;
        tracing::info!(identity = %self.identity, "gave the lease back");
        Ok(())
    }

    fn report(&mut self, error: CallError) {
        let outcome = Outcome::<()>::from(Err(error));
        let reason = outcome.reason();
        if matches!(outcome, Outcome::Conflict) || self.reported.replace(reason) == Some(reason) {
            tracing::debug!(reason, "the lease was not written");
            return;
        }
        tracing::warn!(
            reason,
            ?outcome,
            lease = LEASE_NAME,
            "cannot read or write the lease: the namespace must exist and the service account may get, create and update leases in it"
        );
    }
}

/// The timestamps in the lease are for people and tools; nothing is decided from them.
#[allow(clippy::disallowed_methods)]
fn wall_clock() -> Timestamp {
    Timestamp::now()
}
