//! The bill of materials (CycloneDX): every crate that is linked into the programs, the standard library and the C library.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::programs::PROGRAMS;
use super::source::{Source, VERSION};
use super::{cargo, succeed};

/// Name and version.
type Crate = (String, String);

/// As JSON with a line break at its end.
pub(super) fn make(source: &Source) -> Result<Vec<u8>> {
    let mut tree = cargo(source.root());
    // Build scripts and macros run at build time only.
    tree.args(["tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none"]);
    PROGRAMS.iter().for_each(|program| {
        tree.args(["--package", program]);
    });
    let linked = linked(&succeed(&mut tree)?);
    let lock = fs::read_to_string(source.root().join("Cargo.lock"))?;
    let mut components = components(&metadata(source.root())?, &linked, &checksums(&lock));
    components.extend(libraries(source.root())?);
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": source.time()?,
            "component": {
                "type": "application", "bom-ref": "cafe", "name": "cafe", "version": VERSION,
                "licenses": [{ "expression": "Apache-2.0" }],
                "properties": [{ "name": "cafe:revision", "value": source.revision() }],
            },
        },
        "components": components,
    });
    Ok([serde_json::to_vec_pretty(&bill)?, b"\n".to_vec()].concat())
}

/// What cargo knows of the workspace and of all crates below it.
pub(super) fn metadata(root: &Path) -> Result<Value> {
    let mut metadata = cargo(root);
    let said = succeed(metadata.args(["metadata", "--locked", "--format-version", "1"]))?;
    serde_json::from_str(&said).context("cannot read what `cargo metadata` says")
}

/// The crates in the output of `cargo tree --prefix none`: `serde v1.0.0 (*)`.
fn linked(tree: &str) -> BTreeSet<Crate> {
    let name = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    };
    tree.lines().filter_map(name).collect()
}

/// The digests of the archives that the crates come in.
fn checksums(lock: &str) -> BTreeMap<Crate, String> {
    let of = |package: &str| {
        let field = |key: &str| {
            let value = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
            Some(value.trim_matches('"').to_owned())
        };
        Some(((field("name")?, field("version")?), field("checksum")?))
    };
    lock.split("[[package]]").filter_map(of).collect()
}

fn components(metadata: &Value, linked: &BTreeSet<Crate>, checksums: &BTreeMap<Crate, String>) -> Vec<Value> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
    let packages = metadata.get("packages").and_then(Value::as_array);
    let named = packages.into_iter().flatten().filter_map(|package| {
        let name = (text(package, "name")?, text(package, "version")?);
        linked.contains(&name).then_some((name, package))
    });
    // By name and version, whatever cargo's order.
    let sorted: BTreeMap<Crate, &Value> = named.collect();
    let component = |(name, package): (Crate, &Value)| {
        let address = format!("pkg:cargo/{}@{}", name.0, name.1);
        let mut component = json!({ "type": "library", "bom-ref": address, "name": name.0, "version": name.1, "purl": address });
        let mut add =
            |key: &str, value: Value| component.as_object_mut().map(|all| all.insert(key.to_owned(), value));
        if let Some(licence) = text(package, "license") {
            // Before SPDX expressions a slash meant a choice.
            add("licenses", json!([{ "expression": licence.replace('/', " OR ") }]));
        }
        if let Some(checksum) = checksums.get(&name) {
            add("hashes", json!([{ "alg": "SHA-256", "content": checksum }]));
        }
        component
    };
    sorted.into_iter().map(component).collect()
}

/// What is linked in beside the crates.
fn libraries(root: &Path) -> Result<Vec<Value>> {
    let rustc = succeed(Command::new("rustc").current_dir(root).arg("-vV"))?;
    let release = rustc.lines().find_map(|line| line.strip_prefix("release: "));
    let libc = succeed(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    let library = |name: &str, version: &str, licence: &str| json!({ "type": "library", "bom-ref": name, "name": name, "version": version, "licenses": [{ "expression": licence }] });
    Ok(vec![
        library("rust-std", release.context("rustc does not tell its release")?, "MIT OR Apache-2.0"),
        library("glibc", libc.trim().trim_start_matches("glibc "), "LGPL-2.1-or-later"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_linked_is_listed_with_its_licence_and_its_digest() {
        let tree = "cafe-webhook v0.1.0 (/src/webhook)\nserde v1.0.2\nserde v1.0.2 (*)\n\n";
        let lock = "version = 4\n\n[[package]]\nname = \"serde\"\nversion = \"1.0.2\"\nchecksum = \"ab\"\n\n[[package]]\nname = \"cafe-webhook\"\nversion = \"0.1.0\"\n";
        let metadata = json!({ "packages": [
            { "name": "serde", "version": "1.0.2", "license": "MIT/Apache-2.0" },
            { "name": "serde", "version": "0.9.0", "license": "MIT" },
            { "name": "cafe-webhook", "version": "0.1.0", "license": "Apache-2.0" },
        ]});
        let found = components(&metadata, &linked(tree), &checksums(lock));
        let names: Vec<&str> = found.iter().map(|c| c["purl"].as_str().unwrap()).collect();
        assert_eq!(names, ["pkg:cargo/cafe-webhook@0.1.0", "pkg:cargo/serde@1.0.2"]);
        assert_eq!(found[1]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!((&found[0]["hashes"], &found[1]["hashes"][0]["content"]), (&Value::Null, &json!("ab")));
    }
}
