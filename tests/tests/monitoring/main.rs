//! What an operator sees: after releases whose figures are known the controller's metrics are exactly these, a real Prometheus takes
//! them, and every query of the dashboards and of the alerts finds something.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod panels;
mod prometheus;
mod scrape;
mod story;

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use cafe_tests::reviews;
use cafe_tests::scenario::{Kind, Workload, bed};
use kube::api::DeleteParams;
use prometheus::Prometheus;
use scrape::Scrape;

/// Label names and values.
type Labels<'a> = &'a [(&'a str, &'a str)];

/// The name of a series, labels that it has, and its value.
type Count = (&'static str, Labels<'static>, f64);

/// Counts after all of [`story`], with the labels that matter.
const COUNTS: &[Count] = &[
    ("cafe_batch_duration_seconds_count", &[("kind", "beta")], 4.0),
    ("cafe_batch_duration_seconds_count", &[("kind", "batch")], 5.0),
    ("cafe_batch_duration_seconds_count", &[("kind", "rollback")], 1.0),
    ("cafe_release_duration_seconds_count", &[("outcome", "completed")], 5.0),
    ("cafe_release_active_seconds_count", &[("outcome", "completed")], 5.0),
    ("cafe_release_wait_seconds_count", &[("outcome", "completed")], 5.0),
    ("cafe_release_duration_seconds_count", &[("outcome", "aborted")], 1.0),
    ("cafe_pod_updates_total", &[("mode", "in_place"), ("result", "ok")], 12.0),
    ("cafe_pod_updates_total", &[("mode", "recreate"), ("result", "ok")], 6.0),
    ("cafe_pod_updates_total", &[("result", "superseded")], 0.0),
    ("cafe_pod_updates_total", &[("result", "lost")], 0.0),
    ("cafe_pod_updates_total", &[("result", "refused")], 0.0),
    ("cafe_pod_update_duration_seconds_count", &[("mode", "in_place"), ("phase", "drain")], 12.0),
    ("cafe_pod_update_duration_seconds_count", &[("mode", "in_place"), ("phase", "swap")], 12.0),
    ("cafe_pod_update_duration_seconds_count", &[("mode", "in_place"), ("phase", "ready")], 12.0),
    ("cafe_pod_update_duration_seconds_count", &[("mode", "recreate"), ("phase", "drain")], 6.0),
    ("cafe_traffic_drain_seconds_count", &[("result", "clean")], 16.0),
    ("cafe_traffic_drain_seconds_count", &[("result", "timeout")], 2.0),
    ("cafe_actions_total", &[("action", "confirm"), ("result", "ok")], 2.0),
    ("cafe_actions_total", &[("action", "confirm"), ("result", "ignored")], 1.0),
    ("cafe_actions_total", &[("action", "pause"), ("result", "ok")], 1.0),
    ("cafe_actions_total", &[("action", "resume"), ("result", "ok")], 1.0),
    ("cafe_actions_total", &[("action", "abort"), ("result", "ok")], 1.0),
    ("cafe_actions_total", &[("action", "rollback"), ("result", "ok")], 1.0),
    ("cafe_decisions_total", &[("decision", "UpdateInPlace"), ("result", "Applied")], 12.0),
    ("cafe_decisions_total", &[("decision", "DeleteToRecreate"), ("result", "Applied")], 6.0),
    ("cafe_leader", &[], 1.0),
];

/// Counts of the first workload, with its namespace.
const OF_SIX: &[Count] = &[
    ("cafe_releases_total", &[("outcome", "completed")], 3.0),
    ("cafe_releases_total", &[("outcome", "aborted")], 1.0),
    ("cafe_releases_total", &[("outcome", "rolled_back")], 1.0),
    ("cafe_releases_total", &[("outcome", "superseded")], 0.0),
    ("cafe_releases_total", &[("outcome", "failed")], 0.0),
    ("cafe_deployment_info", &[("name", "web"), ("strategy", "Beta")], 1.0),
    ("cafe_deployment_replicas", &[("state", "desired")], 6.0),
    ("cafe_deployment_replicas", &[("state", "current")], 6.0),
    ("cafe_deployment_replicas", &[("state", "updated")], 6.0),
    ("cafe_deployment_replicas", &[("state", "ready")], 6.0),
    ("cafe_deployment_replicas", &[("state", "available")], 6.0),
    ("cafe_deployment_replicas", &[("state", "out_of_traffic")], 0.0),
    ("cafe_unit_replicas", &[("unit", "CellA"), ("state", "desired")], 3.0),
    ("cafe_unit_replicas", &[("unit", "CellB"), ("state", "available")], 3.0),
    ("cafe_release_waiting_since_timestamp_seconds", &[], 0.0),
];

