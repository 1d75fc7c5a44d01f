//! Whether it has become worse.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// Figures that belong to Cafe and not to the machine, and more is worse: they may grow by a quarter.
const RATIOS: [&str; 7] = [
    "/subjects/cafe/writes_per_pod",
    "/subjects/cafe/all_writes_per_pod",
    "/subjects/cafe/endpoint_slice_writes_per_pod",
    "/subjects/cafe/controller_cpu_s_per_1000",
    "/subjects/cafe/peak_rss_mib",
    "/subjects/cafe_large/controller_cpu_s_per_1000",
    "/subjects/cafe_large/peak_rss_mib",
];
/// The same for those of which less is worse.
const SHARES: [&str; 2] = ["/subjects/cafe/eta_write_bound", "/subjects/cafe/eta_drain_bound"];
/// Counts that may not be above these, whatever they were before.
const LIMITS: [(&str, f64); 4] = [
    ("/subjects/cafe/writes_per_pod", 3.0),
    ("/subjects/cafe/conflicts_per_pod", 0.005),
    ("/subjects/cafe/endpoint_slice_writes_per_pod", 0.5),
    ("/subjects/cafe/steady_writes", 0.0),
];
/// Where the ratios of micro-benchmarks stand, of which more is worse as well.
const MICRO: &str = "/micro/ratios";
const WORSE: f64 = 1.25;

/// An earlier result.
pub(crate) fn read(file: &Path) -> Result<Value> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no result of `--out`", file.display()))
}

/// Fails with every figure that is worse than it may be. What was not measured both times is not judged, unless that is everything.
pub(crate) fn judge(before: &Value, now: &Value) -> Result<()> {
    let pairs = pairs(before, now);
    if pairs.is_empty() {
        bail!("the earlier result has no figure of this one: nothing to judge by; make another with `--out`");
    }
    let mut worse: Vec<String> = pairs.into_iter().filter_map(Pair::worse).collect();
    // Micro-benchmarks alone count nothing.
    let limits = LIMITS.iter().filter(|_| now.pointer("/subjects").is_some());
    for (name, most) in limits {
        match of(now, name) {
            Some(now) if now > *most => worse.push(format!("{name} is {now} and may be {most}")),
            Some(_) => {}
            None => worse.push(format!("{name} was not measured")),
        }
    }
    if worse.is_empty() {
        println!("no figure is worse than it may be");
        return Ok(());
    }
    bail!("worse than it may be:\n  {}", worse.join("\n  "))
}

/// The ratios of micro-benchmarks that are worse than they may be.
pub(crate) fn worse_ratios(before: &Value, now: &Value) -> Vec<String> {
    micro(before, now).into_iter().filter_map(Pair::worse).collect()
}

/// A figure that was measured both times.
struct Pair {
    name: String,
    before: f64,
    now: f64,
    /// More of it is worse, otherwise less.
    grows: bool,
}

impl Pair {
    fn of(before: &Value, now: &Value, name: &str, grows: bool) -> Option<Self> {
        Some(Self { name: name.to_owned(), before: of(before, name)?, now: of(now, name)?, grows })
    }

    /// What to say if it is worse than it may be.
    fn worse(self) -> Option<String> {
        let Self { name, before, now, grows } = self;
        let is_worse = if grows { now > before * WORSE } else { now * WORSE < before };
        is_worse.then(|| format!("{name} was {before} and is {now}"))
    }
}

fn pairs(before: &Value, now: &Value) -> Vec<Pair> {
    let mut pairs = micro(before, now);
    for (names, grows) in [(RATIOS.as_slice(), true), (SHARES.as_slice(), false)] {
        pairs.extend(names.iter().filter_map(|name| Pair::of(before, now, name, grows)));
    }
    pairs
}

fn micro(before: &Value, now: &Value) -> Vec<Pair> {
    let names = now.pointer(MICRO).and_then(Value::as_object).into_iter().flat_map(Map::keys);
    names.filter_map(|name| Pair::of(before, now, &format!("{MICRO}/{name}"), true)).collect()
}

fn of(report: &Value, name: &str) -> Option<f64> {
    report.pointer(name).and_then(Value::as_f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn result(cpu: f64, eta: f64, writes: f64) -> Value {
        json!({ "subjects": { "cafe": {
            "controller_cpu_s_per_1000": cpu, "eta_write_bound": eta, "writes_per_pod": writes,
            "conflicts_per_pod": 0.0, "endpoint_slice_writes_per_pod": 0.2, "steady_writes": 0.0,
        }}})
    }

    #[test]
    fn a_quarter_more_is_let_through_and_no_more() {
        let before = result(1.0, 0.8, 3.0);
        assert!(judge(&before, &result(1.25, 0.64, 3.0)).is_ok());
        let refused = judge(&before, &result(1.3, 0.6, 3.1)).map_err(|error| error.to_string());
        let told = refused.err().unwrap_or_default();
        for name in ["controller_cpu_s_per_1000", "eta_write_bound", "writes_per_pod is 3.1"] {
            assert!(told.contains(name), "{told}");
        }
    }

    fn micro(pod_event: f64) -> Value {
        json!({ "micro": { "ratios": { "pod_event": pod_event, "rest_1000": 2.0 } } })
    }

    #[test]
    fn a_ratio_of_a_micro_benchmark_may_grow_by_a_quarter_and_no_more() {
        assert!(judge(&micro(2.0), &micro(2.5)).is_ok());
        let refused = judge(&micro(2.0), &micro(2.6)).unwrap_err().to_string();
        assert_eq!(refused, "worse than it may be:\n  /micro/ratios/pod_event was 2 and is 2.6");
        assert_eq!(worse_ratios(&micro(2.0), &micro(2.6)), ["/micro/ratios/pod_event was 2 and is 2.6"]);
    }

    #[test]
    fn a_whole_result_is_judged_by_its_micro_benchmarks_as_well() {
        let whole = |pod_event: f64| {
            let mut whole = result(1.0, 0.8, 3.0);
            whole["micro"] = micro(pod_event)["micro"].take();
            whole
        };
        assert!(judge(&whole(2.0), &whole(2.0)).is_ok());
        assert!(judge(&whole(2.0), &whole(3.0)).is_err());
        // Either may stand in for the other, with what both have.
        assert!(judge(&whole(2.0), &micro(3.0)).is_err());
        assert!(judge(&micro(2.0), &whole(3.0)).is_err());
        assert!(judge(&result(1.0, 0.8, 3.0), &whole(3.0)).is_ok(), "not measured before");
    }

    #[test]
    fn a_result_that_has_nothing_in_common_with_this_one_opens_no_gate() {
        assert!(judge(&result(1.0, 0.8, 3.0), &micro(2.0)).is_err());
        assert!(judge(&json!({}), &result(1.0, 0.8, 3.0)).is_err());
    }
}
