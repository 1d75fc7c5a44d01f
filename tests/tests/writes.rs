//! What Cafe writes, by the API server's own account.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use cafe_tests::bed::audit::{Entry, Reader};
use cafe_tests::bed::{Bed, CONTROLLER};
use cafe_tests::scenario::{Workload, bed, merge, web};
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// Invariants that a release over two units must have put to the test, those of the audit log included.
const JUDGED: [&str; 16] =
    ["S1", "S2", "S3", "S4", "S5", "S6", "S7", "S9", "S10", "S11", "S12", "S14", "S15", "S18", "S20", "S21"];

/// A test that counts every write wants the bed for itself.
static ALONE: Mutex<()> = Mutex::const_new(());

fn by_controller(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    entries.iter().filter(|entry| entry.user == CONTROLLER && entry.is_write())
}

#[tokio::test]
async fn an_update_in_place_is_three_writes_of_its_pod() -> Result<()> {
    three_writes(&web(10)).await
}

#[tokio::test]
async fn an_update_in_place_is_three_writes_where_a_label_rides_along() -> Result<()> {
    let mut manifest = web(10);
    merge(&mut manifest, &json!({ "spec": { "traffic": { "mode": "Unselect" } } }));
    three_writes(&manifest).await
}

async fn three_writes(manifest: &Value) -> Result<()> {
    let _alone = ALONE.lock().await;
    let bed = bed().await?;
    let mut audit = bed.audit();
    let web = Workload::open(bed, "three", manifest).await?;
    web.serve("web", &json!({ "selector": selector(manifest) })).await?;
    web.start().await?;
    web.wait_until_served().await?;
    let pods: Vec<String> = web.look().await?.identities().into_keys().collect();
    bed.entries_until_now(&mut audit, "three-before").await?;
    web.release("v2").await?;
    web.confirm("2/all").await?;
    web.wait_until_settled().await?;
    let entries = bed.entries_until_now(&mut audit, "three-after").await?;
    let mut writes: BTreeMap<&str, Vec<(&str, &str, u16)>> = BTreeMap::new();
    for entry in by_controller(&entries).filter(|e| e.namespace == web.namespace() && e.resource == "pods") {
        writes.entry(&entry.name).or_default().push((&entry.verb, &entry.subresource, entry.code));
    }
    let three = vec![("patch", "status", 200), ("patch", "", 200), ("patch", "status", 200)];
    let expected: BTreeMap<&str, _> = pods.iter().map(|pod| (pod.as_str(), three.clone())).collect();
    assert_eq!(writes, expected);
    // Reservations come in waves: two writes of the journal per wave and unit, and one of the spec per group at least.
    let journals = by_controller(&entries)
        .filter(|e| {
            e.namespace == web.namespace() && e.resource == "inplacesets" && e.subresource == "status"
        })
        .count();
    assert!(journals <= 30, "{journals} writes of the journals for 10 pods with a budget of 2");
    let asked = web.finish().await?.asked;
    for rule in JUDGED {
        assert!(asked.contains_key(rule), "{rule} was never asked: {asked:?}");
    }
    Ok(())
}

/// What costs once per release must not cost once per pod: the journal, figures, records, the EndpointSlices of pods that go together.
#[tokio::test]
async fn a_group_of_fifty_costs_three_writes_per_pod_and_little_besides() -> Result<()> {
    const PODS: usize = 50;
    let _alone = ALONE.lock().await;
    let bed = bed().await?;
    let mut audit = bed.audit();
    let mut manifest = web(50);
    let strategy = json!({ "upgradeType": "Batch", "batchSize": null, "maxUnavailable": "100%", "needWaitingForConfirm": false });
    merge(&mut manifest, &json!({ "spec": { "strategy": strategy, "topology": { "values": ["CellA"] } } }));
    let web = Workload::open(bed, "fifty", &manifest).await?;
    web.serve("web", &json!({ "selector": {} })).await?;
    web.start().await?;
    web.wait_until_served().await?;
    quiet(bed, &mut audit).await?;
    web.release("v2").await?;
    web.wait_until_settled().await?;
    let entries = bed.entries_until_now(&mut audit, "fifty-after").await?;
    let here: Vec<&Entry> =
        entries.iter().filter(|e| e.namespace == web.namespace() && e.is_write()).collect();
    let count = |is_counted: &dyn Fn(&Entry) -> bool| here.iter().filter(|e| is_counted(e)).count();
    let ours = |entry: &Entry| entry.user == CONTROLLER;
    assert_eq!(count(&|e| ours(e) && e.resource == "pods" && e.code == 200), 3 * PODS);
    let refused = count(&|e| ours(e) && e.code >= 400);
    assert!(refused <= 2, "{refused} writes were refused");
    // Two of the journal, some of the release and of its record, and figures once a second.
    let besides = count(&|e| ours(e) && e.resource != "pods");
    assert!(besides < PODS, "{besides} writes besides those of pods");
    let slices = count(&|e| e.resource == "endpointslices");
    assert!(
        slices <= PODS,
        "{slices} writes of EndpointSlices, which a controller that goes pod by pod would cause twice as many of"
    );
    web.finish().await?;
    Ok(())
}

