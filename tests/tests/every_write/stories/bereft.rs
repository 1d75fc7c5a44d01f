//! Owner references are taken off by hand, of everything, and put back by adoption.

use anyhow::{Context, Result};
use cafe_tests::scenario::{Kind, View, Workload};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::one_by_one;
use crate::story::{End, Story};

pub(crate) struct Bereft;

/// A set that stands alone for a moment makes a revision of its own, which is of no use once it has its owner again.
fn is_of_a_set(kind: Kind, name: &str) -> bool {
    kind == Kind::Revision && name.starts_with("web-cell")
}

impl Story for Bereft {
    const NAME: &'static str = "bereft";

    fn manifest() -> Value {
        one_by_one(4)
    }

    async fn play(web: &Workload) -> Result<()> {
        let nobody = Patch::Merge(json!({ "metadata": { "ownerReferences": null } }));
        for kind in [Kind::Set, Kind::Pod, Kind::Revision] {
            let api = web.api(kind);
            for object in api.list(&ListParams::default()).await? {
                let name = object.metadata.name.context("an object without a name")?;
                if is_of_a_set(kind, &name) {
                    continue;
                }
                api.patch(&name, &PatchParams::default(), &nobody).await?;
            }
        }
        let owned = |object: &Value| object.pointer("/metadata/ownerReferences/0").is_some();
        let of_deployment = |object: &Value| {
            let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            !is_of_a_set(Kind::Revision, name)
        };
        let all_owned = |view: &View| {
            let revisions = view.revisions.iter().filter(|revision| of_deployment(revision));
            let mut all = view.sets.iter().chain(&view.pods).chain(revisions);
            view.is_settled() && view.pods.len() == 4 && all.all(|object| owned(object))
        };
        web.wait_until("adopted", all_owned).await?;
        Ok(())
    }

    fn check(end: &End) -> Result<()> {
        end.serves("v1", 4, 4)?;
        end.has_revisions(&[1])?;
        end.same_pods(0)
    }
}
