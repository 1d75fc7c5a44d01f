//! `kubectl edit` with an editor that is a script, as a person would use it.

use serde_json::{Value, json};

use super::ground::{Ground, Said};
use super::objects::{deployment, put};

fn edit(ground: &Ground, script: &str) -> Said {
    let editor = format!("sed -i '{script}'");
    ground.try_kubectl(&["edit", "cafed", "web"], &[("KUBE_EDITOR", &editor)], "")
}

async fn waiting(ground: &Ground, token: &str) -> Value {
    ground
        .until("CafeDeployment", "web", "waiting at the gate", |d| {
            d["status"]["release"]["state"] == "WaitingForConfirmation"
                && d["status"]["release"]["confirmToken"] == token
                && d["status"]["phase"] == "Waiting"
        })
        .await
}

#[tokio::test]
async fn an_operator_edits_the_image_and_confirms_gate_by_gate() {
    let ground = Ground::new("edit").await;
    ground.apply(&deployment(6));
    ground.until_healthy("web", 6).await;

    // `s/...:1$/...:2/` on the container's line, and nothing in the annotation of `kubectl apply`.
    let said = edit(&ground, r"s|image: example.org/web:1$|image: example.org/web:2|");
    assert!(said.succeeded && said.stdout.contains("edited"), "{said:?}");
    let beta = waiting(&ground, "2/1").await;
    assert_eq!(beta["status"]["updatedReplicas"], 2, "one pod in each cell");
    assert!(beta["status"]["message"].as_str().unwrap().contains("2/1"), "{}", beta["status"]["message"]);

    let said = edit(&ground, r#"s|^spec:$|spec:\n  release:\n    confirm: "2/1"|"#);
    assert!(said.succeeded, "{said:?}");
    let second = waiting(&ground, "2/2").await;
    assert_eq!(second["status"]["updatedReplicas"], 4);
    assert_eq!(second["status"]["release"]["confirmedThrough"], 1);

    let said = edit(&ground, "s|confirm: 2/1|confirm: 2/2|");
    assert!(said.succeeded, "{said:?}");
    let done = ground.until_healthy("web", 6).await;
    assert_eq!(done["status"]["updatedReplicas"], 6);
    assert_eq!(done["status"]["release"]["state"], "Completed");
    assert_eq!(done["status"]["release"].get("confirmToken"), None, "nothing is left to confirm");
    assert_eq!(done["spec"]["release"], json!({ "confirm": "2/2" }), "the controller does not touch it");
}

#[tokio::test]
async fn an_edit_that_is_refused_says_why_and_changes_nothing() {
    let ground = Ground::new("edit").await;
    ground.apply(&deployment(0));
    let before = ground.get("CafeDeployment", "web").await;
    let said = edit(&ground, "s|^    batchSize: 2$|    batchSize: 0|");
    assert!(!said.succeeded, "{said:?}");
    let words = format!("{}{}", said.stdout, said.stderr);
    // kubectl gives the words in the file it opens again, or on the terminal.
    assert!(words.contains("invalid") || words.contains("Edit cancelled"), "{said:?}");
    assert_eq!(ground.get("CafeDeployment", "web").await["spec"], before["spec"]);
}

#[tokio::test]
async fn a_token_written_together_with_the_template_opens_nothing() {
    let ground = Ground::new("edit").await;
    let mut object = deployment(4);
    ground.apply(&object);
    ground.until_healthy("web", 4).await;
    put(&mut object, "/spec/release", json!({ "confirm": "2/all" }));
    put(&mut object, "/spec/template/spec/containers/0/image", json!("example.org/web:2"));
    ground.apply(&object);
    // Numbers start above every number that an order names, so nobody confirms what nobody has seen.
    let beta = waiting(&ground, "3/1").await;
    assert_eq!(beta["status"]["updatedReplicas"], 2);
    put(&mut object, "/spec/release", json!({ "confirm": "3/all" }));
    ground.apply(&object);
    let done = ground.until_healthy("web", 4).await;
    assert_eq!(done["status"]["release"]["state"], "Completed");
    assert_eq!(done["status"]["updatedReplicas"], 4);
}
