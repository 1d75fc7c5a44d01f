//! A bed with the webhook before it. It runs on this machine; the API server finds it through a Service of type ExternalName.

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use cafe_tests::bed::{Bed, Options, controller};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};
use tokio_rustls::TlsConnector;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/cafe");
const PATIENCE: Duration = Duration::from_secs(60);
/// Templates of the chart that make the webhook, but for the pods that run it.
const TEMPLATES: [&str; 4] = ["webhook/account", "webhook/rights", "webhook/configuration", "access"];

/// Held by one test at a time.
pub(crate) struct Ground {
    place: &'static Place,
    _turn: MutexGuard<'static, ()>,
}

struct Place {
    bed: Arc<Bed>,
    port: u16,
    binary: std::path::PathBuf,
    turn: Mutex<()>,
    spaces: std::sync::atomic::AtomicU32,
}

static PLACE: OnceCell<Place> = OnceCell::const_new();
static PLACE_APART: OnceCell<Place> = OnceCell::const_new();

/// A namespace of a test.
pub(crate) struct Space {
    bed: Arc<Bed>,
    name: String,
}

/// A CafeDeployment of four pods that nobody will run: there is no controller.
pub(crate) fn manifest(name: &str) -> Value {
    json!({
        "apiVersion": "cafe.dev/v1alpha1", "kind": "CafeDeployment", "metadata": { "name": name },
        "spec": {
            "replicas": 4,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "app", "image": "web:1", "ports": [{ "containerPort": 80 }] }] },
            },
        },
    })
}

impl Ground {
    /// Waits for its turn, with the webhook up.
    pub(crate) async fn take() -> Result<Self> {
        Self::of(&PLACE).await
    }

    /// A cluster of its own, for a test that takes long: the others go on meanwhile.
    pub(crate) async fn apart() -> Result<Self> {
        Self::of(&PLACE_APART).await
    }

    async fn of(place: &'static OnceCell<Place>) -> Result<Self> {
        let place = place.get_or_try_init(Place::make).await?;
        let ground = Self { place, _turn: place.turn.lock().await };
        ground.start().await?;
        Ok(ground)
    }

    /// Starts the webhook unless it runs, and waits until the API server gets its answers.
    pub(crate) async fn start(&self) -> Result<()> {
        self.place.start("webhook", self.place.port)?;
        self.until("the webhook answers", || Ok(self.answers())).await
    }

    /// Whether a creation is judged now.
    pub(crate) fn answers(&self) -> bool {
        create(&self.place.bed, "default", &manifest("probe"), true).is_ok()
    }

    /// Puts two replicas in the place of the one, behind one address, and waits until both serve.
    pub(crate) async fn start_two(&self) -> Result<Pair> {
        self.stop()?;
        let free = || anyhow::Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        let ports = [free()?, free()?];
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", self.place.port)).await?;
        let pair = Pair { bed: self.place.bed.clone(), relay: tokio::spawn(relay(listener, ports)), ports };
        for (name, port) in Pair::NAMES.into_iter().zip(ports) {
            self.place.start(name, port)?;
        }
        for name in Pair::NAMES {
            let log = self.place.bed.log(name);
            let serves = || Ok(std::fs::read_to_string(&log)?.contains("serves a new certificate"));
            self.until("both replicas serve", serves).await?;
        }
        self.until("the replicas answer", || Ok(self.answers())).await?;
        Ok(pair)
    }

    /// Stops it.
    pub(crate) fn stop(&self) -> Result<()> {
        self.place.bed.stop("webhook", Duration::from_secs(10))
    }

    /// A namespace of its own, in which alice and eve may edit.
    pub(crate) async fn namespace(&self, prefix: &str) -> Result<Space> {
        let number = self.place.spaces.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("{prefix}-{number}");
        self.kubectl(&["create", "namespace", &name])?;
        self.kubectl(&[
            "create",
            "rolebinding",
            "people",
            "-n",
            &name,
            "--clusterrole=edit",
            "--user=alice",
            "--user=eve",
        ])?;
        let space = Space { bed: self.place.bed.clone(), name };
        self.until("the edit role covers CafeDeployments", || {
            Ok(space.kubectl_as("alice", &["auth", "can-i", "patch", "cafedeployments"]).is_ok())
        })
        .await?;
        Ok(space)
    }

