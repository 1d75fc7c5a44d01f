//! What Prometheus scrapes of the webhook.

use std::{fmt, sync::Arc, time::Duration};

use cafe_process::{usage, version};
use prometheus_client::{
    encoding::text::{encode_eof, encode_registry},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

/// Seconds: from a verdict in process to the API server's patience.
const SECONDS: [f64; 9] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Every metric of the webhook. Clones share the same figures.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    process: Arc<Registry>,
    requests: Family<Labels<2>, Counter>,
    duration: Family<Labels<1>, Histogram, fn() -> Histogram>,
    expiry: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let requests = Family::default();
        let duration = Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
        let expiry = Gauge::default();
        let mut registry = Registry::with_prefix("cafe");
        let labels =
            [("version", version::VERSION), ("revision", version::REVISION), ("component", "webhook")];
        let build = Info::new(labels);
        registry.register("build", "Version of this process", build);
        registry.register("webhook_requests", "Reviews answered, by webhook and result", requests.clone());
        registry.register("webhook_request_duration_seconds", "Time to answer a review", duration.clone());
        registry.register(
            "webhook_cert_expiry_timestamp_seconds",
            "When the certificate that is served expires, in seconds since 1970; 0 while there is none",
            expiry.clone(),
        );
        Self {
            registry: Arc::new(registry),
            process: Arc::new(usage::registry()),
            requests,
            duration,
            expiry,
        }
    }
}

impl Metrics {
    /// A review was answered. `result` is `allowed`, `denied`, or a word for why it could not be read.
    pub(crate) fn answered(&self, webhook: &'static str, result: &'static str, took: Duration) {
        self.requests.get_or_create(&[("webhook", webhook), ("result", result)]).inc();
        self.duration.get_or_create(&[("webhook", webhook)]).observe(took.as_secs_f64());
    }

    /// A certificate is served that expires then, in seconds since 1970.
    pub(crate) fn serves_until(&self, expires: i64) {
        self.expiry.set(expires);
    }

    /// The text of a scrape.
    ///
    /// # Errors
    /// A metric cannot be written.
    pub(crate) fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &self.process)?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}
