//! Whether the CustomResourceDefinitions in the cluster have every field that this binary writes and reads.
//!
//! The API server cuts off what a definition does not know, so a program on top of older ones would forget what it writes. They are read
//! from the API server's OpenAPI document, which every account may read; the definitions themselves are for the cluster's admins.

use std::collections::BTreeMap;

use cafe_crds::names::{GROUP, VERSION};
use kube::Client;
use serde::Deserialize;
use tokio::time::Instant;

use crate::{PAUSE, SETTLING};

/// The fields of the definitions that this program was built with, parents first. To read the definitions themselves would be most of a start.
const OURS: &str = include_str!("definitions/fields.txt");
/// How many missing fields are named.
const NAMED: usize = 8;

/// Why the definitions do not do.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionsError {
    /// They are not there.
    #[error(
        "the cluster does not serve {GROUP}/{VERSION}: install the definitions with kubectl apply --server-side -f charts/cafe/files/crds, or with \
         the chart (crds.install=true)"
    )]
    NotServed,
    /// Fields are missing.
    #[error(
        "the definitions in the cluster are older than this program: they lack {0}; bring them up to date with kubectl apply --server-side \
         --force-conflicts -f charts/cafe/files/crds, or with the chart (crds.install=true), and start again"
    )]
    Older(String),
}

/// A schema, as far as names of fields go.
#[derive(Debug, Default, Deserialize)]
struct Schema {
    #[serde(default)]
    properties: BTreeMap<String, Schema>,
    items: Option<Box<Schema>>,
    #[serde(default, rename = "x-kubernetes-group-version-kind")]
    kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    group: String,
    kind: String,
}

#[derive(Deserialize)]
struct Document {
    components: Components,
}

#[derive(Deserialize)]
struct Components {
    schemas: BTreeMap<String, Schema>,
}

/// Returns when the definitions in the cluster have all that this binary needs. What was installed a moment ago is waited for.
///
/// # Errors
/// They are missing or older for good.
pub async fn require(client: &Client) -> Result<(), DefinitionsError> {
    let end = Instant::now() + SETTLING;
    loop {
        let error = match look(client).await {
            Ok(lacking) if lacking.is_empty() => return Ok(()),
            Ok(lacking) => DefinitionsError::Older(told(&lacking)),
            Err(kube::Error::Api(status)) if status.is_not_found() => DefinitionsError::NotServed,
            // A server that is busy or starting answers the next time.
            Err(error) if !is_hidden(&error) && Instant::now() < end => {
                tracing::warn!(error = &error as &dyn std::error::Error, "waits for the OpenAPI document");
                tokio::time::sleep(PAUSE * 4).await;
                continue;
            }
            Err(error) => {
                // Some clusters hide it. The schema is then what the installation says.
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "cannot read the OpenAPI document: the definitions are taken for current"
                );
                return Ok(());
            }
        };
        if Instant::now() >= end {
            return Err(error);
        }
        tracing::warn!(problem = %error, "waits for the definitions");
        tokio::time::sleep(PAUSE * 4).await;
    }
}

/// Whether the server does not show the document to this client, now or later.
fn is_hidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403))
}

async fn look(client: &Client) -> kube::Result<Vec<String>> {
    let request = http::Request::get(format!("/openapi/v3/apis/{GROUP}/{VERSION}")).body(Vec::new());
    let request = request.map_err(kube::Error::HttpError)?;
    let document: Document = client.request(request).await?;
    Ok(lacking(&document))
}

/// Every field of ours that the document does not have. Only the highest of a branch that is missing is named.
fn lacking(document: &Document) -> Vec<String> {
    let mut missing: Vec<String> = Vec::new();
    for field in OURS.lines().filter(|line| !line.starts_with('#')) {
        let path = field.replace("[]", ".[]");
        let (kind, path) = path.split_once('.').unwrap_or((&path, ""));
        let below = missing.last().and_then(|parent| field.strip_prefix(parent.as_str()));
        if below.is_some_and(|rest| rest.starts_with(['.', '['])) {
            continue;
        }
        match document.schema(kind) {
            None => missing.push(kind.to_owned()),
            Some(schema) if !schema.has(path) => missing.push(field.to_owned()),
            Some(_) => {}
        }
    }
    missing
}

impl Document {
    fn schema(&self, kind: &str) -> Option<&Schema> {
        let is_it = |schema: &&Schema| schema.kinds.iter().any(|k| k.group == GROUP && k.kind == kind);
        self.components.schemas.values().find(is_it)
    }
}

impl Schema {
    /// Whether it has what is below `path`, in which `[]` stands for the items of a list.
    fn has(&self, path: &str) -> bool {
        let mut names = path.split('.');
        let found = names.try_fold(self, |schema, name| match name {
            "[]" => schema.items.as_deref(),
            name => schema.properties.get(name),
        });
        found.is_some()
    }
}

fn told(missing: &[String]) -> String {
    let mut text = missing.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if let Some(more) = missing.len().checked_sub(NAMED).filter(|more| *more > 0) {
        text = format!("{text} and {more} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What an API server publishes of our own definitions.
    fn published() -> Value {
        let mut schemas = serde_json::Map::new();
        for definition in cafe_crds::generate::definitions() {
            let schema = definition.spec.versions[0].schema.clone().unwrap().open_api_v3_schema;
            let mut schema = serde_json::to_value(schema).unwrap();
            let kind = &definition.spec.names.kind;
            schema["x-kubernetes-group-version-kind"] =
                json!([{ "group": GROUP, "kind": kind, "version": VERSION }]);
            schemas.insert(format!("dev.cafe.v1alpha1.{kind}"), schema);
        }
        json!({ "components": { "schemas": schemas } })
    }

    fn lacks(document: Value) -> Vec<String> {
        lacking(&serde_json::from_value(document).unwrap())
    }

    #[test]
    fn our_own_definitions_have_all_and_a_field_taken_away_is_named() {
        assert_eq!(lacks(published()), Vec::<String>::new());
        let mut older = published();
        let schemas = &mut older["components"]["schemas"];
        let deployment = &mut schemas["dev.cafe.v1alpha1.CafeDeployment"]["properties"];
        deployment["spec"]["properties"].as_object_mut().unwrap().remove("restartAt");
        let groups = "/status/properties/release/properties/groups/items/properties";
        deployment.pointer_mut(groups).unwrap().as_object_mut().unwrap().remove("units");
        schemas.as_object_mut().unwrap().remove("dev.cafe.v1alpha1.CafeRelease");
        let found = lacks(older);
        assert_eq!(
            found,
            ["CafeDeployment.spec.restartAt", "CafeDeployment.status.release.groups[].units", "CafeRelease"]
        );
        assert_eq!(told(&vec!["a".to_owned(); 10]), "a, a, a, a, a, a, a, a and 2 more");
    }

    #[test]
    fn newer_definitions_do() {
        let mut newer = published();
        newer["components"]["schemas"]["dev.cafe.v1alpha1.InPlaceSet"]["properties"]["spec"]["properties"]
            ["future"] = json!({ "type": "string" });
        assert_eq!(lacks(newer), Vec::<String>::new());
    }
}