/// What must be there besides, whatever it says.
const OTHERS: &[&str] = &[
    "cafe_build_info",
    "cafe_release_group",
    "cafe_release_groups",
    "cafe_reconcile_total",
    "cafe_reconcile_duration_seconds_count",
    "cafe_queue_depth",
    "cafe_queue_latency_seconds_count",
    "cafe_queue_retries_total",
    "cafe_api_requests_total",
    "cafe_api_request_duration_seconds_count",
    "cafe_cache_objects",
    "cafe_writes_in_flight",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
    "process_threads",
];

/// Metrics that no test can promise: they count what goes wrong, and their series begin with it.
const ONLY_WHEN_IT_GOES_WRONG: [&str; 2] = ["cafe_reconcile_errors_total", "cafe_watch_restarts_total"];

#[tokio::test]
async fn releases_are_seen_in_metrics_dashboards_and_alerts_exactly_as_they_went() -> Result<()> {
    let bed = bed().await?;
    let controller = bed.controller_address()?.to_string();
    let ready = scrape::client(&controller)?;
    assert_eq!(ready.request_text(http::Request::get("/readyz").body(Vec::new())?).await?, "ok\n");
    let webhook = reviews::start(bed, false).await?;
    webhook.ask().await?;
    let prometheus = Prometheus::start(bed, &controller, &webhook.admin)?;
    // From before the first release, so that what happens is seen as an increase.
    prometheus.until("cafe_leader == 1 and on () sum(cafe_webhook_requests_total) == 2").await?;

    let (six, moved, held) = tokio::try_join!(story::six(bed), story::moved(bed), story::held(bed))?;
    webhook.ask().await?;
    prometheus.until("sum(cafe_webhook_requests_total) == 4").await?;

    let counted = counts_are_exact(&controller, &six, &moved, &held).await?;
    names_are_bounded(&counted, &[&six, &moved, &held]).await?;
    is_well_formed(&counted)?;
    let reviewed = Scrape::of(&webhook.admin).await?;
    is_well_formed(&reviewed)?;
    for name in OTHERS.iter().filter(|name| name.starts_with("process_")) {
        ensure!(reviewed.names().contains(name), "the webhook does not tell {name}:\n{}", reviewed.text);
    }
    let waits =
        format!("cafe_release_waiting_since_timestamp_seconds{{namespace=\"{}\"}} > 0", held.namespace());
    prometheus.until(&waits).await?;
    // What an increase is made of.
    for series in ["cafe_reschedules_total", "cafe_actions_total{action=\"rollback\"}"] {
        prometheus.until(&format!("count_over_time({series}[15m]) > 1")).await?;
    }
    panels_find_something(&prometheus, &[&held, &six, &moved]).await?;
    alerts_know_their_metrics(&prometheus, &counted, &Scrape::of(&webhook.admin).await?).await?;

    six.finish().await?;
    let namespaces = [&six, &moved, &held].map(|w| w.namespace().to_owned());
    story::let_go(&held).await?;
    for workload in [&six, &moved, &held] {
        workload.api(Kind::Deployment).delete("web", &DeleteParams::default()).await?;
    }
    let gone = |s: &Scrape| namespaces.iter().all(|n| !s.text.contains(&format!("namespace=\"{n}\"")));
    Scrape::until(&controller, "without series of what was deleted", gone).await?;
    Ok(())
}

/// A series that must be there.
struct Wanted {
    name: &'static str,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Wanted {
    /// What is there instead.
    fn differs(&self, scrape: &Scrape) -> Option<String> {
        let labels: Vec<(&str, &str)> = self.labels.iter().map(|(l, v)| (l.as_str(), v.as_str())).collect();
        let found = scrape.sum(self.name, &labels);
        (found != Some(self.value))
            .then(|| format!("{} {labels:?}: {found:?}, not {}", self.name, self.value))
    }
}

