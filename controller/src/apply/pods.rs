//! The bodies of pod writes: birth, W1, W2, W3.

use cafe_crds::{
    names::{
        ANNOTATION_IN_PLACE, ANNOTATION_OFFLINE, DRAIN_REASON_PREFIX, GATE, LABEL_GROUP, LABEL_REVISION,
        LABEL_SERVING, LABEL_UNIT, OFFLINE_REASON,
    },
    time::Seconds,
    traffic::TrafficMode,
};
use cafe_planner::{
    Text,
    identity::{Op, RevisionHash},
    pod::InPlace,
    set::action::On,
    template::Facts,
};
use serde_json::{Map, Value, json};

use super::{
    claims,
    requests::{metadata, owned_by},
};
use crate::{
    observe::{content::Content, pod::Record},
    world::SetRecord,
};

/// A new pod: the template with our labels, the readiness gate, and the unit's place.
pub(super) fn birth(
    set: &SetRecord,
    content: &Content,
    name: &Text,
    revision: RevisionHash,
    group: Option<&Text>,
) -> Value {
    let mut labels = strings(&content.template, "/metadata/labels");
    labels.insert(LABEL_REVISION.into(), revision.to_string().into());
    if let Some(placement) = &set.set.spec.placement {
        labels.insert(LABEL_UNIT.into(), placement.unit.clone().into());
    }
    if let Some(group) = group {
        labels.insert(LABEL_GROUP.into(), (&**group).into());
    }
    let mut spec = content.template.get("spec").cloned().unwrap_or_default();
    add_gate(&mut spec);
    claims::mount(&mut spec, content, name);
    if let Some((key, value)) = place(set) {
        add_affinity(&mut spec, key, value);
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": &**name, "namespace": &*set.namespace, "labels": labels,
            "annotations": strings(&content.template, "/metadata/annotations"),
            "finalizers": content.template.pointer("/metadata/finalizers").cloned().unwrap_or_else(|| json!([])),
            "ownerReferences": owned_by("InPlaceSet", &set.set.name, set.set.uid),
        },
        "spec": spec,
    })
}

fn strings(template: &Value, pointer: &str) -> Map<String, Value> {
    template.pointer(pointer).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn place(set: &SetRecord) -> Option<(&str, &str)> {
    let placement = set.set.spec.placement.as_ref()?;
    Some((placement.node_label_key.as_deref()?, placement.value.as_deref()?))
}

fn add_gate(spec: &mut Value) {
    let gates = entry(spec, "readinessGates", || json!([]));
    if let Some(gates) = gates.as_array_mut()
        && !gates.iter().any(|g| g.get("conditionType").and_then(Value::as_str) == Some(GATE))
    {
        gates.push(json!({"conditionType": GATE}));
    }
}

/// Required node affinity on the unit's label, added to **every** term of the user's own: terms are alternatives, so a
/// term without it would let the pod leave its unit.
fn add_affinity(spec: &mut Value, key: &str, value: &str) {
    let place = json!({"key": key, "operator": "In", "values": [value]});
    let affinity = entry(spec, "affinity", || json!({}));
    let node = entry(affinity, "nodeAffinity", || json!({}));
    let required = entry(node, "requiredDuringSchedulingIgnoredDuringExecution", || json!({}));
    let terms = entry(required, "nodeSelectorTerms", || json!([]));
    let Some(terms) = terms.as_array_mut() else { return };
    if terms.is_empty() {
        terms.push(json!({"matchExpressions": [place]}));
        return;
    }
    // An empty term matches no node: the place in it would open the whole unit to a pod that its other terms keep out.
    for term in terms.iter_mut().filter(|term| !is_empty(term)) {
        if let Some(expressions) = entry(term, "matchExpressions", || json!([])).as_array_mut() {
            expressions.push(place.clone());
        }
    }
}

/// Whether a term asks for nothing.
fn is_empty(term: &Value) -> bool {
    let has = |list: &str| term.get(list).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    !has("matchExpressions") && !has("matchFields")
}

/// The field of an object, made when it is absent or null.
#[allow(clippy::indexing_slicing, reason = "indexing an object of serde_json by a name makes the field")]
fn entry<'a>(value: &'a mut Value, field: &str, default: fn() -> Value) -> &'a mut Value {
    if !value.is_object() {
        *value = json!({});
    }
    let slot = &mut value[field];
    if slot.is_null() {
        *slot = default();
    }
    slot
}

