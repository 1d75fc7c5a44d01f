//! Calls for a CafeDeployment: its revisions, its InPlaceSets, its status.

use cafe_crds::{
    inplaceset::InPlaceSetSpec,
    names::{
        ANNOTATION_CEILING, ANNOTATION_CEILING_TOPOLOGY, ANNOTATION_OLDER_REVISIONS, ANNOTATION_OUTCOME,
        GROUP, LABEL_UNIT, VERSION,
    },
};
use cafe_planner::{
    Text,
    bonds::{Kin, Orphan},
    deployment::{Action, action::Step, snapshot::unit_of},
    identity::Uid,
    revision::Outcome,
    set::SetSpec,
};
use serde_json::{Value, json};

use super::{
    Call, Target, chronicles,
    requests::{
        Owned, PatchType, create, delete, fence, get, metadata, owned_by, patch, replace_on, revision_body,
        revision_name, without_finalizer,
    },
};
use crate::{
    tally::edges::{self, Edge},
    world::{DeploymentRecord, Kind, Owner, World},
};

/// The call for a step of a CafeDeployment's plan; none if what it needs has just gone.
pub(crate) fn deployment_call(world: &World, uid: Uid, step: Step) -> Option<Call> {
    let record = world.deployments.get(&uid)?;
    let edges = edges(world, record, &step);
    let call = call(world, record, step.action)?;
    Some(Call { events: step.events, edges, ..call })
}

/// What is counted once the step is taken.
fn edges(world: &World, record: &DeploymentRecord, step: &Step) -> Vec<Edge> {
    let before = &record.deployment.status;
    match &step.action {
        Action::WriteStatus { status, .. } => {
            let number = before.release.as_ref().map(|release| release.revision);
            let told = world.chronicles_of(record.deployment.uid).find(|c| Some(c.spec.revision) == number);
            edges::of(before, status, told.map(|c| &c.status), &step.events)
        }
        Action::CapSet { uid, takers, .. } if !takers.is_empty() => {
            let Some(giver) = world.sets.get(uid) else { return Vec::new() };
            let places = |(unit, n): &(Text, i32)| (unit.clone(), u64::try_from(*n).unwrap_or(0));
            vec![Edge::Moved { from: unit_of(&giver.set).into(), to: takers.iter().map(places).collect() }]
        }
        _ => Vec::new(),
    }
}

