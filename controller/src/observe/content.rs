//! The content of a revision: a pod template and volume claim templates, kept as the raw JSON they came as.

use std::{collections::BTreeMap, sync::Arc};

use cafe_planner::{
    Text,
    identity::Digest,
    template::{ContainerImage, Facts},
};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Interner;

/// What a revision holds. Raw, because a typed template would drop the fields its type does not know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Content {
    /// The pod template.
    pub(crate) template: Value,
    /// The volume claim templates.
    pub(crate) claims: Vec<Value>,
}

impl Content {
    /// Reads the data of a ControllerRevision.
    pub(crate) fn from_data(mut data: Value) -> Self {
        let claims = match data.get_mut("volumeClaimTemplates").map(Value::take) {
            Some(Value::Array(claims)) => claims,
            _ => Vec::new(),
        };
        Self { template: data.get_mut("template").map(Value::take).unwrap_or_default(), claims }
    }

    /// The data of a ControllerRevision.
    pub(crate) fn to_data(&self) -> Value {
        json!({"template": self.template, "volumeClaimTemplates": self.claims})
    }

    /// The labels of its pods.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let labels = self.template.pointer("/metadata/labels").and_then(Value::as_object);
        let pairs = labels.into_iter().flatten();
        pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    }

    /// Digest of the whole content, whatever the order of its fields.
    pub(crate) fn digest(&self) -> Digest {
        let mut hasher = Sha256::new();
        feed(&self.template, &mut hasher);
        self.claims.iter().for_each(|claim| feed(claim, &mut hasher));
        finish(hasher)
    }

    /// What the planner needs to know of it.
    pub(crate) fn facts(&self, interner: &mut Interner) -> Facts {
        let mut rest = self.template.clone();
        let metadata = rest.as_object_mut().and_then(|t| t.remove("metadata")).unwrap_or_default();
        let mut containers = Vec::new();
        for (list, sidecar) in [("containers", false), ("initContainers", true)] {
            let entries = rest.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut);
            containers.extend(entries.into_iter().flatten().filter_map(|c| take_image(c, sidecar, interner)));
        }
        let mut hasher = Sha256::new();
        feed(&rest, &mut hasher);
        self.claims.iter().for_each(|claim| feed(claim, &mut hasher));
        let mut texts = |field: &str| texts(metadata.get(field), interner);
        let (labels, annotations) = (texts("labels"), texts("annotations"));
        let names = self.claims.iter().filter_map(|c| c.pointer("/metadata/name").and_then(Value::as_str));
        let claims = names.map(|name| interner.text(name)).collect();
        Facts { rest: finish(hasher), containers, labels, annotations, claims }
    }
}

/// Takes the image out of a container that can change it in place: any but a plain init container.
fn take_image(container: &mut Value, sidecar: bool, interner: &mut Interner) -> Option<ContainerImage> {
    if sidecar && container.get("restartPolicy").and_then(Value::as_str) != Some("Always") {
        return None;
    }
    let container = container.as_object_mut()?;
    let image = container.remove("image").unwrap_or_default();
    let name = container.get("name")?.as_str()?;
    Some(ContainerImage {
        name: interner.text(name),
        image: interner.text(image.as_str().unwrap_or_default()),
        sidecar,
    })
}

fn texts(map: Option<&Value>, interner: &mut Interner) -> BTreeMap<Text, Text> {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(k, v)| Some((interner.text(k), interner.text(v.as_str()?)))).collect()
}

/// Feeds a value in one canonical form: keys sorted, every part delimited.
fn feed(value: &Value, hasher: &mut Sha256) {
    match value {
        Value::Object(map) => feed_object(map, hasher),
        Value::Array(items) => {
            hasher.update(b"[");
            items.iter().for_each(|item| feed(item, hasher));
            hasher.update(b"]");
        }
        scalar => {
            // The JSON text of a scalar is unambiguous: strings carry their quotes.
            hasher.update(scalar.to_string().as_bytes());
            hasher.update(b",");
        }
    }
}

fn feed_object(map: &Map<String, Value>, hasher: &mut Sha256) {
    // A null says the same as an absent field.
    let mut fields: Vec<(&String, &Value)> = map.iter().filter(|(_, value)| !value.is_null()).collect();
    fields.sort_by_key(|(key, _)| *key);
    hasher.update(b"{");
    for (key, value) in fields {
        hasher.update(Value::String(key.clone()).to_string().as_bytes());
        hasher.update(b":");
        feed(value, hasher);
    }
    hasher.update(b"}");
}

fn finish(hasher: Sha256) -> Digest {
    let hash = hasher.finalize();
    Digest(hash.iter().take(16).fold(0, |digest, byte| (digest << 8) | u128::from(*byte)))
}

/// Contents by digest, each stored once however many objects carry it.
#[derive(Debug, Default)]
pub(crate) struct Contents(BTreeMap<Digest, Arc<Content>>);

impl Contents {
    /// Stores a content and returns its digest with the shared copy.
    pub(crate) fn store(&mut self, content: Content) -> (Digest, Arc<Content>) {
        let digest = content.digest();
        let shared = self.0.entry(digest).or_insert_with(|| Arc::new(content));
        (digest, shared.clone())
    }

    /// The content with this digest.
    pub(crate) fn get(&self, digest: Digest) -> Option<&Arc<Content>> {
        self.0.get(&digest)
    }

    /// Forgets contents that no object carries any more.
    pub(crate) fn sweep(&mut self) {
        self.0.retain(|_, content| Arc::strong_count(content) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(image: &str) -> Content {
        let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {
            "containers": [{"name": "app", "image": image, "futureField": {"b": 1, "a": [1, "x"]}}],
            "initContainers": [{"name": "init", "image": "i:1"}, {"name": "mesh", "image": "m:1", "restartPolicy": "Always"}],
        }});
        Content { template, claims: Vec::new() }
    }

    #[test]
    fn a_digest_depends_on_content_and_not_on_the_order_of_fields() {
        let reordered: Value = serde_json::from_str(
            r#"{"spec":{"initContainers":[{"image":"i:1","name":"init"},{"restartPolicy":"Always","image":"m:1","name":"mesh"}],
                "containers":[{"futureField":{"a":[1,"x"],"b":1},"image":"a:1","name":"app"}]},"metadata":{"labels":{"app":"web"}}}"#,
        )
        .unwrap();
        assert_eq!(content("a:1").digest(), Content { template: reordered, claims: Vec::new() }.digest());
        assert_ne!(content("a:1").digest(), content("a:2").digest());
    }

    #[test]
    fn only_images_of_containers_and_native_sidecars_change_in_place() {
        let mut interner = Interner::default();
        let (a, b) = (content("a:1").facts(&mut interner), content("a:2").facts(&mut interner));
        assert_eq!(a.rest, b.rest);
        let names: Vec<&str> = a.containers.iter().map(|c| &*c.name).collect();
        assert_eq!(names, ["app", "mesh"]);
    }

    #[test]
    fn fields_nobody_knows_survive_the_revision() {
        let data = content("a:1").to_data();
        assert_eq!(Content::from_data(data), content("a:1"));
    }
}