    /// The authorities that the API server trusts, as PEM.
    pub(crate) fn certificate(&self) -> Result<String> {
        let path = "go-template={{(index .webhooks 0).clientConfig.caBundle | base64decode}}";
        self.kubectl(&["get", "validatingwebhookconfiguration", "cafe-webhook", "-o", path])
    }

    pub(crate) fn kubectl(&self, args: &[&str]) -> Result<String> {
        kubectl(&self.place.bed, args, None)
    }

    pub(crate) async fn until(&self, what: &str, holds: impl Fn() -> Result<bool>) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while !holds()? {
            if Instant::now() >= end {
                let log = std::fs::read_to_string(self.place.bed.log("webhook")).unwrap_or_default();
                bail!("not within {PATIENCE:?}: {what}; the webhook's log:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

/// Two replicas. They end when the value is dropped.
pub(crate) struct Pair {
    bed: Arc<Bed>,
    relay: tokio::task::JoinHandle<()>,
    ports: [u16; 2],
}

impl Pair {
    const NAMES: [&str; 2] = ["webhook-one", "webhook-two"];

    /// Whether both show a certificate that this authority, and no other, has signed for their Service.
    pub(crate) async fn are_vouched_for_by(&self, authority: &str) -> Result<bool> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        for port in self.ports {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
            let name = ServerName::try_from("cafe-webhook.cafe-system.svc")?;
            if connector.connect(name, stream).await.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Kills one in the middle of whatever it does.
    pub(crate) fn kill(&self, number: usize) -> Result<()> {
        self.bed.stop(Self::NAMES[number], Duration::ZERO)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.relay.abort();
        for name in Self::NAMES {
            let _ = self.bed.stop(name, Duration::ZERO);
        }
    }
}

/// Stands in for a Service, which a bed without nodes has not: connections go in turn to the replicas that take them.
async fn relay(listener: tokio::net::TcpListener, ports: [u16; 2]) {
    let mut turn = 0;
    while let Ok((mut client, _)) = listener.accept().await {
        turn += 1;
        tokio::spawn(async move {
            for port in [ports[turn % 2], ports[(turn + 1) % 2]] {
                if let Ok(mut server) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    return;
                }
            }
        });
    }
}

impl Place {
    /// Starts a process of the webhook unless it runs.
    fn start(&self, name: &str, port: u16) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command
            .current_dir(self.bed.dir())
            .env_remove("KUBECONFIG")
            .args([
                "serve",
                "--admin-address",
                "127.0.0.1:0",
                "--address",
                &format!("127.0.0.1:{port}"),
                "--kubeconfig",
            ])
            .arg(self.bed.dir().join("webhook.kubeconfig"));
        self.bed.start(name, &mut command).map(drop)
    }

    async fn make() -> Result<Self> {
        let bed = Bed::temporary()?;
        bed.up(&Options { nodes: 0, ..Options::default() }).await?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let objects = render(&bed, port)?;
        kubectl(&bed, &["apply", "-f", "-"], Some(&objects))?;
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "cafe-webhook", "namespace": "cafe-system" },
            "spec": { "type": "ExternalName", "externalName": "localhost", "ports": [{ "port": port }] },
        });
        kubectl(&bed, &["apply", "-f", "-"], Some(&service.to_string()))?;
        account(&bed)?;
        let mut cargo = controller::cargo();
        cargo.arg("build");
        let binary = controller::build_program(cargo, "cafe-webhook")?;
        let bed = Arc::new(bed);
        Ok(Self { bed, port, binary, turn: Mutex::default(), spaces: Default::default() })
    }
}

