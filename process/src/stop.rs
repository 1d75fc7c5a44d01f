//! The word to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT of this process. Make it before anything else: the first process of a container is not ended by a signal that it does not
/// handle, so what came before would be lost, and the pod killed after its grace.
#[derive(Debug)]
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Listens from now on. Belongs into a runtime.
    ///
    /// # Errors
    /// The system refuses to tell of signals.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the word, also one that came before this was asked. Safe to drop and ask again.
    pub async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// What comes of a step before the work begins; none when the word to stop came first.
    pub async fn or<T>(&mut self, step: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.told() => {
                tracing::info!("told to stop before the work began");
                None
            }
            done = step => Some(done),
        }
    }
}
