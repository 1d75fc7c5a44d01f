//! The names of all fields, for programs that ask whether the definitions of a cluster have them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};

use super::{HEADER, definitions};

/// What the schema of a cluster refers to: pods and claims have the fields of its own version of Kubernetes.
const NOT_OURS: [&str; 3] = ["metadata", "template", "volumeClaimTemplates"];

/// A line for each field of each kind, parents first: `CafeDeployment.status.release.groups[].units`.
pub fn fields() -> String {
    let mut lines = vec![format!("# {HEADER}")];
    definitions().iter().for_each(|crd| add_kind(crd, &mut lines));
    lines.join("\n") + "\n"
}

fn add_kind(crd: &CustomResourceDefinition, lines: &mut Vec<String>) {
    let schemas = crd.spec.versions.iter().filter_map(|version| version.schema.as_ref());
    for schema in schemas.filter_map(|schema| schema.open_api_v3_schema.as_ref()) {
        add(&crd.spec.names.kind, schema, lines);
    }
}

fn add(path: &str, schema: &JSONSchemaProps, lines: &mut Vec<String>) {
    for (name, schema) in schema.properties.iter().flatten() {
        if !NOT_OURS.contains(&name.as_str()) {
            let path = format!("{path}.{name}");
            lines.push(path.clone());
            add(&path, schema, lines);
        }
    }
    if let Some(JSONSchemaPropsOrArray::Schema(schema)) = &schema.items {
        add(&format!("{path}[]"), schema, lines);
    }
}
