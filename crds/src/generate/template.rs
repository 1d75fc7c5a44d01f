//! The structural schema of a pod template and of a claim template.
//!
//! It is made from the types of k8s-openapi: inlined, without descriptions, with the merge keys of server-side apply,
//! and open for fields that a newer Kubernetes adds: those survive instead of being dropped.

use k8s_openapi::api::core::v1::{PersistentVolumeClaimSpec, PodSpec};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{child, lists};
use crate::opaque::LABEL_VALUE;

const QUANTITY: &str = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$";

/// Types whose lists and objects may be null.
const NULLABLE_FIELDS_OF: &[&str] = &["PodSpec", "Container"];

/// Volumes that Kubernetes does not mount any more, or only by way of CSI. They are taken as they are, for brevity.
const REMOVED_VOLUMES: &[&str] = &[
    "AWSElasticBlockStoreVolumeSource",
    "AzureDiskVolumeSource",
    "AzureFileVolumeSource",
    "CephFSVolumeSource",
    "CinderVolumeSource",
    "FlexVolumeSource",
    "FlockerVolumeSource",
    "GCEPersistentDiskVolumeSource",
    "GitRepoVolumeSource",
    "GlusterfsVolumeSource",
    "PhotonPersistentDiskVolumeSource",
    "PortworxVolumeSource",
    "QuobyteVolumeSource",
    "RBDVolumeSource",
    "ScaleIOVolumeSource",
    "StorageOSVolumeSource",
    "VsphereVirtualDiskVolumeSource",
];

/// Puts the schemas in the place of the opaque ones among the fields of a spec.
pub(super) fn insert(fields: &mut Value) {
    let template = child(fields, "template");
    merge(template, pod_template());
    let claims = child(fields, "volumeClaimTemplates");
    merge(claims, json!({ "items": claim_template() }));
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

fn pod_template() -> Value {
    let mut spec = Inliner::of::<PodSpec>();
    // Every pod needs a container; the API server would say so only when the pod is created.
    let fields = child(&mut spec, "properties");
    merge(child(fields, "containers"), json!({ "minItems": 1 }));
    // Kubernetes refuses them in a template, and their schema is as large as that of the containers.
    merge(child(fields, "ephemeralContainers"), no_ephemeral_containers());
    json!({
        "type": "object",
        "required": ["spec"],
        "properties": { "metadata": metadata(), "spec": spec },
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

fn no_ephemeral_containers() -> Value {
    json!({
        "maxItems": 0,
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": { "name": { "type": "string" } },
            "x-kubernetes-preserve-unknown-fields": true,
        },
    })
}

fn claim_template() -> Value {
    json!({
        "type": "object",
        "required": ["metadata", "spec"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": claim_metadata(),
            "spec": Inliner::of::<PersistentVolumeClaimSpec>(),
        },
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// Metadata of an embedded object. It is spelled out, because an API server empties embedded metadata that it does not know.
fn metadata() -> Value {
    json!({
        "type": "object",
        "properties": {
            "annotations": { "type": "object", "additionalProperties": { "type": "string" }, "maxProperties": 256 },
            // Written as null by many tools.
            "creationTimestamp": { "type": "string", "format": "date-time", "nullable": true },
            "finalizers": { "type": "array", "items": { "type": "string" }, "x-kubernetes-list-type": "set" },
            "labels": {
                "type": "object",
                "additionalProperties": { "type": "string", "maxLength": 63, "pattern": LABEL_VALUE },
                "maxProperties": 128,
            },
            "name": { "type": "string" },
        },
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

fn claim_metadata() -> Value {
    let mut schema = metadata();
    merge(&mut schema, json!({ "required": ["name"] }));
    // A volume of the pod gets this name.
    merge(child(child(&mut schema, "properties"), "name"), json!({ "maxLength": 63 }));
    schema
}

/// Turns a schema with references into one without.
struct Inliner {
    definitions: Map<String, Value>,
}

impl Inliner {
    fn of<T: JsonSchema>() -> Value {
        let mut generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
        let reference = generator.subschema_for::<T>();
        let inliner = Self { definitions: generator.take_definitions(true) };
        inliner.schema(reference.as_value())
    }

    fn schema(&self, schema: &Value) -> Value {
        match schema.get("$ref").and_then(Value::as_str) {
            Some(reference) => self.named(reference),
            None => self.structure("", schema),
        }
    }

    fn named(&self, reference: &str) -> Value {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        match name.rsplit('.').next().unwrap_or(name) {
            "Quantity" => json!({ "x-kubernetes-int-or-string": true, "pattern": QUANTITY }),
            "IntOrString" => json!({ "x-kubernetes-int-or-string": true }),
            "ObjectMeta" => metadata(),
            short if REMOVED_VOLUMES.contains(&short) => {
                json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
            }
            short => self.definitions.get(name).map_or(Value::Null, |schema| self.structure(short, schema)),
        }
    }

    /// One schema of the type `owner`, which is empty for a schema without a name.
    fn structure(&self, owner: &str, schema: &Value) -> Value {
        let mut out = Map::new();
        for key in ["type", "format", "required"] {
            if let Some(value) = schema.get(key) {
                out.insert(key.into(), value.clone());
            }
        }
        for key in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get(key) {
                out.insert(key.into(), self.schema(inner));
            }
        }
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            let fields =
                properties.iter().map(|(name, inner)| (name.clone(), self.field(owner, name, inner)));
            out.insert("properties".into(), Value::Object(fields.collect()));
            let (extension, value) = match lists::is_atomic(owner) {
                true => ("x-kubernetes-map-type", json!("atomic")),
                false => ("x-kubernetes-preserve-unknown-fields", json!(true)),
            };
            out.insert(extension.into(), value);
        }
        Value::Object(out)
    }

    fn field(&self, owner: &str, name: &str, schema: &Value) -> Value {
        let mut field = self.schema(schema);
        for (extension, value) in lists::of_field(owner, name, schema) {
            merge(&mut field, json!({ extension: value }));
        }
        // Templates of charts leave such fields empty, which reads as null, and a Deployment takes them.
        let group = matches!(schema_type(&field), Some("array" | "object"));
        if group && NULLABLE_FIELDS_OF.contains(&owner) && name != "containers" {
            merge(&mut field, json!({ "nullable": true }));
        }
        if (owner, name) == ("ContainerPort", "protocol") {
            // A merge key must be there: the API server fills it in as it does in pods.
            merge(&mut field, json!({ "default": "TCP" }));
        }
        field
    }
}

fn schema_type(schema: &Value) -> Option<&str> {
    schema.get("type").and_then(Value::as_str)
}
