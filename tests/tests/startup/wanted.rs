//! A right that only one feature needs is told when it is missing, and done without; one without which nothing works ends the process.

use anyhow::Result;
use cafe_tests::bed::Bed;
use cafe_tests::scenario::{Workload, web};
use serde_json::{Value, json};
use tokio::process::Command;

use super::ground::{Program, Running, account, bed, end, grant, rules};
use super::{kubectl, says};

/// What one feature needs each.
const WANTED: [(&str, &str); 8] = [
    ("events", "create"),
    ("persistentvolumeclaims", "create"),
    ("persistentvolumeclaims", "patch"),
    ("persistentvolumeclaims", "delete"),
    ("cafedeployments", "patch"),
    ("cafedeployments/finalizers", "update"),
    ("inplacesets/finalizers", "update"),
    ("leases", "watch"),
];

/// The rules of the chart without some, one verb on one resource in each.
fn without(file: &str, missing: &[(&str, &str)]) -> Result<Value> {
    let mut left = Vec::new();
    for rule in rules(file)?.as_array().unwrap() {
        for resource in rule["resources"].as_array().unwrap() {
            for verb in rule["verbs"].as_array().unwrap() {
                let pair = (resource.as_str().unwrap(), verb.as_str().unwrap());
                if !missing.contains(&pair) {
                    let mut rule = rule.clone();
                    rule["resources"] = json!([resource]);
                    rule["verbs"] = json!([verb]);
                    left.push(rule);
                }
            }
        }
    }
    Ok(Value::Array(left))
}

async fn allow(bed: &Bed, namespace: &str, name: &str, missing: &[(&str, &str)]) -> Result<()> {
    bed.apply(&account(namespace, name), None).await?;
    for file in ["workloads", "lease"] {
        grant(bed, namespace, name, &format!("{name}-{file}"), &without(file, missing)?).await?;
    }
    Ok(())
}

async fn command(bed: &Bed, namespace: &str, name: &str) -> Result<Command> {
    let mut command = Program::Controller.with(&bed.account(namespace, name).await?).await?;
    command.args(["--namespace", namespace, "--watch-namespaces", namespace, "--identity", name]);
    Ok(command)
}

/// The lines about rights that it does without.
fn told(running: &Running) -> Vec<Value> {
    let log = running.log();
    let lines = log.lines().filter(|line| line.contains("goes on without a right"));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn without_what_only_features_need_the_controller_releases_and_says_what_will_not_work() -> Result<()> {
    let (bed, _turn) = bed().await?;
    let shop = Workload::open(bed, "wanted", &web(4)).await?;
    let namespace = shop.namespace().to_owned();
    allow(bed, &namespace, "modest", &WANTED).await?;
    let mut running = Running::start(command(bed, &namespace, "modest").await?)?;
    running.until_said("every watch has brought").await?;
    let lines = told(&running);
    for (missing, without) in [
        ("list, watch nodes in the whole cluster", "autoReschedule moves nothing"),
        ("create events.events.k8s.io in namespace NS", "kubectl describe"),
        ("create, delete, patch persistentvolumeclaims in namespace NS", "volumeClaimTemplates"),
        ("patch cafedeployments.cafe.dev in namespace NS", "cafe.dev/drain"),
        (
            "update cafedeployments.cafe.dev/finalizers in namespace NS",
            "OwnerReferencesPermissionEnforcement",
        ),
        ("update inplacesets.cafe.dev/finalizers in namespace NS", "OwnerReferencesPermissionEnforcement"),
        ("watch leases.coordination.k8s.io named cafe-controller in namespace NS", "stands by"),
    ] {
        let missing = missing.replace("NS", &namespace);
        let line = lines.iter().find(|line| line["missing"] == missing.as_str());
        let line = line.unwrap_or_else(|| panic!("{missing} is not told: {lines:#?}"));
        assert!(line["level"] == "warn" && line["msg"].as_str().unwrap().contains(without), "{line}");
    }
    assert_eq!(lines.len(), 7, "{lines:#?}");
    shop.serve("web", &json!({})).await?;
    shop.start().await?;
    shop.wait_until_served().await?;
    shop.release("v2").await?;
    shop.confirm("2/all").await?;
    assert_eq!(shop.wait_until_settled().await?.serving_in_all("v2"), 4);
    running.terminate()?;
    assert_eq!(running.code().await?, Some(0), "{}", running.log());

    // The commands that it prints grant them.
    let commands: Vec<&str> =
        lines.iter().flat_map(|line| line["grant"].as_str().unwrap().split("; ")).collect();
    let commands: Vec<Vec<&str>> = commands.iter().map(|line| line.split(' ').skip(1).collect()).collect();
    for command in &commands {
        kubectl(bed, command)?;
    }
    let mut again = Running::start(command(bed, &namespace, "modest").await?)?;
    again.until_said("every watch has brought").await?;
    assert!(told(&again).is_empty(), "{:#?}", told(&again));
    for command in &commands {
        kubectl(bed, &["delete", command[1], command[2], "-n", &namespace])?;
    }
    Ok(())
}

#[tokio::test]
async fn without_one_right_that_everything_needs_the_controller_ends_and_names_it() -> Result<()> {
    let (bed, _turn) = bed().await?;
    let namespace = bed.namespace("needed").await?;
    let needed = ("pods", "create");
    let missing: Vec<(&str, &str)> = WANTED.into_iter().chain([needed]).collect();
    allow(bed, &namespace, "bereft", &missing).await?;
    let ended = end(command(bed, &namespace, "bereft").await?).await?;
    says(
        &ended,
        &["lacks rights that cafe-controller needs", &format!("\n  create pods in namespace {namespace}")],
    );
    assert!(!ended.said.contains("events.events.k8s.io"), "only what is needed is named:\n{}", ended.said);
    Ok(())
}
