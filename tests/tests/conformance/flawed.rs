//! Small protectors for the test of the conformance test: a good one, and some with one fault each. The balancer is a file.
//!
//! `flawed-protector FAULT FILE`
#![allow(clippy::indexing_slicing)] // A program of the tests.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    RegistersFirst,
    IgnoresOp,
    TakesAllFinalizers,
    AnswersEarly,
    KeepsDeleted,
    LocksBlindly,
    ForgetsThePast,
    Polls,
}

impl Fault {
    fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "none" => Self::None,
            "registers-first" => Self::RegistersFirst,
            "ignores-op" => Self::IgnoresOp,
            "takes-all-finalizers" => Self::TakesAllFinalizers,
            "answers-early" => Self::AnswersEarly,
            "keeps-deleted" => Self::KeepsDeleted,
            "locks-blindly" => Self::LocksBlindly,
            "forgets-the-past" => Self::ForgetsThePast,
            "polls" => Self::Polls,
            _ => bail!("there is no fault {name}"),
        })
    }
}

struct Protector {
    fault: Fault,
    table: PathBuf,
    pods: Api<Pod>,
    lock: String,
    label: (String, String),
}

#[allow(clippy::disallowed_methods)] // A program of the tests: its only caller sets these.
fn setting(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let fault = Fault::named(&args.next().context("which fault?")?)?;
    let table = args.next().context("which file?")?.into();
    let client = Client::try_from(Config::infer().await?)?;
    let selector = setting("PROTECTOR_SELECTOR")?;
    let (key, value) = selector.split_once('=').context("no selector")?;
    let protector = Protector {
        fault,
        table,
        pods: Api::namespaced(client, &setting("PROTECTOR_NAMESPACE")?),
        lock: format!("protect.cafe.dev/{}", setting("PROTECTOR_NAME")?),
        label: (key.to_owned(), value.to_owned()),
    };
    if fault == Fault::Polls {
        let pods = protector.pods.clone();
        tokio::spawn(async move {
            loop {
                pods.list(&ListParams::default()).await.ok();
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
    }
    protector.run().await
}

impl Protector {
    async fn run(&self) -> Result<()> {
        let mut events = watcher::watcher(self.pods.clone(), watcher::Config::default()).boxed();
        let mut listed = BTreeSet::new();
        while let Some(event) = events.next().await {
            let pod = match event {
                Ok(Event::Apply(pod)) => pod,
                Ok(Event::InitApply(pod)) => {
                    listed.extend(address(&pod));
                    if self.fault == Fault::ForgetsThePast {
                        continue;
                    }
                    pod
                }
                Ok(Event::InitDone) => {
                    self.edit(|table| table.retain(|address| listed.contains(address)))?;
                    continue;
                }
                Ok(Event::Delete(pod)) => {
                    self.remove(&pod)?;
                    continue;
                }
                _ => continue,
            };
            // A conflict, or a refusal: the next version of the pod brings it up again.
            if let Err(error) = self.deal(&pod).await {
                eprintln!("{error:#}");
            }
        }
        Ok(())
    }

    async fn deal(&self, pod: &Pod) -> Result<()> {
        if self.wants(pod) { self.admit(pod).await } else { self.expel(pod).await }
    }

    fn is_ours(&self, pod: &Pod) -> bool {
        let labels = pod.metadata.labels.as_ref();
        labels.is_some_and(|labels| labels.get(&self.label.0) == Some(&self.label.1))
    }

    fn wants(&self, pod: &Pod) -> bool {
        let is_true = |kind| condition(pod, kind).is_some_and(|condition| condition.status == "True");
        self.is_ours(pod)
            && is_true("cafe.dev/serving")
            && is_true("ContainersReady")
            && pod.metadata.deletion_timestamp.is_none()
            && address(pod).is_some()
    }

    fn is_locked(&self, pod: &Pod) -> bool {
        pod.metadata.finalizers.iter().flatten().any(|finalizer| *finalizer == self.lock)
    }

    async fn admit(&self, pod: &Pod) -> Result<()> {
        if self.fault == Fault::RegistersFirst {
            self.add(pod)?;
        }
        let locked;
        let pod = if self.is_locked(pod) {
            pod
        } else {
            let all: Vec<&String> = pod.metadata.finalizers.iter().flatten().collect();
            let patch = match self.fault {
                Fault::TakesAllFinalizers if !all.is_empty() => {
                    Patch::Merge(json!({ "metadata": { "finalizers": [self.lock] } }))
                }
                Fault::LocksBlindly => Patch::Strategic(json!({ "metadata": { "finalizers": [self.lock] } })),
                _ => Patch::Strategic(versioned(pod, json!({ "finalizers": [self.lock] }))),
            };
            locked = self.pods.patch(name(pod), &PatchParams::default(), &patch).await?;
            &locked
        };
        if !self.wants(pod) {
            return self.expel(pod).await;
        }
        self.add(pod)?;
        self.say(pod, "True", "Registered").await
    }

    async fn expel(&self, pod: &Pod) -> Result<()> {
        let early = self.fault == Fault::AnswersEarly && pod.metadata.deletion_timestamp.is_none();
        if !early {
            self.remove(pod)?;
        }
        let reason = condition(pod, "cafe.dev/serving").and_then(|gate| gate.reason.as_deref());
        let leaves = pod.metadata.deletion_timestamp.is_some() && self.fault != Fault::KeepsDeleted;
        if !self.is_locked(pod) {
        } else if leaves || !self.is_ours(pod) {
            let off = versioned(pod, json!({ "$deleteFromPrimitiveList/finalizers": [self.lock] }));
            self.pods.patch(name(pod), &PatchParams::default(), &Patch::Strategic(off)).await?;
        } else {
            self.say(pod, "False", reason.unwrap_or_default()).await?;
        }
        if early {
            tokio::time::sleep(Duration::from_millis(500)).await;
            self.remove(pod)?;
        }
        Ok(())
    }

    async fn say(&self, pod: &Pod, status: &str, reason: &str) -> Result<()> {
        let said = condition(pod, &self.lock);
        let is_said = said.is_some_and(|said| {
            let same = said.reason.as_deref().unwrap_or_default() == reason || self.fault == Fault::IgnoresOp;
            said.status == status && same
        });
        if is_said {
            return Ok(());
        }
        let mut patch = versioned(pod, json!({}));
        let condition = json!({ "type": self.lock, "status": status, "reason": reason });
        patch["status"] = json!({ "conditions": [condition] });
        self.pods.patch_status(name(pod), &PatchParams::default(), &Patch::Strategic(patch)).await?;
        Ok(())
    }

    fn add(&self, pod: &Pod) -> Result<()> {
        self.edit(|table| table.extend(address(pod)))
    }

    fn remove(&self, pod: &Pod) -> Result<()> {
        self.edit(|table| table.retain(|entry| address(pod).as_ref() != Some(entry)))
    }

    fn edit(&self, change: impl FnOnce(&mut BTreeSet<String>)) -> Result<()> {
        let text = std::fs::read_to_string(&self.table).unwrap_or_default();
        let mut table = text.lines().map(str::to_owned).collect();
        change(&mut table);
        let lines: String = table.iter().map(|address| format!("{address}\n")).collect();
        let aside = self.table.with_extension("new");
        std::fs::write(&aside, lines)?;
        Ok(std::fs::rename(aside, &self.table)?)
    }
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

fn address(pod: &Pod) -> Option<String> {
    pod.status.as_ref()?.pod_ip.clone()
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// A patch of the metadata that only this version of the pod takes.
fn versioned(pod: &Pod, mut metadata: Value) -> Value {
    metadata["resourceVersion"] = json!(pod.metadata.resource_version);
    json!({ "metadata": metadata })
}
