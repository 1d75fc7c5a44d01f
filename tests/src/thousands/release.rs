//! A new image for every CafeDeployment at once.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cafe_crds::names::GATE;
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::watcher::{Config, Event, watcher};
use serde::Serialize;
use serde_json::json;
use tokio::sync::oneshot;

use super::{AT_ONCE, Stage, is_lease};
use crate::bed::audit::Reader;
use crate::bed::usage;
use crate::scenario::{Kind, image};
use crate::slim_pod::{self, SlimPod};

/// What it took.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Released {
    /// Seconds from the first new image until every pod had it and served.
    pub seconds: f64,
    /// Seconds until every CafeDeployment said so as well.
    pub told_seconds: f64,
    /// Writes of pods by the controller, per pod.
    pub writes_of_pods_per_pod: f64,
    /// All its writes but the lease, per pod.
    pub writes_per_pod: f64,
    /// CPU seconds of the controller until everything was told.
    pub cpu_seconds: f64,
    /// The most pods of one CafeDeployment that were out of service at once.
    pub most_out: usize,
    /// The most of its budget that a CafeDeployment used, in percent.
    pub most_of_budget: usize,
    /// The most memory that the controller had in use so far, in MiB.
    pub peak_rss_mib: f64,
}

/// Pods that may be out of service at once: 25 % of all, the default.
fn budget(pods: usize) -> usize {
    (pods / 4).max(1)
}

pub(super) async fn play(stage: &Stage<'_>, log: &mut Reader, patience: Duration) -> Result<Released> {
    let pid = stage.bed.controller_pid().context("the bed has no controller")?;
    let (watches, begun) = oneshot::channel();
    let (began, cpu) = (Instant::now(), usage::cpu_seconds(pid)?);
    let all = async { tokio::try_join!(set_images(stage, begun), follow(stage, watches)) };
    let ((), seen) =
        tokio::time::timeout(patience, all).await.context("not every pod is updated in time")??;
    let seconds = began.elapsed().as_secs_f64();
    tokio::time::timeout(patience, stage.converge(began))
        .await
        .context("not all say that they are updated")??;
    let (told_seconds, cpu_seconds) = (began.elapsed().as_secs_f64(), usage::cpu_seconds(pid)? - cpu);
    let mut writes = stage.writes(log, "released").await?;
    writes.extend(stage.quiet(log, patience).await?);
    writes.retain(|entry| !is_lease(entry));
    let per_pod = |count: usize| count as f64 / stage.size.pods as f64;
    Ok(Released {
        seconds,
        told_seconds,
        writes_of_pods_per_pod: per_pod(writes.iter().filter(|entry| entry.resource == "pods").count()),
        writes_per_pod: per_pod(writes.len()),
        cpu_seconds,
        most_out: seen.most_out,
        most_of_budget: seen.most_of_budget,
        peak_rss_mib: usage::peak_rss_mib(pid)?,
    })
}

