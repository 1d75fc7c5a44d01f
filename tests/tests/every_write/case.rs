//! One case: a story, and at most one death in it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cafe_crds::release::{CafeRelease, Group, Stage, State};
use cafe_tests::bed::LoneController;
use cafe_tests::crash::{Point, Proxy, Write};
use cafe_tests::scenario::{Kind, View, Workload};
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::ground::{Ground, name_of_a_life};
use crate::story::{End, Identities, Story, ever_seen};

/// Figures follow a change within a second; a controller that writes nothing for longer has nothing more to say.
const QUIET: Duration = Duration::from_millis(1500);
/// How often a controller is looked at that should be alive.
const LOOK: Duration = Duration::from_millis(250);
/// How long a record may take after the end.
const TELLING: Duration = Duration::from_secs(30);
/// Lines of a controller's log in a report.
const LOG_LINES: usize = 80;

/// How a case went that went well.
pub(crate) enum Outcome {
    /// The controller died at this write.
    Died(Write),
    /// The story was over before the point was reached.
    Lived(Vec<Write>),
}

/// Plays `S` with a controller that dies at `point`, and checks everything.
pub(crate) async fn play<S: Story>(
    ground: &'static Ground,
    upstream: &Client,
    point: Option<Point>,
) -> Result<Outcome> {
    let web = Workload::create(ground.bed, S::NAME, &S::manifest()).await?;
    let mut case = Case { ground, upstream, web: &web, logs: Vec::new() };
    let played = tokio::select! {
        played = case.play::<S>(point) => played,
        ended = S::beside(&web) => ended.and_then(|()| bail!("what goes on beside the story has ended")),
    };
    let cleared = clear(&web).await;
    match played {
        Ok(outcome) => {
            cleared?;
            case.remove_logs();
            Ok(outcome)
        }
        Err(error) => bail!("{error:#}\n{}", case.tell_logs()),
    }
}

struct Case<'a> {
    ground: &'static Ground,
    upstream: &'a Client,
    web: &'a Workload,
    logs: Vec<PathBuf>,
}

/// A controller and what stands before it.
struct Life {
    proxy: Proxy,
    controller: LoneController<'static>,
}

