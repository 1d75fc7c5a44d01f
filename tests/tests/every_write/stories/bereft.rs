//! Owner references are taken off by hand, of everything, and put back by adoption.

use anyhow::{Context, Result};
use cafe_tests::scenario::{Kind, View, Workload};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::one_by_one;
use crate::story::{End, Story};

pub(crate) struct Bereft;

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
                api.patch(&name, &PatchParams::default(), &nobody).await?;
            }
        }
        let owned = |object: &Value| object.pointer("/metadata/ownerReferences/0").is_some();
        let all_owned = |view: &View| {
            let mut all = view.sets.iter().chain(&view.pods).chain(&view.revisions);
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
