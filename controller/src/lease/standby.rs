//! Standing by: the lease of another is watched, so that a replica which hands over is followed at once.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{WatchEvent, WatchParams};
use tokio::time::{Instant, sleep_until, timeout};

use super::decide::{Next, decide};
use super::{Election, LEASE_NAME};

/// Watches end after this long and begin anew, so that a dead connection is noticed.
const WATCH_SECONDS: u32 = 60;
/// A lease may be taken when it has been unchanged for longer than it is valid.
const EDGE: Duration = Duration::from_millis(10);

impl Election {
    /// Returns when a look is worth while: the lease was given back, or was not renewed for as long as it is valid. Without a watch that is
    /// after a while.
    pub(super) async fn wait_until_free(&mut self, version: &str, left: Duration) {
        let begin = Instant::now();
        let mut end = begin + left + EDGE;
        let field = format!("metadata.name={LEASE_NAME}");
        let params = WatchParams::default().fields(&field).timeout(WATCH_SECONDS);
        let api = self.api.clone();
        if let Ok(Ok(events)) = timeout(self.times.call(), api.watch(&params, version)).await {
            let mut events = std::pin::pin!(events);
            loop {
                let event = tokio::select! {
                    () = sleep_until(end) => return,
                    event = events.next() => event,
                };
                match event {
                    Some(Ok(WatchEvent::Added(lease) | WatchEvent::Modified(lease))) => {
                        let Some(left) = self.saw(&lease) else { return };
                        end = Instant::now() + left + EDGE;
                    }
                    Some(Ok(WatchEvent::Bookmark(_))) => {}
                    Some(Ok(WatchEvent::Deleted(_))) => return,
                    Some(Ok(WatchEvent::Error(_)) | Err(_)) | None => break,
                }
            }
        }
        sleep_until(end.min(begin + self.times.look_every())).await;
    }

    /// Takes note of the lease as it is now. Answers how long it holds; none when it may be taken.
    fn saw(&mut self, lease: &Lease) -> Option<Duration> {
        self.seen = Some((lease.spec.clone(), Instant::now()));
        let free = LeaseSpec::default();
        match decide(lease.spec.as_ref().unwrap_or(&free), &self.identity, Duration::ZERO) {
            Next::Wait(left) => Some(left),
            Next::Acquire | Next::Renew => None,
        }
    }
}
