//! `cargo xtask bench webhook`: how long a review takes, as an API server sees it and in the process.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cafe_tests::bed::Bed;
use cafe_tests::reviews::{self, PATHS, Webhook};
use serde_json::{Value, json};

/// The goal: so many seconds in process, for 99 of 100.
const GOAL: &str = "0.005";
/// Reviews that are not counted: the first ones open the connection and fill caches.
const WARM_UP: usize = 200;

/// Have the optimised webhook judge updates of one CafeDeployment, one after the other over one TLS connection, and tell how long that takes.
/// Needs no cluster.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Reviews that are timed, half of them to be stamped and half to be validated.
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(100..))]
    reviews: u32,
    /// Variables in the environment of the container, of 64 bytes each: the size of the object.
    #[arg(long, default_value_t = 100)]
    variables: usize,
}

/// Times it. Fails only when a review is not answered: seconds belong to the machine.
pub(crate) fn run(args: &Args) -> Result<()> {
    let review = serde_json::to_vec(&update(args.variables))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let bed = Bed::temporary()?;
        let webhook = reviews::start(&bed, true).await?;
        let load = load();
        let timed = time(&webhook, &review, args.reviews as usize).await;
        let metrics = scrape(&webhook).await;
        bed.stop("webhook", Duration::from_secs(20))?;
        tell(&review, &timed?, &metrics?, &load);
        Ok(())
    })
}

/// An image that changes, which is what most reviews are about.
fn update(variables: usize) -> Value {
    let variable = |n: usize| json!({ "name": format!("VARIABLE_{n}"), "value": "x".repeat(64) });
    let env: Vec<Value> = (0..variables).map(variable).collect();
    let object = |image: &str| {
        json!({
            "apiVersion": "cafe.dev/v1alpha1", "kind": "CafeDeployment", "metadata": { "name": "web" },
            "spec": { "replicas": 100, "selector": { "matchLabels": { "app": "web" } }, "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "app", "image": image, "env": env }] },
            } },
        })
    };
    reviews::review(&object("web:2"), &object("web:1"))
}

/// How long each took, from the shortest.
async fn time(webhook: &Webhook, review: &[u8], count: usize) -> Result<Vec<Duration>> {
    let mut took = Vec::with_capacity(count);
    for (number, path) in PATHS.iter().cycle().take(WARM_UP + count).enumerate() {
        let began = Instant::now();
        webhook.send(path, review.to_vec()).await?;
        if number >= WARM_UP {
            took.push(began.elapsed());
        }
    }
    took.sort_unstable();
    Ok(took)
}

async fn scrape(webhook: &Webhook) -> Result<String> {
    let address = format!("http://{}", webhook.admin);
    let client = kube::Client::try_from(kube::Config::new(address.parse()?))?;
    let request = http::Request::get("/metrics").body(Vec::new())?;
    client.request_text(request).await.context("no metrics")
}

/// How many reviews the process itself has answered within `bound` seconds ("+Inf" for all of them).
fn within(metrics: &str, bound: &str) -> f64 {
    let bound = format!("le=\"{bound}\"");
    let series = "cafe_webhook_request_duration_seconds_bucket";
    let lines = metrics.lines().filter(|line| line.starts_with(series) && line.contains(&bound));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn tell(review: &[u8], took: &[Duration], metrics: &str, load: &str) {
    let at = |share: usize| took.get(took.len() * share / 1000).map_or(0.0, |took| took.as_secs_f64() * 1e3);
    let last = took.last().map_or(0.0, |took| took.as_secs_f64() * 1e3);
    let share = 100.0 * within(metrics, GOAL) / within(metrics, "+Inf").max(1.0);
    println!("{} reviews of {} bytes, one after the other", took.len(), review.len());
    println!("  over TLS     median {:.2} ms, p99 {:.2} ms, longest {last:.2} ms", at(500), at(990));
    println!("  in process   {share:.2} % within 5 ms; the goal is 99 %");
    println!("  load of the machine (1, 5, 15 minutes) before {load}, after {}", self::load());
}

/// What runs beside it decides what a time is worth.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reviews_within_a_bound_are_summed_over_both_paths() {
        let metrics = "cafe_webhook_request_duration_seconds_bucket{le=\"0.005\",webhook=\"stamp\"} 7\n\
                       cafe_webhook_request_duration_seconds_bucket{le=\"0.005\",webhook=\"validate\"} 5\n\
                       cafe_webhook_request_duration_seconds_bucket{le=\"+Inf\",webhook=\"stamp\"} 9\n";
        assert_eq!((within(metrics, GOAL), within(metrics, "+Inf")), (12.0, 9.0));
    }
}
