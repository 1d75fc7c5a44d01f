//! Calls for an InPlaceSet: its pods, its journal, its live reads.

use cafe_crds::time::Seconds;
use cafe_planner::{
    identity::Uid,
    pod::Pod,
    set::{
        Action,
        action::{On, Why},
    },
    time::Now,
};

use super::{
    Call, Target, claims,
    pods::{self, Change, Closing},
    requests::{
        self, Owned, PatchType, create, delete, fence, get, list_versions, metadata, owned_by, patch,
        replace_on, revision_body, revision_name, without_finalizer,
    },
};
use serde_json::json;

use crate::world::{Kind, Owner, SetRecord, World};

/// The call for an action of a set's plan; none if what it needs has just gone.
pub(crate) fn set_call(world: &World, uid: Uid, action: Action, now: Now) -> Option<Call> {
    let set = world.sets.get(&uid)?;
    let call = Builder { set };
    match action {
        Action::Create { name, revision, group } => {
            let owner = set.set.owner.unwrap_or(uid);
            let content = &world.revisions_of(owner).find(|r| r.revision.hash == revision)?.content;
            let body = pods::birth(set, content, &name, revision, group.as_ref());
            let request = create(Kind::Pod, &set.namespace, &body);
            let target = Target::NewPod { name: name.clone(), revision };
            Some(Call { name, ..call.of(Kind::Pod, target, "create", "CreatePod", request) })
        }
        Action::TakeOut { on, op } => {
            let pod = &world.pods.get(on.uid)?.pod;
            let why = Closing::Drain(op);
            let body = pods::take_out(&on, why, set.set.spec.traffic.mode, gate_time(set, pod, now));
            Some(call.pod(&on, "patch", "TakeOut", patch_pod(set, &on, "/status", &body)))
        }
        Action::TakeOffline { on } => {
            let pod = &world.pods.get(on.uid)?.pod;
            let why = Closing::Offline;
            let body = pods::take_out(&on, why, set.set.spec.traffic.mode, gate_time(set, pod, now));
            Some(call.pod(&on, "patch", "TakeOffline", patch_pod(set, &on, "/status", &body)))
        }
        Action::PutBack { on } => {
            let pod = &world.pods.get(on.uid)?.pod;
            let body = pods::put_back(&on, set.set.spec.traffic.mode, gate_time(set, pod, now));
            Some(call.pod(&on, "patch", "PutBack", patch_pod(set, &on, "/status", &body)))
        }
        Action::Touch { on, record } => {
            let body = pods::touch(&on, &record, now.wall);
            Some(call.pod(&on, "patch", "Touch", patch_pod(set, &on, "", &body)))
        }
        Action::Update { on, from, to, group, images, record } => {
            let owner = set.set.owner.unwrap_or(uid);
            let facts =
                |hash| world.revisions_of(owner).find(|r| r.revision.hash == hash).map(|r| &r.revision.facts);
            let change = Change {
                before: from.and_then(facts),
                after: facts(to)?,
                to,
                group: group.as_ref(),
                images: &images,
                record: record.as_ref(),
            };
            let decision = if record.is_some() { "UpdateInPlace" } else { "UpdateMetadata" };
            Some(call.pod(
                &on,
                "patch",
                decision,
                patch_pod(set, &on, "", &pods::update(&on, &change, now.wall)),
            ))
        }
        Action::Delete { on, why } => {
            let request = delete(Kind::Pod, &set.namespace, &on.pod, on.uid, on.rv);
            let decision = match why {
                Why::ScaleIn => "DeleteSurplus",
                Why::Recreate => "DeleteToRecreate",
                Why::Finished => "DeleteFinished",
            };
            Some(call.pod(&on, "delete", decision, request))
        }
        Action::CreateClaim { name, template, pod, revision } => {
            let owner = set.set.owner.unwrap_or(uid);
            let content = &world.revisions_of(owner).find(|r| r.revision.hash == revision)?.content;
            let body = claims::body(set, content, &template, &pod)?;
            let request = create(Kind::Claim, &set.namespace, &body);
            let target = Target::NewClaim { name: name.clone(), pod };
            Some(Call { name, ..call.of(Kind::Claim, target, "create", "CreateClaim", request) })
        }
        Action::WriteClaim { name, uid, rv, given_up, owned, strangers } => {
            let body = claims::changes(set, (uid, rv), given_up, owned, &strangers);
            let request =
                requests::patch(Kind::Claim, &set.namespace, &name, "", PatchType::Strategic, &body);
            let target = Target::Existing { uid, rv };
            Some(Call { name, ..call.of(Kind::Claim, target, "patch", "WriteClaim", request) })
        }
        Action::DeleteClaim { name, uid, rv } => {
            let request = delete(Kind::Claim, &set.namespace, &name, uid, rv);
            let target = Target::Existing { uid, rv };
            Some(Call { name, ..call.of(Kind::Claim, target, "delete", "DeleteClaim", request) })
        }
        Action::Adopt { on } => {
            let owner = owned_by("InPlaceSet", &set.set.name, uid);
            let body = json!({"metadata": metadata(on.uid, on.rv, [("ownerReferences", owner)])});
            Some(call.pod(&on, "patch", "AdoptPod", patch_pod(set, &on, "", &body)))
        }
        Action::Release { on } => {
            let owner = json!([{"$patch": "delete", "uid": uid.to_string()}]);
            let body = json!({"metadata": metadata(on.uid, on.rv, [("ownerReferences", owner)])});
            Some(call.pod(&on, "patch", "ReleasePod", patch_pod(set, &on, "", &body)))
        }
        Action::AdoptRevision { name, uid: revision, rv } => {
            let owner = owned_by("InPlaceSet", &set.set.name, uid);
            let body = json!({"metadata": metadata(revision, rv, [("ownerReferences", owner)])});
            let request = patch(Kind::Revision, &set.namespace, &name, "", PatchType::Merge, &body);
            let target = Target::Existing { uid: revision, rv };
            Some(Call { name, ..call.of(Kind::Revision, target, "patch", "AdoptRevision", request) })
        }
        Action::Confirm => {
            let target = Target::Confirmation { uid, sightings: world.sightings() };
            Some(call.of(Kind::Set, target, "get", "Confirm", get(Kind::Set, &set.namespace, &set.set.name)))
        }
        Action::LetGo { rv, at } => {
            let body = without_finalizer(uid, rv, at);
            let request = patch(Kind::Set, &set.namespace, &set.set.name, "", PatchType::Json, &body);
            Some(call.of(Kind::Set, Target::Existing { uid, rv }, "patch", "LetGo", request))
        }
        Action::ProveDrained { pods } => {
            let (known, lists) = (world.newest_slice(&set.namespace), world.slice_lists());
            let target = Target::Proof { pods, known, lists };
            let request = list_versions(Kind::Slice, &set.namespace);
            Some(call.of(Kind::Slice, target, "list", "ProveDrained", request))
        }
        Action::CreateRevision { number, hash } => {
            let name = revision_name(&set.set.name, hash).into();
            let owner = Owned {
                kind: "InPlaceSet",
                name: &set.set.name,
                namespace: &set.namespace,
                uid,
                selector: &set.set.spec.selector,
            };
            let request =
                create(Kind::Revision, &set.namespace, &revision_body(&owner, &set.content, number, hash));
            Some(Call {
                name,
                ..call.of(Kind::Revision, Target::NewRevision(hash), "create", "CreateRevision", request)
            })
        }
        Action::DeleteRevision { name, uid, rv } => {
            let request = delete(Kind::Revision, &set.namespace, &name, uid, rv);
            let target = Target::Existing { uid, rv };
            Some(Call { name, ..call.of(Kind::Revision, target, "delete", "DeleteRevision", request) })
        }
        Action::TouchSet { rv } => {
            let request = fence(&set.namespace, &set.set.name, uid, rv);
            Some(call.of(Kind::Set, Target::Existing { uid, rv }, "patch", "TouchSet", request))
        }
        Action::WriteStatus { rv, status } => {
            let status = serde_json::to_value(&status).ok()?;
            let body = replace_on(uid, rv, "/status", &status);
            let request = patch(Kind::Set, &set.namespace, &set.set.name, "/status", PatchType::Json, &body);
            let target = Target::Existing { uid, rv };
            Some(Call {
                is_status: true,
                ..call.of(Kind::Set, target, "patch_status", "WriteJournal", request)
            })
        }
    }
}

