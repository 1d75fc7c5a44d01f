//! The bodies of writes of claims, and the volumes that name them.

use cafe_crds::{
    claims::ClaimRetention,
    names::{GROUP, LABEL_PLACE, LABEL_SCALED_IN, LABEL_SET, VERSION},
};
use cafe_planner::{identity::Uid, set::claims::claim_name};
use serde_json::{Map, Value, json};

use super::requests::metadata;
use crate::{observe::content::Content, world::SetRecord};

/// A new claim: the template, word for word, with its name and our labels. None if there is no such template.
pub(super) fn body(set: &SetRecord, content: &Content, template: &str, pod: &str) -> Option<Value> {
    let mut claim = content.claims.iter().find(|claim| template_name(claim) == Some(template))?.clone();
    let fields = claim.as_object_mut()?;
    fields.insert("apiVersion".into(), "v1".into());
    fields.insert("kind".into(), "PersistentVolumeClaim".into());
    let place = pod.strip_prefix(&*set.set.name)?.strip_prefix('-')?;
    let ours = [(LABEL_SET, &*set.set.name), (LABEL_PLACE, place)];
    let selected = set.set.spec.selector.match_labels.iter().map(|(key, value)| (&**key, &**value));
    let metadata = fields.get_mut("metadata")?.as_object_mut()?;
    let mut labels: Map<String, Value> =
        metadata.get("labels").and_then(Value::as_object).cloned().unwrap_or_default();
    labels.extend(selected.chain(ours).map(|(key, value)| (key.to_owned(), value.into())));
    metadata.insert("labels".into(), labels.into());
    metadata.insert("name".into(), (&*claim_name(template, pod)).into());
    metadata.insert("namespace".into(), (&*set.namespace).into());
    if set.set.spec.claim_retention.when_deleted == ClaimRetention::Delete {
        metadata.insert("ownerReferences".into(), json!([owner(set)]));
    }
    Some(claim)
}

/// What a claim says of its pod and of its owner.
pub(super) fn changes(
    set: &SetRecord,
    (uid, rv): (Uid, u64),
    given_up: Option<ClaimRetention>,
    owned: bool,
    strangers: &[Uid],
) -> Value {
    let labels = json!({LABEL_SCALED_IN: given_up.map(ClaimRetention::as_str)});
    let gone = |uid: &Uid| json!({"$patch": "delete", "uid": uid.to_string()});
    let mut owners: Vec<Value> = strangers.iter().map(gone).collect();
    owners.push(if owned { owner(set) } else { gone(&set.set.uid) });
    json!({"metadata": metadata(uid, rv, [("labels", labels), ("ownerReferences", owners.into())])})
}

/// Not the claim's controller: nobody waits for it, and it is merely deleted after the set.
fn owner(set: &SetRecord) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "InPlaceSet",
        "name": &*set.set.name, "uid": set.set.uid.to_string(),
    })
}

/// Puts the volumes of the claims into the spec of a pod, in place of those that have their names.
pub(super) fn mount(spec: &mut Value, content: &Content, pod: &str) {
    let names: Vec<&str> = content.claims.iter().filter_map(template_name).collect();
    let Some(spec) = spec.as_object_mut().filter(|_| !names.is_empty()) else { return };
    let volume =
        |name: &&str| json!({"name": name, "persistentVolumeClaim": {"claimName": &*claim_name(name, pod)}});
    let is_other = |volume: &&Value| {
        volume.get("name").and_then(Value::as_str).is_none_or(|name| !names.contains(&name))
    };
    let own = spec.get("volumes").and_then(Value::as_array).into_iter().flatten().filter(is_other).cloned();
    let volumes: Vec<Value> = names.iter().map(volume).chain(own).collect();
    spec.insert("volumes".into(), volumes.into());
}

fn template_name(claim: &Value) -> Option<&str> {
    claim.pointer("/metadata/name").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_with_the_name_of_a_template_is_replaced_and_others_stay() {
        let content = Content { template: Value::Null, claims: vec![json!({"metadata": {"name": "data"}})] };
        let mut spec =
            json!({"volumes": [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]});
        mount(&mut spec, &content, "web-1");
        assert_eq!(
            spec,
            json!({"volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-1"}},
                {"name": "tmp", "emptyDir": {}},
            ]})
        );
    }

    #[test]
    fn without_templates_the_volumes_are_left_alone() {
        let content = Content { template: Value::Null, claims: Vec::new() };
        let mut spec = json!({"containers": []});
        mount(&mut spec, &content, "web-1");
        assert_eq!(spec, json!({"containers": []}));
    }
}