async fn set_images(stage: &Stage<'_>, begun: oneshot::Receiver<()>) -> Result<()> {
    begun.await.context("the pods are not watched")?;
    let api = stage.api(&Kind::Deployment.resource());
    let patch =
        json!([{ "op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image("v2") }]);
    let patch = Patch::Json::<()>(serde_json::from_value(patch)?);
    stream::iter(stage.list(Kind::Deployment).await?)
        .map(|object| {
            let (api, patch) = (&api, &patch);
            async move {
                let name =
                    object.pointer("/metadata/name").and_then(|name| name.as_str()).unwrap_or_default();
                api.patch(name, &PatchParams::default(), patch).await?;
                anyhow::Ok(())
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// One pod.
#[derive(Clone, Debug)]
struct Seen {
    app: String,
    serves: bool,
    updated: bool,
}

/// The pods of one CafeDeployment.
#[derive(Clone, Copy, Debug, Default)]
struct App {
    serving: usize,
    updated: usize,
    least: usize,
    wanted: usize,
}

/// Every version of every pod since the watch began.
#[derive(Debug, Default)]
struct Tally {
    pods: HashMap<String, Seen>,
    apps: BTreeMap<String, App>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Most {
    most_out: usize,
    most_of_budget: usize,
}

impl Tally {
    fn fold(&mut self, name: String, now: Option<Seen>) {
        let before = match &now {
            Some(seen) => self.pods.insert(name, seen.clone()),
            None => self.pods.remove(&name),
        };
        if let Some(before) = before {
            let app = self.apps.entry(before.app).or_default();
            app.serving -= usize::from(before.serves);
            app.updated -= usize::from(before.serves && before.updated);
        }
        if let Some(now) = now {
            let app = self.apps.entry(now.app).or_default();
            app.serving += usize::from(now.serves);
            app.updated += usize::from(now.serves && now.updated);
        }
    }

    /// From here on it is counted how few serve.
    fn begin(&mut self) {
        for app in self.apps.values_mut() {
            (app.wanted, app.least) = (app.serving, app.serving);
        }
    }

    fn look(&mut self) {
        for app in self.apps.values_mut() {
            app.least = app.least.min(app.serving);
        }
    }

    fn is_updated(&self) -> bool {
        self.apps.values().all(|app| app.updated == app.wanted)
    }

    fn most(&self) -> Result<Most> {
        let mut most = Most::default();
        for (name, app) in &self.apps {
            let (out, budget) = (app.wanted.saturating_sub(app.least), budget(app.wanted));
            ensure!(out <= budget, "{out} pods of {name} were out of service, and {budget} may be");
            most.most_out = most.most_out.max(out);
            most.most_of_budget = most.most_of_budget.max(100 * out / budget);
        }
        Ok(most)
    }
}

/// Watches the pods until all are updated; tells when it has begun.
async fn follow(stage: &Stage<'_>, watches: oneshot::Sender<()>) -> Result<Most> {
    let api: Api<SlimPod> =
        Api::namespaced_with(stage.client.clone(), &stage.namespace, &Kind::Pod.resource());
    let mut stream = watcher(api, Config::default().streaming_lists()).boxed();
    let (mut tally, mut watches) = (Tally::default(), Some(watches));
    while let Some(event) = stream.next().await {
        // The watcher begins again by itself; what it lists then comes as any other change.
        match event {
            Ok(Event::Apply(pod) | Event::InitApply(pod)) => {
                tally.fold(pod.metadata.name.clone().unwrap_or_default(), Some(seen(&pod)));
            }
            Ok(Event::Delete(pod)) => tally.fold(pod.metadata.name.unwrap_or_default(), None),
            Ok(Event::InitDone) => {
                if let Some(watches) = watches.take() {
                    tally.begin();
                    // It fails only where nothing is set any more.
                    watches.send(()).ok();
                }
            }
            Ok(Event::Init) | Err(_) => {}
        }
        if watches.is_none() {
            tally.look();
            if tally.is_updated() {
                return tally.most();
            }
        }
    }
    anyhow::bail!("the watch of the pods has ended")
}

fn seen(pod: &SlimPod) -> Seen {
    let labels = pod.metadata.labels.as_ref();
    Seen {
        app: labels.and_then(|labels| labels.get("app")).cloned().unwrap_or_default(),
        serves: slim_pod::has(pod, GATE) && slim_pod::has(pod, "Ready"),
        updated: slim_pod::image(pod) == image("v2"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(app: &str, serves: bool, updated: bool) -> Option<Seen> {
        Some(Seen { app: app.to_owned(), serves, updated })
    }

    #[test]
    fn each_application_is_held_to_its_own_budget() {
        let mut tally = Tally::default();
        for app in ["a", "b"] {
            for number in 0..8 {
                tally.fold(format!("{app}-{number}"), pod(app, true, false));
            }
        }
        tally.begin();
        for name in ["a-0", "a-1", "b-0", "b-1"] {
            tally.fold(name.to_owned(), pod(&name[..1], false, true));
            tally.look();
        }
        let most = tally.most().unwrap();
        assert_eq!((most.most_out, most.most_of_budget), (2, 100));
        tally.fold("a-2".to_owned(), None);
        tally.look();
        let error = tally.most().unwrap_err().to_string();
        assert_eq!(error, "3 pods of a were out of service, and 2 may be");
        assert!(!tally.is_updated());
    }
}
