//! `cafe-controller self-test`: what `helm test` runs. It plays a release with a gate in the cluster as it is, and cleans up.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use cafe_crds::deployment::{CafeDeployment, CafeDeploymentStatus};
use cafe_process::{connect::Settings, stop::Stop};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::args::SelfTestArgs;

const STOPPED: &str = "told to stop before the end";
const POLL: Duration = Duration::from_millis(500);

/// Plays the release; the object is deleted however it ends.
///
/// # Errors
/// A step does not come about in time, or is refused: the message says which, and what the status says.
pub(crate) async fn run(args: &SelfTestArgs, mut stop: Stop) -> Result<()> {
    let settings = Settings::read(args.kubeconfig.as_deref(), crate::AGENT).await?;
    let client = settings.client()?;
    stop.or(settings.greet(&client)).await.context(STOPPED)??;
    let api: Api<CafeDeployment> = Api::namespaced(client, &args.namespace);
    let test = Test { api, args };
    let played = stop.or(test.clean_play()).await;
    test.remove().await?;
    played.context(STOPPED)?
}

struct Test<'a> {
    api: Api<CafeDeployment>,
    args: &'a SelfTestArgs,
}

impl Test<'_> {
    /// What one that was killed has left goes first.
    async fn clean_play(&self) -> Result<()> {
        self.remove().await?;
        self.play().await
    }

    async fn play(&self) -> Result<()> {
        let object = serde_json::from_value(manifest(self.args))?;
        self.api.create(&PostParams::default(), &object).await.context("cannot create the CafeDeployment")?;
        self.until("its pods serve", |s| is_at(s, 1) && is_ready(s)).await?;
        // Metadata alone moves without a restart, but group by group and through the gate like everything else.
        let note = json!({ "metadata": { "annotations": { "self-test": "second revision" } } });
        self.patch(&json!({ "spec": { "template": note } })).await?;
        self.until("its gate waits", |s| token(s).as_deref() == Some("2/1")).await?;
        self.patch(&json!({ "spec": { "release": { "confirm": "2/1" } } })).await?;
        self.until("the release has completed", |s| is_at(s, 2) && is_ready(s)).await
    }

    async fn patch(&self, patch: &Value) -> Result<()> {
        let params = PatchParams::default();
        self.api.patch(&self.args.name, &params, &Patch::Merge(patch)).await.context("cannot patch")?;
        Ok(())
    }

    /// Waits for the status.
    async fn until(&self, what: &str, holds: impl Fn(&CafeDeploymentStatus) -> bool) -> Result<()> {
        let mut said = String::new();
        let wait = async {
            loop {
                let status = self.api.get_status(&self.args.name).await?.status.unwrap_or_default();
                if holds(&status) {
                    return Ok::<_, kube::Error>(());
                }
                said = status.message.unwrap_or_else(|| "nothing: no controller has looked at it".into());
                tokio::time::sleep(POLL).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(self.args.patience), wait).await {
            Ok(Ok(())) => {
                println!("ok: {what}");
                Ok(())
            }
            Ok(Err(error)) => Err(error).with_context(|| format!("cannot see whether {what}")),
            Err(_) => bail!("not within {} s: {what}; its status says: {said}", self.args.patience),
        }
    }

    /// Deletes what this test, or one before it, has made, and waits until it is gone.
    async fn remove(&self) -> Result<()> {
        let gone = async {
            loop {
                match self.api.delete(&self.args.name, &DeleteParams::foreground()).await {
                    Ok(_) => tokio::time::sleep(POLL).await,
                    Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        };
        let within = Duration::from_secs(self.args.patience);
        tokio::time::timeout(within, gone)
            .await
            .with_context(|| format!("{} is not gone within {} s", self.args.name, self.args.patience))?
            .context("cannot delete the CafeDeployment")
    }
}

fn manifest(args: &SelfTestArgs) -> Value {
    json!({
        "apiVersion": "cafe.dev/v1alpha1", "kind": "CafeDeployment",
        "metadata": { "name": args.name },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app.kubernetes.io/name": args.name } },
            "strategy": { "batchSize": 1 },
            "traffic": { "graceSeconds": 0 },
            "template": {
                "metadata": { "labels": { "app.kubernetes.io/name": args.name } },
                "spec": {
                    "terminationGracePeriodSeconds": 5,
                    "automountServiceAccountToken": false,
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": { "type": "RuntimeDefault" },
                    },
                    "imagePullSecrets": args.pull_secret.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
                    "containers": [{
                        "name": "app", "image": args.image, "command": ["/cafe-controller", "stand-by"],
                        "resources": { "requests": { "cpu": "1m", "memory": "8Mi" } },
                        "securityContext": {
                            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
                        },
                    }],
                },
            },
        },
    })
}

fn is_at(status: &CafeDeploymentStatus, revision: i64) -> bool {
    status.release.as_ref().is_some_and(|release| release.revision == revision)
}

fn is_ready(status: &CafeDeploymentStatus) -> bool {
    status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == true.into())
}

fn token(status: &CafeDeploymentStatus) -> Option<String> {
    status.release.as_ref()?.confirm_token.clone()
}
