//! The nodes: objects only, their kubelets are simulated.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::options::Options;

/// The node label that names the cell.
pub const CELL_LABEL: &str = "cafe.dev/cell";

const AT_ONCE: usize = 16;

/// A node still to be created.
struct Plan {
    name: String,
    cell: String,
    block: u16,
    /// Pods it has room for.
    pods: u32,
}

/// Keeps pods away that do not tolerate it: the nodes that tests add are their own.
pub(crate) const OWN_TAINT: &str = "sim.cafe.dev/own";

/// Blocks of addresses handed out to nodes that tests of this process added, from the last one down.
static ADDED: AtomicU16 = AtomicU16::new(0);

/// Adds a Ready node to `cell` with room for so many pods, only for pods that tolerate [`OWN_TAINT`].
pub(crate) async fn add(client: &Client, name: &str, cell: &str, pods: u32) -> Result<()> {
    let block = BLOCKS - 1 - ADDED.fetch_add(1, Ordering::Relaxed);
    let api: Api<Node> = Api::all(client.clone());
    create(&api, Plan { name: name.into(), cell: cell.into(), block, pods }).await?;
    taint(&api, name, &[(OWN_TAINT, "NoSchedule")]).await
}

/// Gives a node exactly these taints, by key and effect.
pub(crate) async fn taint(api: &Api<Node>, name: &str, taints: &[(&str, &str)]) -> Result<()> {
    let taints: Vec<_> = taints.iter().map(|(key, effect)| json!({ "key": key, "effect": effect })).collect();
    let patch = Patch::Merge(json!({ "spec": { "taints": taints } }));
    api.patch(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// What every node of a bed has room for.
const PODS: u32 = 10_000;

/// Creates the nodes that are missing. Those that exist are left as they are.
pub(super) async fn ensure(client: &Client, options: &Options) -> Result<()> {
    let api: Api<Node> = Api::all(client.clone());
    let existing = api.list(&ListParams::default()).await?.items;
    let complete: BTreeSet<String> =
        existing.iter().filter(|node| is_complete(node)).map(ResourceExt::name_any).collect();
    let taken: BTreeSet<u16> = existing.iter().filter_map(block_of).collect();
    let mut free = (0..BLOCKS).filter(|block| !is_service_range(*block) && !taken.contains(block));
    let mut plans = Vec::new();
    for cell in &options.cells {
        for number in 1..=options.nodes {
            let name = format!("{}-{number}", cell.to_lowercase());
            if complete.contains(&name) {
                continue;
            }
            let Some(block) = free.next() else {
                bail!("too many nodes: a bed has room for about a thousand")
            };
            plans.push(Plan { name, cell: cell.clone(), block, pods: PODS });
        }
    }
    stream::iter(plans).map(|plan| create(&api, plan)).buffer_unordered(AT_ONCE).try_collect().await
}

/// The capacity is written last.
fn is_complete(node: &Node) -> bool {
    node.status.as_ref().is_some_and(|status| status.allocatable.is_some())
}

async fn create(api: &Api<Node>, plan: Plan) -> Result<()> {
    let name = plan.name.as_str();
    match api.create(&PostParams::default(), &object(&plan)?).await {
        Ok(_) => {}
        Err(kube::Error::Api(error)) if error.code == 409 => {}
        Err(error) => return Err(error).with_context(|| format!("cannot create node {name}")),
    }
    let params = PatchParams::default();
    // Admission taints every new node as not ready, and only the node lifecycle controller would take that off.
    api.patch(name, &params, &Patch::Merge(json!({ "spec": { "taints": null } }))).await?;
    api.patch_status(name, &params, &Patch::Merge(json!({ "status": status(&plan) }))).await?;
    Ok(())
}

fn object(plan: &Plan) -> Result<Node> {
    let Plan { name, cell, block, pods: _ } = plan;
    let cidr = pod_cidr(*block);
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": name, "labels": {
            CELL_LABEL: cell,
            "topology.kubernetes.io/zone": cell,
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
        }},
        "spec": { "podCIDR": cidr, "podCIDRs": [cidr] },
    });
    Ok(serde_json::from_value(node)?)
}

fn status(plan: &Plan) -> serde_json::Value {
    #[allow(clippy::disallowed_methods)] // A kubelet reads the clock.
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let resources = json!({ "cpu": "10000", "memory": "100Ti", "ephemeral-storage": "100Ti", "pods": plan.pods.to_string() });
    json!({
        "capacity": resources,
        "allocatable": resources,
        "addresses": [
            { "type": "InternalIP", "address": format!("172.{}.{}.1", 16 + plan.block / 256, plan.block % 256) },
            { "type": "Hostname", "address": plan.name },
        ],
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "simulated",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }],
        "nodeInfo": {
            "architecture": "amd64", "operatingSystem": "linux", "osImage": "simulated", "kernelVersion": "simulated",
            "kubeletVersion": "v1.36.3", "kubeProxyVersion": "", "containerRuntimeVersion": "simulated://1",
            "bootID": "", "machineID": "", "systemUUID": "",
        },
    })
}

/// 10.0.0.0/8 in blocks of 16,384 addresses: pods on different nodes never share one.
const BLOCKS: u16 = 1024;

fn pod_cidr(block: u16) -> String {
    format!("10.{}.{}.0/18", block / 4, block % 4 * 64)
}

/// Services have 10.96.0.0/16.
fn is_service_range(block: u16) -> bool {
    block / 4 == 96
}

fn block_of(node: &Node) -> Option<u16> {
    let cidr = node.spec.as_ref()?.pod_cidr.as_ref()?;
    let mut numbers = cidr.split(['.', '/']).skip(1).map_while(|number| number.parse::<u16>().ok());
    Some(numbers.next()? * 4 + numbers.next()? / 64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_found_again_in_its_node() {
        for block in (0..BLOCKS).filter(|block| !is_service_range(*block)) {
            let plan = Plan { name: "n".into(), cell: "CellA".into(), block, pods: PODS };
            assert_eq!(block_of(&object(&plan).unwrap()), Some(block));
        }
    }
}