/// Why a pod's gate is closed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Closing {
    /// For something of ours: this drain.
    Drain(Op),
    /// Because people want it out of traffic.
    Offline,
}

impl Closing {
    fn reason(self) -> String {
        match self {
            Self::Drain(op) => format!("{DRAIN_REASON_PREFIX}{op}"),
            Self::Offline => OFFLINE_REASON.to_owned(),
        }
    }

    fn message(self) -> String {
        match self {
            Self::Drain(_) => "being taken out of traffic".to_owned(),
            Self::Offline => format!("kept out of traffic by the annotation {ANNOTATION_OFFLINE}"),
        }
    }
}

/// W1. Ready is the kubelet's to turn False. Written here in its words it would look at nothing and go on believing True, and
/// the next time it compares what it believes with what it sees (every ten seconds) it would write that.
pub(super) fn take_out(on: &On, why: Closing, mode: TrafficMode, now: Seconds) -> Value {
    let gate = json!({
        "type": GATE, "status": "False", "reason": why.reason(), "message": why.message(), "lastTransitionTime": now,
    });
    json!({ "metadata": selected(on, mode, &Value::Null), "status": {"conditions": [gate]} })
}

/// The metadata of W1 and W3: with `mode: Unselect` the label that Services select on rides along.
fn selected(on: &On, mode: TrafficMode, label: &Value) -> Value {
    match mode {
        TrafficMode::Gate => metadata(on.uid, on.rv, []),
        TrafficMode::Unselect => metadata(on.uid, on.rv, [("labels", json!({LABEL_SERVING: label}))]),
    }
}

/// W3. Ready is the kubelet's to turn True.
pub(super) fn put_back(on: &On, mode: TrafficMode, now: Seconds) -> Value {
    json!({
        "metadata": selected(on, mode, &"true".into()),
        "status": {"conditions": [
            {"type": GATE, "status": "True", "reason": "Serving", "message": "", "lastTransitionTime": now},
        ]},
    })
}

/// A write that changes nothing but the resource version.
pub(super) fn touch(on: &On, record: &InPlace, now: Seconds) -> Value {
    let annotations = json!({ANNOTATION_IN_PLACE: text(&Record::new(record, None, now))});
    json!({"metadata": metadata(on.uid, on.rv, [("annotations", annotations)])})
}

/// W2: new images, the labels and annotations that changed with the template, and the record, in one patch.
pub(super) fn update(on: &On, change: &Change<'_>, now: Seconds) -> Value {
    let revision = change.to.to_string();
    let mut labels = differences(change.before.map(|f| &f.labels), &change.after.labels);
    labels.insert(LABEL_REVISION.into(), revision.clone().into());
    if let Some(group) = change.group {
        labels.insert(LABEL_GROUP.into(), (&**group).into());
    }
    let mut annotations = differences(change.before.map(|f| &f.annotations), &change.after.annotations);
    if let Some(record) = change.record {
        annotations
            .insert(ANNOTATION_IN_PLACE.into(), text(&Record::new(record, Some(revision), now)).into());
    }
    let changes = [("labels", Value::Object(labels)), ("annotations", Value::Object(annotations))];
    let list = |sidecar: bool| -> Option<Value> {
        let images = change.images.iter().filter(|(_, _, s)| *s == sidecar);
        let images: Vec<Value> =
            images.map(|(name, image, _)| json!({"name": &**name, "image": &**image})).collect();
        (!images.is_empty()).then_some(Value::Array(images))
    };
    let lists = [("containers", list(false)), ("initContainers", list(true))];
    let spec: Value =
        lists.into_iter().filter_map(|(field, images)| Some((field.to_owned(), images?))).collect();
    json!({"metadata": metadata(on.uid, on.rv, changes), "spec": spec})
}

