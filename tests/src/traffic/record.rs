//! What is known of every request.

use std::collections::BTreeMap;

/// How a request reached its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// By a connection of its own.
    New,
    /// By one that earlier requests had used, or by a new one when none was idle.
    KeptAlive,
}

/// One request and what came of it.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its id, which the application keeps as well.
    pub id: String,
    /// How it went.
    pub connection: Connection,
    /// When it was due, in microseconds since 1970.
    pub sent: u64,
    /// When its answer was complete, or it was given up.
    pub done: u64,
    /// The answer, or why there is none.
    pub answer: Result<Answer, String>,
}

/// What the application said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The pod's name; empty when the server does not say.
    pub pod: String,
    /// The version of its image.
    pub version: String,
    /// When the request arrived there, in microseconds since 1970.
    pub arrived: u64,
}

/// All requests of a load.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// In the order in which they ended.
    pub records: Vec<Record>,
}

impl Ledger {
    /// Requests that got no answer, or a wrong one.
    pub fn lost(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.answer.is_err())
    }

    /// Answers by version.
    #[must_use]
    pub fn versions(&self) -> BTreeMap<&str, usize> {
        let mut versions = BTreeMap::new();
        for answer in self.records.iter().filter_map(|record| record.answer.as_ref().ok()) {
            *versions.entry(answer.version.as_str()).or_default() += 1;
        }
        versions
    }

    /// Answers by pod.
    #[must_use]
    pub fn pods(&self) -> BTreeMap<&str, usize> {
        let mut pods = BTreeMap::new();
        for answer in self.records.iter().filter_map(|record| record.answer.as_ref().ok()) {
            *pods.entry(answer.pod.as_str()).or_default() += 1;
        }
        pods
    }
}
