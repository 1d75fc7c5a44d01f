//! The Helm chart: what it renders for each kind of user, what it refuses, and that a real API server takes all of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::process::Command;

use anyhow::{Context, Result, bail};
use cafe_tests::bed::Bed;
use cafe_tests::scenario::bed;
use serde_json::{Value, json};

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
    helm_as(bed, "cafe", values)
}

/// As [`helm`], for a release of another name.
fn helm_as(bed: &Bed, release: &str, values: &[&str]) -> Result<String> {
    run_helm(bed, &["template", release, CHART, "--kube-version", "1.36.0"], values)
}

/// What who installs it is told.
fn notes(bed: &Bed, values: &[&str]) -> Result<String> {
    let said = run_helm(bed, &["install", "cafe", CHART, "--dry-run=client"], values)?;
    Ok(said.split_once("NOTES:\n").context("there are no notes")?.1.to_owned())
}

fn run_helm(bed: &Bed, args: &[&str], values: &[&str]) -> Result<String> {
    bed.components().ensure()?;
    let mut helm = Command::new(bed.components().path("helm"));
    helm.args(args).args(["--namespace", "cafe-system"]);
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
        ("fullnameOverride=team.cafe", "fullnameOverride"),
        ("fullnameOverride=Cafe", "fullnameOverride"),
        ("fullnameOverride=1cafe", "fullnameOverride"),
        ("fullnameOverride=cafe-", "fullnameOverride"),
        ("fullnameOverride=a2345678901234567890123456789012345678901", "fullnameOverride"),
        ("nameOverride=team.cafe", "nameOverride"),
        ("nameOverride=Cafe", "nameOverride"),
        ("nameOverride=a2345678901234567890123456789012345678901", "nameOverride"),
    ] {
        let refused = helm(&bed, &[value]).unwrap_err().to_string();
        assert!(refused.contains(word), "{value}: {refused}");
    }
    Ok(())
}

/// What a Service may be called (DNS-1035), which is the strictest of all.
fn is_service_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let (first, last) = (name.chars().next(), name.chars().last());
    name.len() <= 63
        && name.chars().all(fits)
        && first.is_some_and(|c| c.is_ascii_lowercase())
        && last.is_some_and(|c| c != '-')
}

#[test]
fn whatever_the_release_is_called_the_api_server_takes_its_names() -> Result<()> {
    let bed = Bed::temporary()?;
    let longest = "release-with-the-longest-name-that-helm-takes-of-anyon";
    let longest = longest.get(..53).context("53 characters")?;
    for (release, values, full) in [
        ("cafe", &[][..], "cafe"),
        ("shop.prod", &[], "shop-prod-cafe"),
        ("1st", &[], "r1st-cafe"),
        ("2.cafe.eu", &[], "r2-cafe-eu"),
        (longest, &[], "release-with-the-longest-name-that-helm"),
        ("shop", &["nameOverride=delivery"], "shop-delivery"),
        (
            "shop",
            &["fullnameOverride=a234567890123456789012345678901234567890"],
            "a234567890123456789012345678901234567890",
        ),
    ] {
        let values: Vec<&str> = values.iter().copied().chain(["webhook.certManager.enabled=true"]).collect();
        let render = helm_as(&bed, release, &without_definitions(&values))?;
        let service = format!("{full}-webhook");
        let mut services = 0;
        for document in render.split("\n---\n").filter(|text| text.contains("kind:")) {
            let object: Value = serde_saphyr::from_str(document)?;
            let name = object.pointer("/metadata/name").and_then(Value::as_str).context("a name")?;
            assert!(name.starts_with(full) && is_service_name(name), "{release} {values:?}: {name}");
            services += usize::from(object["kind"] == "Service");
            for (label, value) in
                object.pointer("/metadata/labels").and_then(|l| l.as_object()).into_iter().flatten()
            {
                let value = value.as_str().context("a text")?;
                assert!(value.len() <= 63, "{release}: {label} is {value}");
            }
            if object["kind"] == "Certificate" {
                let names = json!([
                    format!("{service}.cafe-system.svc"),
                    format!("{service}.cafe-system.svc.cluster.local")
                ]);
                assert_eq!(object["spec"]["dnsNames"], names);
            }
        }
        assert_eq!(services, 2, "{release}: {service}, {full}-metrics");
        // What makes a certificate of its own is told the same name.
        let own = helm_as(&bed, release, &without_definitions(&values[..values.len() - 1]))?;
        assert!(own.contains(&format!("- --service={service}\n")), "{release}: {own}");
    }
    Ok(())
}

