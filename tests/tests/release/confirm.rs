use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use cafe_tests::scenario::{Workload, bed, merge, web};
use serde_json::{Value, json};

use crate::cells;

/// `web`, four gates long.
fn in_five_groups() -> Value {
    let mut manifest = web(10);
    merge(&mut manifest, &json!({ "spec": { "strategy": { "batchSize": 2 } } }));
    manifest
}

#[tokio::test]
async fn a_gate_opens_by_kubectl_edit_by_patch_and_by_server_side_apply() -> Result<()> {
    let web = Workload::install(bed().await?, "confirm", &in_five_groups()).await?;
    web.release("v2").await?;

    web.wait_for_gate("2/1").await?;
    let mut editor = tempfile::Builder::new().suffix(".sh").tempfile()?;
    write!(editor, "#!/bin/sh\nsed -i 's|^spec:|spec:\\n  release:\\n    confirm: \"2/1\"|' \"$1\"\n")?;
    let editor = editor.into_temp_path();
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755))?;
    let edited = web.edit(&editor.display().to_string()).await?;
    ensure!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));

    assert_eq!(web.wait_for_gate("2/2").await?.serving("v2"), cells(2, 2));
    let patch = r#"{"spec":{"release":{"confirm":"2/2"}}}"#;
    let patched = web.kubectl(&["patch", "cafedeployment", "web", "--type=merge", "--patch", patch]).await?;
    ensure!(patched.status.success(), "{}", String::from_utf8_lossy(&patched.stderr));

    assert_eq!(web.wait_for_gate("2/3").await?.serving("v2"), cells(3, 3));
    // Another manager takes the field over, as a pipeline does after a person.
    web.patch(json!({ "spec": { "release": null } })).await?;
    web.apply("pipeline", json!({ "release": { "confirm": "2/3" } })).await?;

    assert_eq!(web.wait_for_gate("2/4").await?.serving("v2"), cells(4, 4));
    web.apply("pipeline", json!({ "release": { "confirm": "2/4" } })).await?;
    web.wait_until_settled().await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn fifty_confirmations_at_once_open_one_gate_once() -> Result<()> {
    let web = Workload::install(bed().await?, "fifty", &web(10)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    let all = (0..50).map(|_| web.confirm("2/1"));
    futures::future::try_join_all(all).await?;
    let view = web.wait_for_gate("2/2").await?;
    assert_eq!(view.serving("v2"), cells(3, 3));
    web.confirm("2/1").await?;
    let window = std::time::Duration::from_millis(500);
    web.stays("at gate 2/2", window, |view| view.group() == 2).await?;
    let confirmed = web.watcher().events().iter().filter(|(reason, _)| reason == "Confirmed").count();
    assert_eq!(confirmed, 1);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn all_opens_every_gate_of_its_revision_and_of_no_other() -> Result<()> {
    let web = Workload::install(bed().await?, "all", &in_five_groups()).await?;
    web.release("v2").await?;
    web.confirm("2/all").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!((view.serving("v2"), view.group()), (cells(5, 5), 5));
    web.release("v3").await?;
    assert_eq!(web.wait_for_gate("3/1").await?.serving("v3"), cells(1, 1));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_token_of_another_release_or_gate_opens_nothing_and_is_told_once() -> Result<()> {
    let web = Workload::install(bed().await?, "ignored", &web(6)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    let is_ignored = |token: &str| {
        let needle = format!("\"{token}\"");
        let told = web.watcher().events();
        told.iter().filter(|(reason, note)| reason == "ConfirmIgnored" && note.contains(&needle)).count()
    };
    // Of the release before, of a gate to come, of a revision that nobody has seen, all of it with "all".
    for token in ["1/1", "2/2", "2/17", "7/1", "1/all", "7/all"] {
        web.confirm(token).await?;
        let told = |view: &cafe_tests::scenario::View| view.is_observed() && is_ignored(token) > 0;
        web.wait_until(&format!("told that {token} is ignored"), told).await?;
        let view = web.look().await?;
        assert!(view.waits_at("2/1"), "{token}: {}", view.message());
        assert_eq!(view.serving("v2"), cells(1, 1), "{token}");
    }
    for token in ["1/1", "7/1"] {
        web.confirm(token).await?;
        web.wait_until("observed", cafe_tests::scenario::View::is_observed).await?;
        assert_eq!(is_ignored(token), 1, "{token} is told once");
    }
    web.confirm("2/1").await?;
    web.wait_until_settled().await?;
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_malformed_token_is_refused_with_the_right_form_or_opens_nothing() -> Result<()> {
    let web = Workload::install(bed().await?, "malformed", &web(4)).await?;
    web.release("v2").await?;
    web.wait_for_gate("2/1").await?;
    for token in [
        "",
        "2",
        "2/",
        "/1",
        "yes",
        "2/1 ",
        " 2/1",
        "2/ALL",
        "2/01",
        "02/1",
        "2/1/1",
        "2/-1",
        "v2/1",
        "\u{ff12}/1",
    ] {
        match web.confirm(token).await {
            Err(error) => {
                assert!(format!("{error:#}").contains("spec.release.confirm"), "{token:?}: {error:#}");
            }
            Ok(()) => {
                let view = web.wait_until("observed", cafe_tests::scenario::View::is_observed).await?;
                assert!(view.waits_at("2/1"), "{token:?} opened the gate");
            }
        }
    }
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn an_early_token_opens_its_gate_on_arrival_if_it_is_still_there() -> Result<()> {
    let web = Workload::install(bed().await?, "early", &in_five_groups()).await?;
    web.release_with("v2", &[("restart", "300ms")]).await?;
    web.wait_for_gate("2/1").await?;
    web.confirm("2/1").await?;
    web.wait_until("in group 2", |view| view.group() == 2).await?;
    web.confirm("2/2").await?;
    let view = web.wait_for_gate("2/3").await?;
    assert_eq!(view.serving("v2"), cells(3, 3));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn revisions_are_numbered_above_every_number_that_a_token_names() -> Result<()> {
    let web = Workload::install(bed().await?, "numbers", &web(2)).await?;
    web.confirm("40/all").await?;
    web.wait_until("observed", cafe_tests::scenario::View::is_observed).await?;
    web.release("v2").await?;
    // Two pods, one in each unit: the beta group is all there is, and the last group has no gate.
    let view = web.wait_until_settled().await?;
    assert_eq!(view.revision(), 41);
    web.finish().await?;
    Ok(())
}
