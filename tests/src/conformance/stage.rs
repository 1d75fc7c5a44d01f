//! A namespace, the protector in it, and the pods that are played to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cafe_crds::names::PROTECTOR_PREFIX;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::actor::{Actor, FOREIGN, REFUSES_LOCK, SELECTOR, Written};
use super::pod::{has_answered, has_finalizer, is_back, line, said};
use super::rules;
use super::subject::{Environment, Subject, tail};
use super::table::{Sentry, Table, look};
use crate::bed::Bed;
use crate::bed::audit::{Entry, Reader};
use crate::child::Child;
use crate::scenario::{Kind, Pod, Seen, Watcher};

const RIGHTS: &str = include_str!("rights.yaml");
const REFUSAL: &str = include_str!("refusal.yaml");
const ACCOUNT: &str = "protector";
const POLL: Duration = Duration::from_millis(20);

/// Everything that the checks play with.
pub(super) struct Stage {
    pub(super) subject: Subject,
    pub(super) lock: String,
    namespace: String,
    pods: Api<DynamicObject>,
    watcher: Watcher,
    written: Written,
    environment: Environment,
    log: PathBuf,
    running: Option<Child>,
    table: Option<Table>,
    sentry: Option<Sentry>,
    audit: Reader,
    /// Pods of the check in hand.
    cast: Vec<String>,
    note: Option<String>,
}

