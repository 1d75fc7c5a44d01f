//! The scripts of docs/ci.md, run as they stand there.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use cafe_tests::scenario::{View, Workload, bed, merge};
use serde_json::json;
use tempfile::TempDir;

use crate::restart::uids;
use crate::{cells, web_with_grace};

const PAGE: &str = include_str!("../../../docs/ci.md");

/// The fenced blocks of the page by the name after their language.
fn scripts() -> Result<BTreeMap<&'static str, &'static str>> {
    let mut scripts = BTreeMap::new();
    for block in PAGE.split("\n```").skip(1).step_by(2) {
        let (head, script) = block.split_once('\n').context("a block without an end")?;
        let name = head.strip_prefix("bash ").with_context(|| format!("a block without a name: {head}"))?;
        ensure!(scripts.insert(name, script).is_none(), "{name} is there twice");
    }
    Ok(scripts)
}

/// A folder with the scripts, and kubectl's configuration for the workload's namespace.
struct Pipeline<'a> {
    web: &'a Workload,
    folder: TempDir,
}

/// How a script has ended.
struct Ended {
    code: Option<i32>,
    printed: String,
    /// For people.
    said: String,
}

impl<'a> Pipeline<'a> {
    fn of(web: &'a Workload) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for (name, script) in scripts()? {
            write(folder.path(), name, script)?;
        }
        Ok(Self { web, folder })
    }

    /// Adds a check that may be given to `release.sh`.
    fn check(&self, script: &str) -> Result<()> {
        write(self.folder.path(), "check.sh", script)
    }

    async fn run(&self, line: &str) -> Result<Ended> {
        let (folder, namespace) = (self.folder.path().display(), self.web.namespace());
        let ended = self
            .web
            .shell(&format!(
                "cd '{folder}' && cp \"$KUBECONFIG\" $$.kubeconfig && export KUBECONFIG=$PWD/$$.kubeconfig && \
                 kubectl config set-context --current --namespace={namespace} >&2 && {line}"
            ))
            .await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ended { code: ended.status.code(), printed: text(&ended.stdout), said: text(&ended.stderr) })
    }
}

fn write(folder: &Path, name: &str, script: &str) -> Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, script)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

impl Ended {
    /// Checks code and output. What is said has to contain `says`.
    fn with(&self, code: i32, printed: &str, says: &str) -> Result<()> {
        ensure!(
            self.code == Some(code) && self.printed == printed && self.said.contains(says),
            "ended with {:?} instead of {code}, printed {:?}, said: {}",
            self.code,
            self.printed,
            self.said
        );
        Ok(())
    }
}

/// Six pods in three groups: gates 2/1 and 2/2.
async fn install(prefix: &str) -> Result<Workload> {
    let mut manifest = web_with_grace(6);
    merge(&mut manifest, &json!({ "spec": { "strategy": { "maxUnavailable": 2, "batchSize": 2 } } }));
    Workload::install(bed().await?, prefix, &manifest).await
}

const RELEASE: &str = "./release.sh web app example.org/web:v2 ./check.sh";

#[test]
fn every_script_of_the_page_is_run_by_a_test_and_every_one_is_in_its_table() -> Result<()> {
    let names: Vec<&str> = scripts()?.into_keys().collect();
    let tests = include_str!("ci.rs");
    for name in &names {
        ensure!(tests.contains(&format!("./{name} ")), "no test runs {name}");
    }
    assert_eq!(names, ["abort.sh", "await.sh", "gate.sh", "release.sh", "restart.sh", "rollback.sh"]);
    Ok(())
}

