use std::time::Duration;

use anyhow::Result;
use cafe_tests::scenario::{Kind, View, Workload, bed, merge, solo};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::balancer::{draining, is_held};
use crate::story::{at_updates, since_out};

/// EndpointSlices written by hand, as a controller of one's own does.
struct Slices<'a>(&'a Workload);

impl Slices<'_> {
    /// Writes a slice that says this of the pod, or of no pod.
    async fn write(&self, name: &str, family: &str, pod: &str, says: Option<&Value>) -> Result<()> {
        let uid = self.0.look().await?.pod(pod).map(|pod| pod.uid().to_owned());
        let target = json!({ "kind": "Pod", "namespace": self.0.namespace(), "name": pod, "uid": uid });
        let endpoint =
            |says: &Value| json!({ "addresses": [address(family)], "conditions": says, "targetRef": target });
        self.apply(name, family, says.map(endpoint).into_iter().collect()).await
    }

    async fn apply(&self, name: &str, family: &str, endpoints: Vec<Value>) -> Result<()> {
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
            "metadata": { "name": name, "labels": { "endpointslice.kubernetes.io/managed-by": "hand" } },
            "endpoints": endpoints, "ports": [{ "port": 8080 }],
        });
        let parameters = PatchParams::apply("hand").force();
        self.0.api(Kind::Slice).patch(name, &parameters, &Patch::Apply(slice)).await?;
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<()> {
        self.0.api(Kind::Slice).delete(name, &DeleteParams::default()).await?;
        Ok(())
    }
}

fn address(family: &str) -> &'static str {
    if family == "IPv6" { "2001:db8::1" } else { "192.0.2.1" }
}

/// The name of the one pod.
async fn only(web: &Workload) -> Result<String> {
    Ok(web.look().await?.identities().into_keys().next().unwrap())
}

/// Starts a release and gives what tells whether its one pod is still held in its drain.
async fn held_release(web: &Workload) -> Result<impl Fn(&View) -> bool> {
    web.release("v2").await?;
    let view = web.wait_until("draining", |view| draining(view).is_some()).await?;
    let (pod, reason) = draining(&view).unwrap();
    Ok(move |view: &View| is_held(view, &pod, &reason))
}

const A_WHILE: Duration = Duration::from_millis(400);

