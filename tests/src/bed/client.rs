//! Ways to talk to a bed.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::Bed;
use super::install::CONTROLLER_USER;

const POLL: Duration = Duration::from_millis(20);

impl Bed {
    /// A new client with the admin's rights. It belongs to the runtime it was made in, so every test makes its own.
    ///
    /// # Errors
    /// When the bed has never been up.
    pub async fn client(&self) -> Result<Client> {
        client(&self.kubeconfig()).await
    }

    /// A client that takes the first answer, also when the API server says to try again later.
    ///
    /// # Errors
    /// As [`Bed::client`].
    pub async fn impatient_client(&self) -> Result<Client> {
        let mut config = config(&self.kubeconfig()).await?;
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    }

    /// A new client with the rights of the controller's account, which retries nothing by itself.
    ///
    /// # Errors
    /// When the bed has never been up.
    pub async fn controller_client(&self) -> Result<Client> {
        let mut config = config(&self.dir().join(format!("{CONTROLLER_USER}.kubeconfig"))).await?;
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    }

    /// A new client of the simulated kubelet, which retries nothing by itself.
    ///
    /// # Errors
    /// When the bed has never been up.
    #[cfg(test)]
    pub(super) async fn kubelet_client(&self) -> Result<Client> {
        let mut config = config(&self.dir().join("kwok.kubeconfig")).await?;
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    }

    /// Runs `kubectl` as the admin and returns what it printed, whether it succeeded or not.
    ///
    /// # Errors
    /// When kubectl cannot be run.
    pub fn kubectl(&self, args: &[&str]) -> Result<Output> {
        self.run("kubectl", args)
    }

    /// Runs `helm` as the admin, as [`Bed::kubectl`] does.
    ///
    /// # Errors
    /// When helm cannot be run.
    pub fn helm(&self, args: &[&str]) -> Result<Output> {
        self.run("helm", args)
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<Output> {
        Command::new(self.components.path(program))
            .args(args)
            .env("KUBECONFIG", self.kubeconfig())
            .output()
            .with_context(|| format!("cannot run {program}"))
    }

    /// Creates a namespace whose name starts with `prefix` and waits until pods can be created in it.
    ///
    /// # Errors
    /// When the API server refuses it, or the controller-manager gives it no service account in time.
    pub async fn namespace(&self, prefix: &str) -> Result<String> {
        let client = self.client().await?;
        let namespace = Namespace {
            metadata: ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        let created = Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        let name = created.metadata.name.context("the API server gave the namespace no name")?;
        wait_until_pods_can_be_created(client, &name, Duration::from_secs(30)).await?;
        Ok(name)
    }
}

/// Admission refuses pods until the controller-manager has made the namespace's default service account.
pub(super) async fn wait_until_pods_can_be_created(
    client: Client,
    namespace: &str,
    timeout: Duration,
) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client, namespace);
    let end = Instant::now() + timeout;
    while accounts.get_opt("default").await?.is_none() {
        if Instant::now() >= end {
            bail!("the controller-manager made no service account in namespace {namespace}: look at its log");
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// A client for the user of a kubeconfig.
pub(super) async fn client(kubeconfig: &Path) -> Result<Client> {
    Ok(Client::try_from(config(kubeconfig).await?)?)
}

async fn config(kubeconfig: &Path) -> Result<Config> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)
        .with_context(|| format!("cannot read {}: is the bed up?", kubeconfig.display()))?;
    Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}
