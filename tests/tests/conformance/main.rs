//! The conformance test is tested: a good protector passes, and each fault is found by the check that is meant for it.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cafe_tests::bed::{Bed, Options};
use cafe_tests::conformance::{self, Subject, checks};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OnceCell;

const PORT: u16 = 8080;

/// The checks that every flawed protector goes through.
const CHECKS: [&str; 9] = [
    "registers",
    "locks-first",
    "drains",
    "drains-anew",
    "deleted",
    "deleted-while-dead",
    "neighbours",
    "late-lock",
    "quiet",
];

async fn bed() -> &'static Bed {
    static READY: OnceCell<&'static Bed> = OnceCell::const_new();
    let start = || async {
        let bed = Bed::shared().await.unwrap();
        bed.up(&Options::default()).await.unwrap();
        bed
    };
    READY.get_or_init(start).await
}

/// The names of the checks that fail, with what they have to say.
async fn failures(fault: &str, only: &[&str], patience: u64) -> Vec<(&'static str, String)> {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table");
    std::fs::write(&table, "").unwrap();
    run(fault, &table, None, only, patience).await
}

async fn run(
    fault: &str,
    table: &Path,
    front: Option<SocketAddr>,
    only: &[&str],
    patience: u64,
) -> Vec<(&'static str, String)> {
    let subject = Subject {
        name: "flawed".into(),
        command: format!("{} {fault} {}", env!("CARGO_BIN_EXE_flawed-protector"), table.display()),
        table_command: Some(format!("cat {}", table.display())),
        front,
        port: PORT,
        patience: Duration::from_secs(patience),
    };
    let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
    let mut failed = Vec::new();
    let all = conformance::run(bed().await, subject, &only, |verdict| {
        println!("{fault}: {verdict:?}");
        failed.extend(verdict.failure.clone().map(|failure| (verdict.check.name, failure)));
    })
    .await
    .unwrap();
    assert_eq!(all, failed.is_empty());
    failed
}

/// The check that is meant for the fault fails and says so; of the others, only those fail that it cannot but show in too.
async fn fails(fault: &str, meant: &str, words: &str, too: &[&str]) {
    let failed = failures(fault, &CHECKS, 4).await;
    assert!(failed.iter().any(|(name, said)| *name == meant && said.contains(words)), "{failed:#?}");
    assert!(failed.iter().all(|(name, _)| *name == meant || too.contains(name)), "{failed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protector_without_a_fault_passes_every_check() {
    assert_eq!(failures("none", &[], 20).await, []);
    assert!(CHECKS.iter().all(|name| checks().iter().any(|check| check.name == *name)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_registers_before_it_locks_is_found() {
    fails("registers-first", "locks-first", "although its lock was refused", &CHECKS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_takes_an_old_answer_for_a_new_one_is_found() {
    fails("ignores-op", "drains-anew", "is answered with that very reason", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_writes_the_whole_list_of_finalizers_is_found() {
    fails(
        "takes-all-finalizers",
        "neighbours",
        "/metadata/finalizers was [\"conformance/other\"]",
        &["deleted"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_answers_before_it_has_deregistered_is_found() {
    let too = ["drains-anew", "deleted", "deleted-while-dead", "neighbours", "quiet"];
    fails("answers-early", "drains", "in its table: answer last", &too).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_let_go_of_deleted_pods_is_found() {
    fails("keeps-deleted", "deleted", "its finalizer is taken off", &["deleted-while-dead", "neighbours"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_lock_lands_on_whatever_the_pod_has_become_is_found() {
    fails("locks-blindly", "late-lock", "not wanted any more", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_only_sees_what_changes_after_its_start_is_found() {
    fails("forgets-the-past", "deleted-while-dead", "waited", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_polls_the_api_is_found() {
    fails("polls", "quiet", "list pods", &[]).await;
}

/// Passes connections on to an address in the table, and keeps no count of them.
async fn balance(listener: TcpListener, table: PathBuf) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let lines = std::fs::read_to_string(&table).unwrap();
        let Some(address) = lines.lines().next().map(|line| format!("{line}:{PORT}")) else { continue };
        tokio::spawn(async move {
            if let Ok(mut server) = TcpStream::connect(address).await {
                tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_balancer_still_has_requests_when_it_answers_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table");
    std::fs::write(&table, "").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let front = listener.local_addr().unwrap();
    let balancer = tokio::spawn(balance(listener, table.clone()));
    let failed =
        run("none", &table, Some(front), &["registers", "waits-for-requests", "loses-nothing"], 10).await;
    let [(first, held), (second, lost)] = failed.as_slice() else { panic!("{failed:#?}") };
    assert_eq!((*first, *second), ("waits-for-requests", "loses-nothing"));
    assert!(held.contains("was answered while a request was still in the pod"), "{held}");
    assert!(lost.contains("requests were lost"), "{lost}");
    balancer.abort();
}

#[tokio::test]
async fn an_unknown_check_is_no_silent_success() {
    let subject = Subject {
        name: "any".into(),
        command: "true".into(),
        table_command: None,
        front: None,
        port: PORT,
        patience: Duration::from_secs(1),
    };
    let error = conformance::run(bed().await, subject, &["no-such".to_owned()], |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("there is no check no-such"), "{error}");
}
