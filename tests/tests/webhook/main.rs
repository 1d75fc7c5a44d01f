//! The admission webhook before a real API server: installed by the chart's own manifests, with the chart's own rights, and used by people.
//! The tests take turns: there is one webhook, and some stop it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod ground;
mod rotation;

use anyhow::Result;
use ground::{Ground, manifest};
use serde_json::{Value, json};

#[tokio::test]
async fn a_wrong_token_is_refused_at_once_and_the_answer_names_the_right_one() -> Result<()> {
    let ground = Ground::take().await?;
    let shop = ground.namespace("token").await?;
    shop.create(&manifest("web"))?;
    shop.waits_at_gate("web", "7/2")?;
    let refused =
        shop.patch_as("alice", "web", &json!({ "spec": { "release": { "confirm": "7/3" } } })).unwrap_err();
    assert!(refused.contains("spec.release.confirm") && refused.contains("waits at \"7/2\""), "{refused}");
    shop.patch_as("alice", "web", &json!({ "spec": { "release": { "confirm": "7/2" } } })).unwrap();
    Ok(())
}

#[tokio::test]
async fn all_problems_come_in_one_answer_and_what_is_doubtful_is_a_warning() -> Result<()> {
    let ground = Ground::take().await?;
    let shop = ground.namespace("problems").await?;
    let mut bad = manifest("web");
    bad["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{ "name": "data", "mountPath": "/d" }]);
    bad["spec"]["template"]["spec"]["initContainers"] = json!([{ "name": "app", "image": "a:1" }]);
    let refused = shop.create(&bad).unwrap_err().to_string();
    assert!(
        refused.contains("there is no volume data") && refused.contains("another container has this name"),
        "{refused}"
    );
    shop.create(&manifest("web"))?;
    // A merge patch replaces the whole list of containers.
    let image = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "app", "image": "web:2" }] } } } });
    let told = shop.patch_as("alice", "web", &image).unwrap();
    assert!(told.contains("Warning: container app lost ports with its new image"), "{told}");
    Ok(())
}

#[tokio::test]
async fn orders_bear_the_name_of_who_gave_them_and_nobody_can_write_another_ones() -> Result<()> {
    let ground = Ground::take().await?;
    let shop = ground.namespace("authors").await?;
    shop.create(&manifest("web"))?;
    shop.waits_at_gate("web", "7/2")?;
    let authors = || -> Result<Value> {
        let text = shop.get("web")?["metadata"]["annotations"]["cafe.dev/authors"]
            .as_str()
            .unwrap_or("{}")
            .to_owned();
        Ok(serde_json::from_str(&text)?)
    };
    shop.patch_as("alice", "web", &json!({ "spec": { "release": { "confirm": "7/2" } } })).unwrap();
    let found = authors()?;
    assert_eq!((&found["confirm"]["user"], &found["confirm"]["of"]), (&json!("alice"), &json!("7/2")));
    assert_eq!(found["template"]["user"], "admin");
    let forged = r#"{"confirm":{"user":"root","at":"2026-01-01T00:00:00Z","of":"7/2"}}"#;
    shop.patch_as("eve", "web", &json!({ "metadata": { "annotations": { "cafe.dev/authors": forged } } }))
        .unwrap();
    assert_eq!(authors()?, found, "what eve wrote is put right in the same request");
    shop.patch_as("eve", "web", &json!({ "spec": { "strategy": { "pause": true } } })).unwrap();
    let paused = authors()?;
    assert_eq!((&paused["pause"]["user"], &paused["confirm"]), (&json!("eve"), &found["confirm"]));
    Ok(())
}

#[tokio::test]
async fn orders_pass_while_the_webhook_is_down_and_changes_do_not() -> Result<()> {
    let ground = Ground::take().await?;
    let shop = ground.namespace("down").await?;
    shop.create(&manifest("web"))?;
    shop.waits_at_gate("web", "7/2")?;
    shop.patch_as("alice", "web", &json!({ "spec": { "release": { "confirm": "7/2" } } })).unwrap();
    ground.stop()?;
    for order in [
        json!({ "spec": { "strategy": { "pause": true } } }),
        json!({ "spec": { "release": { "abort": "7", "confirm": "7/3" } } }),
        json!({ "spec": { "release": { "rollback": { "abandon": 7, "to": 6 } } } }),
        json!({ "spec": { "replicas": 6 } }),
    ] {
        shop.patch_as("eve", "web", &order).unwrap();
    }
    let authors: Value = serde_json::from_str(
        shop.get("web")?["metadata"]["annotations"]["cafe.dev/authors"].as_str().unwrap(),
    )?;
    assert_eq!(authors["confirm"]["of"], "7/2", "the stamp is for the order before, and so for none");
    let image =
        json!([{ "op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "web:2" }]);
    let forged = json!({ "metadata": { "annotations": { "cafe.dev/authors": "{}" } } });
    let batch = json!({ "spec": { "strategy": { "batchSize": 3 } } });
    assert!(shop.json_patch_as("alice", "web", &image).unwrap_err().contains("change.cafe.dev"));
    assert!(shop.patch_as("eve", "web", &forged).unwrap_err().contains("change.cafe.dev"));
    assert!(shop.patch_as("alice", "web", &batch).unwrap_err().contains("change.cafe.dev"));
    ground.start().await?;
    shop.patch_as("alice", "web", &batch).unwrap();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_lost_is_made_anew_and_no_replica_is_refused_meanwhile() -> Result<()> {
    let ground = Ground::take().await?;
    let pair = ground.start_two().await?;
    let before = ground.certificate()?;
    ground.kubectl(&["delete", "secret", "cafe-webhook-certificate", "-n", "cafe-system"])?;
    let refused = std::cell::Cell::new(0);
    let changed = || {
        refused.set(refused.get() + usize::from(!ground.answers()));
        Ok(ground.certificate()? != before)
    };
    ground.until("another authority is trusted", changed).await?;
    assert!(ground.certificate()?.ends_with(&before), "beside the one before");
    for _ in 0..6 {
        assert!(ground.answers(), "both replicas are believed");
    }
    assert_eq!(refused.get(), 0);
    drop(pair);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_replicas_one_may_die_and_requests_go_on() -> Result<()> {
    let ground = Ground::take().await?;
    let before = ground.certificate()?;
    let pair = ground.start_two().await?;
    let shop = ground.namespace("two").await?;
    assert_eq!(ground.certificate()?, before, "both serve what the Secret holds");
    for n in 0..4 {
        shop.create(&manifest(&format!("both-{n}")))?;
    }
    pair.kill(0)?;
    for n in 0..6 {
        shop.create(&manifest(&format!("one-{n}")))?;
    }
    Ok(())
}

#[tokio::test]
async fn who_edits_a_unit_by_hand_is_told_whose_it_is() -> Result<()> {
    let ground = Ground::take().await?;
    let shop = ground.namespace("unit").await?;
    shop.create(&manifest("web"))?;
    let owner = shop.get("web")?["metadata"]["uid"].clone();
    let mut set = manifest("web-default");
    set["kind"] = json!("InPlaceSet");
    set["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "cafe.dev/v1alpha1", "kind": "CafeDeployment", "name": "web", "uid": owner, "controller": true,
    }]);
    shop.create(&set)?;
    let told = shop.kubectl_as(
        "alice",
        &["patch", "ips", "web-default", "--type=merge", "-p", r#"{"spec":{"replicas":3}}"#],
    );
    assert!(told.unwrap().contains("CafeDeployment web owns this InPlaceSet"));
    Ok(())
}
