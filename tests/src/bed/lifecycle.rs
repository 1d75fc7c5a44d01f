//! Up and down.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kube::Client;

use super::control_plane::{APISERVER, COMPONENTS, CONTROLLER_MANAGER, ControlPlane, ETCD, KWOK, SCHEDULER};
use super::options::Options;
use super::state::State;
use super::{Bed, client, controller, install, late_deletions, nodes};

const POLL: Duration = Duration::from_millis(50);

impl Bed {
    /// Brings the bed to what `options` say. What runs is left alone, what died is started again, so it may be called
    /// at any time. Missing Kubernetes components are built first.
    ///
    /// # Errors
    /// When a component cannot be built, does not start or does not answer in time (with the end of its log).
    pub async fn up(&self, options: &Options) -> Result<()> {
        self.components.ensure()?;
        fs::create_dir_all(&self.dir).with_context(|| format!("cannot create {}", self.dir.display()))?;
        let _lock = self.lock()?;
        let (mut state, reservation) = State::load_or_create(&self.dir)?;
        let plane = ControlPlane::prepare(&self.dir, state.ports, &self.components)?;
        drop(reservation);
        self.processes.start(ETCD, &mut plane.etcd(options))?;
        self.processes.start(APISERVER, &mut plane.apiserver(options))?;
        let client = self.client().await?;
        self.wait_for_apiserver(&client, options.timeout).await?;
        self.processes.start(CONTROLLER_MANAGER, &mut plane.controller_manager(options))?;
        self.processes.start(SCHEDULER, &mut plane.scheduler())?;
        nodes::ensure(&client, options).await?;
        if options.nodes > 0 {
            late_deletions::refuse(&client).await?;
            self.processes.start(KWOK, &mut plane.kwok(options))?;
        }
        if !options.bare {
            install::ensure(&client, &plane).await?;
        }
        client::wait_until_pods_can_be_created(client, "default", options.timeout).await?;
        for component in COMPONENTS.into_iter().filter(|component| *component != KWOK || options.nodes > 0) {
            self.processes.check_alive(component)?;
        }
        if let Some(binary) = &options.controller {
            state.controller = Some(binary.clone());
            state.save(&self.dir)?;
            controller::ensure(&self.processes, &plane, binary, options.timeout).await?;
        }
        Ok(())
    }

    /// Stops everything and removes the folder. A bed that does not exist is down already.
    ///
    /// # Errors
    /// When a process does not end, or the folder is not one that a bed made.
    pub fn down(&self) -> Result<()> {
        if !self.dir.exists() {
            return Ok(());
        }
        if State::load(&self.dir)?.is_none() {
            bail!(
                "{} is not the folder of a bed (it has no bed.json): nothing was removed",
                self.dir.display()
            );
        }
        if let Some(inner) = self.bed_inside()? {
            bail!("another bed is in {0}: stop it first with `cargo xtask down --dir {0}`", inner.display());
        }
        let _lock = self.lock()?;
        // The controller may hand its lease back, and whoever else was started may have to tidy up; the control plane has nothing left to save.
        for component in self.processes.all()?.iter().filter(|name| !COMPONENTS.contains(&name.as_str())) {
            self.processes.stop(component, Duration::from_secs(5))?;
        }
        for component in COMPONENTS.into_iter().rev() {
            self.processes.stop(component, Duration::ZERO)?;
        }
        fs::remove_dir_all(&self.dir).with_context(|| format!("cannot remove {}", self.dir.display()))
    }

    /// A bed in a folder of this one: removing this one would take its data away while it runs.
    fn bed_inside(&self) -> Result<Option<PathBuf>> {
        for entry in fs::read_dir(&self.dir)? {
            let inner = entry?.path();
            if inner.is_dir() && State::load(&inner)?.is_some() {
                return Ok(Some(inner));
            }
        }
        Ok(None)
    }

    /// Two commands on one folder take turns.
    fn lock(&self) -> Result<File> {
        let file = File::create(self.dir.join("lock"))?;
        file.lock().with_context(|| format!("cannot lock {}", self.dir.display()))?;
        Ok(file)
    }

    async fn wait_for_apiserver(&self, client: &Client, timeout: Duration) -> Result<()> {
        let end = Instant::now() + timeout;
        loop {
            let request = http::Request::get("/readyz").body(Vec::new())?;
            let answer = tokio::time::timeout(Duration::from_secs(2), client.request_text(request)).await;
            if matches!(answer, Ok(Ok(_))) {
                return Ok(());
            }
            for component in [ETCD, APISERVER] {
                self.processes.check_alive(component)?;
            }
            if Instant::now() >= end {
                return Err(self.processes.failure(APISERVER, "does not become ready"));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}
