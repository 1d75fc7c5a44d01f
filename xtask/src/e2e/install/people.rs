//! A person with the cluster's edit role, who uses kubectl.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::super::play::Play;

/// As the API server calls them.
pub(super) const PERSON: &str = "alice";
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// Lets the person edit in the workload's namespace, by a role that the chart extends to the kinds of Cafe.
pub(super) async fn admit(play: &Play) -> Result<()> {
    let user = format!("--user={PERSON}");
    kubectl(play, &["create", "rolebinding", "people", "--clusterrole=edit", &user]).await?;
    wait_for_rights(play).await
}

/// The control plane adds what the chart brings to the edit role, and takes it away when the chart goes.
pub(super) async fn wait_for_rights(play: &Play) -> Result<()> {
    let can = async {
        while kubectl(play, &["auth", "can-i", "patch", "cafedeployments", "--as", PERSON]).await.is_err() {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(PATIENCE, can).await.context("the edit role does not cover CafeDeployments")
}

/// The person confirms a gate.
pub(super) async fn by_hand(play: &Play, token: &str) -> Result<()> {
    let order = json!({ "spec": { "release": { "confirm": token } } }).to_string();
    kubectl(play, &["patch", "cafedeployment", "web", "--type=merge", "-p", &order, "--as", PERSON])
        .await
        .map(drop)
}

/// The record of a release that has ended.
pub(super) async fn record(play: &Play, name: &str) -> Result<Value> {
    let name = format!("caferelease/{name}");
    kubectl(play, &["wait", &name, "--for=jsonpath={.status.state}=Completed", "--timeout=30s"]).await?;
    Ok(serde_json::from_str(&kubectl(play, &["get", &name, "-o", "json"]).await?)?)
}

async fn kubectl(play: &Play, args: &[&str]) -> Result<String> {
    let output = play.workload.kubectl(args).await?;
    ensure!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
