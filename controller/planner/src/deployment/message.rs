//! What a person reads first: what happens, then what to do, with the exact next command.

use std::collections::BTreeMap;

use cafe_crds::{
    deployment::ReleaseState,
    names::{ANNOTATION_OFFLINE, PROTECTOR_PREFIX},
};

pub use crate::words::pods;
use crate::{
    deployment::{
        Snapshot, adoption, children, gate, overlap, reschedule, scaleout,
        snapshot::unit_of,
        step::{Kind, Step},
        unit_health, waits,
    },
    set::census::Trouble,
};

/// Lifts the pause.
const RESUME: &str = "{\"spec\":{\"strategy\":{\"pause\":null}}}";

/// `CellA 2, CellB 2`.
#[must_use]
pub fn units(units: &BTreeMap<String, i32>) -> String {
    let parts: Vec<String> = units.iter().map(|(unit, n)| format!("{unit} {n}")).collect();
    if parts.is_empty() { "no pod".to_owned() } else { parts.join(", ") }
}

/// The sentence of `status.message`. `placed`: every unit has its pods.
#[must_use]
pub fn message(s: &Snapshot<'_>, step: &Step<'_>, placed: bool) -> String {
    let r = &step.release;
    let at = format!("group {}/{} of revision {}", r.group, r.group_total, r.revision);
    if let Some(overlap) = overlap::advice(s) {
        return if step.is_complete() { overlap } else { format!("{at} is held: {overlap}") };
    }
    if let Some(obstacle) = obstacle(s) {
        return format!("{at} cannot go on: {obstacle}");
    }
    if let Some(held) = s.held_drain().filter(|_| r.confirm_token.is_none()) {
        return format!("{at} waits: {}", held.advice(Some(&s.deployment.namespace)));
    }
    let waits = waits::notes(s, step);
    match r.state {
        ReleaseState::Completed => settled(s, step, placed),
        ReleaseState::Aborted => format!(
            "the {} of revision {} was aborted in group {}/{}{}{waits}; to take it up again: {}; {}",
            if step.kind == Kind::ScaleOut { "scale-out" } else { "release" },
            r.revision,
            r.group,
            r.group_total,
            held_back(s, step),
            retry(s, r.revision),
            way_back(s, step)
        ),
        ReleaseState::Failed => format!(
            "{at} made no progress for {} s{}{waits}; {}",
            s.deployment.spec.strategy.progress_deadline_seconds,
            cause(s, step).map(|cause| format!(": {cause}")).unwrap_or_default(),
            way_back(s, step)
        ),
        ReleaseState::WaitingForConfirmation => format!(
            "{at} is done and gate {} waits for confirmation ({}{}){waits}; to go on: {}",
            gate::token(step),
            next_group(step),
            held_back(s, step),
            patch(s, &format!("{{\"spec\":{{\"release\":{{\"confirm\":\"{}\"}}}}}}", gate::token(step))),
        ),
        ReleaseState::Paused => format!(
            "paused in {at}: no further pod is started{}{waits}; to go on: {}",
            held_back(s, step),
            patch(s, RESUME),
        ),
        _ => moving(s, step, &at),
    }
}

/// What only people can put out of the way: a name that somebody else holds, pods that the API server refuses.
#[must_use]
pub fn obstacle(s: &Snapshot<'_>) -> Option<String> {
    let missing = s.unit_names().into_iter().filter(|unit| s.unit(unit).is_none());
    let mut names = missing.map(|unit| (unit, children::set_name(&s.deployment.name, unit)));
    if let Some(taken) = names.find_map(|(unit, name)| name_taken(s, unit, &name)) {
        return Some(taken);
    }
    let refused = s.units.iter().find_map(|u| Some((u.set, u.census.refused.as_ref()?)));
    refused.map(|(set, why)| {
        format!(
            "the API server refuses the pods of {}: {why}; to correct the template: {}",
            set.name,
            edit(s)
        )
    })
}

/// That somebody else, or another unit, holds the name of a unit's InPlaceSet.
#[must_use]
pub fn name_taken(s: &Snapshot<'_>, unit: &str, name: &str) -> Option<String> {
    if let Some(other) = s.units.iter().find(|u| *u.set.name == *name).map(|u| unit_of(u.set)) {
        return Some(format!(
            "unit {unit} needs the InPlaceSet {name}, which is that of unit {other} as long as that has pods: units must differ by more \
             than case; give {unit} another name: {}",
            edit(s)
        ));
    }
    s.taken.iter().any(|taken| **taken == *name).then(|| taken_by_others(s, unit, name))
}

