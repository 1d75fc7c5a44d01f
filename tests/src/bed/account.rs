//! Accounts of their own for programs that are not to be tested as admin.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::control_plane::ControlPlane;
use super::kubeconfig::Credentials;
use super::state::State;
use super::{Bed, install};

impl Bed {
    /// Applies YAML documents as the admin, all of them into `namespace` if there is one.
    ///
    /// # Errors
    /// When the text is no YAML, or the API server refuses an object.
    pub async fn apply(&self, documents: &str, namespace: Option<&str>) -> Result<()> {
        let client = self.client().await?;
        for mut object in install::documents(documents)? {
            if let Some(namespace) = namespace {
                object.metadata.namespace = Some(namespace.to_owned());
            }
            install::apply(&client, &object).await?;
        }
        Ok(())
    }

    /// Writes a kubeconfig with the rights of a service account, and returns its path.
    ///
    /// # Errors
    /// When there is no such account, or the bed has never been up.
    pub async fn account(&self, namespace: &str, account: &str) -> Result<PathBuf> {
        let state = State::load(&self.dir)?.context("the bed has never been up")?;
        let plane = ControlPlane::prepare(&self.dir, state.ports, &self.components)?;
        let token = install::token(&self.client().await?, namespace, account).await?;
        let user = format!("{namespace}-{account}");
        plane.write_kubeconfig(&user, &Credentials::Token(&token))?;
        Ok(plane.kubeconfig(&user))
    }
}