impl Stage {
    /// A new namespace with the protector running in it.
    pub(super) async fn set(bed: &Bed, subject: Subject) -> Result<Self> {
        let client = bed.client().await?;
        let namespace = bed.namespace("conformance").await?;
        bed.apply(RIGHTS, Some(&namespace)).await?;
        bed.apply(REFUSAL, None).await?;
        let kubeconfig = bed.account(&namespace, ACCOUNT).await?;
        let environment: Environment = vec![
            ("KUBECONFIG", kubeconfig.display().to_string()),
            ("PROTECTOR_NAME", subject.name.clone()),
            ("PROTECTOR_NAMESPACE", namespace.clone()),
            ("PROTECTOR_SELECTOR", format!("{}={}", SELECTOR.0, SELECTOR.1)),
            ("PROTECTOR_PORT", subject.port.to_string()),
        ];
        let pods: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), &namespace, &Kind::Pod.resource());
        let lock = format!("{PROTECTOR_PREFIX}{}", subject.name);
        let command = subject.table_command.clone();
        let table = command.map(|command| Table { command, environment: environment.clone() });
        let sentry = table.clone().map(|table| Sentry::post(table, pods.clone(), lock.clone()));
        let mut stage = Self {
            lock,
            watcher: Watcher::start(&client, &namespace).await?,
            written: Arc::new(Mutex::new(BTreeSet::new())),
            log: bed.log(&format!("protector-{namespace}")),
            running: None,
            table,
            sentry,
            audit: bed.audit(),
            cast: Vec::new(),
            note: None,
            subject,
            namespace,
            pods,
            environment,
        };
        stage.wait_for_refusal().await?;
        stage.start()?;
        Ok(stage)
    }

    /// An admission policy works a moment after it was created.
    async fn wait_for_refusal(&mut self) -> Result<()> {
        let probe = self.pod_with(json!({ "labels": { REFUSES_LOCK: "true" } })).await?;
        let patch = Patch::Strategic(json!({ "metadata": { "finalizers": [self.lock] } }));
        let try_it = PatchParams { dry_run: true, ..PatchParams::default() };
        let end = Instant::now() + Duration::from_secs(60);
        while self.pods.patch(probe.name(), &try_it, &patch).await.is_ok() {
            if Instant::now() >= end {
                bail!("the API server does not enforce the admission policy of the test");
            }
            tokio::time::sleep(POLL).await;
        }
        self.end().await.map(|_| ())
    }

    /// Starts the protector unless it runs.
    pub(super) fn start(&mut self) -> Result<()> {
        if self.running.is_none() {
            self.running = Some(Child::start(&self.subject.command, &self.environment, &self.log)?);
        }
        Ok(())
    }

    /// Kills the protector in the middle of whatever it does.
    pub(super) fn kill(&mut self) {
        self.running = None;
    }

    /// Stops the protector as it stands, to go on later with what it knew then.
    pub(super) fn freeze(&self) {
        self.running.iter().for_each(|running| running.signal(Signal::STOP));
    }

    pub(super) fn thaw(&self) {
        self.running.iter().for_each(|running| running.signal(Signal::CONT));
    }

    /// A pod as it is when it has just been created.
    pub(super) async fn pod(&mut self) -> Result<Actor> {
        self.pod_with(json!({})).await
    }

    pub(super) async fn pod_with(&mut self, metadata: Value) -> Result<Actor> {
        let actor = Actor::create(&self.pods, &self.written, self.subject.port, metadata).await?;
        self.cast.push(actor.name().to_owned());
        Ok(actor)
    }

    /// A pod that may serve, and that the protector has not seen yet.
    pub(super) async fn wanted(&mut self) -> Result<Actor> {
        let actor = self.pod().await?;
        actor.containers(true).await?;
        actor.open().await?;
        Ok(actor)
    }

    /// A pod that the protector has.
    pub(super) async fn registered(&mut self) -> Result<Actor> {
        let actor = self.wanted().await?;
        self.until_registered(&actor).await?;
        Ok(actor)
    }

    /// The pod as it was seen last; nothing when it is gone.
    pub(super) fn see(&self, actor: &Actor) -> Option<Arc<Value>> {
        let view = self.watcher.view();
        view.pods.into_iter().find(|pod| Pod(pod).name() == actor.name())
    }

    pub(super) async fn until_registered(&self, actor: &Actor) -> Result<()> {
        // One that writes conditions is heard to the end; a finalizer alone may be the lock and nothing more yet.
        let speaks = self.speaks();
        let back = |pod: Option<&Value>| {
            pod.is_some_and(|pod| is_back(pod, &self.lock) && (!speaks || said(pod, &self.lock).is_some()))
        };
        self.until(actor, "it is locked, and its condition is absent or True", back).await?;
        self.until_in_table(actor, true).await
    }

    /// Whether the protector was ever seen to write its condition.
    fn speaks(&self) -> bool {
        self.watcher.history().iter().any(|seen| said(&seen.object, &self.lock).is_some())
    }

    /// Returns when the drain is answered, and checks that the answer is true.
    pub(super) async fn until_answered(&self, actor: &Actor, reason: &str) -> Result<()> {
        let answered = |pod: Option<&Value>| pod.is_some_and(|pod| has_answered(pod, &self.lock, reason));
        self.until(actor, &format!("its drain {reason} is answered with that very reason"), answered).await?;
        self.is_out_of_table(actor, "the drain was answered").await
    }

    /// Returns when nothing of the protector is on the pod.
    pub(super) async fn until_let_go(&self, actor: &Actor) -> Result<()> {
        let gone = |pod: Option<&Value>| pod.is_none_or(|pod| !has_finalizer(pod, &self.lock));
        self.until(actor, "its finalizer is taken off", gone).await?;
        self.is_out_of_table(actor, "the finalizer was taken off").await
    }

    async fn is_out_of_table(&self, actor: &Actor, when: &str) -> Result<()> {
        let Some(table) = &self.table else { return Ok(()) };
        if table.read().await?.contains(&actor.address()) {
            bail!(
                "{when} while the balancer still had {} ({}) in its table: answer last",
                actor.address(),
                actor.name()
            );
        }
        Ok(())
    }

    /// Returns when the table has the pod, or has it no more. Without a table there is nothing to see.
    pub(super) async fn until_in_table(&self, actor: &Actor, there: bool) -> Result<()> {
        let Some(table) = &self.table else { return Ok(()) };
        let end = Instant::now() + self.subject.patience;
        while table.read().await?.contains(&actor.address()) != there {
            if Instant::now() >= end {
                let what = if there { "does not come into" } else { "stays in" };
                bail!("{} ({}) {what} the balancer's table", actor.address(), actor.name());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Whether the table has the pod; without a table there is nothing to see.
    pub(super) async fn is_in_table(&self, actor: &Actor) -> Result<bool> {
        match &self.table {
            Some(table) => Ok(table.read().await?.contains(&actor.address())),
            None => Ok(false),
        }
    }

    /// Waits until the pod, or its absence, is as it should be.
    pub(super) async fn until(
        &self,
        actor: &Actor,
        what: &str,
        condition: impl Fn(Option<&Value>) -> bool,
    ) -> Result<()> {
        let mut changes = self.watcher.changes();
        let wait = async {
            while !condition(self.see(actor).as_deref()) {
                changes.changed().await.context("the watch has ended")?;
            }
            anyhow::Ok(())
        };
        match tokio::time::timeout(self.subject.patience, wait).await {
            Ok(done) => done,
            Err(_) => {
                bail!("waited {:?} until {what}; seen: {}", self.subject.patience, self.describe(actor))
            }
        }
    }

    /// Checks that a pod stays as it is for a while.
    pub(super) async fn stays(
        &self,
        actor: &Actor,
        what: &str,
        window: Duration,
        condition: impl Fn(Option<&Value>) -> bool,
    ) -> Result<()> {
        let end = Instant::now() + window;
        while Instant::now() < end {
            if !condition(self.see(actor).as_deref()) {
                bail!("{what}; seen: {}", self.describe(actor));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn describe(&self, actor: &Actor) -> String {
        let pod = self.see(actor);
        let pod = pod.map_or_else(|| format!("{} is gone", actor.name()), |pod| line(&pod, &self.lock));
        format!("{pod}\nthe end of the protector's log:\n{}", tail(&self.log).trim_end())
    }

    /// Holds the table against the pods while the protector is dead and nothing moves.
    pub(super) async fn inspect(&self) -> Result<()> {
        let Some(table) = &self.table else { return Ok(()) };
        let mut known = BTreeMap::new();
        let holes = look(table, &self.pods, &self.lock, &mut known).await?;
        if !holes.is_empty() {
            bail!("with the protector dead: {}", holes.join("; "));
        }
        Ok(())
    }

    /// Requests of the protector since the last call.
    pub(super) fn requests(&mut self) -> Result<Vec<Entry>> {
        let user = format!("system:serviceaccount:{}:{ACCOUNT}", self.namespace);
        Ok(self.audit.entries()?.into_iter().filter(|entry| entry.user == user).collect())
    }

    /// Where the balancer takes requests.
    pub(super) fn front(&self) -> Result<SocketAddr> {
        self.subject.front.context("the check needs to know where the balancer takes requests: give --front")
    }

    /// Something to be told when the check has passed.
    pub(super) fn note(&mut self, note: String) {
        self.note = Some(note);
    }

    pub(super) fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }

    /// Before a check.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.start()
    }

    /// After a check: what its pods have shown that must never be. They are removed, and the protector runs.
    pub(super) async fn end(&mut self) -> Result<Vec<String>> {
        self.thaw();
        self.start()?;
        let mut breaches = self.breaches();
        breaches.extend(self.sentry.iter().flat_map(Sentry::report));
        for name in std::mem::take(&mut self.cast) {
            self.remove(&name).await?;
        }
        // What was taken away by force is no fault of the checks that follow.
        self.sentry.iter().for_each(Sentry::forget);
        Ok(breaches)
    }

    /// Judges every write of the protector.
    fn breaches(&self) -> Vec<String> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let history = self.watcher.history();
        let mut found = Vec::new();
        for name in &self.cast {
            let versions: Vec<&Seen> = history.iter().filter(|seen| seen.name == *name).collect();
            for pair in versions.windows(2) {
                let [before, after] = pair else { continue };
                if !written.contains(&after.version) && !rules::is_collected(&before.object, &after.object) {
                    let broken = rules::breaches(&before.object, &after.object, &self.lock);
                    found.extend(broken.into_iter().map(|what| format!("{name}: {what}")));
                }
            }
        }
        found.dedup();
        found
    }

    /// Deletes a pod, and lets it go by force if the protector does not.
    async fn remove(&self, name: &str) -> Result<()> {
        let params = DeleteParams::default().grace_period(0);
        let own =
            Patch::Strategic(json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": [FOREIGN] } }));
        self.pods.patch(name, &PatchParams::default(), &own).await.ok();
        let mut rest = Duration::from_secs(2);
        loop {
            match self.pods.delete(name, &params).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
                answer => drop(answer?),
            }
            tokio::time::sleep(POLL).await;
            rest = rest.saturating_sub(POLL);
            if rest.is_zero() {
                let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
                self.pods.patch(name, &PatchParams::default(), &free).await.ok();
                rest = POLL;
            }
        }
    }
}
