//! The chart in the hands of who installs it: helm and kubectl.

use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cafe_tests::node::RealNodes;
use cafe_tests::scenario::{merge, web};
use serde_json::json;

use crate::dist;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/cafe");
const NAMESPACE: &str = "cafe-system";
const RELEASE: &str = "cafe";
/// The tag of the next version, which is the same image.
const NEXT: &str = "next";
/// Far more than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(200);

/// A release of Helm in the namespace that the documentation names.
pub(super) struct Chart {
    nodes: &'static RealNodes,
}

impl Chart {
    pub(super) fn new(nodes: &'static RealNodes) -> Self {
        Self { nodes }
    }

    /// As docs/install.md says, of an image that the nodes have.
    pub(super) async fn install(&self) -> Result<()> {
        let image = dist::image();
        let registry = image.split('/').next().unwrap_or_default();
        let registry = format!("image.registry={registry}");
        self.helm(&[
            "install",
            RELEASE,
            CHART,
            "--create-namespace",
            "--set",
            &registry,
            "--set",
            "image.pullPolicy=Never",
            "--wait",
        ])
        .await
        .map(drop)
    }

    /// To another tag, with another value.
    pub(super) async fn upgrade(&self) -> Result<()> {
        let image = dist::image();
        let (name, _) = image.rsplit_once(':').context("an image without a tag")?;
        self.nodes.tag(&image, &format!("{name}:{NEXT}"))?;
        let tag = format!("image.tag={NEXT}");
        self.helm(&[
            "upgrade",
            RELEASE,
            CHART,
            "--reuse-values",
            "--set",
            &tag,
            "--set",
            "writesInFlight=48",
            "--wait",
        ])
        .await
        .map(drop)
    }

    /// To what was installed before the upgrade.
    pub(super) async fn roll_back(&self) -> Result<()> {
        self.helm(&["rollback", RELEASE, "--wait"]).await.map(drop)
    }

    pub(super) async fn test(&self) -> Result<()> {
        self.helm(&["test", RELEASE]).await.map(drop)
    }

    /// Definitions stay; whom the API server asks, and who could answer, goes.
    pub(super) async fn uninstall(&self) -> Result<()> {
        self.helm(&["uninstall", RELEASE, "--wait"]).await?;
        let definitions = self.kubectl(&["get", "crd", "-o", "name"]).await?;
        ensure!(
            definitions.lines().filter(|line| line.ends_with(".cafe.dev")).count() == 3,
            "there are: {definitions}"
        );
        let kinds = "deployments,pods,services,serviceaccounts,validatingwebhookconfigurations,mutatingwebhookconfigurations";
        let selector = format!("--selector=app.kubernetes.io/instance={RELEASE}");
        self.until("nothing of the release is left", || async {
            Ok(self.kubectl(&["get", kinds, &selector, "-o", "name"]).await?.is_empty())
        })
        .await
    }

    /// The pods of Cafe with their nodes, two of each program, all of which are ready.
    pub(super) async fn ready_pods(&self) -> Result<Vec<String>> {
        let columns = "jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName} {.status.containerStatuses[0].ready}{\"\\n\"}{end}";
        let told = self.kubectl(&["get", "pods", "-o", columns]).await?;
        let pods: Vec<String> = told.lines().map(ToOwned::to_owned).collect();
        for component in ["controller", "webhook"] {
            let ready = pods.iter().filter(|pod| pod.contains(component) && pod.ends_with(" true")).count();
            ensure!(ready == 2, "{ready} of two replicas of the {component} are ready: {pods:?}");
        }
        Ok(pods)
    }

    /// kube-proxy follows the endpoints a moment after they are there.
    pub(super) async fn wait_for_webhook(&self) -> Result<()> {
        let object = web(1).to_string();
        let answers = || async {
            match self.create(&object).await {
                Err(error) if error.to_string().contains("failed calling webhook") => Ok(false),
                answer => answer.map(|_| true),
            }
        };
        self.until("the API server reaches the webhook through its Service", answers).await
    }

