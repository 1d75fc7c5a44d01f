//! The places of a set: the names under which its pods come and go while their claims stay.
//!
//! A claim is named `<template>-<pod>`, so the name of a pod is its place, a pod that comes again under that name finds its data,
//! and the API server itself keeps two pods from having one place. Which place is whose is read from the claims: one that
//! was scaled away is labelled so before its pod is deleted, and a place without a pod and without that label has lost its
//! pod, so it is filled first.

use std::collections::{BTreeMap, BTreeSet};

use cafe_crds::claims::ClaimRetention;

use crate::{
    Text,
    identity::{RevisionHash, Uid},
    pod::Phase,
    revision::Revision,
    set::{
        Action, Plan, Snapshot,
        action::{On, Why},
        intent::{Intended, Intent},
    },
};

/// A PersistentVolumeClaim of the set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Name.
    pub name: Text,
    /// Uid.
    pub uid: Uid,
    /// Resource version this record was made from.
    pub rv: u64,
    /// Name of the pod that it is for.
    pub place: Text,
    /// Its pod was scaled away, and this is to become of it: the label `cafe.dev/scaled-in`.
    pub given_up: Option<ClaimRetention>,
    /// The InPlaceSets that own it, sorted: it is deleted when the last of them is.
    pub owners: Vec<Uid>,
    /// Being deleted.
    pub terminating: bool,
}

/// A claim with what the world knows around it.
#[derive(Clone, Copy, Debug)]
pub struct ClaimView<'a> {
    /// The record.
    pub claim: &'a Claim,
    /// A write of ours is on its way, or its outcome has not been seen: not to be decided about.
    pub busy: bool,
}

/// Name of the claim of a pod.
#[must_use]
pub fn claim_name(template: &str, pod: &str) -> Text {
    format!("{template}-{pod}").into()
}

/// What a pod finds at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Every claim that it needs.
    Yes,
    /// Claims of these templates have to be created first.
    Lacks(Vec<Text>),
    /// Something is on its way, a claim is being deleted, or one still says that its pod was scaled away. The write that takes
    /// that back comes first: after it no deletion that was decided on before can land.
    Wait,
}

/// The claims of a set by place.
#[derive(Debug, Default)]
pub struct Places<'a>(BTreeMap<&'a str, Vec<ClaimView<'a>>>);

impl<'a> Places<'a> {
    /// The places of the snapshot.
    #[must_use]
    pub fn of(s: &Snapshot<'a>) -> Self {
        let mut places: BTreeMap<&str, Vec<ClaimView<'_>>> = BTreeMap::new();
        for view in s.claims {
            places.entry(&view.claim.place).or_default().push(*view);
        }
        Self(places)
    }

    fn claims(&self, place: &str) -> &[ClaimView<'a>] {
        self.0.get(place).map_or(&[], Vec::as_slice)
    }

    fn is_given_up(&self, place: &str) -> bool {
        self.claims(place).iter().any(|view| view.claim.given_up.is_some())
    }

    /// Whether a place of this name was scaled away and its claims are on their way out.
    #[must_use]
    pub fn is_closing(&self, place: &str) -> bool {
        self.is_given_up(place) && self.claims(place).iter().any(|view| view.claim.terminating)
    }

    /// The places that no pod has, in the order in which they are filled: those that have lost their pods, then those that were
    /// scaled away, each by name.
    #[must_use]
    pub fn vacant(&self, taken: &BTreeSet<&str>) -> Vec<Text> {
        let free = |place: &&&str| !taken.contains(**place) && !self.is_closing(place);
        let mut vacant: Vec<&str> = self.0.keys().filter(free).copied().collect();
        vacant.sort_by_key(|place| (self.is_given_up(place), *place));
        vacant.into_iter().map(Into::into).collect()
    }

    /// What a pod of this revision finds at `place`.
    #[must_use]
    pub fn ready(&self, s: &Snapshot<'_>, revision: &Revision, place: &str) -> Ready {
        let claims = self.claims(place);
        let mut lacks = Vec::new();
        for template in &revision.facts.claims {
            let name = claim_name(template, place);
            match claims.iter().find(|view| view.claim.name == name) {
                Some(view) if view.busy || view.claim.terminating || view.claim.given_up.is_some() => {
                    return Ready::Wait;
                }
                Some(_) => {}
                None if s.claiming.contains(&name) => return Ready::Wait,
                None => lacks.push(template.clone()),
            }
        }
        if lacks.is_empty() { Ready::Yes } else { Ready::Lacks(lacks) }
    }
}

/// Whether the pods of the set have places, at the revision they are to have or at the one some are kept on.
#[must_use]
pub fn are_kept(s: &Snapshot<'_>, target: &Revision) -> bool {
    let has_base = s.partition() > 0;
    !target.facts.claims.is_empty() || (has_base && !s.base(target).facts.claims.is_empty())
}

/// Asks for the claims that a pod lacks.
pub fn create(templates: Vec<Text>, pod: &Text, revision: RevisionHash, plan: &mut Plan) {
    let claim = |template: Text| Action::CreateClaim {
        name: claim_name(&template, pod),
        template,
        pod: pod.clone(),
        revision,
    };
    plan.actions.extend(templates.into_iter().map(claim));
}