/// Counters move when their write is acknowledged, which may be a moment after the write is seen.
async fn counts_are_exact(
    address: &str,
    six: &Workload,
    moved: &Workload,
    held: &Workload,
) -> Result<Scrape> {
    let here = |n: &'static str, of: &Workload, labels: Labels<'_>, value: f64| {
        let text = |(label, value): &(&str, &str)| ((*label).to_owned(), (*value).to_owned());
        let named = std::iter::once(("namespace".to_owned(), of.namespace().to_owned()));
        Wanted { name: n, labels: named.chain(labels.iter().map(text)).collect(), value }
    };
    let moves = [("from_unit", "Eyes-a"), ("to_unit", "Eyes-b")];
    let wanted: Vec<Wanted> = COUNTS
        .iter()
        .map(|(name, labels, value)| Wanted {
            name,
            labels: labels.iter().map(|(label, value)| ((*label).into(), (*value).into())).collect(),
            value: *value,
        })
        .chain(OF_SIX.iter().map(|(name, labels, value)| here(name, six, labels, *value)))
        .chain([here("cafe_reschedules_total", moved, &moves, 1.0)])
        .collect();
    let wrong = |scrape: &Scrape| -> Vec<String> {
        wanted.iter().filter_map(|wanted| wanted.differs(scrape)).collect()
    };
    let counted = Scrape::until(address, "as counted", |scrape| wrong(scrape).is_empty()).await;
    let counted = match counted {
        Ok(counted) => counted,
        Err(error) => anyhow::bail!("{:#?}\n{error}", wrong(&Scrape::of(address).await?)),
    };
    let names = counted.names();
    for name in OTHERS {
        ensure!(names.contains(name), "no {name} in\n{}", counted.text);
    }
    let since =
        counted.sum("cafe_release_waiting_since_timestamp_seconds", &[("namespace", held.namespace())]);
    ensure!(since > Some(1.7e9), "the one at its gate waits since {since:?}");
    // A grace of a second is part of every drain phase of the ten that were not forced.
    let drains =
        counted.sum("cafe_pod_update_duration_seconds_sum", &[("mode", "in_place"), ("phase", "drain")]);
    ensure!(drains >= Some(10.0), "{drains:?} s for ten drains with a grace of one second each");
    Ok(counted)
}

/// No pod has a label, whatever happens to pods.
async fn names_are_bounded(scrape: &Scrape, workloads: &[&Workload]) -> Result<()> {
    for workload in workloads {
        let view = workload.look().await?;
        ensure!(!view.pods.is_empty());
        for pod in view.pods() {
            ensure!(!scrape.text.contains(pod.name()), "the name of pod {} is told", pod.name());
            ensure!(!scrape.text.contains(pod.uid()), "the uid of pod {} is told", pod.name());
        }
    }
    Ok(())
}

/// Prometheus' own linter has nothing to say.
fn is_well_formed(scrape: &Scrape) -> Result<()> {
    ensure!(scrape.text.ends_with("# EOF\n"));
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run promtool: install it, in Debian with the package prometheus")?;
    promtool.stdin.take().context("no input")?.write_all(scrape.classic().as_bytes())?;
    let output = promtool.wait_with_output()?;
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    ensure!(output.status.success() && said.is_empty(), "promtool check metrics: {said}");
    Ok(())
}

/// Every query of every dashboard is understood, and has a figure for one workload at least: one waits at its gate, one has gone on.
async fn panels_find_something(prometheus: &Prometheus, workloads: &[&Workload]) -> Result<()> {
    let queries = panels::all()?;
    ensure!(queries.len() > 40, "{} queries", queries.len());
    for query in queries {
        let mut figures = 0;
        for workload in workloads {
            let expression = query.about(workload.namespace(), "web");
            ensure!(!expression.contains('$'), "{}: a variable is left in {expression}", query.place);
            let found = prometheus.query(&expression).await.with_context(|| query.place.clone())?;
            let values = found.iter().filter_map(|series| series["value"][1].as_str());
            figures += values.filter(|value| *value != "NaN").count();
        }
        ensure!(figures > 0, "{}: no figure for {}", query.place, query.expression);
    }
    Ok(())
}

/// Every metric that an alert looks at is scraped, and Prometheus evaluates every alert.
async fn alerts_know_their_metrics(
    prometheus: &Prometheus,
    controller: &Scrape,
    webhook: &Scrape,
) -> Result<()> {
    let firing = ["CafeRolledBack", "CafeDrainTimeouts"];
    for name in firing {
        prometheus.until(&format!("ALERTS{{alertname=\"{name}\",alertstate=\"firing\"}}")).await?;
    }
    let alerts = prometheus.alerts().await?;
    ensure!(alerts.len() >= 15, "{} alerts", alerts.len());
    let (ours, theirs) = (controller.names(), webhook.names());
    for alert in &alerts {
        let (name, query) = (&alert["name"], alert["query"].as_str().context("an alert without a query")?);
        ensure!(alert["health"] == "ok", "{name}: {alert:#}");
        let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metrics: Vec<&str> =
            words.filter(|word| word.starts_with("cafe_") || word.starts_with("process_")).collect();
        ensure!(!metrics.is_empty(), "{name} looks at nothing of ours");
        for metric in metrics {
            let is_there = ours.contains(metric) || theirs.contains(metric);
            ensure!(is_there || ONLY_WHEN_IT_GOES_WRONG.contains(&metric), "{name}: nobody tells {metric}");
        }
    }
    let fires = |name: &str| alerts.iter().any(|alert| alert["name"] == name && alert["state"] == "firing");
    for name in firing {
        ensure!(fires(name), "{name} is silent: {alerts:#?}");
    }
    for name in ["CafeControllerDown", "CafeNoLeader", "CafeWebhookErrors", "CafePodUpdatesFail"] {
        ensure!(!fires(name), "{name} fires: {alerts:#?}");
    }
    Ok(())
}
