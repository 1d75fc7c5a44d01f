//! Whether it has become worse.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

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
const WORSE: f64 = 1.25;

/// An earlier result.
pub(crate) fn read(file: &Path) -> Result<Value> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no result of `--out`", file.display()))
}

/// Fails with every figure that is worse than it may be. What was not measured both times is not judged.
pub(crate) fn judge(before: &Value, now: &Value) -> Result<()> {
    let of = |report: &Value, name: &str| report.pointer(name).and_then(Value::as_f64);
    let mut worse = Vec::new();
    for (names, grows) in [(RATIOS.as_slice(), true), (SHARES.as_slice(), false)] {
        for name in names {
            let (Some(before), Some(now)) = (of(before, name), of(now, name)) else { continue };
            let is_worse = if grows { now > before * WORSE } else { now * WORSE < before };
            if is_worse {
                worse.push(format!("{name} was {before} and is {now}"));
            }
        }
    }
    for (name, most) in LIMITS {
        match of(now, name) {
            Some(now) if now > most => worse.push(format!("{name} is {now} and may be {most}")),
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
}
