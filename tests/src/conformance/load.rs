//! Requests through the balancer at a steady pace, whatever becomes of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::app;

/// One request is sent each time, even if none was answered yet: a client that waits would hide what it does not send.
const PACE: Duration = Duration::from_millis(5);
const TIMEOUT: Duration = Duration::from_secs(10);

/// What has become of the requests.
#[derive(Debug, Default, Clone)]
pub(super) struct Counts {
    pub(super) sent: usize,
    pub(super) lost: usize,
    /// How often each error was seen.
    pub(super) errors: BTreeMap<String, usize>,
}

/// A stream of requests; it ends with this value.
#[derive(Debug)]
pub(super) struct Load {
    counts: Arc<Mutex<Counts>>,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Load {
    pub(super) fn start(front: SocketAddr) -> Self {
        let counts = Arc::new(Mutex::new(Counts::default()));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(send(front, Arc::clone(&counts), stopped));
        Self { counts, stop, task: Some(task) }
    }

    /// So far; requests that are on their way are not in it.
    pub(super) fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends no more, and waits for what is on its way.
    pub(super) async fn end(mut self) -> Result<Counts> {
        self.stop.send_replace(true);
        if let Some(task) = self.task.take() {
            task.await.context("the stream of requests has failed")?;
        }
        Ok(self.counts())
    }
}

async fn send(front: SocketAddr, counts: Arc<Mutex<Counts>>, mut stopped: watch::Receiver<bool>) {
    let mut requests = JoinSet::new();
    let mut interval = tokio::time::interval(PACE);
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            _ = interval.tick() => {
                requests.spawn(one(front, Arc::clone(&counts)));
            }
            Some(_) = requests.join_next() => {}
        }
    }
    while requests.join_next().await.is_some() {}
}

async fn one(front: SocketAddr, counts: Arc<Mutex<Counts>>) {
    let outcome = tokio::time::timeout(TIMEOUT, app::get(front, app::WORK)).await;
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    counts.sent += 1;
    let error = match outcome {
        Ok(Ok(_)) => return,
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => format!("no answer within {TIMEOUT:?}"),
    };
    counts.lost += 1;
    *counts.errors.entry(error).or_default() += 1;
}
