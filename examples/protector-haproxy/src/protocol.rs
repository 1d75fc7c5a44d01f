//! What to do with one pod. Runs for a pod whenever it changes, never twice at once for the same pod.
//!
//! ```text
//! wanted      lock -> register -> healthy -> condition True
//! not wanted  deregister -> no session left -> condition False with the gate's reason
//! deleted     deregister -> no session left -> unlock
//! ```
//!
//! Each arrow is one attempt that may fail or be killed; the next run starts again from what the pod and HAProxy's table
//! show. A pod is locked before it is registered and deregistered before it is unlocked, so that an end at any
//! moment leaves a lock too many, never a pod that is routed to and not locked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use crate::haproxy::{HaProxy, HaProxyError};
use crate::pod::{self, Pods, WriteError};

/// How often HAProxy is asked while it still has sessions to end or checks to make. It tells nobody by itself.
const POLL: Duration = Duration::from_millis(50);
const RETRY: Duration = Duration::from_millis(500);

/// Reason of our condition from the lock on until the pod is registered. No drain is called so.
const REGISTERING: &str = "Registering";
/// Reason of our condition while the pod is registered.
const REGISTERED: &str = "Registered";

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// HAProxy cannot be reached or refuses a command.
    #[error(transparent)]
    HaProxy(#[from] HaProxyError),
    /// The pod cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Everything there is.
pub(crate) struct Protector {
    pub(crate) haproxy: HaProxy,
    pub(crate) pods: Pods,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) port: u16,
}

/// One run for one pod.
pub(crate) async fn reconcile(pod: Arc<Pod>, protector: Arc<Protector>) -> Result<Action, Error> {
    let done = match protector.wanted_at(&pod) {
        Some(address) => protector.admit(&pod, address).await,
        None => protector.expel(&pod).await,
    };
    match done {
        // Whoever changed it, the watch brings the new version, and that is another run.
        Err(Error::Write(WriteError::Outdated)) => Ok(Action::await_change()),
        done => done,
    }
}

/// HAProxy or the API server cannot be reached: the lock stays, try again.
pub(crate) fn after_error(pod: &Pod, error: &Error) -> Action {
    tracing::warn!(pod = pod.name_any(), %error, "cannot go on with the pod");
    Action::requeue(RETRY)
}

/// The name of a pod's server in HAProxy: never used again for another pod.
pub(crate) fn server_name(pod: &Pod) -> String {
    format!("{}_{}", pod.name_any(), pod.metadata.uid.as_deref().unwrap_or_default())
}

impl Protector {
    fn is_ours(&self, pod: &Pod) -> bool {
        pod::has_labels(pod, &self.labels)
    }

    /// Where the pod wants to be reached, if it does.
    fn wanted_at(&self, pod: &Pod) -> Option<SocketAddr> {
        let address = pod::address(pod).filter(|_| self.is_ours(pod) && pod::may_serve(pod))?;
        Some(SocketAddr::new(address, self.port))
    }

    async fn admit(&self, pod: &Pod, address: SocketAddr) -> Result<Action, Error> {
        let locked;
        let pod = if self.pods.is_locked(pod) {
            pod
        } else {
            locked = self.pods.lock(pod, REGISTERING).await?;
            tracing::info!(pod = pod.name_any(), "locked");
            &locked
        };
        // What the lock was put on, not what was seen before.
        if self.wanted_at(pod) != Some(address) {
            return self.expel(pod).await;
        }
        if !self.haproxy.register(&server_name(pod), address).await? {
            return Ok(Action::requeue(POLL));
        }
        if !self.pods.says(pod, "True", REGISTERED) {
            self.pods.say(pod, "True", REGISTERED, "HAProxy routes to the pod").await?;
            tracing::info!(pod = pod.name_any(), %address, "registered");
        }
        Ok(Action::await_change())
    }

    async fn expel(&self, pod: &Pod) -> Result<Action, Error> {
        // Also for a pod without our lock: somebody may have taken it off by hand.
        let server = server_name(pod);
        if !self.haproxy.deregister(&server).await? {
            if pod::is_past_grace(pod) {
                // Its containers are gone: no session can end in a better way.
                self.haproxy.cut(&server).await?;
            }
            return Ok(Action::requeue(POLL));
        }
        if !self.pods.is_locked(pod) {
            return Ok(Action::await_change());
        }
        let reason = pod::gate_reason(pod);
        if pod::is_deleting(pod) || !self.is_ours(pod) {
            self.pods.unlock(pod).await?;
            tracing::info!(pod = pod.name_any(), "unlocked");
        } else if !self.pods.says(pod, "False", reason) {
            self.pods.say(pod, "False", reason, "HAProxy has no session with the pod").await?;
            tracing::info!(pod = pod.name_any(), reason, "drained");
        }
        Ok(Action::await_change())
    }
}