fn call(world: &World, record: &DeploymentRecord, action: Action) -> Option<Call> {
    let d = &record.deployment;
    let of = |kind, name: &Text, target, verb, decision, request| Call {
        owner: Owner::Deployment(d.uid),
        target,
        kind,
        namespace: d.namespace.clone(),
        name: name.clone(),
        verb,
        decision,
        is_status: false,
        request,
        events: Vec::new(),
        edges: Vec::new(),
        look: 0,
    };
    let call = match action {
        Action::CreateRevision { number, hash } => {
            let name: Text = revision_name(&d.name, hash).into();
            let owner = Owned {
                kind: "CafeDeployment",
                name: &d.name,
                namespace: &d.namespace,
                uid: d.uid,
                selector: &d.spec.selector,
            };
            let body = revision_body(&owner, &record.content, number, hash);
            of(
                Kind::Revision,
                &name,
                Target::NewRevision(hash),
                "create",
                "CreateRevision",
                create(Kind::Revision, &d.namespace, &body),
            )
        }
        Action::WriteRevision { name, uid, rv, number, older, outcome } => {
            let older: Vec<String> = older.iter().map(ToString::to_string).collect();
            let older = (!older.is_empty()).then(|| older.join(","));
            let annotations =
                json!({ANNOTATION_OLDER_REVISIONS: older, ANNOTATION_OUTCOME: outcome.map(Outcome::as_str)});
            let body =
                json!({"metadata": metadata(uid, rv, [("annotations", annotations)]), "revision": number});
            let request = patch(Kind::Revision, &d.namespace, &name, "", PatchType::Merge, &body);
            of(Kind::Revision, &name, Target::Existing { uid, rv }, "patch", "WriteRevision", request)
        }
        Action::DeleteRevision { name, uid, rv } => {
            let request = delete(Kind::Revision, &d.namespace, &name, uid, rv);
            of(Kind::Revision, &name, Target::Existing { uid, rv }, "delete", "DeleteRevision", request)
        }
        Action::CreateSet { name, spec } => {
            let body = set_body(world, record, &name, &spec)?;
            of(
                Kind::Set,
                &name,
                Target::NewSet,
                "create",
                "CreateSet",
                create(Kind::Set, &d.namespace, &body),
            )
        }
        Action::WriteSet { name, uid, rv, spec } => {
            let body = replace_on(uid, rv, "/spec", &set_spec(world, &spec)?);
            let request = patch(Kind::Set, &d.namespace, &name, "", PatchType::Json, &body);
            of(Kind::Set, &name, Target::Existing { uid, rv }, "patch", "WriteSet", request)
        }
        Action::TouchSet { name, uid, rv } => {
            let request = fence(&d.namespace, &name, uid, rv);
            of(Kind::Set, &name, Target::Existing { uid, rv }, "patch", "TouchSet", request)
        }
        Action::CapSet { name, uid, rv, ceiling, .. } => {
            let most = ceiling.map(|c| c.pods.to_string());
            let topology = ceiling.and_then(|c| c.topology).map(|print| format!("{print:08x}"));
            let annotations = json!({ANNOTATION_CEILING: most, ANNOTATION_CEILING_TOPOLOGY: topology});
            let body = json!({"metadata": metadata(uid, rv, [("annotations", annotations)])});
            let request = patch(Kind::Set, &d.namespace, &name, "", PatchType::Merge, &body);
            of(Kind::Set, &name, Target::Existing { uid, rv }, "patch", "CapSet", request)
        }
        Action::DeleteSet { name, uid, rv } => {
            let request = delete(Kind::Set, &d.namespace, &name, uid, rv);
            of(Kind::Set, &name, Target::Existing { uid, rv }, "delete", "DeleteSet", request)
        }
        Action::AdoptSet { name, uid, rv } => {
            let owner = owned_by("CafeDeployment", &d.name, d.uid);
            let body = replace_on(uid, rv, "/metadata/ownerReferences", &owner);
            let request = patch(Kind::Set, &d.namespace, &name, "", PatchType::Json, &body);
            of(Kind::Set, &name, Target::Existing { uid, rv }, "patch", "AdoptSet", request)
        }
        Action::Adopt { orphan: Orphan { kind, name, uid, rv } } => {
            let (kind, decision) = match kind {
                Kin::Revision => (Kind::Revision, "AdoptRevision"),
                Kin::Release => (Kind::Release, "AdoptRelease"),
                Kin::Pod => return None,
            };
            let owner = owned_by("CafeDeployment", &d.name, d.uid);
            let body = json!({"metadata": metadata(uid, rv, [("ownerReferences", owner)])});
            let request = patch(kind, &d.namespace, &name, "", PatchType::Merge, &body);
            of(kind, &name, Target::Existing { uid, rv }, "patch", decision, request)
        }
        Action::Confirm => {
            let target = Target::Confirmation { uid: d.uid, sightings: world.sightings() };
            let request = get(Kind::Deployment, &d.namespace, &d.name);
            of(Kind::Deployment, &d.name, target, "get", "Confirm", request)
        }
        Action::LetGo { rv, at } => {
            let body = without_finalizer(d.uid, rv, at);
            let request = patch(Kind::Deployment, &d.namespace, &d.name, "", PatchType::Json, &body);
            of(Kind::Deployment, &d.name, Target::Existing { uid: d.uid, rv }, "patch", "LetGo", request)
        }
        Action::CreateChronicle { name, spec, status } => {
            let body = chronicles::body(d, &name, &spec, &status)?;
            let request = create(Kind::Release, &d.namespace, &body);
            of(Kind::Release, &name, Target::NewChronicle, "create", "CreateRelease", request)
        }
        Action::WriteChronicle { name, uid, rv, before, after } => {
            let body = chronicles::changes(uid, rv, &before, &after)?;
            let request = patch(Kind::Release, &d.namespace, &name, "", PatchType::Merge, &body);
            of(Kind::Release, &name, Target::Existing { uid, rv }, "patch", "WriteRelease", request)
        }
        Action::DeleteChronicle { name, uid, rv } => {
            let request = delete(Kind::Release, &d.namespace, &name, uid, rv);
            of(Kind::Release, &name, Target::Existing { uid, rv }, "delete", "DeleteRelease", request)
        }
        Action::WriteStatus { rv, status } => {
            let status = serde_json::to_value(&status).ok()?;
            let body = replace_on(d.uid, rv, "/status", &status);
            let request = patch(Kind::Deployment, &d.namespace, &d.name, "/status", PatchType::Json, &body);
            let target = Target::Existing { uid: d.uid, rv };
            Call {
                is_status: true,
                ..of(Kind::Deployment, &d.name, target, "patch_status", "WriteStatus", request)
            }
        }
    };
    Some(call)
}

fn set_body(world: &World, record: &DeploymentRecord, name: &Text, spec: &SetSpec) -> Option<Value> {
    let d = &record.deployment;
    let mut labels = d.spec.selector.match_labels.clone();
    if let Some(placement) = &spec.placement {
        labels.insert(LABEL_UNIT.to_owned(), placement.unit.clone());
    }
    Some(json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "InPlaceSet",
        "metadata": {
            "name": &**name, "namespace": &*d.namespace, "labels": labels,
            "ownerReferences": owned_by("CafeDeployment", &d.name, d.uid),
        },
        "spec": set_spec(world, spec)?,
    }))
}

/// The spec as it is sent, with the raw template put in.
fn set_spec(world: &World, spec: &SetSpec) -> Option<Value> {
    let content = world.content(spec.digest)?;
    let raw = InPlaceSetSpec {
        replicas: spec.replicas,
        selector: spec.selector.clone(),
        template: content.template.clone(),
        min_ready_seconds: spec.min_ready_seconds,
        revision_history_limit: spec.revision_history_limit,
        volume_claim_templates: content.claims.clone(),
        persistent_volume_claim_retention_policy: spec.claim_retention,
        traffic: spec.traffic.clone(),
        update_strategy: spec.update_strategy.clone(),
        placement: spec.placement.clone(),
        restart_at: spec.restart_at,
    };
    serde_json::to_value(raw).ok()
}
