//! A stand-in for metrics-server: `metrics.k8s.io` behind the API server's aggregator, with a load that tests set.
//!
//! The aggregator reaches it through a Service of type ExternalName, as nothing routes the addresses of Services here.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::Bed;
use super::tls::Tls;

/// The memory that one pod's worth of load takes, in bytes: what an autoscaler is to aim at per pod.
pub const BYTES_PER_POD: u64 = 100 << 20;

const NAMESPACE: &str = "kube-system";
const SERVICE: &str = "bed-metrics";
const GROUP: &str = "metrics.k8s.io";
const FIELD_MANAGER: &str = "cafe-bed";
const POLL: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves until the process ends, whichever test has started it.
#[derive(Clone, Debug)]
pub struct MetricsApi {
    load: Load,
}

/// Pods' worth of load by namespace.
type Load = Arc<Mutex<BTreeMap<String, u64>>>;

#[derive(Clone)]
struct Served {
    client: Client,
    load: Load,
}

impl MetricsApi {
    /// Serves the API and registers it; returns when the API server passes requests on.
    ///
    /// # Errors
    /// When it cannot be served, or the API server does not come to know it.
    pub async fn start(bed: &Bed) -> Result<Self> {
        let name = format!("{SERVICE}.{NAMESPACE}.svc");
        let key = rcgen::generate_simple_self_signed(vec![name])?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let (load, kubeconfig) = (Load::default(), bed.kubeconfig());
        let (served, certificate) = (Arc::clone(&load), key.cert.pem());
        // A runtime of its own: that of a test ends with the test.
        std::thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let client = super::client::client(&kubeconfig).await?;
                let listener = Tls::new(TcpListener::from_std(listener)?, &key)?;
                axum::serve(listener, router(Served { client, load: served })).await?;
                Ok(())
            })
        });
        register(&bed.client().await?, port, &certificate).await?;
        Ok(Self { load })
    }

    /// From now on the pods of a namespace share as much load as so many pods are to carry.
    pub fn set_load(&self, namespace: &str, pods: u64) {
        self.load.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace.to_owned(), pods);
    }
}

fn router(served: Served) -> Router {
    Router::new()
        .route("/apis/metrics.k8s.io/v1beta1", get(resources))
        .route("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods", get(pods))
        .with_state(served)
}

/// An answer in JSON.
type Answer = ([(http::HeaderName, &'static str); 1], String);

fn json_of(value: &Value) -> Answer {
    ([(CONTENT_TYPE, "application/json")], value.to_string())
}

async fn resources() -> Answer {
    json_of(&json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1",
        "resources": [
            { "name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": ["get", "list"] },
        ],
    }))
}

/// Every pod that runs and stays carries the same part of the load. The question for metrics is put as one for pods.
async fn pods(
    State(served): State<Served>,
    Path(namespace): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Answer, (http::StatusCode, String)> {
    let failed = |error: &dyn std::fmt::Display| (http::StatusCode::BAD_GATEWAY, error.to_string());
    let uri = format!("/api/v1/namespaces/{namespace}/pods?{}", query.unwrap_or_default());
    let request = http::Request::get(uri).body(Vec::new()).map_err(|error| failed(&error))?;
    let all: Value = served.client.request(request).await.map_err(|error| failed(&error))?;
    let runs = |pod: &&Value| {
        pod.pointer("/metadata/deletionTimestamp").is_none()
            && pod.pointer("/status/phase").and_then(Value::as_str) == Some("Running")
    };
    let all = all.get("items").and_then(Value::as_array);
    let running: Vec<&Value> = all.into_iter().flatten().filter(runs).collect();
    let load = served.load.lock().unwrap_or_else(PoisonError::into_inner).get(&namespace).copied();
    let share = load.unwrap_or_default() * BYTES_PER_POD / (running.len() as u64).max(1);
    #[allow(clippy::disallowed_methods)] // A server of metrics reads the clock.
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let metrics = |pod: &&Value| {
        json!({
            "metadata": { "name": pod.pointer("/metadata/name"), "namespace": namespace },
            "timestamp": now, "window": "1s",
            "containers": [{ "name": "app", "usage": { "cpu": "0", "memory": share.to_string() } }],
        })
    };
    Ok(json_of(&json!({
        "kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {},
        "items": running.iter().map(metrics).collect::<Vec<_>>(),
    })))
}

async fn register(client: &Client, port: u16, certificate: &str) -> Result<()> {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": SERVICE, "namespace": NAMESPACE },
        "spec": { "type": "ExternalName", "externalName": "localhost", "ports": [{ "port": port }] },
    });
    let bundle = k8s_openapi::ByteString(certificate.as_bytes().to_vec());
    let registration = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": { "name": format!("v1beta1.{GROUP}") },
        "spec": {
            "group": GROUP, "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": { "namespace": NAMESPACE, "name": SERVICE, "port": port }, "caBundle": bundle,
        },
    });
    let services = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Service"));
    let registrations =
        ApiResource::from_gvk(&GroupVersionKind::gvk("apiregistration.k8s.io", "v1", "APIService"));
    let services: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &services);
    let registrations: Api<DynamicObject> = Api::all_with(client.clone(), &registrations);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    services.patch(SERVICE, &params, &Patch::Apply(service)).await?;
    let name = format!("v1beta1.{GROUP}");
    registrations.patch(&name, &params, &Patch::Apply(registration)).await?;
    let available = async {
        loop {
            let now = registrations.get(&name).await?;
            let conditions = now.data.pointer("/status/conditions").and_then(Value::as_array);
            let is = |c: &Value| {
                c.get("type") == Some(&json!("Available")) && c.get("status") == Some(&json!("True"))
            };
            if conditions.into_iter().flatten().any(is) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    };
    match tokio::time::timeout(PATIENCE, available).await {
        Ok(done) => done,
        Err(_) => {
            let now = registrations.get(&name).await.context("it is not registered")?;
            bail!("the API server does not reach the metrics API: {:#}", now.data)
        }
    }
}