impl Case<'_> {
    async fn play<S: Story>(&mut self, point: Option<Point>) -> Result<Outcome> {
        S::found(self.web).await?;
        let life = self.begin_a_life(point, S::FROM_THE_START).await?;
        let mut before = Identities::new();
        if !S::FROM_THE_START {
            let installed = |view: &View| view.is_settled() && view.endpoints().len() == view.pods.len();
            life.survives(self.web.wait_until("installed", installed)).await?;
            before = self.web.look().await?.identities();
            life.survives(S::prepare(self.web)).await?;
            life.proxy.arm();
        }
        let mut story = std::pin::pin!(S::play(self.web));
        let (over, died) = tokio::select! {
            over = life.survives(&mut story) => { over?; (true, None) }
            write = life.proxy.reached() => (false, Some(write)),
        };
        let died = match died {
            Some(write) => Some(write),
            None => life.dies_late().await?,
        };
        let Some(write) = died else {
            let writes = life.proxy.writes();
            self.check::<S>(before).await?;
            ensure!(life.proxy.faults().is_empty(), "the proxy failed: {:?}", life.proxy.faults());
            return Ok(Outcome::Lived(writes));
        };
        life.controller.kill()?;
        drop(life);
        let next = self.begin_a_life(None, true).await?;
        let rest = async {
            if !over {
                story.await.context("the story did not go on")?;
            }
            self.web_is_looked_at_anew().await?;
            self.check::<S>(before).await
        };
        let ended = next.survives(rest).await;
        ended.with_context(|| format!("died at {write}\nthen: {}", next.proxy.requests().join("\n")))?;
        Ok(Outcome::Died(write))
    }

    async fn begin_a_life(&mut self, point: Option<Point>, armed: bool) -> Result<Life> {
        let proxy = Proxy::start(self.upstream.clone(), point).await?;
        if armed {
            proxy.arm();
        }
        let (name, namespace) = (name_of_a_life(), self.web.namespace());
        let controller = LoneController::start(
            self.ground.bed,
            &name,
            &self.ground.controller,
            proxy.address(),
            namespace,
        )?;
        self.logs.push(controller.log());
        Ok(Life { proxy, controller })
    }

    /// A change of the spec that moves no pod, carried out to the end: the new controller has seen everything, and has
    /// planned the CafeDeployment and its InPlaceSets.
    async fn web_is_looked_at_anew(&self) -> Result<()> {
        const GRACE: i64 = 1;
        self.web.patch(json!({ "spec": { "traffic": { "graceSeconds": GRACE } } })).await?;
        let of = |set: &Value, pointer| set.pointer(pointer).and_then(Value::as_i64);
        let follows = |set: &Value| {
            of(set, "/spec/traffic/graceSeconds") == Some(GRACE)
                && of(set, "/status/observedGeneration") == of(set, "/metadata/generation")
        };
        let done = |view: &View| {
            view.is_settled() && view.reserved() == 0 && view.sets.iter().all(|set| follows(set))
        };
        self.web.wait_until("looked at by the next controller", done).await?;
        Ok(())
    }

    async fn check<S: Story>(&self, before: Identities) -> Result<()> {
        let settled = |view: &View| {
            view.is_settled() && view.reserved() == 0 && view.endpoints().len() == view.pods.len()
        };
        self.web.wait_until("at the end with an empty journal", settled).await?;
        let verdict = self.web.finish().await?;
        let sets = ever_seen(self.web, Kind::Set).len();
        ensure!(sets == S::SETS, "{sets} InPlaceSets were made for {} units", S::SETS);
        let end = End {
            before,
            view: self.web.look().await?,
            verdict,
            born: ever_seen(self.web, Kind::Pod),
            revisions: self.revisions().await?,
        };
        S::check(&end).with_context(|| format!("{}\n{}", end.view.dump(), self.web.story()))?;
        no_event_twice(self.web)?;
        self.everything_is_on_record(end.view.revision()).await
    }

    /// Every release has one record, which says how it ended, whatever writes were lost on the way.
    async fn everything_is_on_record(&self, last: i64) -> Result<()> {
        let api: Api<CafeRelease> = Api::namespaced(self.upstream.clone(), self.web.namespace());
        let told = async {
            loop {
                let records = api.list(&ListParams::default()).await?.items;
                if is_told(&records, last) {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let Ok(told) = tokio::time::timeout(TELLING, told).await else {
            let records = api.list(&ListParams::default()).await?.items;
            bail!("not everything up to revision {last} is on record: {records:#?}");
        };
        told
    }

    async fn revisions(&self) -> Result<Vec<i64>> {
        let resource = kube::api::ApiResource::from_gvk_with_plural(
            &kube::api::GroupVersionKind::gvk("apps", "v1", "ControllerRevision"),
            "controllerrevisions",
        );
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.upstream.clone(), self.web.namespace(), &resource);
        let all = api.list(&ListParams::default()).await?.items;
        let of_deployment = |revision: &&DynamicObject| {
            let owners = revision.metadata.owner_references.iter().flatten();
            owners.into_iter().any(|owner| owner.kind == "CafeDeployment")
        };
        let mut numbers: Vec<i64> =
            all.iter().filter(of_deployment).filter_map(|r| r.data.get("revision")?.as_i64()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn tell_logs(&self) -> String {
        let mut told = String::new();
        for log in &self.logs {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default();
            told += &format!("controller {}:\n{}\n", log.display(), tail.join("\n"));
        }
        told
    }

    fn remove_logs(&self) {
        for log in &self.logs {
            let _ = std::fs::remove_file(log);
        }
    }
}

impl Life {
    /// What `work` comes to, unless the controller ends before it does.
    async fn survives<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let ends = async {
            loop {
                tokio::time::sleep(LOOK).await;
                self.controller.check_alive()?;
            }
        };
        tokio::select! {
            result = work => result,
            ended = ends => ended,
        }
    }

    /// The story is over, and a few writes may follow it.
    async fn dies_late(&self) -> Result<Option<Write>> {
        loop {
            let writes = self.proxy.writes().len();
            tokio::select! {
                write = self.proxy.reached() => return Ok(Some(write)),
                () = tokio::time::sleep(QUIET) => {}
            }
            if self.proxy.writes().len() == writes {
                self.controller.check_alive()?;
                return Ok(None);
            }
        }
    }
}

/// Whether the record of `last` has told all of it, and no other is left open.
fn is_told(records: &[CafeRelease], last: i64) -> bool {
    let status = |record: &CafeRelease| record.status.clone().unwrap_or_default();
    let is_over = |record: &CafeRelease| {
        let status = status(record);
        status.is_ended() && status.rollbacks.iter().all(|back| back.ended_at.is_some())
    };
    let whole = |record: &CafeRelease| {
        let status = status(record);
        let done = |group: &Group| group.state == Stage::Done && group.finished_at.is_some();
        record.spec.started_at.is_some()
            && (status.state != State::Completed || status.groups.iter().all(done))
            && status.groups.iter().enumerate().all(|(i, group)| usize::try_from(group.number) == Ok(i + 1))
    };
    let tells_of_last = |record: &CafeRelease| {
        record.spec.revision == last || status(record).rollbacks.iter().any(|back| back.to == last)
    };
    records.iter().any(tells_of_last) && records.iter().all(|r| is_over(r) && whole(r))
}

/// What was told is not told again by the next controller.
fn no_event_twice(web: &Workload) -> Result<()> {
    let events = web.watcher().events();
    let mut unique = events.clone();
    unique.sort();
    unique.dedup();
    ensure!(unique.len() == events.len(), "an event was told twice: {events:#?}");
    Ok(())
}

/// Takes the pods away, so that a thousand cases leave no cluster full of them.
async fn clear(web: &Workload) -> Result<()> {
    let pods = web.api(Kind::Pod);
    for pod in web.look().await?.pods().filter(|pod| pod.0.pointer("/metadata/finalizers").is_some()) {
        let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        pods.patch(pod.name(), &PatchParams::default(), &free).await?;
    }
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    pods.delete_collection(&at_once, &ListParams::default()).await?;
    Ok(())
}
