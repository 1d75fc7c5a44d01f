//! What Cafe needs in the cluster: its CRDs, its namespace, and an account with exactly the rights it uses.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};

use super::control_plane::ControlPlane;
use super::kubeconfig::Credentials;

const NAMESPACE: &str = "cafe-system";
const ACCOUNT: &str = "cafe-controller";
const RIGHTS: &str = include_str!("rbac.yaml");
/// The rules of the chart, and where they go in the manifest.
const RULES: [(&str, &str); 3] = [
    ("{WORKLOADS}", include_str!("../../../charts/cafe/files/rules/workloads.yaml")),
    ("{CLUSTER}", include_str!("../../../charts/cafe/files/rules/cluster.yaml")),
    ("{LEASE}", include_str!("../../../charts/cafe/files/rules/lease.yaml")),
];
const FIELD_MANAGER: &str = "cafe-bed";
/// Long enough for a bed that stays up for months.
const TOKEN_SECONDS: i64 = 365 * 24 * 3600;
const POLL: Duration = Duration::from_millis(20);

/// The user in the controller's kubeconfig, and so its file name.
pub(super) const CONTROLLER_USER: &str = "controller";

/// Applies everything; doing so again changes nothing.
pub(super) async fn ensure(client: &Client, plane: &ControlPlane<'_>) -> Result<()> {
    let definitions = crds()?;
    for object in &definitions {
        apply(client, object).await?;
    }
    let fill = |text: String, (place, rules): (&str, &str)| text.replace(place, rules);
    let rights = RULES.into_iter().fold(RIGHTS.to_owned(), fill);
    for object in documents(&rights)? {
        apply(client, &object).await?;
    }
    for object in &definitions {
        wait_until_served(client, object).await?;
    }
    if !plane.kubeconfig(CONTROLLER_USER).exists() {
        let token = token(client, NAMESPACE, ACCOUNT).await?;
        plane.write_kubeconfig(CONTROLLER_USER, &Credentials::Token(&token))?;
    }
    Ok(())
}

fn crds() -> Result<Vec<DynamicObject>> {
    let definitions = cafe_crds::generate::definitions();
    definitions
        .iter()
        .map(|definition| Ok(serde_json::from_value(serde_json::to_value(definition)?)?))
        .collect()
}

pub(super) fn documents(text: &str) -> Result<Vec<DynamicObject>> {
    Ok(serde_saphyr::from_multiple(text)?)
}

fn api(client: &Client, object: &DynamicObject) -> Result<Api<DynamicObject>> {
    let types = object.types.as_ref().context("an object without apiVersion and kind")?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(types)?);
    Ok(match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    })
}

pub(super) async fn apply(client: &Client, object: &DynamicObject) -> Result<()> {
    let name = object.metadata.name.as_deref().context("an object without a name")?;
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api(client, object)?
        .patch(name, &params, &Patch::Apply(object))
        .await
        .with_context(|| format!("cannot apply {name}"))?;
    Ok(())
}

async fn wait_until_served(client: &Client, definition: &DynamicObject) -> Result<()> {
    let name = definition.metadata.name.as_deref().unwrap_or_default();
    let api = api(client, definition)?;
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let found = api.get(name).await?;
        let conditions = found.data.pointer("/status/conditions").and_then(|value| value.as_array());
        let is_served = |condition: &serde_json::Value| {
            condition.get("type").is_some_and(|value| value == "Established")
                && condition.get("status").is_some_and(|value| value == "True")
        };
        if conditions.is_some_and(|conditions| conditions.iter().any(is_served)) {
            return Ok(());
        }
        if Instant::now() >= end {
            bail!("the API server does not serve {name}: {:?}", found.data.get("status"));
        }
        tokio::time::sleep(POLL).await;
    }
}

pub(super) async fn token(client: &Client, namespace: &str, account: &str) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await?;
    answer.status.and_then(|status| status.token).context("the API server issued no token")
}
