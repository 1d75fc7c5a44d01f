//! An open loop: requests start when they are due, however long the answers take.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use super::client::Client;
use super::micros;
use super::record::{Connection, Ledger, Record};

/// How much is asked.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Requests per second with a connection of their own.
    pub new: u32,
    /// Requests per second over connections that are kept alive.
    pub kept_alive: u32,
}

impl Default for Rate {
    /// Enough that some request is in flight at every moment, and little enough to leave two cores to the cluster.
    fn default() -> Self {
        Self { new: 80, kept_alive: 80 }
    }
}

/// What most requests take, and what every tenth takes.
const SERVICE: Duration = Duration::from_millis(20);
const LONG_SERVICE: Duration = Duration::from_millis(200);

/// Requests to one address until it is told to stop.
#[derive(Debug)]
pub struct Load {
    ledger: Arc<Mutex<Ledger>>,
    stop: watch::Sender<bool>,
    sources: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins to ask. The server answers like `cafe-traffic-app`: the id of the request, its pod and its version.
    #[must_use]
    pub fn start(address: SocketAddr, rate: Rate) -> Self {
        let (stop, stopped) = watch::channel(false);
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let rates = [(Connection::New, rate.new), (Connection::KeptAlive, rate.kept_alive)];
        let start = |(connection, per_second): (Connection, u32)| {
            let source =
                Source { client: Arc::new(Client::new(address)), connection, ledger: Arc::clone(&ledger) };
            tokio::spawn(source.run(Duration::from_secs(1) / per_second, stopped.clone()))
        };
        let sources = rates.into_iter().filter(|(_, per_second)| *per_second > 0).map(start).collect();
        Self { ledger, stop, sources }
    }

    /// Requests that have ended so far, and how many of them were lost.
    #[must_use]
    pub fn so_far(&self) -> (usize, usize) {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        (ledger.records.len(), ledger.lost().count())
    }

    /// Starts no more, waits for what is open, and hands out the record.
    pub async fn stop(self) -> Ledger {
        let _ = self.stop.send(true);
        for source in self.sources {
            let _ = source.await;
        }
        std::mem::take(&mut *self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Requests of one sort.
struct Source {
    client: Arc<Client>,
    connection: Connection,
    ledger: Arc<Mutex<Ledger>>,
}

impl Source {
    /// Ends when the load is stopped or dropped, with its last request.
    async fn run(self, every: Duration, mut stopped: watch::Receiver<bool>) {
        let mut due = tokio::time::interval(every);
        due.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut open = JoinSet::new();
        for number in 0_u64.. {
            tokio::select! {
                _ = due.tick() => {}
                _ = stopped.changed() => break,
            }
            open.spawn(self.request(number));
            while open.try_join_next().is_some() {}
        }
        open.join_all().await;
    }

    fn request(&self, number: u64) -> impl Future<Output = ()> + use<> {
        let (client, ledger, connection) =
            (Arc::clone(&self.client), Arc::clone(&self.ledger), self.connection);
        let letter = if connection == Connection::New { 'n' } else { 'k' };
        async move {
            let sent = micros();
            let id = format!("{letter}{number}-{sent}");
            let service = if number % 10 == 9 { LONG_SERVICE } else { SERVICE };
            let answer = client.ask(&id, connection, service).await.map_err(|error| format!("{error:#}"));
            let record = Record { id, connection, sent, done: micros(), answer };
            ledger.lock().unwrap_or_else(PoisonError::into_inner).records.push(record);
        }
    }
}
