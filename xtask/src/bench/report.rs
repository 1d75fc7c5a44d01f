//! What came out, as data.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::calibration::Calibration;
use super::micro::Times;

/// The figures of one subject, by name; each may have been measured several times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    values: BTreeMap<&'static str, Vec<f64>>,
    /// What the API server could do before and after.
    pub(crate) calibration: Option<Calibration>,
    /// By how much of itself that changed meanwhile.
    pub(crate) drift: Option<f64>,
    /// SHA-256 of a program that is not ours.
    pub(crate) program: Option<String>,
}

/// Median, least and most of what was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Figures {
    pub(crate) fn add(&mut self, name: &'static str, value: f64) {
        self.values.entry(name).or_default().push(value);
    }

    pub(crate) fn get(&self, name: &str) -> Option<Spread> {
        let mut values = self.values.get(name)?.clone();
        values.sort_by(f64::total_cmp);
        Some(Spread {
            median: *values.get(values.len() / 2)?,
            least: *values.first()?,
            most: *values.last()?,
        })
    }

    fn json(&self) -> Map<String, Value> {
        let mut object = Map::new();
        let mut spread = Map::new();
        for (name, values) in &self.values {
            let Some(Spread { median, least, most }) = self.get(name) else { continue };
            object.insert((*name).to_owned(), json!(rounded(median)));
            if values.len() > 1 {
                spread.insert((*name).to_owned(), json!([rounded(least), rounded(most)]));
            }
        }
        object.insert("spread".to_owned(), Value::Object(spread));
        let calibration = self.calibration.map(|speed| {
            json!({ "writes_per_s": rounded(speed.writes_per_s), "latency_ms_p50": rounded(speed.latency_ms_p50) })
        });
        object.extend(calibration.map(|calibration| ("calibration".to_owned(), calibration)));
        object.extend(self.drift.map(|drift| ("drift".to_owned(), json!(rounded(drift)))));
        object.extend(self.program.as_ref().map(|hash| ("program_sha256".to_owned(), json!(hash))));
        object
    }
}

/// To four digits that mean something.
pub(crate) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let digits = 10_f64.powf(3.0 - value.abs().log10().floor());
    (value * digits).round() / digits
}

/// One subject's turn.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) figures: Figures,
}

/// All turns of one run, Cafe's with the large workload, and the micro-benchmarks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) runs: Vec<Run>,
    pub(crate) large: Option<(u32, Figures)>,
    pub(crate) micro: Times,
}

impl Report {
    pub(crate) fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    pub(crate) fn add_large(&mut self, pods: u32, figures: Figures) {
        self.large = Some((pods, figures));
    }

    /// The whole as one object: the mean calibration, the figures of each subject, the micro-benchmarks.
    pub(crate) fn json(&self) -> Value {
        let speeds: Vec<Calibration> = self.runs.iter().filter_map(|run| run.figures.calibration).collect();
        let mean = |of: fn(&Calibration) -> f64| {
            rounded(speeds.iter().map(of).sum::<f64>() / (speeds.len().max(1)) as f64)
        };
        let mut subjects = Map::new();
        for run in &self.runs {
            subjects.insert(run.name.to_owned(), Value::Object(run.figures.json()));
        }
        if let Some((pods, figures)) = &self.large {
            let mut large = figures.json();
            large.insert("pods".to_owned(), json!(pods));
            subjects.insert("cafe_large".to_owned(), Value::Object(large));
        }
        json!({
            "calibration": {
                "writes_per_s": mean(|speed| speed.writes_per_s),
                "latency_ms_p50": mean(|speed| speed.latency_ms_p50),
            },
            "subjects": subjects,
            "micro": self.micro.json(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_for_what_was_measured_several_times() {
        let mut figures = Figures::default();
        for wall in [4.25, 9.0, 4.0] {
            figures.add("wall_s", wall);
        }
        figures.add("rollback_s", 1.23456);
        let json = figures.json();
        assert_eq!((&json["wall_s"], &json["spread"]["wall_s"]), (&json!(4.25), &json!([4.0, 9.0])));
        assert_eq!((&json["rollback_s"], &json["spread"]["rollback_s"]), (&json!(1.235), &Value::Null));
    }
}
