//! The times of one run, and the ratios that are made of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::bench::report::rounded;

/// A step, and the yardstick it is read against. More of it is worse.
struct Ratio {
    /// In the data.
    name: &'static str,
    /// For people.
    title: &'static str,
    /// The benchmark of the step.
    step: &'static str,
    /// The benchmark of the yardstick.
    yardstick: &'static str,
    /// What the yardstick is, for people.
    against: &'static str,
}

const fn ratio(
    name: &'static str,
    title: &'static str,
    step: &'static str,
    yardstick: &'static str,
    against: &'static str,
) -> Ratio {
    Ratio { name, title, step, yardstick, against }
}

const SCAN: &str = "serde_json skips the event";
const WRITE: &str = "serde_json writes the body";
const WALK: &str = "a walk over as many records";
const WALK_1000: &str = "a walk over 1,000 records";

/// Only what does not contain Cafe's code is a yardstick: against its own work at another size a step would seem to become worse where
/// the other one has become better.
const RATIOS: [Ratio; 18] = [
    ratio("pod_event", "event of a pod, 13 kB: decoded, folded", "pod/fold", "pod/scan", SCAN),
    ratio("small_pod_event", "event of a pod, 6 kB", "small_pod/fold", "small_pod/scan", SCAN),
    ratio("slice_100_event", "event of a slice, 100 endpoints", "slice_100/fold", "slice_100/scan", SCAN),
    ratio(
        "slice_1000_event",
        "event of a slice, 1,000 endpoints",
        "slice_1000/fold",
        "slice_1000/scan",
        SCAN,
    ),
    ratio(
        "answer",
        "answer in a wave of a set of 200 pods, planned",
        "answer/fold_and_plan",
        "pod/scan",
        SCAN,
    ),
    ratio("w1_body", "W1 to bytes", "w1/encode", "w1/to_vec", WRITE),
    ratio("w2_body", "W2 to bytes", "w2/encode", "w2/to_vec", WRITE),
    ratio("w3_body", "W3 to bytes", "w3/encode", "w3/to_vec", WRITE),
    ratio("journal_body", "journal of 50 reservations to bytes", "journal/encode", "journal/to_vec", WRITE),
    ratio("rest_1000", "plan at rest, 1,000 pods", "set_at_rest/1000", "records/1000", WALK),
    ratio("rest_10000", "plan at rest, 10,000 pods", "set_at_rest/10000", "records/10000", WALK),
    ratio("rest_100000", "plan at rest, 100,000 pods", "set_at_rest/100000", "records/100000", WALK),
    ratio(
        "group_1000",
        "plan as a group begins, 1,000 pods",
        "set_at_the_start_of_a_group/1000",
        "records/1000",
        WALK,
    ),
    ratio(
        "group_10000",
        "plan as a group begins, 10,000 pods",
        "set_at_the_start_of_a_group/10000",
        "records/10000",
        WALK,
    ),
    ratio(
        "group_100000",
        "plan as a group begins, 100,000 pods",
        "set_at_the_start_of_a_group/100000",
        "records/100000",
        WALK,
    ),
    ratio(
        "middle_10000",
        "plan in the middle of a group, 10,000 pods",
        "set_in_the_middle_of_a_group/10000",
        "records/10000",
        WALK,
    ),
    ratio(
        "deployment_8",
        "plan of a CafeDeployment at rest, 8 units",
        "deployment_at_rest/8",
        "records/1000",
        WALK_1000,
    ),
    ratio(
        "deployment_24",
        "plan of a CafeDeployment at rest, 24 units",
        "deployment_at_rest/24",
        "records/1000",
        WALK_1000,
    ),
];

/// Plans of many pods, and by how much a pod costs more in them than in one of a thousand. Told, and not judged.
const GROWTH: [(&str, &str, f64); 4] = [
    ("set_at_rest/10000", "set_at_rest/1000", 10.0),
    ("set_at_rest/100000", "set_at_rest/1000", 100.0),
    ("set_at_the_start_of_a_group/10000", "set_at_the_start_of_a_group/1000", 10.0),
    ("set_at_the_start_of_a_group/100000", "set_at_the_start_of_a_group/1000", 100.0),
];

/// Least time of each benchmark, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(BTreeMap<&'static str, f64>);

/// What criterion keeps of a benchmark: how often each sample ran it, and how long that took in nanoseconds.
#[derive(Debug, Deserialize)]
struct Samples {
    iters: Vec<f64>,
    times: Vec<f64>,
}

impl Samples {
    /// The least time of one run: whatever else the machine does makes it longer.
    fn least(&self) -> Option<f64> {
        let each = self.times.iter().zip(&self.iters).map(|(time, iters)| time / iters);
        each.filter(|time| time.is_finite() && *time > 0.0).min_by(f64::total_cmp)
    }
}