/// What a Service for it selects on.
fn selector(manifest: &Value) -> Value {
    let unselects = manifest["spec"]["traffic"]["mode"] == "Unselect";
    if unselects { json!({ "cafe.dev/serving": "true" }) } else { json!({}) }
}

#[tokio::test]
async fn no_pod_is_read_one_by_one() -> Result<()> {
    let _alone = ALONE.lock().await;
    let bed = bed().await?;
    let mut audit = bed.audit();
    bed.entries_until_now(&mut audit, "reads-before").await?;
    let web = Workload::install(bed, "reads", &web(6)).await?;
    web.release("v2").await?;
    web.confirm("2/all").await?;
    web.wait_until_settled().await?;
    let entries = bed.entries_until_now(&mut audit, "reads-after").await?;
    let reads: Vec<String> = entries
        .iter()
        .filter(|e| e.user == CONTROLLER && e.verb == "get" && e.namespace == web.namespace())
        .map(|e| e.uri.clone())
        .collect();
    assert_eq!(reads, [""; 0]);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn twenty_seconds_of_a_steady_state_are_without_a_write() -> Result<()> {
    let _alone = ALONE.lock().await;
    let bed = bed().await?;
    let web = web(6);
    let install = |prefix| Workload::install(bed, prefix, &web);
    let four = (install("done"), install("gate"), install("held"), install("stuck"));
    let (done, gate, held, stuck) = futures::try_join!(four.0, four.1, four.2, four.3)?;
    gate.release("v2").await?;
    held.release("v2").await?;
    stuck.release_with("bad", &[("image-pull-error", "true")]).await?;
    gate.wait_for_gate("2/1").await?;
    held.wait_for_gate("2/1").await?;
    held.patch(json!({ "spec": { "strategy": { "pause": true } } })).await?;
    held.wait_until("held", |view| view.is_observed() && view.state() == "Paused").await?;
    stuck
        .wait_until("stuck", |view| view.message().contains("ImagePullBackOff") && view.reserved() == 1)
        .await?;
    let mut audit = bed.audit();
    quiet(bed, &mut audit).await?;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let entries = bed.entries_until_now(&mut audit, "steady-after").await?;
    let writes: Vec<_> = by_controller(&entries).filter(|entry| entry.resource != "leases").collect();
    assert!(writes.is_empty(), "{writes:#?}");
    let leases = by_controller(&entries).count();
    assert!((1..=10).contains(&leases), "the lease was renewed {leases} times in 20 s");
    for workload in [&done, &gate, &held, &stuck] {
        workload.finish().await?;
    }
    Ok(())
}

/// Waits until everything is written that changes so far have caused: figures and events may follow for a second.
async fn quiet(bed: &Bed, audit: &mut Reader) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(30);
    for round in 0.. {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let entries = bed.entries_until_now(audit, &format!("quiet-{round}")).await?;
        if round > 0 && by_controller(&entries).all(|entry| entry.resource == "leases") {
            return Ok(());
        }
        if Instant::now() > end {
            bail!("the controller goes on writing: {:#?}", by_controller(&entries).collect::<Vec<_>>());
        }
    }
    Ok(())
}
