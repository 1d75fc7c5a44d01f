//! Beds come up, heal and go.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, Instant};

use super::audit::Entry;
use super::control_plane::COMPONENTS;
use super::{Bed, Options, controller};

fn small() -> Options {
    Options { nodes: 1, ..Options::default() }
}

fn pids(bed: &Bed) -> Vec<Option<u32>> {
    COMPONENTS.iter().map(|component| bed.pid(component)).collect()
}

async fn assert_gone(pids: &[Option<u32>]) {
    assert!(pids.len() >= COMPONENTS.len());
    for pid in pids {
        let pid = pid.unwrap();
        let runs = || std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| !command.is_empty());
        // What was killed may take a moment to go.
        let end = Instant::now() + Duration::from_secs(10);
        while runs() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(!runs(), "process {pid} still runs");
    }
}

#[tokio::test]
async fn up_heals_what_died_and_down_leaves_nothing() {
    let bed = Bed::temporary().unwrap();
    bed.up(&small()).await.unwrap();
    let first = pids(&bed);
    bed.up(&small()).await.unwrap();
    assert_eq!(pids(&bed), first, "a second `up` changes nothing");
    for component in COMPONENTS {
        let before = bed.pid(component).unwrap();
        bed.processes.stop(component, Duration::ZERO).unwrap();
        assert_eq!(bed.pid(component), None);
        bed.up(&small()).await.unwrap();
        assert_ne!(bed.pid(component), Some(before), "{component} has a new process");
    }
    let nodes = bed.kubectl(&["get", "nodes", "--output=name"]).unwrap();
    assert_eq!(String::from_utf8_lossy(&nodes.stdout).lines().count(), 2);
    let mut all = pids(&bed);
    // What else was started in it goes as well.
    let mut command = std::process::Command::new("tail");
    bed.start("guest", command.arg("--follow").arg(bed.dir().join("bed.json"))).unwrap();
    all.push(bed.pid("guest"));
    bed.down().unwrap();
    assert!(!bed.dir().exists());
    assert_gone(&all).await;
    bed.down().unwrap();
}

#[tokio::test]
async fn two_beds_live_side_by_side() {
    let (one, two) = (Bed::temporary().unwrap(), Bed::temporary().unwrap());
    let (first, second) = (small(), small());
    let (first, second) = tokio::join!(one.up(&first), two.up(&second));
    first.unwrap();
    second.unwrap();
    one.namespace("only-here").await.unwrap();
    let listed = two.kubectl(&["get", "namespaces", "--output=name"]).unwrap();
    assert!(!String::from_utf8_lossy(&listed.stdout).contains("only-here"));
    let (dir, first) = (one.dir().to_owned(), pids(&one));
    drop(one);
    assert!(!dir.exists());
    assert_gone(&first).await;
    assert!(pids(&two).iter().all(Option::is_some));
}

#[tokio::test]
async fn the_audit_log_names_the_user_of_every_request() {
    let bed = Bed::shared().await.unwrap();
    let mut audit = bed.audit();
    audit.skip().unwrap();
    let namespace = bed.namespace("audited").await.unwrap();
    let is_ours = |entry: &Entry| {
        entry.user == "admin"
            && entry.verb == "get"
            && entry.resource == "serviceaccounts"
            && entry.namespace == namespace
    };
    // A request is answered before it is in the log.
    let found = async {
        while !audit.entries().unwrap().iter().any(is_ours) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), found).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_controller_comes_back_and_is_never_more_than_its_account() {
    let bed = Bed::temporary().unwrap();
    let options = Options { controller: Some(controller::build(false).unwrap()), ..small() };
    bed.up(&options).await.unwrap();
    let first = bed.controller_pid().unwrap();
    bed.up(&options).await.unwrap();
    assert_eq!(bed.controller_pid(), Some(first));
    bed.kill_controller().unwrap();
    assert_eq!(bed.controller_pid(), None);
    bed.start_controller().await.unwrap();
    let second = bed.controller_pid().unwrap();
    bed.kill_controller().unwrap();
    bed.up(&options).await.unwrap();
    assert!(first != second && Some(second) != bed.controller_pid());
    let account = crate::bed::CONTROLLER;
    let entries = bed.audit().entries().unwrap();
    assert!(entries.iter().any(|entry| entry.user == account), "the controller asked for nothing");
    let forbidden: Vec<_> =
        entries.iter().filter(|entry| entry.user == account && entry.code == 403).collect();
    assert!(forbidden.is_empty(), "{forbidden:#?}");
}

#[tokio::test]
async fn nodes_keep_their_leases_when_the_node_lifecycle_controller_watches() {
    let bed = Bed::temporary().unwrap();
    bed.up(&Options { node_lifecycle: true, ..small() }).await.unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let leases = bed.kubectl(&["get", "leases", "--namespace=kube-node-lease", "--output=name"]).unwrap();
        if String::from_utf8_lossy(&leases.stdout).lines().count() == 2 {
            break;
        }
        assert!(Instant::now() < end, "{leases:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn a_bed_with_another_inside_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    for dir in [folder.path(), inner.as_path()] {
        super::state::State::load_or_create(dir).unwrap();
    }
    let outer = Bed::open(folder.path()).unwrap();
    assert!(outer.down().unwrap_err().to_string().contains("stop it first"));
    Bed::open(&inner).unwrap().down().unwrap();
    outer.down().unwrap();
}

#[test]
fn a_folder_that_is_no_bed_is_never_removed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("precious"), "").unwrap();
    let bed = Bed::open(folder.path()).unwrap();
    assert!(bed.down().unwrap_err().to_string().contains("not the folder of a bed"));
    assert!(folder.path().join("precious").exists());
}
