//! What a metrics port says, series by series.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kube::{Client, Config};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server on this machine that speaks plain HTTP.
pub(crate) fn client(address: &str) -> Result<Client> {
    Ok(Client::try_from(Config::new(format!("http://{address}").parse()?))?)
}

/// One scrape.
pub(crate) struct Scrape {
    pub(crate) text: String,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    /// Reads `/metrics`.
    pub(crate) async fn of(address: &str) -> Result<Self> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        let text = client(address)?.request_text(request).await?;
        let mut series = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').with_context(|| format!("no value: {line}"))?;
            let before = series.insert(name.to_owned(), value.parse()?);
            anyhow::ensure!(before.is_none(), "{name} is there twice");
        }
        Ok(Self { text, series })
    }

    /// Scrapes until `holds`.
    pub(crate) async fn until(address: &str, what: &str, holds: impl Fn(&Self) -> bool) -> Result<Self> {
        let end = Instant::now() + PATIENCE;
        loop {
            let scrape = Self::of(address).await?;
            if holds(&scrape) {
                return Ok(scrape);
            }
            if Instant::now() >= end {
                bail!("not {what} after {PATIENCE:?}:\n{}", scrape.text);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The sum over the series of this name that have all of these labels; none when there is no such series.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |series: &str, (label, value): &(&str, &str)| {
            let text = format!("{label}=\"{value}\"");
            series.contains(&format!("{{{text}")) || series.contains(&format!(",{text}"))
        };
        let found = self.series.iter().filter(|(series, _)| {
            let is_named = series.split('{').next() == Some(name);
            is_named && labels.iter().all(|label| has(series, label))
        });
        let values: Vec<f64> = found.map(|(_, value)| *value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// The names of all samples.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.series.keys().filter_map(|series| series.split('{').next()).collect()
    }

    /// The same in the older text format, which promtool's linter reads: there the name of a counter is that of its sample.
    pub(crate) fn classic(&self) -> String {
        let mut lines = Vec::new();
        let kind = |name: &str| {
            let prefix = format!("# TYPE {name} ");
            self.text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default()
        };
        for line in self.text.lines().filter(|line| *line != "# EOF") {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words.as_slice() {
                ["#", word, name, rest] => match kind(name) {
                    "counter" => lines.push(format!("# {word} {name}_total {rest}")),
                    "info" => lines.push(format!("# {word} {name}_info {}", rest.replace("info", "gauge"))),
                    _ => lines.push(line.to_owned()),
                },
                _ => lines.push(line.to_owned()),
            }
        }
        lines.join("\n") + "\n"
    }
}