    /// What the webhook says to a template that no pod can be made of; the definitions' own rules do not know it.
    pub(super) async fn refused(&self) -> Result<String> {
        let mut bad = web(1);
        let mounts = json!([{ "name": "app", "image": "web:1", "volumeMounts": [{ "name": "data", "mountPath": "/data" }] }]);
        merge(&mut bad, &json!({ "spec": { "template": { "spec": { "containers": mounts } } } }));
        let Err(error) = self.create(&bad.to_string()).await else { bail!("a bad CafeDeployment was taken") };
        let said = error.to_string();
        ensure!(said.contains("there is no volume data: add it to"), "{said}");
        Ok(said.split_once("is invalid: ").map_or(said.as_str(), |(_, why)| why).to_owned())
    }

    /// The replica that holds the lease.
    pub(super) async fn leader(&self) -> Result<String> {
        self.kubectl(&["get", "lease", "cafe-controller", "-o", "jsonpath={.spec.holderIdentity}"]).await
    }

    /// The replica that leads after an upgrade to `tag`, or back to it.
    async fn leader_of(&self, tag: &str) -> Result<String> {
        let selector = "--selector=app.kubernetes.io/component=controller";
        let columns = "jsonpath={range .items[*]}{.metadata.name} {.spec.containers[0].image}{\"\\n\"}{end}";
        let leads = || async {
            let (leader, pods) =
                (self.leader().await?, self.kubectl(&["get", "pods", selector, "-o", columns]).await?);
            let new: Vec<&str> = pods.lines().filter(|pod| pod.ends_with(&format!(":{tag}"))).collect();
            Ok(pods.lines().count() == 2
                && new.len() == 2
                && new.iter().any(|pod| pod.split(' ').next() == Some(&leader)))
        };
        self.until("a replica of this version leads, and the others are gone", leads).await?;
        self.leader().await
    }

    /// The replica that leads after [`Self::upgrade`].
    pub(super) async fn new_leader(&self) -> Result<String> {
        self.leader_of(NEXT).await
    }

    /// The replica that leads after [`Self::roll_back`].
    pub(super) async fn old_leader(&self) -> Result<String> {
        let image = dist::image();
        self.leader_of(image.rsplit_once(':').context("an image without a tag")?.1).await
    }

    /// Deletes the pod that holds the lease and returns its name.
    pub(super) async fn delete_leader(&self) -> Result<String> {
        let leader = self.leader().await?;
        self.kubectl(&["delete", "pod", &leader, "--wait=false"]).await?;
        Ok(leader)
    }

    async fn create(&self, object: &str) -> Result<String> {
        let file = self.nodes.bed().dir().join("probe.json");
        std::fs::write(&file, object)?;
        let file = file.display().to_string();
        self.kubectl(&["create", "--dry-run=server", "-f", &file]).await
    }

    async fn until<F: Future<Output = Result<bool>>>(&self, what: &str, holds: impl Fn() -> F) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while !holds().await? {
            if Instant::now() >= end {
                bail!("not within {} s: {what}", PATIENCE.as_secs());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    async fn helm(&self, args: &[&str]) -> Result<String> {
        let nodes = self.nodes;
        let args: Vec<String> = args.iter().map(ToString::to_string).chain(in_namespace()).collect();
        let said = run(args, move |args| nodes.bed().helm(args)).await;
        match said {
            Ok(said) => Ok(said),
            Err(error) => {
                let pods = self.kubectl(&["get", "pods", "-o", "wide"]).await.unwrap_or_default();
                let events =
                    self.kubectl(&["get", "events", "--sort-by=.lastTimestamp"]).await.unwrap_or_default();
                Err(error.context(format!("helm\n{pods}\n{events}")))
            }
        }
    }

    async fn kubectl(&self, args: &[&str]) -> Result<String> {
        let nodes = self.nodes;
        let args = args.iter().map(ToString::to_string).chain(in_namespace()).collect();
        run(args, move |args| nodes.bed().kubectl(args)).await
    }
}

fn in_namespace() -> [String; 2] {
    ["--namespace".to_owned(), NAMESPACE.to_owned()]
}

/// Runs a command line beside everything else that goes on.
async fn run(
    args: Vec<String>,
    program: impl FnOnce(&[&str]) -> Result<Output> + Send + 'static,
) -> Result<String> {
    tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = program(&args)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        ensure!(output.status.success(), "{}: {}", args.join(" "), text(&output.stderr));
        Ok(text(&output.stdout))
    })
    .await?
}
