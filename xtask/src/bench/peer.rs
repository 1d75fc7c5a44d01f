//! OpenKruise's manager, as a program that the user has: it is no part of this repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cafe_tests::bed::Bed;
use sha2::{Digest, Sha256};

pub(crate) const PROCESS: &str = "kruise-manager";
pub(crate) const USER_AGENT: &str = "kruise-manager";
/// What it insists on finding. Without entries nothing passes through its webhooks, which is in its favour.
const WEBHOOKS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: kruise-system}
---
apiVersion: v1
kind: Namespace
metadata: {name: kruise-daemon-config}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: kruise-mutating-webhook-configuration}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: kruise-validating-webhook-configuration}
";
const PATIENCE: Duration = Duration::from_secs(120);

/// The program and its definitions.
#[derive(Clone, Debug)]
pub(crate) struct CloneSet {
    binary: PathBuf,
    crds: PathBuf,
    /// SHA-256 of the program, in hexadecimal: which one was measured.
    pub(crate) hash: String,
}

impl CloneSet {
    pub(crate) fn new(binary: &Path, crds: &Path) -> Result<Self> {
        let binary = std::path::absolute(binary)?;
        let crds = std::path::absolute(crds)?;
        let program = fs::read(&binary).with_context(|| format!("cannot read {}", binary.display()))?;
        ensure!(crds.is_dir(), "{} is not a folder with definitions", crds.display());
        let hash = Sha256::digest(&program).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { binary, crds, hash })
    }

    /// Installs the definitions and starts the program with the admin's rights, its limits lifted or not.
    pub(crate) async fn start(&self, bed: &Bed, lifted: bool) -> Result<()> {
        let webhooks = bed.dir().join("peer.yaml");
        fs::write(&webhooks, WEBHOOKS)?;
        for path in [&self.crds, &webhooks] {
            let path = path.to_str().context("a path that is no text")?;
            let done = bed.kubectl(&["apply", "--server-side", "-f", path])?;
            ensure!(
                done.status.success(),
                "cannot install the peer: {}",
                String::from_utf8_lossy(&done.stderr)
            );
        }
        let kubeconfig = bed.kubeconfig();
        let mut command = Command::new(&self.binary);
        command
            .current_dir(bed.dir())
            .args(["--enable-leader-election=false", "--enable-pprof=false"])
            .args(["--metrics-addr=0", "--health-probe-addr=0", "--namespace="])
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .env("POD_NAMESPACE", "kruise-system")
            .env("WEBHOOK_HOST", "localhost")
            .env("WEBHOOK_CERT_DIR", bed.dir().join("peer-certificates"));
        if lifted {
            command.args(["--rest-config-qps=1000", "--rest-config-burst=2000"]);
        }
        bed.start(PROCESS, &mut command)?;
        self.wait_until_it_leads(bed).await
    }

    /// Its own log says when its controllers run.
    async fn wait_until_it_leads(&self, bed: &Bed) -> Result<()> {
        let log = bed.log(PROCESS);
        let wait = async {
            loop {
                bed.check(PROCESS)?;
                let text = fs::read_to_string(&log).unwrap_or_default();
                let runs =
                    |line: &str| line.contains("Starting workers") && line.contains("cloneset-controller");
                if text.lines().any(runs) {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(done) => done,
            Err(_) => bail!("{} does not start: {}", self.binary.display(), fs::read_to_string(&log)?),
        }
    }
}
