//! Deletions of the simulated kubelet that come late. A kubelet deletes a pod by its uid, KWOK by its name: one that has been on its
//! way for a while may find the pod that was made anew under that name. An admission policy refuses it.

use anyhow::Result;
use kube::Client;

use super::install::{apply, documents};

const POLICY: &str = include_str!("late_deletions.yaml");

/// Has the API server refuse deletions by the simulated kubelet of pods that are not being deleted.
pub(super) async fn refuse(client: &Client) -> Result<()> {
    for object in documents(POLICY)? {
        apply(client, &object).await?;
    }
    Ok(())
}
