//! What a start of the controller costs, from the process to the last of the first lists.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kube::{Client, Config};
use serde::Serialize;

use super::controller::{COMPONENT, command};
use super::install::CONTROLLER_USER;
use super::{Bed, usage};

const POLL: Duration = Duration::from_millis(10);
/// How long a controller that is asked to end may take to give its lease back.
const FAREWELL: Duration = Duration::from_secs(20);

/// One start.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ColdStart {
    /// Seconds from the start of the process until every watched kind was listed completely.
    pub seconds: f64,
    /// CPU seconds of the process until then, in steps of 10 ms.
    pub cpu_seconds: f64,
    /// Memory that it then had in use, in MiB.
    pub rss_mib: f64,
}

impl Bed {
    /// Ends the controller, if it runs, by asking it, so that the next one need not wait for the lease.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end_controller(&self) -> Result<()> {
        self.processes.stop(COMPONENT, FAREWELL)
    }

    /// Starts the controller, of which none may run, and waits until it says that it is ready. It asks the server of `kubeconfig`, a file in
    /// the bed's folder, or the bed's own API server.
    ///
    /// # Errors
    /// When one runs already, it ends, or it is not ready within `patience`.
    pub async fn cold_start(
        &self,
        binary: &Path,
        kubeconfig: Option<&Path>,
        patience: Duration,
    ) -> Result<ColdStart> {
        let address = self.controller_address()?;
        let own = self.kubeconfig_of(CONTROLLER_USER);
        let mut command = command(&self.dir, binary, kubeconfig.unwrap_or(&own), address);
        let began = Instant::now();
        anyhow::ensure!(self.processes.start(COMPONENT, &mut command)?, "a controller runs already");
        let pid = self.controller_pid().context("the controller has ended at once")?;
        let mut config = Config::new(format!("http://{address}").parse()?);
        // "Not yet" is an answer.
        config.default_retry = false;
        let admin = Client::try_from(config)?;
        while admin.request_text(http::Request::get("/readyz").body(Vec::new())?).await.is_err() {
            self.check(COMPONENT)?;
            if began.elapsed() > patience {
                return Err(self.processes.failure(COMPONENT, "does not become ready"));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(ColdStart {
            seconds: began.elapsed().as_secs_f64(),
            cpu_seconds: usage::cpu_seconds(pid)?,
            rss_mib: usage::rss_mib(pid)?,
        })
    }
}