fn taken_by_others(s: &Snapshot<'_>, unit: &str, name: &str) -> String {
    let namespace = &s.deployment.namespace;
    if let Some(why) = adoption::why_not(s, unit) {
        return format!(
            "unit {unit} needs the InPlaceSet {name}, which nobody owns but which cannot be adopted: {why}; rename this one or, if nobody \
             needs that one: kubectl -n {namespace} delete inplaceset {name}"
        );
    }
    format!(
        "unit {unit} needs the InPlaceSet {name}, which belongs to someone else: rename this one or, if nobody needs that one: \
         kubectl -n {namespace} delete inplaceset {name}"
    )
}

fn moving(s: &Snapshot<'_>, step: &Step<'_>, at: &str) -> String {
    let updated: i32 = s.units.iter().map(|u| u.census.at(step.target.hash).available).sum();
    let goal: i32 = step.release.quota.iter().map(|q| q.updated).sum();
    let doing = match step.kind {
        Kind::Install => format!("installing revision {}", step.release.revision),
        Kind::Gated => at.to_owned(),
        Kind::Rollback => format!("rolling back to revision {}", step.release.revision),
        Kind::ScaleOut => format!("scaling out, {at}"),
    };
    let done = if step.kind == Kind::ScaleOut { "available" } else { "updated and available" };
    let waits = waits::notes(s, step);
    let progress = format!("{doing}: {updated} of {} {done}{}{waits}", pods(goal), held_back(s, step));
    let blocked: i32 = s.units.iter().map(|u| u.census.blocked).sum();
    if blocked > 0 {
        return format!(
            "{progress}; podUpdatePolicy InPlaceOnly holds {}, because the change cannot go in place; \
             to let them be recreated: {}",
            pods(blocked),
            patch(s, "{\"spec\":{\"strategy\":{\"podUpdatePolicy\":\"InPlaceIfPossible\"}}}"),
        );
    }
    match trouble(s).map(|t| in_trouble(s, t)).or_else(|| sick(s, step)) {
        Some(trouble) if step.kind == Kind::Gated => format!("{progress}; {trouble}; {}", way_back(s, step)),
        Some(trouble) => format!("{progress}; {trouble}"),
        None => format!("{progress}; {}", hint(s)),
    }
}

fn in_trouble(s: &Snapshot<'_>, t: &Trouble) -> String {
    let container = t.container.as_ref().map(|name| format!(", container {name}")).unwrap_or_default();
    let nodes = || unit_health::without_nodes(s).map(|(_, why)| why).or_else(|| reschedule::no_room(s));
    if let Some(why) = nodes().filter(|_| t.container.is_none()) {
        return format!("pod {}: {}; {why}", t.pod, t.reason);
    }
    format!("pod {}{container}: {}; to see why: {}", t.pod, t.reason, describe_pod(s, &t.pod))
}

/// The first updated pod that has turned unavailable and holds the others up.
fn sick(s: &Snapshot<'_>, step: &Step<'_>) -> Option<String> {
    let pod = step.sick(s)?;
    let why = describe_pod(s, pod);
    Some(format!("updated pod {pod} is no longer ready and holds all others up; to see why: {why}"))
}

/// How to leave the revision for the one that the release came from.
fn way_back(s: &Snapshot<'_>, step: &Step<'_>) -> String {
    if step.kind == Kind::ScaleOut {
        let given = scaleout::let_in(s, step).unwrap_or(s.deployment.spec.replicas);
        return format!("to stay at {}: {}", pods(given), scale(s, given));
    }
    let Some(from) = step.release.from_revision.filter(|_| step.kind == Kind::Gated) else {
        return format!("to correct the template: {}", edit(s));
    };
    let order = format!(
        "{{\"spec\":{{\"release\":{{\"rollback\":{{\"abandon\":{},\"to\":{from}}}}}}}}}",
        step.release.revision
    );
    format!("apply a corrected template or, to go back to revision {from}: {}", patch(s, &order))
}

fn retry(s: &Snapshot<'_>, revision: i64) -> String {
    patch(s, &format!("{{\"spec\":{{\"release\":{{\"retry\":\"{revision}\"}}}}}}"))
}

/// That pods are not there yet because their group has not begun.
fn held_back(s: &Snapshot<'_>, step: &Step<'_>) -> String {
    scaleout::let_in(s, step).map_or_else(String::new, |given| {
        let replicas = s.deployment.spec.replicas;
        format!("; {given} of {} let in by spec.strategy.groupScaleOut", pods(replicas))
    })
}

