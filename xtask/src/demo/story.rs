//! The story: install, a release with its gates, a pipeline's release, a rollback, and the verdict.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use cafe_tests::bed::Bed;
use cafe_tests::bed::audit::Reader;

use super::checks::{self, Checks, PodWrites};
use super::narration::Narrator;
use super::scene::Scene;
use super::script::Script;

/// What `examples/web.yaml` asks for.
const PODS: usize = 10;
/// 25% of ten pods, rounded down.
const BUDGET: usize = 2;
const PLAN: [&str; 3] = ["1+1", "2+2", "2+2"];

const INSTALL: &str = "kubectl apply -f examples/web.yaml";
const NEW_VERSION: &str = "sed s/web:1.0.0/web:1.1.0/ examples/web.yaml | kubectl apply -f -";
const PIPELINE_PATCH: &str = r#"kubectl patch cafedeployment web --type=json -p '[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"example.org/web:1.2.0"}]'"#;
const WAIT_FOR_GATE: &str =
    "kubectl wait cafedeployment/web --for=condition=WaitingForConfirmation --timeout=60s";
const WAIT_FOR_END: &str = "kubectl wait cafedeployment/web --for=condition=Ready --timeout=60s";
const TABLE: &str = "kubectl get cafedeployment,inplaceset";
const PODS_TABLE: &str = "kubectl get pods -L cafe.dev/unit,cafe.dev/group";
/// How long a gate is watched for pods that move without leave.
const QUIET: Duration = Duration::from_millis(500);

/// Plays it all. Fails if anything promised did not hold.
pub(super) async fn play(narrator: &Narrator, bed: &Bed, script: &Script) -> Result<()> {
    let scene = Scene::open(narrator, &bed.client().await?, "default");
    let mut play = Play { narrator, script, scene, checks: Checks::default(), log: bed.audit() };
    play.install().await?;
    play.release().await?;
    play.pipeline().await?;
    play.rollback().await?;
    play.verdict().await
}

struct Play<'a> {
    narrator: &'a Narrator,
    script: &'a Script,
    scene: Scene<'a>,
    checks: Checks,
    log: Reader,
}

