//! A release past a protector that holds every drain until it has answered this very drain.

use std::collections::HashSet;

use anyhow::Result;
use cafe_tests::scenario::{Gate, Kind, Pod, View, Workload, merge};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::one_by_one;
use crate::story::{End, Story};

const LOCK: &str = "protect.cafe.dev/balancer";

pub(crate) struct Protector;

impl Story for Protector {
    const NAME: &'static str = "protector";

    fn manifest() -> Value {
        let mut manifest = one_by_one(2);
        let fields = json!({ "spec": {
            "strategy": { "needWaitingForConfirm": false },
            "traffic": { "protectors": ["balancer"] },
        }});
        merge(&mut manifest, &fields);
        manifest
    }

    async fn play(web: &Workload) -> Result<()> {
        web.release("v2").await?;
        web.wait_until_settled().await?;
        Ok(())
    }

    async fn beside(web: &Workload) -> Result<()> {
        Balancer { web, acted_on: HashSet::new() }.run().await
    }

    fn check(end: &End) -> Result<()> {
        end.serves("v2", 2, 2)?;
        end.has_revisions(&[1, 2])?;
        end.same_pods(1)
    }
}

/// The controller of a load balancer, which lives on.
struct Balancer<'a> {
    web: &'a Workload,
    /// Versions of pods that it has acted on: one that is seen twice is an old one.
    acted_on: HashSet<String>,
}

/// What it wants to write next.
enum Wish {
    /// The finalizer comes first: it says "I may route to this pod".
    Lock,
    Registered,
    /// The answer to the drain with this reason.
    Drained(String),
}

impl Balancer<'_> {
    async fn run(mut self) -> Result<()> {
        loop {
            let due = |view: &View| view.pods().any(|pod| self.wish(pod).is_some());
            let view = self.web.wait_until("something to protect", due).await?;
            for pod in view.pods() {
                let Some(wish) = self.wish(pod) else { continue };
                self.acted_on.insert(version(pod).to_owned());
                self.act(pod, wish).await?;
            }
        }
    }

    fn wish(&self, pod: Pod<'_>) -> Option<Wish> {
        if pod.is_terminating() || self.acted_on.contains(version(pod)) {
            return None;
        }
        let answer = said(pod);
        match pod.gate() {
            Gate::True if !is_locked(pod) => Some(Wish::Lock),
            Gate::True if answer != ("True", "Registered") => Some(Wish::Registered),
            Gate::False(reason) if is_locked(pod) && answer != ("False", &reason) => {
                Some(Wish::Drained(reason))
            }
            _ => None,
        }
    }

    /// Writes on the version that the wish is about. A conflict means: look again.
    async fn act(&self, pod: Pod<'_>, wish: Wish) -> Result<()> {
        let metadata = json!({ "resourceVersion": version(pod) });
        let (status, reason) = match wish {
            Wish::Lock => ("", String::new()),
            Wish::Registered => ("True", "Registered".to_owned()),
            Wish::Drained(reason) => ("False", reason),
        };
        let (api, params) = (self.web.api(Kind::Pod), PatchParams::default());
        let answer = if status.is_empty() {
            let mut patch = json!({ "metadata": metadata });
            merge(&mut patch, &json!({ "metadata": { "finalizers": [LOCK] } }));
            api.patch(pod.name(), &params, &Patch::Strategic(patch)).await
        } else {
            let condition = json!({ "type": LOCK, "status": status, "reason": reason });
            let patch = json!({ "metadata": metadata, "status": { "conditions": [condition] } });
            api.patch_status(pod.name(), &params, &Patch::Strategic(patch)).await
        };
        match answer {
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            answer => Ok(answer.map(drop)?),
        }
    }
}

fn version(pod: Pod<'_>) -> &str {
    pod.0.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default()
}

fn is_locked(pod: Pod<'_>) -> bool {
    let finalizers = pod.0.pointer("/metadata/finalizers").and_then(Value::as_array);
    finalizers.is_some_and(|all| all.iter().any(|finalizer| finalizer == LOCK))
}

/// Status and reason of its condition.
fn said(pod: Pod<'_>) -> (&str, &str) {
    let conditions = pod.0.pointer("/status/conditions").and_then(Value::as_array);
    let condition = conditions.into_iter().flatten().find(|c| c.get("type").is_some_and(|kind| kind == LOCK));
    let of = |field| condition.and_then(|c| c.get(field)).and_then(Value::as_str).unwrap_or_default();
    (of("status"), of("reason"))
}
