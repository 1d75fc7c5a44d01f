//! The queries of the dashboards.

use anyhow::{Context, Result};
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/cafe/files/dashboards");

/// One query, with where it stands.
pub(crate) struct Query {
    pub(crate) place: String,
    pub(crate) expression: String,
}

/// Every query of every dashboard of the chart: panels, annotations and variables.
pub(crate) fn all() -> Result<Vec<Query>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(FOLDER)? {
        let path = entry?.path();
        let board: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)
            .with_context(|| format!("{} is no JSON", path.display()))?;
        let title = board["title"].as_str().context("a dashboard without a title")?;
        let list =
            |pointer: &str| board.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
        let mut add = |what: &str, expression: &Value| {
            let expression = expression.as_str().unwrap_or_default().to_owned();
            found.push(Query { place: format!("{title}, {what}"), expression });
        };
        for panel in list("/panels") {
            let name = panel["title"].as_str().context("a panel without a title")?;
            for target in panel["targets"].as_array().context("a panel without queries")? {
                add(name, &target["expr"]);
            }
        }
        for annotation in list("/annotations/list") {
            add("annotation", &annotation["expr"]);
        }
        for variable in list("/templating/list").iter().filter(|v| v["type"] == "query") {
            let query = variable["query"].as_str().unwrap_or_default();
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (series, _) = inner.and_then(|inner| inner.rsplit_once(',')).context("no label_values")?;
            add("variable", &Value::from(series));
        }
    }
    Ok(found)
}

impl Query {
    /// As Grafana sends it, for one CafeDeployment and the last quarter of an hour.
    pub(crate) fn about(&self, namespace: &str, name: &str) -> String {
        let substitutes =
            [("$__rate_interval", "15m"), ("$__range", "15m"), ("$namespace", namespace), ("$name", name)];
        substitutes
            .iter()
            .fold(self.expression.clone(), |text, (variable, value)| text.replace(variable, value))
    }
}