/// What W2 changes.
pub(super) struct Change<'a> {
    /// The template the pod was made from, if history still has it.
    pub(super) before: Option<&'a Facts>,
    /// The template it gets.
    pub(super) after: &'a Facts,
    /// The revision it gets.
    pub(super) to: RevisionHash,
    /// The group it moves in.
    pub(super) group: Option<&'a Text>,
    /// New images.
    pub(super) images: &'a [(Text, Text, bool)],
    /// What ran before.
    pub(super) record: Option<&'a InPlace>,
}

/// What to set and (null) what to take off. Keys of others are not mentioned, so they stay.
fn differences(
    before: Option<&std::collections::BTreeMap<Text, Text>>,
    after: &std::collections::BTreeMap<Text, Text>,
) -> Map<String, Value> {
    let old = |key: &Text| before.and_then(|b| b.get(key));
    let set =
        after.iter().filter(|(k, v)| old(k) != Some(v)).map(|(k, v)| (k.to_string(), Value::from(&**v)));
    let gone = before
        .into_iter()
        .flatten()
        .filter(|(k, _)| !after.contains_key(*k))
        .map(|(k, _)| (k.to_string(), Value::Null));
    set.chain(gone).collect()
}

fn text(record: &Record) -> String {
    serde_json::to_string(record).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_place_is_added_to_every_term_of_the_users_affinity() {
        let mut spec = json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}, {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]},
        ]}}}});
        add_affinity(&mut spec, "cafe.dev/cell", "CellA");
        let terms = spec
            .pointer(
                "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms",
            )
            .unwrap();
        for term in terms.as_array().unwrap() {
            let expressions = term["matchExpressions"].as_array().unwrap();
            assert_eq!(expressions.last().unwrap()["values"], json!(["CellA"]));
        }
        assert_eq!(terms[0]["matchExpressions"].as_array().unwrap().len(), 2);
        assert!(terms[1].get("matchFields").is_some());
    }

    #[test]
    fn a_term_that_matches_nothing_goes_on_matching_nothing() {
        const REQUIRED: &str = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
        let with = |terms: Value| {
            let mut spec = json!({"affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms},
            }}});
            add_affinity(&mut spec, "cafe.dev/cell", "CellA");
            spec.pointer(REQUIRED).unwrap()["nodeSelectorTerms"].clone()
        };
        let place = json!({"key": "cafe.dev/cell", "operator": "In", "values": ["CellA"]});
        let disk = json!({"key": "disk", "operator": "Exists"});
        assert_eq!(with(json!([])), json!([{"matchExpressions": [place]}]));
        assert_eq!(
            with(json!([{}, {"matchExpressions": [], "matchFields": []}])),
            json!([{}, {"matchExpressions": [], "matchFields": []}])
        );
        assert_eq!(
            with(json!([{}, {"matchExpressions": [disk]}])),
            json!([{}, {"matchExpressions": [disk, place]}])
        );
    }

    #[test]
    fn taking_a_pod_out_closes_the_gate_and_leaves_readiness_to_the_kubelet() {
        let on = On { pod: "web-1".into(), uid: cafe_planner::identity::Uid(1), rv: 7 };
        let body = take_out(&on, Closing::Drain(Op(0xab)), TrafficMode::Gate, Seconds(0));
        assert_eq!(body["metadata"]["resourceVersion"], "7");
        let conditions = body["status"]["conditions"].as_array().unwrap();
        assert_eq!(conditions.len(), 1);
        assert_eq!(
            (&conditions[0]["type"], &conditions[0]["reason"]),
            (&json!(GATE), &json!("Drain_000000ab"))
        );
    }

    #[test]
    fn a_label_that_the_template_drops_is_taken_off_and_foreign_ones_are_not_mentioned() {
        let map =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (Text::from(*k), Text::from(*v))).collect();
        let (before, after) = (map(&[("a", "1"), ("b", "2"), ("c", "3")]), map(&[("a", "1"), ("b", "9")]));
        assert_eq!(Value::Object(differences(Some(&before), &after)), json!({"b": "9", "c": null}));
    }
}
