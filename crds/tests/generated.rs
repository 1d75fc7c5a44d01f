//! The committed files are what the generator makes, and the API server can live with them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use cafe_crds::generate;
use serde_json::{Value, json};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn committed(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_default()
}

fn definitions() -> Vec<Value> {
    generate::definitions().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect()
}

/// The kinds that hold a pod template.
fn workloads() -> Vec<Value> {
    definitions().into_iter().filter(has_template).collect()
}

fn has_template(crd: &Value) -> bool {
    root(crd)["properties"]["spec"]["properties"].get("template").is_some()
}

fn root(crd: &Value) -> &Value {
    &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

#[test]
fn the_committed_definitions_are_up_to_date() {
    for (name, yaml) in generate::crds() {
        let file = format!("charts/cafe/files/crds/{name}");
        assert!(committed(&file) == yaml, "{file} is out of date: run `cargo xtask gen`");
    }
}

#[test]
fn the_committed_reference_is_up_to_date() {
    let file = "docs/reference/api.md";
    assert!(committed(file) == generate::reference(), "{file} is out of date: run `cargo xtask gen`");
}

#[test]
fn each_definition_fits_into_the_limits_of_kubectl_and_helm() {
    for ((name, yaml), crd) in generate::crds().iter().zip(definitions()) {
        assert!(yaml.len() < 220_000, "{name} has {} bytes of YAML", yaml.len());
        // Client-side apply keeps the whole object in an annotation of at most 256 KiB.
        let json = serde_json::to_string(&crd).unwrap();
        assert!(json.len() < 200_000, "{name} has {} bytes of JSON", json.len());
    }
}

#[test]
fn the_yaml_says_the_same_as_the_objects() {
    for ((name, yaml), crd) in generate::crds().iter().zip(definitions()) {
        let read: Value = serde_saphyr::from_str(yaml).unwrap();
        assert_eq!(read, crd, "{name}");
    }
}

#[test]
fn every_field_above_the_template_has_a_description() {
    for crd in definitions() {
        let kind = &crd["spec"]["names"]["kind"];
        described(&format!("{kind}.spec"), &root(&crd)["properties"]["spec"]);
        described(&format!("{kind}.status"), &root(&crd)["properties"]["status"]);
    }
}

fn described(path: &str, schema: &Value) {
    let description = schema["description"].as_str().unwrap_or_default();
    assert!(!description.is_empty(), "{path} has no description");
    assert!(!description.contains("TODO") && !description.contains("  "), "{path}: {description}");
    if path.ends_with(".template") || path.ends_with(".volumeClaimTemplates") {
        return;
    }
    for inner in [schema, &schema["items"]] {
        for (name, field) in inner["properties"].as_object().into_iter().flatten() {
            described(&format!("{path}.{name}"), field);
        }
    }
}

#[test]
fn every_schema_has_a_type_or_is_a_number_or_percentage() {
    for crd in definitions() {
        typed("", root(&crd));
    }
}

fn typed(path: &str, schema: &Value) {
    let known = schema["type"].is_string() || schema["x-kubernetes-int-or-string"] == json!(true);
    assert!(known, "{path} has no type: a rule or a table names a field that does not exist");
    assert!(schema.get("nullable").is_none() || !path.starts_with(".status"), "{path} is nullable");
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        typed(&format!("{path}.{name}"), field);
    }
    for inner in ["items", "additionalProperties"] {
        if schema.get(inner).is_some() {
            typed(&format!("{path}[]"), &schema[inner]);
        }
    }
}

#[test]
fn lists_of_the_pod_template_merge_as_in_a_deployment() {
    let keys = [
        ("/containers", json!(["name"])),
        ("/initContainers", json!(["name"])),
        ("/ephemeralContainers", json!(["name"])),
        ("/volumes", json!(["name"])),
        ("/imagePullSecrets", json!(["name"])),
        ("/resourceClaims", json!(["name"])),
        ("/schedulingGates", json!(["name"])),
        ("/hostAliases", json!(["ip"])),
        ("/topologySpreadConstraints", json!(["topologyKey", "whenUnsatisfiable"])),
        ("/containers/items/properties/env", json!(["name"])),
        ("/containers/items/properties/ports", json!(["containerPort", "protocol"])),
        ("/containers/items/properties/volumeMounts", json!(["mountPath"])),
        ("/containers/items/properties/volumeDevices", json!(["devicePath"])),
        ("/containers/items/properties/resources/properties/claims", json!(["name"])),
    ];
    for crd in workloads() {
        let spec = &root(&crd)["properties"]["spec"]["properties"]["template"]["properties"]["spec"];
        for (path, keys) in &keys {
            let list = spec["properties"].pointer(path).unwrap_or(&Value::Null);
            assert_eq!(&list["x-kubernetes-list-map-keys"], keys, "{path}");
            assert_eq!(list["x-kubernetes-list-type"], json!("map"), "{path}");
            // A key that is neither required nor defaulted makes the API server refuse the whole definition.
            for key in keys.as_array().unwrap() {
                let required = list["items"]["required"].as_array().is_some_and(|r| r.contains(key));
                let field = &list["items"]["properties"][key.as_str().unwrap()];
                assert!(required || field.get("default").is_some(), "{path}: {key}");
            }
        }
    }
}

#[test]
fn fields_that_a_newer_kubernetes_adds_to_a_template_survive() {
    for crd in workloads() {
        let template = &root(&crd)["properties"]["spec"]["properties"]["template"];
        for path in
            ["", "/properties/metadata", "/properties/spec", "/properties/spec/properties/containers/items"]
        {
            let schema = template.pointer(path).unwrap();
            assert_eq!(schema["x-kubernetes-preserve-unknown-fields"], json!(true), "{path}");
        }
    }
}

#[test]
fn names_in_the_definitions_are_the_names_of_the_code() {
    use cafe_crds::names;
    for crd in definitions() {
        assert_eq!(crd["spec"]["group"], json!(names::GROUP));
        assert_eq!(crd["spec"]["versions"][0]["name"], json!(names::VERSION));
    }
    for crd in workloads() {
        assert_eq!(
            crd["spec"]["versions"][0]["subresources"]["scale"]["labelSelectorPath"],
            ".status.selector"
        );
    }
}

#[test]
fn a_record_is_written_in_one_piece() {
    let records: Vec<Value> = definitions().into_iter().filter(|crd| !has_template(crd)).collect();
    let kinds: Vec<&Value> = records.iter().map(|crd| &crd["spec"]["names"]["kind"]).collect();
    assert_eq!(kinds, [&json!("CafeRelease")]);
    assert!(records[0]["spec"]["versions"][0].get("subresources").is_none());
}

#[test]
fn every_rule_says_what_to_write_instead() {
    for crd in workloads() {
        let mut rules = Vec::new();
        collect(root(&crd), &mut rules);
        assert!(rules.len() > 10, "{}", rules.len());
        for rule in rules {
            let says = rule["messageExpression"].as_str().unwrap_or_default();
            assert!(
                says.contains("'spec.") || says.contains("'metadata.name"),
                "{rule} does not name its field"
            );
            assert!(says.contains(": "), "{rule} does not say what is right");
        }
    }
}

fn collect(schema: &Value, rules: &mut Vec<Value>) {
    rules.extend(schema["x-kubernetes-validations"].as_array().into_iter().flatten().cloned());
    for field in schema["properties"].as_object().into_iter().flatten().map(|(_, field)| field) {
        collect(field, rules);
    }
    for inner in ["items", "additionalProperties"] {
        if schema.get(inner).is_some() {
            collect(&schema[inner], rules);
        }
    }
}