/// The chart's manifests.
fn render(bed: &Bed, port: u16) -> Result<String> {
    let mut helm = Command::new(bed.components().path("helm"));
    helm.args(["template", "cafe", CHART, "--namespace", "cafe-system"])
        .arg(format!("--set=webhook.service.port={port}"));
    for template in TEMPLATES {
        helm.arg(format!("--show-only=templates/{template}.yaml"));
    }
    let output = helm.output().context("cannot run helm")?;
    if !output.status.success() {
        bail!("helm template: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A kubeconfig of the webhook's own account, with the rights of the chart and no others.
fn account(bed: &Bed) -> Result<()> {
    let token =
        kubectl(bed, &["create", "token", "cafe-webhook", "-n", "cafe-system", "--duration=24h"], None)?;
    let admin = kubectl(bed, &["config", "view", "--raw", "-o", "json"], None)?;
    let mut config: Value = serde_json::from_str(&admin)?;
    for user in config["users"].as_array_mut().context("the admin's kubeconfig has no users")? {
        user["user"] = json!({ "token": token.trim() });
    }
    std::fs::write(bed.dir().join("webhook.kubeconfig"), config.to_string())?;
    Ok(())
}

impl Space {
    /// Creates an object as the cluster's admin.
    pub(crate) fn create(&self, object: &Value) -> Result<String> {
        create(&self.bed, &self.name, object, false)
    }

    pub(crate) fn get(&self, name: &str) -> Result<Value> {
        Ok(serde_json::from_str(&kubectl(
            &self.bed,
            &["get", "cafed", name, "-n", &self.name, "-o", "json"],
            None,
        )?)?)
    }

    /// Writes the status that a controller would.
    pub(crate) fn waits_at_gate(&self, name: &str, token: &str) -> Result<()> {
        let (revision, gate) = token.split_once('/').context("a token")?;
        let (revision, gate): (i64, i64) = (revision.parse()?, gate.parse()?);
        let release = json!({
            "revision": revision, "fromRevision": revision - 1, "state": "WaitingForConfirmation", "group": gate,
            "groupTotal": gate + 1, "groups": [], "confirmToken": token, "confirmedThrough": gate - 1,
        });
        let patch = json!({ "status": { "release": release } }).to_string();
        let args =
            ["patch", "cafed", name, "-n", &self.name, "--subresource=status", "--type=merge", "-p", &patch];
        kubectl(&self.bed, &args, None).map(drop)
    }

    /// What kubectl says, warnings included; the error is what it says as well.
    pub(crate) fn patch_as(&self, user: &str, name: &str, patch: &Value) -> Result<String, String> {
        self.kubectl_as(user, &["patch", "cafed", name, "--type=merge", "-p", &patch.to_string()])
    }

    pub(crate) fn json_patch_as(&self, user: &str, name: &str, patch: &Value) -> Result<String, String> {
        self.kubectl_as(user, &["patch", "cafed", name, "--type=json", "-p", &patch.to_string()])
    }

    pub(crate) fn kubectl_as(&self, user: &str, args: &[&str]) -> Result<String, String> {
        let more = ["-n", &self.name, "--as", user];
        let args: Vec<&str> = args.iter().copied().chain(more).collect();
        kubectl(&self.bed, &args, None).map_err(|error| format!("{error:#}"))
    }
}

fn create(bed: &Bed, namespace: &str, object: &Value, dry: bool) -> Result<String> {
    let dry = if dry { "--dry-run=server" } else { "--dry-run=none" };
    kubectl(bed, &["create", "-n", namespace, dry, "-f", "-"], Some(&object.to_string()))
}

/// Standard output and error of kubectl, in one text.
fn kubectl(bed: &Bed, args: &[&str], input: Option<&str>) -> Result<String> {
    use std::io::Write as _;
    let mut child = Command::new(bed.components().path("kubectl"))
        .arg("--kubeconfig")
        .arg(bed.kubeconfig())
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run kubectl")?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let said =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    if output.status.success() { Ok(said) } else { bail!("kubectl {}: {said}", args.join(" ")) }
}