/// The time to write with the gate. Never before the reservation or the last change, whatever another replica's clock said:
/// whether a pod has been drained under its reservation is read from their order.
fn gate_time(set: &SetRecord, pod: &Pod, now: Now) -> Seconds {
    let reserved = set.set.entry(pod.uid).map_or(Seconds::default(), |entry| entry.since);
    now.wall.max(pod.gate_since).max(reserved)
}

fn patch_pod(
    set: &SetRecord,
    on: &On,
    subresource: &str,
    body: &serde_json::Value,
) -> http::Request<Vec<u8>> {
    requests::patch_pod(&set.namespace, &on.pod, subresource, body)
}

struct Builder<'a> {
    set: &'a SetRecord,
}

impl Builder<'_> {
    fn of(
        &self,
        kind: Kind,
        target: Target,
        verb: &'static str,
        decision: &'static str,
        request: http::Request<Vec<u8>>,
    ) -> Call {
        Call {
            owner: Owner::Set(self.set.set.uid),
            target,
            kind,
            namespace: self.set.namespace.clone(),
            name: self.set.set.name.clone(),
            verb,
            decision,
            is_status: false,
            request,
            events: Vec::new(),
            edges: Vec::new(),
            look: 0,
        }
    }

    fn pod(
        &self,
        on: &On,
        verb: &'static str,
        decision: &'static str,
        request: http::Request<Vec<u8>>,
    ) -> Call {
        let target = Target::Existing { uid: on.uid, rv: on.rv };
        Call { name: on.pod.clone(), ..self.of(Kind::Pod, target, verb, decision, request) }
    }
}
