//! Looking at a workload, and waiting for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use kube::api::ListParams;
use serde_json::Value;

use super::Workload;
use crate::scenario::view::View;
use crate::scenario::watcher::{Kind, version};

/// How long anything may take. Far more than it does, so that a slow machine fails no test.
const DEADLINE: Duration = Duration::from_secs(120);

impl Workload {
    /// What is seen as soon as `condition` holds, on a version that knows of everything written through this value.
    ///
    /// # Errors
    /// After two minutes, with everything worth reading.
    pub async fn wait_until(&self, what: &str, condition: impl Fn(&View) -> bool) -> Result<View> {
        let mut changes = self.watcher.changes();
        let wait = async {
            loop {
                changes.borrow_and_update();
                let view = self.watcher.view();
                if self.is_current(&view) && condition(&view) {
                    return Ok(view);
                }
                changes.changed().await?;
            }
        };
        match tokio::time::timeout(DEADLINE, wait).await {
            Ok(view) => view,
            Err(_) => bail!("not {what} after {} s\n{}", DEADLINE.as_secs(), self.dump()),
        }
    }

    /// Watches for as long as `window` that `condition` holds without a break.
    ///
    /// # Errors
    /// As soon as it does not.
    pub async fn stays(&self, what: &str, window: Duration, condition: impl Fn(&View) -> bool) -> Result<()> {
        let mut changes = self.watcher.changes();
        let watch = async {
            loop {
                changes.borrow_and_update();
                let view = self.watcher.view();
                if self.is_current(&view) && !condition(&view) {
                    return Err(anyhow::anyhow!("no longer {what}\n{}", self.dump()));
                }
                changes.changed().await?;
            }
        };
        tokio::time::timeout(window, watch).await.unwrap_or(Ok(()))
    }

    fn is_current(&self, view: &View) -> bool {
        let seen = match self.kind {
            Kind::Set => view.set(&self.name).map(version),
            _ => Some(version(&view.deployment)),
        };
        seen.unwrap_or_default() >= self.written.load(Ordering::SeqCst)
    }

    /// Waits until the release stands at the gate of this token, with its pods where they belong.
    ///
    /// # Errors
    /// As [`Workload::wait_until`].
    pub async fn wait_for_gate(&self, token: &str) -> Result<View> {
        self.wait_until(&format!("at gate {token}"), |view| view.waits_at(token)).await?;
        self.look().await
    }

    /// Waits until nothing is left to do.
    ///
    /// # Errors
    /// As [`Workload::wait_until`].
    pub async fn wait_until_settled(&self) -> Result<View> {
        self.wait_until("settled", View::is_settled).await?;
        self.look().await
    }

    /// Waits until exactly these events have been told of the CafeDeployment, from `first` on.
    ///
    /// # Errors
    /// As [`Workload::wait_until`].
    pub async fn wait_for_events(&self, first: usize, expected: &[&str]) -> Result<Vec<(String, String)>> {
        let events = || self.watcher.events().split_off(first.min(self.watcher.events().len()));
        let told = |_: &View| events().len() >= expected.len();
        if let Err(error) = self.wait_until("told so many events", told).await {
            bail!("events {:#?}, expected {expected:#?}\n{error}", events());
        }
        let events = events();
        let reasons: Vec<&str> = events.iter().map(|(reason, _)| reason.as_str()).collect();
        ensure!(reasons == expected, "events {events:#?}, expected {expected:#?}");
        Ok(events)
    }

    /// Reads the objects from the API server, not from the watches, which may be behind one another.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn look(&self) -> Result<View> {
        Ok(View {
            deployment: self.read(Kind::Deployment).await?.into_iter().next().unwrap_or_default(),
            sets: self.read(Kind::Set).await?,
            revisions: self.read(Kind::Revision).await?,
            pods: self.read(Kind::Pod).await?,
            slices: self.read(Kind::Slice).await?,
        })
    }

    async fn read(&self, kind: Kind) -> Result<Vec<Arc<Value>>> {
        let items = self.api(kind).list(&ListParams::default()).await?.items;
        items.into_iter().map(|item| Ok(Arc::new(serde_json::to_value(item)?))).collect()
    }
}
