//! Where pods go: every unit type with the real scheduler, and what users ask of the scheduler themselves.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use cafe_tests::scenario::{Pod, View, Workload, bed, merge, web};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::cells;

const REQUIRED: &str = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";

/// Gives the nodes labels of their own: `datacenter` east and west, `example.com/rack` r2 on the second of each cell and r1 on the others. Nobody else asks
/// for them.
async fn label_nodes() -> Result<()> {
    static LABELLED: OnceCell<()> = OnceCell::const_new();
    let label = || async {
        let api: Api<Node> = Api::all(bed().await?.client().await?);
        for (node, cell) in in_cells(&api).await? {
            let datacenter = if cell == "CellA" { "east" } else { "west" };
            let rack = if node.ends_with("-2") { "r2" } else { "r1" };
            let labels = json!({ "datacenter": datacenter, "example.com/rack": rack });
            let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
            api.patch(&node, &PatchParams::default(), &patch).await?;
        }
        Ok(())
    };
    LABELLED.get_or_try_init(label).await.copied()
}

/// Nodes and their cells.
async fn in_cells(api: &Api<Node>) -> Result<BTreeMap<String, String>> {
    labelled(api, "cafe.dev/cell").await
}

/// Nodes and the values of a label.
async fn labelled(api: &Api<Node>, key: &str) -> Result<BTreeMap<String, String>> {
    let nodes = api.list(&ListParams::default()).await?.items;
    let entry = |node: Node| {
        let value = node.metadata.labels.unwrap_or_default().remove(key)?;
        Some((node.metadata.name?, value))
    };
    Ok(nodes.into_iter().filter_map(entry).collect())
}

/// `web` with this topology and these fields in the spec of its pods.
fn placed(topology: &Value, spec: &Value) -> Value {
    let mut manifest = web(4);
    manifest["spec"]["topology"] = topology.clone();
    merge(&mut manifest, &json!({ "spec": { "template": { "spec": spec } } }));
    manifest
}

fn over_cells() -> Value {
    json!({ "unitType": "Cell", "values": ["CellA", "CellB"] })
}