impl Play<'_> {
    async fn install(&mut self) -> Result<()> {
        self.narrator.chapter("Ten pods over two cells");
        self.run(INSTALL).await?;
        let complete = |s: &Scene<'_>| s.is_complete(1) && s.pods.len() == PODS && s.out() == 0;
        self.scene.until("ten pods that serve", complete).await?;
        self.run(TABLE).await?;
        self.scene.fix_cast();
        self.log.skip()
    }

    async fn release(&mut self) -> Result<()> {
        self.narrator.chapter("A new version: 1.0.0 -> 1.1.0");
        self.run(NEW_VERSION).await?;
        self.scene.until("the start of the release", |s| s.release().revision == 2).await?;
        let (plan, exits) = self.scene.opening.clone();
        let planned =
            format!("all groups stood in the status before the first pod moved: {}", plan.join(", "));
        self.record(plan == PLAN && exits == 0, planned);
        for (gate, split) in (1..).zip(PLAN) {
            if gate < PLAN.len() {
                self.stand_at(&format!("2/{gate}")).await?;
            } else {
                self.scene.until("the end of the release", |s| s.is_complete(2)).await?;
            }
            let moved = checks::moved(&self.scene, &format!("2-{gate}"));
            self.record(moved == split, format!("group {gate} of {split} pods moved {moved}"));
            self.run(TABLE).await?;
            if gate < PLAN.len() {
                self.confirm().await?;
            }
        }
        let all: BTreeSet<&str> = self.scene.moves.iter().map(|step| step.pod.as_str()).collect();
        let once = all.len() == PODS && self.scene.moves.len() == PODS;
        self.record(once, "every pod was updated exactly once");
        Ok(())
    }

    async fn pipeline(&mut self) -> Result<()> {
        self.narrator.chapter("The pipeline's way: patch the tag, wait, check (1.1.0 -> 1.2.0)");
        self.run(PIPELINE_PATCH).await?;
        self.run(WAIT_FOR_GATE).await?;
        self.stand_at("3/1").await?;
        let moved = checks::moved(&self.scene, "3-1");
        self.record(
            moved == "1+1",
            format!("the pipeline's beta group was to move 1+1 pods and moved {moved}"),
        );
        self.run(TABLE).await
    }

    async fn rollback(&mut self) -> Result<()> {
        self.narrator.chapter("The checks say no: back to 1.1.0 by applying the last good manifest");
        let before = self.scene.moves.len();
        let away: BTreeSet<String> =
            self.scene.moves.iter().filter(|m| m.group == "3-1").map(|m| m.pod.clone()).collect();
        self.run_with_leave(NEW_VERSION, "the rollback").await?;
        self.run(WAIT_FOR_END).await?;
        self.scene.until("the end of the rollback", |s| s.is_complete(4) && s.out() == 0).await?;
        let back: Vec<&str> = self.scene.moves.iter().skip(before).map(|step| step.pod.as_str()).collect();
        let exact = back.len() == away.len() && back.iter().all(|pod| away.contains(*pod));
        self.record(
            exact,
            format!(
                "the rollback moved only the {} pods that had moved, and needed no confirmation",
                away.len()
            ),
        );
        self.run(PODS_TABLE).await
    }

    async fn verdict(&mut self) -> Result<()> {
        let updates = self.scene.moves.len();
        let writes = PodWrites::read(&mut self.log, updates).await?;
        let odd = writes.odd_ones(&self.scene);
        let detail = if odd.is_empty() { String::new() } else { format!(" ({})", odd.join("; ")) };
        self.record(
            odd.is_empty(),
            format!("three pod writes per in-place update, by the API server's audit log{detail}"),
        );
        let most = self.scene.most_out;
        self.record(
            most <= BUDGET,
            format!("never more than {BUDGET} of {PODS} pods out of traffic (maxUnavailable 25%)"),
        );
        let surprises = self.scene.surprises.join("; ");
        let kept = if surprises.is_empty() { surprises } else { format!(" ({surprises})") };
        self.record(kept.is_empty(), format!("every pod kept its name, uid and address{kept}"));

        self.narrator.chapter("What was promised");
        let ended = self.checks.conclude(self.narrator);
        self.narrator.chapter("In figures");
        let figures = [
            ("pods updated in place", updates.to_string()),
            ("writes to pods", format!("{} ({} refused as outdated)", writes.total(), writes.outdated)),
            ("most pods out at once", format!("{most} of {PODS}")),
            ("seconds", format!("{:.1}", self.narrator.elapsed())),
        ];
        figures.iter().for_each(|(what, figure)| self.narrator.text(&format!("  {what:<24}{figure}")));
        ended
    }

    async fn stand_at(&mut self, token: &str) -> Result<()> {
        self.scene.until(&format!("gate {token}"), |s| s.waits_at(token)).await
    }

    /// Types what `status.message` says.
    async fn confirm(&mut self) -> Result<()> {
        let message = self.scene.message().to_owned();
        let (_, command) = message
            .split_once("to go on: ")
            .with_context(|| format!("no command in status.message: {message}"))?;
        let token = self.scene.release().confirm_token.clone().unwrap_or_default();
        self.run_with_leave(command, &format!("the confirmation of gate {token}")).await?;
        // The gate that was just opened must not be taken for the next one.
        self.scene.until("the gate to open", |s| !s.waits_at(&token)).await
    }

    /// A gate holds until somebody acts.
    async fn nothing_moved(&mut self, before: &str) {
        let figures = |s: &Scene<'_>| (s.exits, s.moves.len(), s.out());
        let at_the_gate = figures(&self.scene);
        self.scene.linger(QUIET).await;
        let still = figures(&self.scene) == at_the_gate && at_the_gate.2 == 0;
        self.record(still, format!("nothing moved before {before}"));
    }

    /// Shows a command and runs it while the story goes on.
    async fn run(&mut self, command: &str) -> Result<()> {
        self.narrator.command(command);
        self.carry_out(command).await
    }

    /// As [`Self::run`], once a person has agreed; until then nothing may have moved.
    async fn run_with_leave(&mut self, command: &str, what: &str) -> Result<()> {
        self.narrator.command(command);
        self.script.ask(self.narrator).await?;
        self.nothing_moved(what).await;
        self.carry_out(command).await
    }

    async fn carry_out(&mut self, command: &str) -> Result<()> {
        let output = self.scene.during(self.script.output(command)).await?;
        self.narrator.output(&output);
        Ok(())
    }

    fn record(&mut self, holds: bool, promise: impl Into<String>) {
        self.checks.record(self.narrator, holds, promise);
    }
}
