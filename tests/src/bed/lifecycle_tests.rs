//! Beds come up, heal and go.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::control_plane::COMPONENTS;
use super::{Bed, Options};

fn small() -> Options {
    Options { nodes: 1, ..Options::default() }
}

fn pids(bed: &Bed) -> Vec<Option<u32>> {
    COMPONENTS.iter().map(|component| bed.pid(component)).collect()
}

fn assert_gone(pids: &[Option<u32>]) {
    assert_eq!(pids.len(), COMPONENTS.len());
    for pid in pids {
        let pid = pid.unwrap();
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(command.is_empty(), "process {pid} still runs");
    }
}

#[tokio::test]
async fn up_heals_what_died_and_down_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bed = Bed::open(folder.path().join("bed")).unwrap();
    bed.up(&small()).await.unwrap();
    let first = pids(&bed);
    bed.up(&small()).await.unwrap();
    assert_eq!(pids(&bed), first, "a second `up` changes nothing");
    for component in COMPONENTS {
        let before = bed.pid(component).unwrap();
        bed.processes.stop(component, std::time::Duration::ZERO).unwrap();
        assert_eq!(bed.pid(component), None);
        bed.up(&small()).await.unwrap();
        assert_ne!(bed.pid(component), Some(before), "{component} has a new process");
    }
    let nodes = bed.kubectl(&["get", "nodes", "--output=name"]).unwrap();
    assert_eq!(String::from_utf8_lossy(&nodes.stdout).lines().count(), 2);
    let all = pids(&bed);
    bed.down().unwrap();
    assert!(!bed.dir().exists());
    assert_gone(&all);
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
    assert_gone(&first);
    assert!(pids(&two).iter().all(Option::is_some));
}

#[tokio::test]
async fn the_audit_log_names_the_user_of_every_request() {
    let bed = Bed::shared().await.unwrap();
    let mut audit = bed.audit();
    audit.skip().unwrap();
    let namespace = bed.namespace("audited").await.unwrap();
    let entries = audit.entries().unwrap();
    let found = entries.iter().any(|entry| {
        entry.user == "admin"
            && entry.verb == "get"
            && entry.resource == "serviceaccounts"
            && entry.namespace == namespace
    });
    assert!(found, "{entries:#?}");
}

#[test]
fn a_folder_that_is_no_bed_is_never_removed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("precious"), "").unwrap();
    let bed = Bed::open(folder.path()).unwrap();
    assert!(bed.down().unwrap_err().to_string().contains("not the folder of a bed"));
    assert!(folder.path().join("precious").exists());
}
