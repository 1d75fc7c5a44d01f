//! What no watch of the API tells: HAProxy was restarted and its table is empty, or has a server whose pod is gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::Sender;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::Store;
use tokio::sync::watch::Receiver;

use crate::haproxy::HaProxyError;
use crate::protocol::{Protector, server_name};

const INTERVAL: Duration = Duration::from_secs(1);

/// Looks after HAProxy for ever, and wakes all pods when it was restarted.
pub(crate) async fn watch(
    protector: Arc<Protector>,
    pods: Store<Pod>,
    mut is_listed: Receiver<bool>,
    mut wake: Sender<()>,
) {
    // Before the first list is complete every server would look like one without a pod. (The store's own signal wakes one
    // waiter only, and that is the controller.)
    if is_listed.wait_for(|listed| *listed).await.is_err() {
        return;
    }
    let mut seen = None;
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        interval.tick().await;
        match look(&protector, &pods).await {
            Ok(process) if seen.as_ref() == Some(&process) => {}
            Ok(process) => {
                seen = Some(process);
                tracing::info!("HAProxy has started");
                // Full means that it is on its way already.
                wake.try_send(()).ok();
            }
            Err(error) => tracing::warn!(%error, "cannot look after HAProxy"),
        }
    }
}

async fn look(protector: &Protector, pods: &Store<Pod>) -> Result<String, HaProxyError> {
    let process = protector.haproxy.process().await?;
    // The table first: whatever is in it had its pod in the store before.
    let table = protector.haproxy.table().await?;
    let known: BTreeSet<String> = pods.state().iter().map(|pod| server_name(pod)).collect();
    for server in table.iter().filter(|server| !known.contains(&server.name)) {
        if !protector.haproxy.deregister(&server.name).await? {
            // Nothing answers at that address any more, or somebody else does.
            protector.haproxy.cut(&server.name).await?;
        }
        tracing::info!(server = server.name, address = %server.address, "taken out: its pod is gone");
    }
    Ok(process)
}
