//! The definitions as files: they apply as they are and explain themselves.

use std::path::Path;

use super::ground::Ground;

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/cafe/files/crds");
const NAMES: [&str; 3] = ["cafedeployments.cafe.dev", "inplacesets.cafe.dev", "cafereleases.cafe.dev"];

#[tokio::test]
async fn the_definitions_apply_as_they_are() {
    let ground = Ground::new("definitions").await;
    assert!(Path::new(FILES).is_dir());
    // On the client's side the whole object must fit into an annotation.
    ground.kubectl(&["apply", "--filename", FILES]);
    ground.kubectl(&["apply", "--server-side", "--force-conflicts", "--filename", FILES]);
    let again = ground.kubectl(&["diff", "--filename", FILES]);
    assert_eq!(again, "", "applying changes nothing any more");
    for name in NAMES {
        ground.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", name]);
        let violations = ground.kubectl(&[
            "get",
            "crd",
            name,
            "--output=jsonpath={.status.conditions[?(@.type==\"NonStructuralSchema\")].message}",
        ]);
        assert_eq!(violations, "", "{name}");
    }
}

#[tokio::test]
async fn each_definition_is_smaller_than_220_kilobytes() {
    let ground = Ground::new("definitions").await;
    for name in NAMES {
        let size = ground.kubectl(&["get", "crd", name, "--output=json"]).len();
        // Pretty JSON with the metadata of the server is the largest form there is; the file is what is promised.
        let file = format!("{FILES}/{}.yaml", name.split('.').next().unwrap());
        let bytes = std::fs::metadata(&file).unwrap().len();
        assert!(bytes < 220_000, "{file} has {bytes} bytes");
        assert!(size < 1_000_000, "{name} has {size} bytes in the cluster");
    }
}

#[tokio::test]
async fn kubectl_explains_every_level_of_all_kinds() {
    let ground = Ground::new("explain").await;
    ground.until_explained().await;
    for (field, parts) in [
        (
            "cafed",
            &[
                "KIND:       CafeDeployment",
                "GROUP:      cafe.dev",
                "VERSION:    v1alpha1",
                "deployment units",
            ][..],
        ),
        ("cafer", &["KIND:       CafeRelease", "record of one release"][..]),
        ("cafer.status.groups", &["gate", "startedAt", "Where it stands"][..]),
        ("cafed.spec", &["selector", "-required-", "podSetType", "restartAt", "RFC 3339"]),
        (
            "cafed.spec.strategy.batchSize",
            &["Number of pods in every group after the beta group", "percentage"],
        ),
        (
            "cafed.spec.strategy.upgradeType",
            &["ENUM: Beta Batch", "the first group is one pod in every unit"],
        ),
        ("cafed.spec.strategy.maxUnavailable", &["Default 25%"]),
        ("cafed.spec.topology", &["unitType", "nodeLabelKey", "values", "unitReplicas", "autoReschedule"]),
        ("cafed.spec.topology.autoReschedule.initialDelaySeconds", &["Default 10", "<integer>"]),
        ("cafed.spec.release.confirm", &["<revision>/<gate>", "\"7/2\"", "status.release.confirmToken"]),
        ("cafed.spec.traffic.protectors", &["protect.cafe.dev/"]),
        ("cafed.spec.template.spec.containers", &["-required-", "image", "livenessProbe"]),
        (
            "cafed.spec.template.spec.affinity.nodeAffinity",
            &["requiredDuringSchedulingIgnoredDuringExecution"],
        ),
        ("cafed.spec.volumeClaimTemplates.spec", &["storageClassName", "accessModes"]),
        ("cafed.status.release", &["confirmToken", "groupTotal", "waitingSince"]),
        ("ips", &["KIND:       InPlaceSet", "updated in place"]),
        ("ips.spec.updateStrategy.partition", &["kept on the base revision"]),
        ("ips.spec.placement", &["nodeLabelKey", "unit", "value"]),
        ("ips.spec.template.spec.containers.ports", &["containerPort", "protocol"]),
        ("ips.status", &["updatedReadyReplicas", "inFlight"]),
    ] {
        let text = ground.kubectl(&["explain", field]);
        let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in parts {
            let part = part.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(one_line.contains(&part), "kubectl explain {field} does not say `{part}`:\n{text}");
        }
    }
}

#[tokio::test]
async fn no_field_above_the_template_is_left_unexplained() {
    let ground = Ground::new("explain").await;
    ground.until_explained().await;
    for kind in ["cafed", "ips"] {
        for part in ["spec", "status"] {
            for field in fields(&ground.kubectl(&["explain", &format!("{kind}.{part}")])) {
                let path = format!("{kind}.{part}.{field}");
                let text = ground.kubectl(&["explain", &path]);
                // What follows are the fields inside, those of a template without words.
                let text = text.split("FIELDS:").next().unwrap();
                assert!(!text.contains("<no description>") && !text.contains("<empty>"), "{path}:\n{text}");
            }
        }
    }
}

/// The names in the list `FIELDS:`, which is indented by two.
fn fields(text: &str) -> Vec<&str> {
    let list = text.split_once("FIELDS:").map(|(_, list)| list).unwrap();
    let names: Vec<&str> = list
        .lines()
        .filter(|line| {
            line.starts_with("  ")
                && line.chars().nth(2).is_some_and(char::is_alphabetic)
                && line.contains('<')
        })
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.len() > 5, "{text}");
    names
}
