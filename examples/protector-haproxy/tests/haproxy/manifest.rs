//! The manifest of the example.

use crate::bed;

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy.yaml");

#[tokio::test]
async fn the_manifest_applies_as_it_is() {
    let applied =
        bed().await.kubectl(&["apply", "--server-side", "--dry-run=server", "--filename", MANIFEST]).unwrap();
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
}

#[tokio::test]
async fn its_rights_are_those_that_protectors_are_tested_with() {
    let manifest = std::fs::read_to_string(MANIFEST).unwrap();
    let documented =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protectors.md")).unwrap();
    let rights = "  - apiGroups: [\"\"]\n    resources: [pods]\n    verbs: [get, list, watch, patch]\n  \
                  - apiGroups: [\"\"]\n    resources: [pods/status]\n    verbs: [patch]\n";
    assert!(manifest.contains(rights));
    assert!(documented.contains(rights));
}