#[tokio::test]
async fn every_service_that_selects_the_pod_counts_and_not_ready_addresses_are_asked_whether_they_serve()
-> Result<()> {
    let web = Workload::open(bed().await?, "services", &solo(2)).await?;
    web.serve("web", &json!({})).await?;
    web.serve("headless", &json!({ "clusterIP": "None" })).await?;
    web.serve("early", &json!({ "publishNotReadyAddresses": true })).await?;
    web.start().await?;
    web.wait_until_served().await?;
    web.release("v2").await?;
    web.wait_until_settled().await?;
    let off = (Some(false), Some(false));
    let expected = [("early", (Some(true), Some(false))), ("headless", off), ("web", off)];
    let expected = expected.into_iter().map(|(service, said)| (service.to_owned(), said)).collect();
    let at = at_updates(&web);
    assert_eq!(at.len(), 2);
    assert!(at.values().all(|said| *said == expected), "{at:#?}");
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn pods_that_no_service_selects_are_updated_too() -> Result<()> {
    let web = Workload::open(bed().await?, "no-service", &solo(2)).await?;
    web.start().await?;
    web.wait_until_settled().await?;
    web.release("v2").await?;
    let view = web.wait_until_settled().await?;
    assert_eq!((view.serving_in_all("v2"), view.slices.len()), (2, 0));
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn both_families_of_a_dual_stack_service_must_be_off() -> Result<()> {
    let web = Workload::install(bed().await?, "dual-stack", &solo(1)).await?;
    let (slices, pod) = (Slices(&web), only(&web).await?);
    let (on, off) = (json!({ "ready": true, "serving": true }), json!({ "ready": false, "serving": false }));
    for family in ["IPv4", "IPv6"] {
        slices.write(&family.to_lowercase(), family, &pod, Some(&on)).await?;
    }
    let held = held_release(&web).await?;
    web.stays("held by both", A_WHILE, &held).await?;
    slices.write("ipv4", "IPv4", &pod, Some(&off)).await?;
    web.stays("held by IPv6", A_WHILE, &held).await?;
    slices.write("ipv6", "IPv6", &pod, Some(&off)).await?;
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v2"), 1);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn an_absent_serving_means_ready_and_an_absent_ready_means_true() -> Result<()> {
    let web = Workload::install(bed().await?, "absent", &solo(1)).await?;
    let (slices, pod) = (Slices(&web), only(&web).await?);
    slices.write("own", "IPv4", &pod, Some(&json!({}))).await?;
    let held = held_release(&web).await?;
    for says in [json!({}), json!({ "ready": true }), json!({ "ready": false, "serving": true })] {
        slices.write("own", "IPv4", &pod, Some(&says)).await?;
        web.stays(&format!("held by {says}"), A_WHILE, &held).await?;
    }
    slices.write("own", "IPv4", &pod, Some(&json!({ "ready": true, "serving": false }))).await?;
    web.wait_until_settled().await?;
    slices.write("own", "IPv4", &pod, Some(&json!({ "ready": false }))).await?;
    web.release("v3").await?;
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v3"), 1);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_moves_from_slice_to_slice_holds_the_drain_until_it_is_off_in_the_last() -> Result<()>
{
    let web = Workload::install(bed().await?, "moving", &solo(1)).await?;
    let (slices, pod) = (Slices(&web), only(&web).await?);
    let on = json!({ "serving": true });
    slices.write("first", "IPv4", &pod, Some(&on)).await?;
    let held = held_release(&web).await?;
    slices.write("second", "IPv4", &pod, Some(&on)).await?;
    web.stays("held by two", A_WHILE, &held).await?;
    slices.write("first", "IPv4", &pod, None).await?;
    web.stays("held by the second", A_WHILE, &held).await?;
    slices.write("first", "IPv4", &pod, Some(&on)).await?;
    slices.remove("second").await?;
    web.stays("held by the first again", A_WHILE, &held).await?;
    slices.remove("first").await?;
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v2"), 1);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_names_no_pod_holds_nobody() -> Result<()> {
    let web = Workload::install(bed().await?, "nameless", &solo(1)).await?;
    let pod = web.look().await?.identities().into_values().next().unwrap();
    let endpoint = json!({ "addresses": [pod.1], "conditions": { "ready": true, "serving": true } });
    Slices(&web).apply("nameless", "IPv4", vec![endpoint]).await?;
    web.release("v2").await?;
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v2"), 1);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn where_readiness_is_ignored_an_endpoint_holds_the_drain_until_it_is_gone() -> Result<()> {
    let mut manifest = solo(1);
    merge(&mut manifest, &json!({ "spec": { "traffic": { "mode": "Unselect" } } }));
    let web = Workload::install(bed().await?, "listed", &manifest).await?;
    let (slices, pod) = (Slices(&web), only(&web).await?);
    // The Service `web` does not select on the label either: it lists the pod whatever its label says.
    let held = held_release(&web).await?;
    web.stays("held by a Service without the label", A_WHILE, &held).await?;
    slices.write("own", "IPv4", &pod, Some(&json!({ "ready": false, "serving": false }))).await?;
    web.kubectl(&["delete", "service", "web"]).await?;
    web.wait_until("listed once", |view| view.slices.len() == 1).await?;
    web.stays("held by the other slice", A_WHILE, &held).await?;
    slices.write("own", "IPv4", &pod, None).await?;
    assert_eq!(web.wait_until_settled().await?.serving_in_all("v2"), 1);
    web.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_is_out_then_unserved_then_changed_then_started_then_in_then_served() -> Result<()> {
    let mut manifest = solo(2);
    merge(&mut manifest, &json!({ "spec": { "traffic": { "graceSeconds": 1 } } }));
    let web = Workload::install(bed().await?, "order", &manifest).await?;
    web.release("v2").await?;
    web.wait_until_settled().await?;
    let served = |view: &View| view.endpoints().len() == 2;
    web.wait_until("served again", served).await?;
    for (uid, _) in web.look().await?.identities().into_values() {
        let expected = ["out", "unserved", "wants v2", "runs v2", "in", "served"];
        assert_eq!(since_out(&web, &uid), expected);
    }
    web.finish().await?;
    Ok(())
}
