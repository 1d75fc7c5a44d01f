//! A whole audit log before the judge.

use std::collections::{BTreeMap, HashSet};
use std::io::BufRead;

use thiserror::Error;

use crate::read::audit::{self, Line};
use crate::record::Uid;
use crate::{Checker, Event, Kind, Limits, Rule, Verb, Violation};

/// Milliseconds by which a decision may lag behind the log: the controller sees through watches.
const LAG: i64 = 5000;

/// Why a log cannot be judged.
#[derive(Debug, Error)]
pub enum Error {
    /// It cannot be read.
    #[error("line {line}: {source}")]
    Read {
        /// The number of the line, from 1.
        line: u64,
        /// Why.
        source: std::io::Error,
    },
    /// It is no audit log.
    #[error("line {line}: {source}")]
    Line {
        /// The number of the line, from 1.
        line: u64,
        /// Why.
        source: audit::Error,
    },
}

/// An audit log, read.
#[derive(Debug, Default)]
pub struct Log {
    lines: Vec<Line>,
    /// Events in it, those that only read included.
    pub events: u64,
    /// Writes of the controller among them.
    pub ours: u64,
}

/// What a judge says of a log.
#[derive(Debug)]
pub struct Report {
    /// Broken rules, in order.
    pub violations: Vec<Violation>,
    /// How often each rule was evaluated.
    pub asked: BTreeMap<Rule, u64>,
    /// The log shows every workload from its creation on, and every version of its objects.
    pub complete: bool,
}

impl Log {
    /// Reads more of the log. Several files of one log may be read one after the other, in any order.
    ///
    /// # Errors
    /// When a line cannot be read or is no audit event.
    pub fn read(&mut self, text: impl BufRead, is_ours: impl Fn(&str) -> bool) -> Result<(), Error> {
        for (number, line) in (1..).zip(text.split(b'\n')) {
            let line = line.map_err(|source| Error::Read { line: number, source })?;
            if line.is_empty() {
                continue;
            }
            self.events += 1;
            let read = audit::line(&line, &is_ours);
            let Some(read) = read.map_err(|source| Error::Line { line: number, source })? else { continue };
            self.ours += u64::from(read.write.ours);
            if read.write.ours || is_judged(read.write.kind) {
                self.lines.push(read);
            }
        }
        Ok(())
    }

    /// Judges what was read.
    #[must_use]
    pub fn judge(self) -> Report {
        let complete = self.is_complete();
        let attributed =
            self.lines.iter().filter(|l| l.write.ours && l.shows_object).all(|l| l.object.is_some());
        let limits = Limits { lag: LAG, complete, chained: false, attributed, steady: false };
        let mut checker = Checker::new(limits);
        let mut violations = Vec::new();
        for (revision, line) in self.order() {
            checker.set_time(line.answered);
            violations.extend(checker.observe(revision, Event::Write(Box::new(line.write))));
            if let Some(object) = line.object {
                violations.extend(checker.observe(revision, object));
            }
        }
        Report { violations, asked: checker.asked().clone(), complete }
    }

    /// Whether every accepted write to a judged kind shows what it made, and every workload begins with its creation.
    fn is_complete(&self) -> bool {
        let judged = || self.lines.iter().filter(|l| is_judged(l.write.kind));
        let shown = judged().filter(|l| l.shows_object).all(|l| l.object.is_some());
        let created: HashSet<Uid> =
            judged().filter(|l| l.write.verb == Verb::Create).map(|l| l.write.object.uid).collect();
        let mut versions = judged().filter(|l| !matches!(l.object, None | Some(Event::Gone(..))));
        let from_birth = versions.all(|l| created.contains(&l.write.object.uid));
        let workloads = judged().any(|l| {
            matches!(l.write.kind, Kind::Deployment | Kind::Set)
                && l.write.verb == Verb::Create
                && l.object.is_some()
        });
        workloads && shown && from_birth
    }

    /// The lines in the order of the versions they made; one that made none stays behind what was answered before it.
    fn order(mut self) -> Vec<(u64, Line)> {
        self.lines.sort_by_key(|line| line.answered);
        let mut newest = 0;
        let place = |line: Line| {
            let made = line.write.object.version;
            newest = newest.max(made);
            (if made > 0 { made } else { newest }, line)
        };
        let mut lines: Vec<(u64, Line)> = self.lines.into_iter().map(place).collect();
        lines.sort_by_key(|(place, _)| *place);
        lines
    }
}

fn is_judged(kind: Kind) -> bool {
    matches!(kind, Kind::Deployment | Kind::Set | Kind::Pod | Kind::Slice)
}
