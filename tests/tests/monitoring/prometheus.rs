//! A real Prometheus that scrapes the controller and the webhook.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cafe_tests::bed::Bed;
use kube::Client;
use serde_json::Value;

use crate::scrape;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/cafe");
const PATIENCE: Duration = Duration::from_secs(120);

/// The process, and how to ask it.
pub(crate) struct Prometheus {
    client: Client,
    bed: &'static Bed,
}

impl Prometheus {
    /// Starts it with the chart's alerts.
    pub(crate) fn start(bed: &'static Bed, controller: &str, webhook: &str) -> Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (folder, address) = (bed.dir().join("prometheus"), format!("127.0.0.1:{port}"));
        std::fs::create_dir_all(&folder)?;
        let config = folder.join("prometheus.yaml");
        let jobs = [("controller", controller), ("webhook", webhook)].map(|(job, target)| {
            format!("- {{job_name: {job}, static_configs: [{{targets: ['{target}']}}]}}\n")
        });
        let text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\nrule_files: ['{CHART}/files/alerts.yaml']\n\
             scrape_configs:\n{}",
            jobs.concat()
        );
        std::fs::write(&config, text)?;
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn");
        bed.start("prometheus", &mut command)
            .context("cannot run prometheus: install it, in Debian with the package prometheus")?;
        Ok(Self { client: scrape::client(&address)?, bed })
    }

    async fn ask(&self, path: &str) -> Result<Value> {
        let request = http::Request::get(path).body(Vec::new())?;
        let answer: Value = serde_json::from_str(&self.client.request_text(request).await?)?;
        Ok(answer["data"].clone())
    }

    /// The result of an instant query.
    pub(crate) async fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let encoded: String = expression
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
                byte => format!("%{byte:02X}"),
            })
            .collect();
        let data = self.ask(&format!("/api/v1/query?query={encoded}")).await;
        let data = data.with_context(|| format!("Prometheus refuses {expression}"))?;
        data["result"].as_array().cloned().with_context(|| format!("no vector: {expression}"))
    }

    /// Waits until a query has a result.
    pub(crate) async fn until(&self, expression: &str) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            if self.query(expression).await.is_ok_and(|found| !found.is_empty()) {
                return Ok(());
            }
            self.bed.check("prometheus")?;
            if Instant::now() >= end {
                let targets = self.ask("/api/v1/targets").await?;
                bail!("nothing for {expression} after {PATIENCE:?}; targets: {targets:#}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The alerts with their health and state.
    pub(crate) async fn alerts(&self) -> Result<Vec<Value>> {
        let data = self.ask("/api/v1/rules").await?;
        Ok(data.pointer("/groups/0/rules").and_then(Value::as_array).cloned().unwrap_or_default())
    }
}
