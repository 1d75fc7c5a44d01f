//! The bodies of writes to CafeReleases.

use cafe_crds::{
    names::{GROUP, LABEL_DEPLOYMENT, VERSION},
    release::{CafeReleaseSpec, CafeReleaseStatus},
};
use cafe_planner::{Text, deployment::Deployment, identity::Uid};
use serde_json::{Map, Value, json};

use super::requests::{metadata, owned_by};

/// A new CafeRelease, in one piece.
pub(super) fn body(
    d: &Deployment,
    name: &Text,
    spec: &CafeReleaseSpec,
    status: &CafeReleaseStatus,
) -> Option<Value> {
    // A label takes less than a name may have.
    let labels = (d.name.len() <= 63).then(|| json!({ LABEL_DEPLOYMENT: &*d.name }));
    Some(json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "CafeRelease",
        "metadata": {
            "name": &**name, "namespace": &*d.namespace, "labels": labels,
            "ownerReferences": owned_by("CafeDeployment", &d.name, d.uid),
        },
        "spec": serde_json::to_value(spec).ok()?,
        "status": serde_json::to_value(status).ok()?,
    }))
}

/// A merge patch of what differs: fields that this process does not hold in memory stay as they are.
pub(super) fn changes(
    uid: Uid,
    rv: u64,
    before: &CafeReleaseStatus,
    after: &CafeReleaseStatus,
) -> Option<Value> {
    let fields = |status: &CafeReleaseStatus| match serde_json::to_value(status) {
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    };
    let (before, after) = (fields(before)?, fields(after)?);
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let mut changed: Map<String, Value> = gone.collect();
    changed.extend(after.into_iter().filter(|(key, value)| before.get(key) != Some(value)));
    Some(json!({ "metadata": metadata(uid, rv, []), "status": changed }))
}

#[cfg(test)]
mod tests {
    use cafe_crds::{release::State, time::Seconds};

    use super::*;

    #[test]
    fn only_what_differs_is_sent_and_what_is_gone_is_taken_off() {
        let before = CafeReleaseStatus { ended_at: Some(Seconds(0)), ..CafeReleaseStatus::default() };
        let after = CafeReleaseStatus { state: State::Paused, ..CafeReleaseStatus::default() };
        let body = changes(Uid(1), 7, &before, &after).unwrap();
        assert_eq!(body["status"], json!({ "state": "Paused", "endedAt": null }));
        assert_eq!(body["metadata"]["resourceVersion"], "7");
    }
}