/// The label of the revision, which all pods share.
fn revision(view: &View) -> String {
    let all: BTreeSet<&str> = view.pods().map(Pod::revision).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn pods_run_on_nodes_of_their_unit_whatever_label_names_it_and_none_of_it_makes_a_revision()
-> Result<()> {
    label_nodes().await?;
    let api: Api<Node> = Api::all(bed().await?.client().await?);
    let (cell, zone) = ("cafe.dev/cell", "topology.kubernetes.io/zone");
    let mut revisions = BTreeSet::new();
    for (prefix, topology, key) in [
        ("by-cell", json!({ "unitType": "Cell", "values": ["CellB", "CellC"] }), Some(cell)),
        ("by-zone", json!({ "unitType": "Zone", "values": ["CellA", "CellC"] }), Some(zone)),
        (
            "by-dc",
            json!({ "unitType": "Zone", "nodeLabelKey": "datacenter", "values": ["east", "west"] }),
            Some("datacenter"),
        ),
        (
            "by-rack",
            json!({ "unitType": "Cell", "nodeLabelKey": "example.com/rack", "values": ["r1", "r2"] }),
            Some("example.com/rack"),
        ),
        ("no-units", json!({ "unitType": "None" }), None),
    ] {
        let web = Workload::install(bed().await?, prefix, &placed(&topology, &json!({}))).await?;
        let view = web.look().await?;
        let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
        for pod in view.pods() {
            *sizes.entry(pod.unit()).or_default() += 1;
            let node = pod.0["spec"]["nodeName"].as_str().context("not scheduled")?;
            match key {
                Some(key) => assert_eq!(labelled(&api, key).await?[node], pod.unit(), "{prefix}"),
                None => assert_eq!((pod.unit(), pod.0["spec"].get("affinity")), ("default", None)),
            }
        }
        assert!(sizes.values().all(|n| *n * sizes.len() == 4), "{prefix}: {sizes:?}");
        revisions.insert(revision(&view));
        web.finish().await?;
    }
    assert_eq!(revisions.len(), 1, "one template is one revision wherever it runs: {revisions:?}");
    Ok(())
}

#[tokio::test]
async fn the_place_goes_into_every_term_of_the_users_affinity_that_says_anything() -> Result<()> {
    let place = |unit: &str| json!({ "key": "cafe.dev/cell", "operator": "In", "values": [unit] });
    let fields = json!([{ "key": "metadata.name", "operator": "NotIn", "values": ["nowhere"] }]);
    let linux = json!({ "key": "kubernetes.io/os", "operator": "In", "values": ["linux"] });
    let preferred = json!([{ "weight": 1, "preference": { "matchExpressions": [linux] } }]);
    for (prefix, user, terms) in [
        (
            "fields-only",
            json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [{ "matchFields": fields }] } }),
            json!([{ "matchFields": fields, "matchExpressions": ["place"] }]),
        ),
        (
            "no-terms",
            json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [] } }),
            json!([{ "matchExpressions": ["place"] }]),
        ),
        (
            "preferred-only",
            json!({ "preferredDuringSchedulingIgnoredDuringExecution": preferred }),
            json!([{ "matchExpressions": ["place"] }]),
        ),
        // An empty term matches nothing, and goes on doing so.
        (
            "empty-term",
            json!({
                "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
                    {}, { "matchExpressions": [linux] }, { "matchFields": fields, "matchExpressions": [linux] },
                ] },
                "preferredDuringSchedulingIgnoredDuringExecution": preferred,
            }),
            json!([
                {},
                { "matchExpressions": [linux, "place"] },
                { "matchFields": fields, "matchExpressions": [linux, "place"] },
            ]),
        ),
    ] {
        let spec = json!({ "affinity": { "nodeAffinity": user } });
        let web = Workload::install(bed().await?, prefix, &placed(&over_cells(), &spec)).await?;
        let view = web.look().await?;
        assert_eq!(view.serving("v1"), cells(2, 2), "{prefix}");
        for pod in view.pods() {
            let expected = terms.to_string().replace("\"place\"", &place(pod.unit()).to_string());
            let expected: Value = serde_json::from_str(&expected)?;
            let required = pod.0.pointer(REQUIRED).context("no affinity")?;
            assert_eq!(required["nodeSelectorTerms"], expected, "{prefix}");
            let (is, was) = (&pod.0["spec"]["affinity"]["nodeAffinity"], &user);
            let field = "preferredDuringSchedulingIgnoredDuringExecution";
            assert_eq!(is.get(field), was.get(field), "{prefix}");
            assert!(
                pod.0["spec"]["nodeName"]
                    .as_str()
                    .unwrap_or_default()
                    .starts_with(&pod.unit().to_lowercase())
            );
        }
        web.finish().await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_users_ask_of_the_scheduler_stays_as_they_wrote_it() -> Result<()> {
    label_nodes().await?;
    let spec = json!({
        "nodeSelector": { "example.com/rack": "r2" },
        "tolerations": [{ "key": "dedicated", "operator": "Equal", "value": "web", "effect": "NoSchedule" }],
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": { "app": "web" } },
        }],
        "affinity": { "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
            "weight": 7, "podAffinityTerm": {
                "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "web" } },
            },
        }]}},
    });
    let web = Workload::install(bed().await?, "own-wishes", &placed(&over_cells(), &spec)).await?;
    let before = web.look().await?;
    for pod in before.pods() {
        let is = &pod.0["spec"];
        for field in ["nodeSelector", "topologySpreadConstraints"] {
            assert_eq!(is[field], spec[field], "{field}");
        }
        assert_eq!(is["affinity"]["podAntiAffinity"], spec["affinity"]["podAntiAffinity"]);
        // Admission adds two of its own.
        let tolerations = is["tolerations"].as_array().context("no tolerations")?;
        assert!(tolerations.contains(&spec["tolerations"][0]), "{tolerations:?}");
        assert_eq!(is["nodeName"], format!("{}-2", pod.unit().to_lowercase()), "of its unit and of the rack");
    }
    // Units that come and go make no revision either: the pods that stay are not touched.
    web.patch(json!({ "spec": { "topology": { "values": ["CellA", "CellB", "CellC"] } } })).await?;
    let wider = |view: &View| view.is_settled() && view.sets.len() == 3 && view.pods.len() == 4;
    let after = web.wait_until("wider", wider).await?;
    assert_eq!((revision(&after), after.revision()), (revision(&before), 1));
    assert!(after.pods().all(|pod| pod.restarts() == 0));
    assert!(after.pods().all(|pod| pod.0["spec"]["nodeName"] == format!("{}-2", pod.unit().to_lowercase())));
    web.finish().await?;
    Ok(())
}
