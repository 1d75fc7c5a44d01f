//! Figures of a run.

use std::collections::BTreeMap;

use serde::Serialize;

use super::record::{Connection, Ledger};
use super::stopwatch::Drain;

/// Median, 99th percentile and maximum, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the values are at most this.
    pub p50: f64,
    /// 99 of 100 values are at most this.
    pub p99: f64,
    /// The largest value.
    pub max: f64,
    /// How many values there are.
    pub count: usize,
}

impl Spread {
    /// Of durations in microseconds.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = u64>) -> Self {
        let mut values: Vec<u64> = values.into_iter().collect();
        values.sort_unstable();
        let at = |percent: usize| {
            // The smallest value that so many percent of all values do not exceed.
            let rank = (values.len() * percent).div_ceil(100).saturating_sub(1);
            #[allow(clippy::cast_precision_loss)]
            values.get(rank).map_or(0.0, |micros| (*micros as f64 / 100.0).round() / 10.0)
        };
        Self { p50: at(50), p99: at(99), max: at(100), count: values.len() }
    }
}

/// For how long after W1 requests still came to a pod, in microseconds, one value per drain during which any came: by new
/// connections this is the time that the news takes to reach every kernel; kept-alive ones stay until they are closed.
#[must_use]
pub fn reach(ledger: &Ledger, drains: &[Drain], connection: Connection) -> Vec<u64> {
    let mut arrivals: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for record in ledger.records.iter().filter(|record| record.connection == connection) {
        if let Ok(answer) = &record.answer {
            arrivals.entry(&answer.pod).or_default().push(answer.arrived);
        }
    }
    let last = |drain: &Drain| {
        let of_pod = arrivals.get(drain.pod.as_str())?.iter();
        of_pod.filter(|at| (drain.begun..drain.ended).contains(at)).max().map(|at| at - drain.begun)
    };
    drains.iter().filter_map(last).collect()
}

#[cfg(test)]
mod tests {
    use super::super::record::{Answer, Record};
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let spread = Spread::of((1..=200).map(|n| n * 1000));
        assert_eq!((spread.p50, spread.p99, spread.max, spread.count), (100.0, 198.0, 200.0, 200));
        assert_eq!(Spread::of([]), Spread::default());
    }

    #[test]
    fn only_requests_during_the_drain_count_for_its_reach() {
        let request = |arrived, connection| Record {
            id: String::new(),
            connection,
            sent: 0,
            done: 0,
            answer: Ok(Answer { pod: "p".into(), version: String::new(), arrived }),
        };
        let records = [
            request(90, Connection::New),
            request(130, Connection::New),
            request(140, Connection::KeptAlive),
            request(200, Connection::New),
        ];
        let drain = Drain { pod: "p".into(), begun: 100, ended: 200 };
        let ledger = Ledger { records: records.to_vec() };
        assert_eq!(reach(&ledger, &[drain], Connection::New), [30]);
    }
}