/// Keeps the claims in step with the pods. `wanted` are the places that are being filled. A pod that is about to be scaled away
/// waits until its claims say so.
pub fn plan(
    s: &Snapshot<'_>,
    pods: &[Intended<'_>],
    places: &Places<'_>,
    wanted: &BTreeSet<Text>,
    plan: &mut Plan,
) {
    replace_lost(s, pods, places, plan);
    if places.0.is_empty() {
        return;
    }
    let at: BTreeMap<&str, &Intended<'_>> = pods.iter().map(|p| (&*p.view.pod.name, p)).collect();
    let policy = policy(s);
    let surplus = surplus(s, pods, places);
    let is_filled =
        |place: &str| wanted.contains(place) || s.creating.iter().any(|(name, _)| **name == *place);
    let leaving: BTreeSet<Uid> = plan.actions.iter().filter_map(scaled_away).map(|on| on.uid).collect();
    let mut held = BTreeSet::new();
    for (place, claims) in &places.0 {
        let pod = at.get(place).map(|p| (p.intent, p.view.pod.uid));
        for view in claims.iter().filter(|view| !view.claim.terminating) {
            let claim = view.claim;
            let given_up = match pod {
                Some((Intent::Remove, uid)) if !leaving.contains(&uid) => claim.given_up,
                Some((_, uid)) => (leaving.contains(&uid) || surplus.contains(&uid)).then_some(policy),
                None if is_filled(place) => None,
                None => Some(claim.given_up.unwrap_or(ClaimRetention::Retain)),
            };
            if let Some((_, uid)) = pod.filter(|_| view.busy || claim.given_up != given_up) {
                held.insert(uid);
            }
            if view.busy {
                continue;
            }
            let goes = pod.is_none() && given_up == Some(ClaimRetention::Delete);
            plan.actions.extend(if goes { Some(delete(claim)) } else { rewrite(s, claim, given_up) });
        }
    }
    plan.actions.retain(|action| scaled_away(action).is_none_or(|on| !held.contains(&on.uid)));
}

/// What becomes of the claims of a pod that is scaled away. What no template asks for any more is never deleted, nor what a pod leaves
/// behind that finds no node: nobody has asked for fewer pods.
fn policy(s: &Snapshot<'_>) -> ClaimRetention {
    let kept = s.set.ceiling.is_none() && s.target.is_some_and(|target| are_kept(s, target));
    if kept { s.set.spec.claim_retention.when_scaled } else { ClaimRetention::Retain }
}

/// A claim that somebody deleted before its pod was started, or whose creation failed, is created again.
fn replace_lost(s: &Snapshot<'_>, pods: &[Intended<'_>], places: &Places<'_>, plan: &mut Plan) {
    let has_none = s.revisions.iter().all(|revision| revision.facts.claims.is_empty());
    if has_none || s.no_births_until.is_some_and(|until| until > s.now.mono) {
        return;
    }
    let waits = |p: &&Intended<'_>| {
        let pod = p.view.pod;
        pod.phase == Phase::Pending && pod.is_live() && p.intent != Intent::Remove && !p.view.busy
    };
    for p in pods.iter().filter(waits) {
        let pod = p.view.pod;
        let Some(revision) = pod.revision.and_then(|hash| s.revision(hash)) else { continue };
        if let Ready::Lacks(templates) = places.ready(s, revision, &pod.name) {
            create(templates, &pod.name, revision.hash, plan);
        }
    }
}

/// Pods on their way out, by whatever cause, that no pod is to follow: those beyond `replicas`, those first that were scaled away.
fn surplus(s: &Snapshot<'_>, pods: &[Intended<'_>], places: &Places<'_>) -> BTreeSet<Uid> {
    let going = |p: &&Intended<'_>| matches!(p.intent, Intent::Gone | Intent::Bury);
    let removed = pods.iter().filter(|p| p.intent == Intent::Remove).count();
    let replicas = usize::try_from(s.set.spec.replicas).unwrap_or(0);
    let most = (pods.len() + s.creating.len()).saturating_sub(replicas + removed);
    let mut going: Vec<&Intended<'_>> = pods.iter().filter(going).collect();
    going.sort_by_key(|p| (!places.is_given_up(&p.view.pod.name), &p.view.pod.name));
    going.into_iter().take(most).map(|p| p.view.pod.uid).collect()
}

fn scaled_away(action: &Action) -> Option<&On> {
    match action {
        Action::Delete { on, why: Why::ScaleIn } => Some(on),
        _ => None,
    }
}

fn delete(claim: &Claim) -> Action {
    Action::DeleteClaim { name: claim.name.clone(), uid: claim.uid, rv: claim.rv }
}

/// What the claim is to say of its pod and of its owner, if it does not.
fn rewrite(s: &Snapshot<'_>, claim: &Claim, given_up: Option<ClaimRetention>) -> Option<Action> {
    let owned = s.set.spec.claim_retention.when_deleted == ClaimRetention::Delete;
    let owners: &[Uid] = if owned { &[s.set.uid] } else { &[] };
    let differs = claim.given_up != given_up || claim.owners != owners;
    differs.then(|| Action::WriteClaim {
        name: claim.name.clone(),
        uid: claim.uid,
        rv: claim.rv,
        given_up,
        owned,
        strangers: claim.owners.iter().copied().filter(|owner| *owner != s.set.uid).collect(),
    })
}
