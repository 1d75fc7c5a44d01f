//! What a person reads first: what happens, then what to do, with the exact next command.

use std::collections::BTreeMap;

use cafe_crds::deployment::ReleaseState;

use crate::{
    deployment::{
        Snapshot,
        release::{self, Kind, Step},
    },
    set::census::Trouble,
};

/// `CellA 2, CellB 2`.
#[must_use]
pub fn units(units: &BTreeMap<String, i32>) -> String {
    let parts: Vec<String> = units.iter().map(|(unit, n)| format!("{unit} {n}")).collect();
    if parts.is_empty() { "no pod".to_owned() } else { parts.join(", ") }
}

/// The sentence of `status.message`.
#[must_use]
pub fn message(s: &Snapshot<'_>, step: &Step<'_>) -> String {
    let r = &step.release;
    let at = format!("group {}/{} of revision {}", r.group, r.group_total, r.revision);
    match r.state {
        ReleaseState::Completed => settled(s, step),
        ReleaseState::WaitingForConfirmation => format!(
            "{at} is done and gate {} waits for confirmation ({}); to go on: {}",
            release::token(step),
            next_group(step),
            patch(s, &format!("{{\"spec\":{{\"release\":{{\"confirm\":\"{}\"}}}}}}", release::token(step))),
        ),
        ReleaseState::Paused => format!(
            "paused in {at}: no further pod is started; to go on: {}",
            patch(s, "{\"spec\":{\"strategy\":{\"pause\":null}}}"),
        ),
        _ => moving(s, step, &at),
    }
}

fn moving(s: &Snapshot<'_>, step: &Step<'_>, at: &str) -> String {
    let updated: i32 = s.units.iter().map(|u| u.census.updated_available).sum();
    let goal: i32 = step.release.quota.iter().map(|q| q.updated).sum();
    let doing = match step.kind {
        Kind::Install => format!("installing revision {}", step.release.revision),
        Kind::Gated => at.to_owned(),
        Kind::Rollback => format!("rolling back to revision {}", step.release.revision),
    };
    let progress = format!("{doing}: {updated} of {goal} pods updated and available");
    let blocked: i32 = s.units.iter().map(|u| u.census.blocked).sum();
    if blocked > 0 {
        return format!(
            "{progress}; podUpdatePolicy InPlaceOnly holds {blocked} pods, because the change cannot go in place; \
             to let them be recreated: {}",
            patch(s, "{\"spec\":{\"strategy\":{\"podUpdatePolicy\":\"InPlaceIfPossible\"}}}"),
        );
    }
    match trouble(s) {
        Some(t) if step.kind == Kind::Gated => format!(
            "{progress}; pod {}, container {}: {}; to see why: {}; to go back, apply the template of revision {} again",
            t.pod,
            t.container,
            t.reason,
            describe_pod(s, t),
            step.base.number,
        ),
        Some(t) => format!(
            "{progress}; pod {}, container {}: {}; to see why: {}",
            t.pod,
            t.container,
            t.reason,
            describe_pod(s, t)
        ),
        None => format!("{progress}; to watch: {}", watch(s)),
    }
}

fn settled(s: &Snapshot<'_>, step: &Step<'_>) -> String {
    let replicas = s.deployment.spec.replicas;
    let available: i32 = s.units.iter().map(|u| u.census.available).sum();
    let serving = format!("revision {} serves on {available} of {replicas} pods", step.release.revision);
    match trouble(s) {
        Some(t) => format!(
            "{serving}; pod {}, container {}: {}; to see why: {}",
            t.pod,
            t.container,
            t.reason,
            describe_pod(s, t)
        ),
        None if available < replicas => format!("{serving}; to watch: {}", watch(s)),
        None => serving,
    }
}

fn next_group(step: &Step<'_>) -> String {
    let next = step.release.group + 1;
    let group = step.release.groups.iter().find(|g| g.number == next);
    group.map_or_else(|| "no pod is left to move".to_owned(), |g| format!("next: {}", units(&g.units)))
}

/// The first pod in trouble, by name.
#[must_use]
pub fn trouble<'a>(s: &Snapshot<'a>) -> Option<&'a Trouble> {
    s.units.iter().filter_map(|u| u.census.trouble.as_ref()).min()
}

fn describe_pod(s: &Snapshot<'_>, t: &Trouble) -> String {
    format!("kubectl -n {} describe pod {}", s.deployment.namespace, t.pod)
}

fn watch(s: &Snapshot<'_>) -> String {
    format!("kubectl -n {} get cafedeployment {} -w", s.deployment.namespace, s.deployment.name)
}

fn patch(s: &Snapshot<'_>, body: &str) -> String {
    let (namespace, name) = (&s.deployment.namespace, &s.deployment.name);
    format!("kubectl -n {namespace} patch cafedeployment {name} --type=merge -p '{body}'")
}
