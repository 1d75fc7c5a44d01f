//! The controller's own writes to a workload, from the audit log.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cafe_invariants::{Kind, Verb, Write, read::audit};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;

use crate::bed::audit::Reader;
use crate::bed::{Bed, CONTROLLER};

/// How long the log may take to show a request.
const PATIENCE: Duration = Duration::from_secs(30);

/// A write of the controller, where it belongs in a history.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// The version it made, or that was the newest when it was refused.
    pub(super) version: u64,
    pub(super) write: Write,
}

impl Sent {
    /// Whether the log shows which version it made, if it made one of a kind that is judged.
    pub(super) fn tells_its_version(&self) -> bool {
        let judged = matches!(self.write.kind, Kind::Pod | Kind::Set | Kind::Deployment);
        !judged || !self.write.accepted || self.write.verb == Verb::Delete || self.write.object.version > 0
    }
}

/// The writes to `namespace` that `log` shows up to now, in the order of their versions.
///
/// # Errors
/// When the log cannot be read or does not come so far, or a request of the controller was forbidden by its rights.
pub(super) async fn read(bed: &Bed, log: &mut Reader, namespace: &str) -> Result<Vec<Sent>> {
    // The question for something that is not there marks the end.
    let mark = format!("{namespace}-finish");
    let maps = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
    Api::<DynamicObject>::namespaced_with(bed.client().await?, "default", &maps).get_opt(&mark).await?;
    let mut lines = Vec::new();
    let read = async {
        loop {
            let new = log.lines()?;
            let marked = new.iter().any(|line| contains(line, &mark));
            lines.extend(
                new.into_iter().filter(|line| contains(line, namespace) && contains(line, CONTROLLER)),
            );
            if marked {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, read).await.context("the audit log does not show the last request")??;
    let forbidden: BTreeSet<String> = lines.iter().filter_map(|line| forbidden(line)).collect();
    ensure!(forbidden.is_empty(), "the controller lacks rights: {forbidden:?}");
    let mut newest = 0;
    let mut sent = Vec::new();
    for line in lines {
        let line = audit::line(&line, |user| user == CONTROLLER).context("reading the audit log")?;
        let Some(write) = line.map(|line| line.write).filter(|w| w.ours && &*w.object.namespace == namespace)
        else {
            continue;
        };
        newest = newest.max(write.object.version);
        let version = if write.object.version > 0 { write.object.version } else { newest };
        sent.push(Sent { version, write });
    }
    sent.sort_by_key(|sent| sent.version);
    Ok(sent)
}

/// The request of this line, if the account had no right to it. A quota or an admission policy answers with 403 as well, and is no lack of rights.
fn forbidden(line: &[u8]) -> Option<String> {
    if !contains(line, r#""authorization.k8s.io/decision":"forbid""#) {
        return None;
    }
    let entry: Value = serde_json::from_slice(line).ok()?;
    Some(format!("{} {}", entry.pointer("/verb")?.as_str()?, entry.pointer("/requestURI")?.as_str()?))
}

fn contains(line: &[u8], text: &str) -> bool {
    std::str::from_utf8(line).is_ok_and(|line| line.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_the_right_to_it_is_told_from_one_that_a_quota_refused() {
        let line = |decision: &str| {
            format!(
                r#"{{"verb":"create","requestURI":"/api/v1/namespaces/a/pods","responseStatus":{{"code":403}},"annotations":{{"authorization.k8s.io/decision":"{decision}"}}}}"#
            )
        };
        assert_eq!(forbidden(line("forbid").as_bytes()).as_deref(), Some("create /api/v1/namespaces/a/pods"));
        assert_eq!(forbidden(line("allow").as_bytes()), None);
    }
}