fn scale(s: &Snapshot<'_>, replicas: i32) -> String {
    let (namespace, name) = (&s.deployment.namespace, &s.deployment.name);
    format!("kubectl -n {namespace} scale cafedeployment {name} --replicas={replicas}")
}

fn edit(s: &Snapshot<'_>) -> String {
    format!("kubectl -n {} edit cafedeployment {}", s.deployment.namespace, s.deployment.name)
}

fn settled(s: &Snapshot<'_>, step: &Step<'_>, placed: bool) -> String {
    let replicas = s.deployment.spec.replicas;
    let available: i32 = s.units.iter().map(|u| u.census.available).sum();
    let mut serving =
        format!("revision {} serves on {available} of {}", step.release.revision, pods(replicas));
    if let Some(left) = step.abandons {
        serving = format!(
            "{serving} in place of revision {}, which was rolled back; to go on, apply another template or, to try it again: {}",
            left.number,
            retry(s, left.number)
        );
    }
    let serving = match trouble(s) {
        Some(t) => format!("{serving}; {}", in_trouble(s, t)),
        None if s.awaits_restart() => {
            format!("{serving}; pods created before spec.restartAt are yet to be replaced")
        }
        None if available < replicas => format!("{serving}; {}", hint(s)),
        None if !placed => {
            format!("{serving}; pods are on their way from unit to unit; {}", hint(s))
        }
        None => serving,
    };
    if !step.is_paused(s) {
        return serving;
    }
    let resume = patch(s, RESUME);
    format!("{serving}; spec.strategy.pause holds what comes next; to lift it: {resume}")
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

/// What it waits for, when that is not the pods themselves, or else how to watch it.
fn hint(s: &Snapshot<'_>) -> String {
    offline(s).or_else(|| unreturned(s)).unwrap_or_else(|| format!("to watch: {}", watch(s)))
}

/// Why a group makes no progress, as far as the pods tell.
#[must_use]
pub fn cause(s: &Snapshot<'_>, step: &Step<'_>) -> Option<String> {
    let trouble = trouble(s).map(|t| in_trouble(s, t)).or_else(|| sick(s, step)).or_else(|| draining(s));
    let trouble = trouble.or_else(|| unit_health::being_deleted(s).map(|(_, message)| message));
    trouble.or_else(|| offline(s)).or_else(|| unreturned(s)).or_else(|| unready(s))
}

/// The first container that runs and does not get ready.
fn unready(s: &Snapshot<'_>) -> Option<String> {
    s.units.iter().filter_map(|u| u.census.unready.as_ref()).min().map(|t| in_trouble(s, t))
}

/// The first pod that is being drained, and who holds it.
fn draining(s: &Snapshot<'_>) -> Option<String> {
    let drain = s.units.iter().filter_map(|u| u.census.draining.as_ref()).min()?;
    Some(format!("pod {} is being drained: {}", drain.pod, drain.by))
}

/// The first pod that a protector has not taken back.
fn unreturned(s: &Snapshot<'_>) -> Option<String> {
    let (pod, protector) = s.units.iter().filter_map(|u| u.census.unreturned.as_ref()).min()?;
    Some(format!(
        "pod {pod} waits for protector {protector} to take it back: finalizer {PROTECTOR_PREFIX}{protector} and, if it keeps that \
         condition, True"
    ))
}

/// The first pod that people keep out of traffic, and how to let it serve again.
fn offline(s: &Snapshot<'_>) -> Option<String> {
    let pod = s.units.iter().filter_map(|u| u.census.offline.as_ref()).min()?;
    let namespace = &s.deployment.namespace;
    Some(format!(
        "pod {pod} is kept out of traffic by its annotation {ANNOTATION_OFFLINE}; to let it serve: \
         kubectl -n {namespace} annotate pod {pod} {ANNOTATION_OFFLINE}-"
    ))
}

fn describe_pod(s: &Snapshot<'_>, pod: &str) -> String {
    format!("kubectl -n {} describe pod {pod}", s.deployment.namespace)
}

fn watch(s: &Snapshot<'_>) -> String {
    format!("kubectl -n {} get cafedeployment {} -w", s.deployment.namespace, s.deployment.name)
}

fn patch(s: &Snapshot<'_>, body: &str) -> String {
    let (namespace, name) = (&s.deployment.namespace, &s.deployment.name);
    format!("kubectl -n {namespace} patch cafedeployment {name} --type=merge -p '{body}'")
}
