//! The Helm chart: what it renders for each kind of user, what it refuses, and that a real API server takes all of it.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use anyhow::{Context, Result, bail};
use cafe_tests::bed::Bed;
use cafe_tests::scenario::bed;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/cafe");

/// Kinds that only exist where an operator has brought them.
const FOREIGN: [&str; 2] = ["monitoring.coreos.com", "cert-manager.io"];

/// Users with their values. Each has a golden render.
const USERS: &[(&str, &[&str])] = &[
    ("defaults", &[]),
    ("small", &["replicaCount=1", "webhook.enabled=false", "metrics.service.enabled=false"]),
    ("two_namespaces", &["watchNamespaces={shop,bank}"]),
    ("cert_manager", &["webhook.certManager.enabled=true"]),
    (
        "issuer_of_ones_own",
        &[
            "webhook.certManager.enabled=true",
            "webhook.certManager.issuerRef.name=corp",
            "webhook.certManager.issuerRef.kind=ClusterIssuer",
        ],
    ),
    (
        "existing_secret",
        &[
            "webhook.existingSecret.name=corp-tls",
            "webhook.existingSecret.caBundle=-----BEGIN CERTIFICATE-----",
        ],
    ),
    (
        "monitored",
        &[
            "metrics.serviceMonitor.enabled=true",
            "metrics.podMonitor.enabled=true",
            "metrics.prometheusRule.enabled=true",
            "metrics.prometheusRule.labels.team=ops",
            "metrics.dashboards.enabled=true",
            "metrics.dashboards.annotations.grafana_folder=Cafe",
        ],
    ),
    (
        "locked_down",
        &[
            "networkPolicy.enabled=true",
            "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
            "image.registry=registry.example.com",
            "image.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000",
            "imagePullSecrets={pull}",
            "rbac.aggregate=false",
        ],
    ),
    (
        "placed",
        &[
            "nodeSelector.pool=system",
            "tolerations[0].key=system",
            "tolerations[0].operator=Exists",
            "commonLabels.team=platform",
            "podLabels.sidecar=none",
            "extraArgs={--no-leader-election}",
            "fullnameOverride=delivery",
        ],
    ),
    (
        "accounts_of_ones_own",
        &["serviceAccount.create=false", "serviceAccount.name=robot", "rbac.create=false"],
    ),
];

fn helm(bed: &Bed, values: &[&str]) -> Result<String> {
    bed.components().ensure()?;
    let mut helm = Command::new(bed.components().path("helm"));
    helm.args(["template", "cafe", CHART, "--namespace", "cafe-system", "--kube-version", "1.36.0"]);
    for value in values {
        helm.args(["--set", value]);
    }
    let output = helm.output().context("cannot run helm")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn without_definitions<'a>(values: &[&'a str]) -> Vec<&'a str> {
    values.iter().copied().chain(["crds.install=false"]).collect()
}

#[test]
fn each_user_gets_what_was_looked_at() -> Result<()> {
    let bed = Bed::temporary()?;
    for (user, values) in USERS {
        let render = helm(&bed, &without_definitions(values))?;
        assert_eq!(
            render,
            helm(&bed, &without_definitions(values))?,
            "{user}: the same values give the same bytes"
        );
        insta::assert_snapshot!(*user, render);
    }
    Ok(())
}

#[test]
fn values_that_mean_nothing_are_refused() -> Result<()> {
    let bed = Bed::temporary()?;
    for (value, word) in [
        ("replicas=2", "replicas"),
        ("replicaCount=two", "replicaCount"),
        ("webhook.certmanager.enabled=true", "certmanager"),
        ("image.digest=latest", "digest"),
        ("webhook.existingSecret.name=x", "caBundle"),
        (
            "webhook.certManager.enabled=true,webhook.existingSecret.name=x,webhook.existingSecret.caBundle=-----BEGIN CERTIFICATE-----",
            "existingSecret",
        ),
        ("leaderElection.leaseSeconds=1", "leaseSeconds"),
        ("logging.format=xml", "format"),
    ] {
        let refused = helm(&bed, &[value]).unwrap_err().to_string();
        assert!(refused.contains(word), "{value}: {refused}");
    }
    Ok(())
}