#[test]
fn the_notes_name_what_was_installed_and_warn_of_what_was_left_out() -> Result<()> {
    let bed = Bed::temporary()?;
    for values in
        [&["fullnameOverride=web"][..], &["webhook.enabled=false", "replicaCount=1", "crds.keep=false"]]
    {
        let (notes, render) = (notes(&bed, values)?, helm(&bed, &without_definitions(values))?);
        let deployments = notes.lines().filter_map(|line| line.split_once("rollout status deployment/"));
        let named: Vec<&str> = deployments.map(|(_, name)| name).collect();
        let exists = |name: &&str| render.contains(&format!("kind: Deployment\nmetadata:\n  name: {name}\n"));
        assert!(named.iter().all(exists), "{named:?} are not all in the chart");
        assert_eq!(named.len(), render.matches("kind: Deployment\n").count(), "{notes}");
        let warned =
            |word: &str| notes.lines().any(|line| line.starts_with("WARNING: ") && line.contains(word));
        let left_out = |value: &str| values.contains(&value);
        assert_eq!(warned("without the webhook"), left_out("webhook.enabled=false"), "{notes}");
        assert_eq!(warned("with one replica"), left_out("replicaCount=1"), "{notes}");
        assert_eq!(warned("crds.keep is false"), left_out("crds.keep=false"), "{notes}");
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

#[tokio::test]
async fn every_pod_of_the_chart_may_run_where_the_restricted_standard_is_enforced() -> Result<()> {
    let bed = bed().await?;
    let strict = "apiVersion: v1\nkind: Namespace\nmetadata: {name: strict, labels: {pod-security.kubernetes.io/enforce: restricted}}\n";
    apply(bed, "strict", strict, false)?;
    let mut pods = Vec::new();
    for (user, values) in USERS {
        let render = helm(bed, &without_definitions(values))?;
        for document in render.split("\n---\n").filter(|text| text.contains("kind:")) {
            let object: Value = serde_saphyr::from_str(document)?;
            let spec = match object["kind"].as_str() {
                Some("Deployment") => object.pointer("/spec/template/spec"),
                Some("Pod") => object.get("spec"),
                _ => None,
            };
            if let Some(spec) = spec {
                let mut spec = spec.clone();
                // Accounts of the chart are not there, and do not matter.
                spec.as_object_mut().context("a spec")?.remove("serviceAccountName");
                pods.push((format!("{user}-{}", pods.len()).replace('_', "-"), spec));
            }
        }
    }
    assert!(pods.len() >= 2 * USERS.len(), "{}", pods.len());
    let pod = |(name, spec): &(String, Value)| {
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "strict" }, "spec": spec }).to_string()
    };
    let all: Vec<String> = pods.iter().map(pod).collect();
    apply(bed, "strict-pods", &all.join("\n---\n"), true)?;
    // Without what the chart says of a container the same API server refuses the pod.
    let (name, mut loose) = pods.remove(0);
    loose["containers"][0].as_object_mut().context("a container")?.remove("securityContext");
    let refused = apply(bed, "strict-loose", &pod(&(name, loose)), true).unwrap_err().to_string();
    assert!(refused.contains("violates PodSecurity \"restricted"), "{refused}");
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
