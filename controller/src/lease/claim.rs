//! The right to write, asked before every write.

use tokio::sync::watch;
use tokio::time::Instant;

/// How long a claim is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Validity {
    Never,
    Until(Instant),
    Always,
}

impl Validity {
    fn holds(self) -> bool {
        match self {
            Self::Never => false,
            Self::Until(end) => Instant::now() < end,
            Self::Always => true,
        }
    }
}

/// The right to write. Clones are cheap, share the right, and may be asked from any thread.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    validity: watch::Receiver<Validity>,
    told: bool,
}

/// The other end of a [`Claim`]. Dropping it ends the claim: an election that is gone renews nothing.
#[derive(Debug)]
pub(super) struct Grant {
    validity: watch::Sender<Validity>,
}

/// A claim that is not held yet, and the end that grants it.
pub(super) fn channel() -> (Grant, Claim) {
    let (sender, receiver) = watch::channel(Validity::Never);
    (Grant { validity: sender }, Claim { validity: receiver, told: false })
}

impl Claim {
    /// The claim of a process that runs without an election: always held.
    pub(crate) fn always() -> Self {
        let (_, validity) = watch::channel(Validity::Always);
        Self { validity, told: false }
    }

    /// A claim that nobody grants.
    #[cfg(test)]
    pub(crate) fn never() -> Self {
        channel().1
    }

    /// A claim that is held until the function is called.
    #[cfg(test)]
    pub(crate) fn granted() -> (Self, impl FnOnce()) {
        let (grant, claim) = channel();
        grant.extend(Instant::now() + std::time::Duration::from_secs(3600));
        (claim, move || drop(grant))
    }

    /// True while this process may write. Costs two atomic operations and a look at the monotonic clock.
    pub(crate) fn is_held(&self) -> bool {
        self.validity.borrow().holds()
    }

    /// Waits until the claim is gained or lost, also by running out, and answers whether it is held now. The first
    /// call of a claim that is already held answers at once. Safe to drop and call again.
    pub(crate) async fn changed(&mut self) -> bool {
        loop {
            let validity = *self.validity.borrow_and_update();
            if validity.holds() != self.told {
                self.told = !self.told;
                return self.told;
            }
            self.stirred(validity).await;
        }
    }

    /// Returns when [`Claim::is_held`] may have changed.
    async fn stirred(&mut self, validity: Validity) {
        let run_out = async {
            match validity {
                Validity::Until(end) if self.told => tokio::time::sleep_until(end).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = run_out => {}
            changed = self.validity.changed() => if changed.is_err() {
                // Dropping the grant ends the claim first, so there is nothing left to wait for.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Grant {
    /// The claim is good until `end`.
    pub(super) fn extend(&self, end: Instant) {
        self.validity.send_replace(Validity::Until(end));
    }

    /// The claim has ended.
    pub(super) fn revoke(&self) {
        self.validity
            .send_if_modified(|validity| std::mem::replace(validity, Validity::Never) != Validity::Never);
    }

    /// True while the claim is good.
    pub(super) fn is_held(&self) -> bool {
        self.validity.borrow().holds()
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.revoke();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_is_not_renewed_runs_out_and_says_so() {
        let (grant, mut claim) = channel();
        assert!(!claim.is_held());
        grant.extend(Instant::now() + Duration::from_secs(12));
        assert!(claim.changed().await && claim.is_held());
        let start = Instant::now();
        assert!(!claim.changed().await && !claim.is_held());
        assert_eq!(start.elapsed().as_secs(), 12);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_is_no_change() {
        let (grant, mut claim) = channel();
        grant.extend(Instant::now() + Duration::from_secs(12));
        assert!(claim.changed().await);
        grant.extend(Instant::now() + Duration::from_secs(24));
        let start = Instant::now();
        assert!(!claim.changed().await);
        assert_eq!(start.elapsed().as_secs(), 24);
    }

    #[tokio::test(start_paused = true)]
    async fn an_election_that_is_gone_ends_the_claim() {
        let (grant, mut claim) = channel();
        grant.extend(Instant::now() + Duration::from_secs(12));
        assert!(claim.changed().await);
        drop(grant);
        assert!(!claim.is_held() && !claim.changed().await);
        let again = tokio::time::timeout(Duration::from_secs(3600), claim.changed()).await;
        assert!(again.is_err(), "a lost claim does not change any more");
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_election_the_claim_is_always_held() {
        let mut claim = Claim::always();
        assert!(claim.is_held() && claim.changed().await);
        assert!(tokio::time::timeout(Duration::from_secs(3600), claim.changed()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn clones_are_told_on_their_own() {
        let (grant, mut one) = channel();
        let mut two = one.clone();
        grant.extend(Instant::now() + Duration::from_secs(12));
        assert!(one.changed().await && two.changed().await);
    }
}
