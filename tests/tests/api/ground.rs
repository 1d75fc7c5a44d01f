//! The ground a test stands on: one bed with the controller for all of them, a namespace for each.

use std::future::Future;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use cafe_tests::bed::{Bed, Options, controller};
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use tokio::sync::OnceCell;

/// Far longer than anything takes, so that only what never happens fails.
const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(50);

static BED: OnceCell<Bed> = OnceCell::const_new();

/// The bed of this test binary, with the controller. It goes with the process.
pub(crate) async fn bed() -> &'static Bed {
    BED.get_or_init(|| async {
        let binary = tokio::task::spawn_blocking(|| controller::build(false)).await.unwrap().unwrap();
        let bed = Bed::temporary().unwrap();
        bed.up(&Options { controller: Some(binary), ..Options::default() }).await.unwrap();
        bed
    })
    .await
}

/// A namespace of the shared bed, and ways to work in it.
pub(crate) struct Ground {
    pub(crate) bed: &'static Bed,
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) succeeded: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ground {
    pub(crate) async fn new(prefix: &str) -> Self {
        let bed = bed().await;
        let client = bed.client().await.unwrap();
        let namespace = bed.namespace(prefix).await.unwrap();
        Self { bed, client, namespace }
    }

    /// Runs kubectl in the namespace and gives what it printed; it must succeed.
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        let said = self.try_kubectl(args, &[], "");
        assert!(said.succeeded, "kubectl {args:?}: {said:?}");
        said.stdout
    }

    /// The API server publishes what it knows of a new kind some time after it serves it.
    pub(crate) async fn until_explained(&self) {
        let known = async {
            for kind in ["cafed", "ips", "cafer"] {
                while !self.try_kubectl(&["explain", kind], &[], "").succeeded {
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), known).await.unwrap();
    }

    /// Runs kubectl in the namespace with variables of the environment and an input.
    pub(crate) fn try_kubectl(&self, args: &[&str], environment: &[(&str, &str)], input: &str) -> Said {
        let mut child = Command::new(self.bed.components().path("kubectl"))
            .args(["--namespace", &self.namespace])
            .args(args)
            .env("KUBECONFIG", self.bed.kubeconfig())
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Dropped at once: the end of the input.
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        Said {
            succeeded: status.success(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }

    /// `kubectl apply` of one object, with strict validation as it is by default.
    pub(crate) fn apply(&self, object: &Value) {
        let said = self.try_apply(object, &[]);
        assert!(said.succeeded, "{said:?}");
    }

    pub(crate) fn try_apply(&self, object: &Value, more: &[&str]) -> Said {
        let args = [&["apply", "--filename=-"], more].concat();
        self.try_kubectl(&args, &[], &object.to_string())
    }

    /// The objects of a kind (`CafeDeployment`, `InPlaceSet`, `ControllerRevision`, `Pod`, ...).
    pub(crate) fn api(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(kind))
    }

    pub(crate) async fn get(&self, kind: &str, name: &str) -> Value {
        value(&self.api(kind).get(name).await.unwrap())
    }

    pub(crate) async fn list(&self, kind: &str) -> Vec<Value> {
        let found = self.api(kind).list(&ListParams::default()).await.unwrap();
        found.items.iter().map(value).collect()
    }

    /// Waits until an object looks right, and gives it.
    pub(crate) async fn until(
        &self,
        kind: &str,
        name: &str,
        what: &str,
        right: impl Fn(&Value) -> bool,
    ) -> Value {
        let api = self.api(kind);
        let look = || async { api.get_opt(name).await.unwrap().as_ref().map_or(Value::Null, value) };
        eventually(&format!("{kind} {name}: {what}"), look, right).await
    }

    /// Waits until the objects of a kind look right, and gives them.
    pub(crate) async fn until_all(
        &self,
        kind: &str,
        what: &str,
        right: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        eventually(&format!("all of {kind}: {what}"), || self.list(kind), |all: &Vec<Value>| right(all)).await
    }

    /// Waits until a CafeDeployment serves what its spec says with `replicas` pods.
    pub(crate) async fn until_healthy(&self, name: &str, replicas: i64) -> Value {
        self.until("CafeDeployment", name, "healthy", |d| {
            d["status"]["phase"] == "Healthy"
                && d["status"]["observedGeneration"] == d["metadata"]["generation"]
                && d["status"]["availableReplicas"] == replicas
                && d["status"]["replicas"] == replicas
        })
        .await
    }
}

/// The object as JSON, without the bookkeeping of who wrote what, which only fills screens.
fn value(object: &DynamicObject) -> Value {
    let mut object = object.clone();
    object.metadata.managed_fields = None;
    serde_json::to_value(object).unwrap()
}

fn resource(kind: &str) -> ApiResource {
    let (group, version) = match kind {
        "CafeDeployment" | "InPlaceSet" => ("cafe.dev", "v1alpha1"),
        "ControllerRevision" => ("apps", "v1"),
        "EndpointSlice" => ("discovery.k8s.io", "v1"),
        "Event" => ("events.k8s.io", "v1"),
        "CafeRelease" => ("cafe.dev", "v1alpha1"),
        _ => ("", "v1"),
    };
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// Looks again and again until what is seen is right.
pub(crate) async fn eventually<T: std::fmt::Debug, F: Future<Output = T>>(
    what: &str,
    look: impl Fn() -> F,
    right: impl Fn(&T) -> bool,
) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = look().await;
        if right(&seen) {
            return seen;
        }
        assert!(Instant::now() < end, "never came: {what}; seen last: {seen:?}");
        tokio::time::sleep(POLL).await;
    }
}