#[tokio::test]
async fn the_release_script_checks_and_confirms_every_gate_and_ends_with_0() -> Result<()> {
    let web = install("ci-release").await?;
    let pipeline = Pipeline::of(&web)?;
    pipeline.check("#!/bin/sh\necho \"$1\" >>gates\n")?;
    pipeline.run(RELEASE).await?.with(0, "", "")?;
    let view = web.wait_until("seen", View::is_settled).await?;
    assert_eq!((view.serving("v2"), view.revision()), (cells(3, 3), 2));
    assert_eq!(std::fs::read_to_string(pipeline.folder.path().join("gates"))?, "2/1\n2/2\n");
    pipeline.run(RELEASE).await?.with(0, "", "no change")?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn the_release_script_rolls_back_when_a_check_fails_and_ends_with_3() -> Result<()> {
    let web = install("ci-check").await?;
    let pipeline = Pipeline::of(&web)?;
    pipeline.check("#!/bin/sh\ntest \"$1\" = 2/1\n")?;
    pipeline.run(RELEASE).await?.with(3, "", "the check at gate 2/2 failed")?;
    let back = |view: &View| view.is_observed() && view.serving("v1") == cells(3, 3);
    let view = web.wait_until("seen", back).await?;
    assert!(view.message().contains("in place of revision 2"), "{}", view.message());
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn the_release_script_leaves_a_release_that_people_have_aborted_and_ends_with_3() -> Result<()> {
    let web = install("ci-abort").await?;
    let pipeline = Pipeline::of(&web)?;
    pipeline.check("#!/bin/sh\n./abort.sh web\n")?;
    pipeline.run(RELEASE).await?.with(3, "", "the release of revision 2 was aborted in group 1/3")?;
    let view = web.wait_until("seen", |view| view.is_observed() && view.state() == "Aborted").await?;
    assert_eq!(view.serving("v2"), cells(1, 1));
    pipeline.run("./abort.sh web ").await?.with(0, "", "to take it up again")?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn the_release_script_leaves_a_release_that_took_the_place_of_its_own() -> Result<()> {
    let web = install("ci-other").await?;
    let pipeline = Pipeline::of(&web)?;
    let other =
        r#"[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"example.org/web:v3"}]"#;
    pipeline.check(&format!("#!/bin/sh\nkubectl patch cafedeployment web --type=json -p '{other}'\n"))?;
    pipeline.run(RELEASE).await?.with(3, "", "another release has taken the place of this one")?;
    assert_eq!(web.wait_for_gate("3/1").await?.serving("v3"), cells(1, 1));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn the_release_script_ends_with_3_when_a_group_fails_and_with_1_for_another_container() -> Result<()> {
    let web = install("ci-failed").await?;
    let pipeline = Pipeline::of(&web)?;
    let other = "./release.sh web sidecar example.org/web:v2 true";
    pipeline.run(other).await?.with(1, "", "is sidecar the first container of web?")?;
    let broken = json!({ "spec": {
        "strategy": { "progressDeadlineSeconds": 2 },
        "template": { "metadata": { "annotations": { "sim.cafe.dev/image-pull-error": "true" } } },
    }});
    // A release of its own, which touches no container. The next image takes its place.
    web.patch(broken).await?;
    web.wait_for_gate("2/1").await?;
    pipeline.run("TIMEOUT=60 ./release.sh web app example.org/web:v2 true").await?.with(
        3,
        "",
        "made no progress",
    )?;
    pipeline.run("./rollback.sh web ").await?.with(0, "", "in place of revision")?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn awaiting_tells_the_end_a_gate_a_stop_and_a_pause_apart() -> Result<()> {
    let web = install("ci-await").await?;
    let pipeline = Pipeline::of(&web)?;
    pipeline.run("./await.sh web 60").await?.with(0, "", "")?;
    web.release("v2").await?;
    pipeline.run("./gate.sh web ").await?.with(0, "2/1\n", "condition met")?;
    pipeline.run("./await.sh web 60").await?.with(2, "2/1\n", "")?;
    web.patch(json!({ "spec": { "strategy": { "pause": true } } })).await?;
    web.wait_until("held", |view| view.is_observed() && view.state() == "Paused").await?;
    pipeline.run("./await.sh web 1").await?.with(4, "", "not in time: paused in group 1/3 of revision 2")?;
    web.patch(json!({ "spec": { "strategy": { "pause": null } } })).await?;
    pipeline.run("./rollback.sh web ").await?.with(0, "", "revision 1 serves on 6 of 6 pods")?;
    pipeline.run("./await.sh web 60").await?.with(3, "", "in place of revision 2")?;
    pipeline.run("./await.sh nobody 60").await?.with(1, "", "NotFound")?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn the_restart_script_ends_when_every_pod_is_new_and_never_before() -> Result<()> {
    let web = install("ci-restart").await?;
    let pipeline = Pipeline::of(&web)?;
    let before = uids(&web.look().await?);
    // Pods of the same second are not older than the moment that the script writes.
    pipeline.run("sleep 2 && ./restart.sh web ").await?.with(0, "", "condition met")?;
    let view = web.look().await?;
    assert!(uids(&view).is_disjoint(&before), "{}", view.dump());
    assert_eq!(view.serving("v1"), cells(3, 3));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_wait_for_a_condition_does_not_take_the_answer_to_a_former_spec_but_one_for_a_path_does()
-> Result<()> {
    let web = install("ci-stale").await?;
    web.finish().await?;
    // Nothing is planned any more for what is being deleted, so its status stays behind for as long as the finalizer is there.
    web.patch(json!({ "metadata": { "finalizers": ["example.org/keep"] } })).await?;
    let gone = web.kubectl(&["delete", "cafedeployment", "web", "--wait=false"]).await?;
    ensure!(gone.status.success(), "{}", String::from_utf8_lossy(&gone.stderr));
    web.patch(json!({ "spec": { "replicas": 7 } })).await?;
    let view = web.look().await?;
    ensure!(view.has("Ready", "True") && !view.is_observed(), "{}", view.dump());
    let wait = async |what: &str| web.kubectl(&["wait", "cafedeployment/web", what, "--timeout=2s"]).await;
    let condition = wait("--for=condition=Ready").await?;
    assert!(!condition.status.success(), "{}", String::from_utf8_lossy(&condition.stdout));
    assert!(String::from_utf8_lossy(&condition.stderr).contains("timed out"));
    let path = wait(r#"--for=jsonpath={.status.conditions[?(@.type=="Ready")].status}=True"#).await?;
    assert!(path.status.success(), "{}", String::from_utf8_lossy(&path.stderr));
    web.patch(json!({ "metadata": { "finalizers": null } })).await
}