impl Times {
    /// Reads what criterion has left in its folder.
    ///
    /// # Errors
    /// When a benchmark is missing there.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let ids = RATIOS.iter().flat_map(|ratio| [ratio.step, ratio.yardstick]);
        let least = |id: &'static str| {
            let file = folder.join(id).join("new/sample.json");
            let text = fs::read(&file).with_context(|| format!("the benchmark {id} has left no samples"))?;
            let samples: Samples = serde_json::from_slice(&text)
                .with_context(|| format!("cannot read the samples of the benchmark {id}"))?;
            anyhow::Ok((
                id,
                samples.least().with_context(|| format!("the benchmark {id} has measured nothing"))?,
            ))
        };
        ids.map(least).collect::<Result<_>>().map(Self)
    }

    /// Keeps the lesser of both times of each benchmark.
    pub(crate) fn keep_least(&mut self, other: &Self) {
        for (id, time) in &other.0 {
            self.0.entry(id).and_modify(|known| *known = known.min(*time)).or_insert(*time);
        }
    }

    fn ratio(&self, step: &str, yardstick: &str) -> Option<f64> {
        Some(self.0.get(step)? / self.0.get(yardstick)?)
    }

    /// `ratios` are judged; `growth` and `nanoseconds` are told.
    pub(crate) fn json(&self) -> Value {
        let ratios = RATIOS
            .iter()
            .filter_map(|r| Some((r.name.to_owned(), rounded(self.ratio(r.step, r.yardstick)?).into())));
        let growth = GROWTH.iter().filter_map(|(many, few, times)| {
            Some(((*many).to_owned(), rounded(self.ratio(many, few)? / times).into()))
        });
        let nanoseconds = self.0.iter().map(|(id, time)| ((*id).to_owned(), rounded(*time).into()));
        json!({
            "ratios": ratios.collect::<Map<String, Value>>(),
            "growth": growth.collect::<Map<String, Value>>(),
            "nanoseconds": nanoseconds.collect::<Map<String, Value>>(),
        })
    }

    /// A table with a heading: each step, its time, how often its yardstick goes into that, and what the yardstick is.
    pub(crate) fn rows(&self) -> Vec<Vec<String>> {
        let mut rows = vec![["", "least time", "ratio", "of"].map(ToOwned::to_owned).to_vec()];
        for ratio in &RATIOS {
            let time = self.0.get(ratio.step).map_or("-".to_owned(), |time| duration(*time));
            let times = self.ratio(ratio.step, ratio.yardstick).map_or("-".to_owned(), |r| format!("{r:.2}"));
            rows.push(vec![ratio.title.to_owned(), time, times, ratio.against.to_owned()]);
        }
        rows
    }
}

/// Nanoseconds as people read them.
fn duration(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "us"),
        n => (n / 1e6, "ms"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run in which each benchmark takes as long as `time` says.
    fn times(time: impl Fn(&str) -> f64) -> Times {
        let ids = RATIOS.iter().flat_map(|ratio| [ratio.step, ratio.yardstick]);
        Times(ids.map(|id| (id, time(id))).collect())
    }

    /// What criterion leaves of a run.
    fn left(time: impl Fn(&str) -> f64) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for id in times(&time).0.keys() {
            let place = folder.path().join(id).join("new");
            fs::create_dir_all(&place).unwrap();
            let samples = json!({ "sampling_mode": "Flat", "iters": [10.0, 10.0, 10.0], "times": [time(id) * 11.0, time(id) * 10.0, time(id) * 99.0] });
            fs::write(place.join("sample.json"), samples.to_string()).unwrap();
        }
        folder
    }

    #[test]
    fn the_least_time_of_a_run_is_taken_and_a_ratio_is_free_of_the_speed_of_the_machine() {
        let slow = |factor: f64| move |id: &str| factor * if id == "pod/scan" { 100.0 } else { 150.0 };
        let [one, other] = [1.0, 7.0].map(|factor| Times::read(left(slow(factor)).path()).unwrap());
        assert_eq!((one.0["pod/fold"], other.0["pod/fold"]), (150.0, 1050.0));
        let [one, other] = [one.json(), other.json()];
        assert_eq!(one["ratios"]["pod_event"], json!(1.5));
        assert_eq!(one["ratios"], other["ratios"]);
        assert_eq!(one["ratios"].as_object().unwrap().len(), RATIOS.len(), "no name twice");
    }

    #[test]
    fn a_benchmark_that_was_not_run_is_named() {
        let folder = left(|_| 1.0);
        fs::remove_dir_all(folder.path().join("w2/encode")).unwrap();
        let error = Times::read(folder.path()).unwrap_err().to_string();
        assert_eq!(error, "the benchmark w2/encode has left no samples");
    }

    #[test]
    fn of_two_runs_the_lesser_time_of_each_benchmark_is_kept() {
        let mut both = times(|id| if id == "pod/fold" { 300.0 } else { 100.0 });
        both.keep_least(&times(|id| if id == "pod/fold" { 200.0 } else { 400.0 }));
        assert_eq!((both.0["pod/fold"], both.0["pod/scan"]), (200.0, 100.0));
    }

    #[test]
    fn growth_is_the_cost_of_a_pod_among_many_against_one_among_a_thousand() {
        let json = times(|id| if id == "set_at_rest/100000" { 30_000.0 } else { 100.0 }).json();
        assert_eq!(json["growth"]["set_at_rest/100000"], json!(3.0));
    }

    #[test]
    fn times_are_told_in_three_digits() {
        assert_eq!(
            [2.345, 45.67, 999.4, 1234.0, 59_000_000.0].map(duration),
            ["2.35 ns", "45.7 ns", "999 ns", "1.23 us", "59.0 ms"]
        );
    }
}
