//! Settings that cannot work: the process says what is wrong and what to do, and ends; it never works by halves. And the few things that can
//! be changed while it works.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod ground;
mod stop;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use cafe_tests::bed::Bed;
use cafe_tests::scenario::{Workload, web};
use ground::{BOTH, End, Program, Running, account, altered, bed, end, grant, rules, taken_port};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[track_caller]
fn says(end: &End, words: &[&str]) {
    assert!(end.code.is_some_and(|code| code != 0), "it must fail: {end:?}");
    for word in words {
        assert!(end.said.contains(word), "{word:?} is missing in:\n{}", end.said);
    }
}

fn kubectl(bed: &Bed, args: &[&str]) -> Result<String> {
    let output = bed.kubectl(args)?;
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn an_unknown_flag_value_or_variable_is_refused_with_the_nearest_that_is_known() -> Result<()> {
    for program in BOTH {
        let mut flag = program.command().await?;
        flag.args(["--log-formatt", "json"]);
        says(&end(flag).await?, &["--log-formatt", "--log-format"]);
        let mut value = program.command().await?;
        value.args(["--log-format", "xml"]);
        says(&end(value).await?, &["xml", "json", "text"]);
        let mut filter = program.command().await?;
        filter.args(["--log-filter", "verbose"]);
        says(&end(filter).await?, &["verbose", "info"]);
        let mut variable = program.command().await?;
        variable.env("CAFE_ADMIN_ADRESS", "127.0.0.1:0");
        says(&end(variable).await?, &["CAFE_ADMIN_ADRESS", "CAFE_ADMIN_ADDRESS"]);
        let mut value = program.command().await?;
        value.env("CAFE_ADMIN_ADDRESS", "8080");
        says(&end(value).await?, &["8080", "--admin-address"]);
    }
    Ok(())
}

#[tokio::test]
async fn a_kubeconfig_that_is_not_there_is_named() -> Result<()> {
    for program in BOTH {
        says(&end(program.with(Path::new("/nowhere/config")).await?).await?, &["/nowhere/config"]);
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_authority_is_told_from_wrong_credentials_and_from_silence() -> Result<()> {
    let (bed, _turn) = bed().await?;
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(Vec::new())?;
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    std::fs::write(bed.dir().join("other-ca.crt"), params.self_signed(&key)?.pem())?;
    let authority = altered(bed, "other-ca.kubeconfig", |config| {
        config["clusters"][0]["cluster"]["certificate-authority"] = json!(bed.dir().join("other-ca.crt"));
    })?;
    let stranger = altered(bed, "stranger.kubeconfig", |config| {
        config["users"][0]["user"] = json!({ "token": "made-up" });
    })?;
    let (listener, address) = taken_port()?;
    drop(listener);
    let silent = altered(bed, "silent.kubeconfig", |config| {
        config["clusters"][0]["cluster"]["server"] = json!(format!("https://{address}"));
    })?;
    for program in BOTH {
        let (a, b, c) = tokio::join!(
            end(program.with(&authority).await?),
            end(program.with(&stranger).await?),
            end(program.with(&silent).await?),
        );
        says(&a?, &["other-ca.kubeconfig", "has not signed", "certificate-authority"]);
        says(&b?, &["stranger.kubeconfig", "does not accept the credentials"]);
        says(&c?, &["silent.kubeconfig", "no answer from the API server", &address]);
    }
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_flag_that_chooses_another() -> Result<()> {
    let (bed, _turn) = bed().await?;
    let (_listener, address) = taken_port()?;
    for program in BOTH {
        let mut admin = program.command().await?;
        admin.arg("--kubeconfig").arg(bed.kubeconfig()).args(["--admin-address", &address]);
        says(&end(admin).await?, &[&address, "--admin-address", "in use"]);
    }
    let mut reviews = Program::Webhook.command().await?;
    reviews.arg("--kubeconfig").arg(bed.kubeconfig());
    reviews.args(["--admin-address", "127.0.0.1:0", "--address", &address]);
    says(&end(reviews).await?, &[&address, "--address", "in use"]);
    Ok(())
}

#[tokio::test]
async fn missing_rights_are_named_and_the_commands_that_are_printed_grant_them() -> Result<()> {
    let (bed, _turn) = bed().await?;
    let namespace = bed.namespace("rights").await?;
    for (program, right, ready) in [
        (Program::Controller, "leases.coordination.k8s.io named cafe-controller", "every watch has brought"),
        (Program::Webhook, "secrets named cafe-webhook-certificate", "serves a new certificate"),
    ] {
        let name = format!("{}-poor", program.name());
        bed.apply(&account(&namespace, &name), None).await?;
        let kubeconfig = bed.account(&namespace, &name).await?;
        let command = || async {
            let mut command = program.with(&kubeconfig).await?;
            command.args(["--namespace", &namespace]);
            anyhow::Ok(command)
        };
        let ended = end(command().await?).await?;
        says(&ended, &[&format!("system:serviceaccount:{namespace}:{name} lacks rights"), right]);
        let commands = ended.said.lines().filter_map(|line| line.trim().strip_prefix("kubectl "));
        let commands: Vec<Vec<&str>> = commands.map(|line| line.split(' ').collect()).collect();
        assert!(commands.len() >= 4, "{}", ended.said);
        for command in &commands {
            kubectl(bed, command)?;
        }
        Running::start(command().await?)?.until_said(ready).await?;
        for command in &commands {
            let (kind, name) = (command[1], command[2]);
            kubectl(bed, &["delete", kind, name, "-n", &namespace])?;
        }
    }
    Ok(())
}

/// Every write says which look at which kind of object has decided it; what belongs to no object says nothing of the kind.
fn lines_tell_the_look_that_they_belong_to(log: &str) {
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut writes: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line["msg"] == "applied") {
        writes.entry(line["reconcile_id"].as_u64().unwrap()).or_default().push(line);
    }
    let kinds: BTreeSet<&str> =
        writes.values().flatten().map(|l| l["controller"].as_str().unwrap()).collect();
    assert_eq!(kinds, BTreeSet::from(["cafedeployment", "inplaceset"]));
    for lines in writes.values() {
        assert!(lines.iter().all(|line| line["controller"] == lines[0]["controller"]), "{lines:#?}");
    }
    assert!(writes.values().any(|lines| lines.len() > 1), "pods that one look creates share its number");
    let starting = lines.iter().find(|line| line["msg"] == "starting").unwrap();
    assert!(starting["controller"].is_null() && starting["reconcile_id"].is_null(), "{starting}");
}

/// What the API server publishes of the definitions. It follows a change of them a moment later.
fn published(bed: &Bed) -> String {
    let output = bed.kubectl(&["get", "--raw", "/openapi/v3/apis/cafe.dev/v1alpha1"]).unwrap();
    String::from_utf8(output.stdout).unwrap()
}

async fn until_published(bed: &Bed, before: &str) -> String {
    loop {
        let now = published(bed);
        if now != before {
            return now;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn definitions_that_are_older_than_the_program_are_refused_with_the_missing_field() -> Result<()> {
    let (bed, _turn) = bed().await?;
    let name = "cafedeployments.cafe.dev";
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/historyLimit";
    let patch = json!([{ "op": "remove", "path": path }]).to_string();
    let before = published(bed);
    kubectl(bed, &["patch", "crd", name, "--type=json", "-p", &patch])?;
    let older = until_published(bed, &before).await;
    let mut ended = Vec::new();
    for program in BOTH {
        ended.push(end(program.with(&bed.kubeconfig()).await?).await?);
    }
    kubectl(bed, &["delete", "crd", name])?;
    until_published(bed, &older).await;
    let gone = end(Program::Controller.with(&bed.kubeconfig()).await?).await?;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/cafe/files/crds");
    kubectl(bed, &["apply", "--server-side", "--force-conflicts", "-f", folder])?;
    for end in &ended {
        says(end, &["older", "CafeDeployment.spec.historyLimit", "kubectl apply --server-side"]);
    }
    says(&gone, &["lack CafeDeployment;", "kubectl apply --server-side"]);
    let mut again = Running::start(Program::Controller.with(&bed.kubeconfig()).await?)?;
    again.until_said("every watch has brought").await?;
    Ok(())
}

/// Sends one request to an admin port, from this host.
async fn ask(address: &str, method: &str, path: &str, body: &str) -> Result<String> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: cafe\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn the_log_level_changes_while_the_process_runs() -> Result<()> {
    let (bed, _turn) = bed().await?;
    for (program, line, field) in [
        (Program::Controller, "serves probes and metrics", "address"),
        (Program::Webhook, "\"listens\"", "admin"),
    ] {
        let mut running = Running::start(program.with(&bed.kubeconfig()).await?)?;
        let said = running.until_said(line).await?;
        assert!(said["ts"].is_string() && said["level"] == "info" && said["msg"].is_string(), "{said}");
        let address = said[field].as_str().unwrap().to_owned();
        assert!(!running.log().contains(r#""level":"debug""#), "{}", running.log());
        let refused = ask(&address, "PUT", "/loglevel", "loud").await?;
        assert!(refused.starts_with("HTTP/1.1 400") && refused.contains("is no level"), "{refused}");
        let changed = ask(&address, "PUT", "/loglevel", "debug").await?;
        assert!(changed.starts_with("HTTP/1.1 200"), "{changed}");
        running.until_said(r#""level":"debug""#).await?;
        assert!(ask(&address, "GET", "/loglevel", "").await?.ends_with("debug\n"));
    }
    Ok(())
}

#[tokio::test]
async fn in_namespaces_of_its_own_the_controller_needs_no_right_beyond_them() -> Result<()> {
    let (bed, _turn) = bed().await?;
    let mut object = web(4);
    object["spec"]["topology"]["autoReschedule"] = json!({ "enable": true });
    let shop = Workload::open(bed, "namespaced", &object).await?;
    let namespace = shop.namespace().to_owned();
    bed.apply(&account(&namespace, "narrow"), None).await?;
    for file in ["workloads", "lease"] {
        grant(bed, &namespace, "narrow", file, &rules(file)?).await?;
    }
    let mut command = Program::Controller.with(&bed.account(&namespace, "narrow").await?).await?;
    command.args(["--namespace", &namespace, "--watch-namespaces", &namespace, "--identity", "narrow"]);
    let mut running = Running::start(command)?;
    let told = running.until_said("goes on without a right").await?;
    assert_eq!(told["missing"], "list, watch nodes in the whole cluster", "{told}");
    shop.serve("web", &json!({})).await?;
    shop.start().await?;
    shop.wait_until_served().await?;
    shop.release("v2").await?;
    shop.confirm("2/all").await?;
    let view = shop.wait_until_settled().await?;
    assert_eq!(view.serving_in_all("v2"), 4);
    let conditions = view.deployment["status"]["conditions"].as_array().unwrap();
    let units = conditions.iter().find(|c| c["type"] == "UnitsHealthy").unwrap();
    assert!(
        units["status"] == "True" && units["message"].as_str().unwrap().contains("rbac.readNodes"),
        "{units}"
    );
    assert_eq!(running.log().matches("goes on without a right").count(), 1, "once, and nothing else");
    lines_tell_the_look_that_they_belong_to(&running.log());
    Ok(())
}