#[test]
fn definitions_are_kept_unless_one_says_otherwise() -> Result<()> {
    let bed = Bed::temporary()?;
    let kept = |render: String| render.matches("helm.sh/resource-policy: keep").count();
    assert_eq!(kept(helm(&bed, &[])?), 3);
    assert_eq!(kept(helm(&bed, &["crds.keep=false"])?), 0);
    Ok(())
}

#[tokio::test]
async fn the_api_server_takes_every_render() -> Result<()> {
    let bed = bed().await?;
    for (user, values) in USERS {
        let render = helm(bed, &without_definitions(values))?;
        // Hooks need what is installed before them.
        let is_ours =
            |object: &&str| !FOREIGN.iter().chain(&["helm.sh/hook"]).any(|word| object.contains(word));
        let ours: Vec<&str> = render.split("\n---\n").filter(is_ours).collect();
        let namespaces =
            ["shop", "bank"].map(|n| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {n}}}\n"));
        apply(bed, user, &namespaces.join("---\n"), false)?;
        apply(bed, user, &ours.join("\n---\n"), true)?;
    }
    Ok(())
}

fn apply(bed: &Bed, user: &str, objects: &str, dry: bool) -> Result<()> {
    let file = bed.dir().join(format!("chart-{user}.yaml"));
    std::fs::write(&file, objects)?;
    let mut kubectl = Command::new(bed.components().path("kubectl"));
    kubectl
        .arg("--kubeconfig")
        .arg(bed.kubeconfig())
        .args(["apply", "--server-side", "--force-conflicts", "-f"])
        .arg(&file);
    if dry {
        kubectl.args(["--dry-run=server", "--validate=strict"]);
    }
    let output = kubectl.output()?;
    if !output.status.success() {
        bail!("{user}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

#[test]
fn every_alert_fires_when_it_should_and_has_a_runbook() -> Result<()> {
    for args in [
        ["check", "rules", "charts/cafe/files/alerts.yaml"],
        ["test", "rules", "tests/tests/chart/alerts_test.yaml"],
    ] {
        let output = Command::new("promtool")
            .args(args)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .output()
            .context("cannot run promtool: install it, in Debian with the package prometheus")?;
        let said =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success(), "promtool {args:?}: {said}");
    }
    Ok(())
}

#[test]
fn every_alert_has_a_test_and_names_a_runbook_that_is_there() -> Result<()> {
    let bed = Bed::temporary()?;
    let render = helm(&bed, &without_definitions(&["metrics.prometheusRule.enabled=true"]))?;
    let file = |name: &str| std::fs::read_to_string(format!("{CHART}/../../{name}"));
    let (tests, guide) = (file("tests/tests/chart/alerts_test.yaml")?, file("docs/operations.md")?);
    let anchors: Vec<String> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(|heading| heading.to_lowercase().replace(' ', "-"))
        .collect();
    let values = |key: &str| -> Vec<String> {
        let value = |line: &str| line.trim().trim_start_matches("- ").strip_prefix(key).map(str::to_owned);
        render.lines().filter_map(value).collect()
    };
    let (alerts, runbooks) = (values("alert: "), values("runbook_url: "));
    assert!(alerts.len() >= 12, "{alerts:?}");
    assert_eq!(alerts.len(), runbooks.len());
    for runbook in runbooks {
        let (page, anchor) = runbook.split_once('#').context("a runbook without an anchor")?;
        assert_eq!(page, "docs/operations.md");
        assert!(
            anchors.iter().any(|known| known == anchor),
            "docs/operations.md has no heading for #{anchor}"
        );
    }
    for alert in alerts {
        let tries = tests.matches(&format!("alertname: {alert}\n")).count();
        assert!(
            tries >= 2,
            "alerts_test.yaml tries {alert} {tries} times: it is to be silent once, and to fire"
        );
    }
    Ok(())
}
