//! The made-up pods of one InPlaceSet and the EndpointSlices that they are in, as frames of a watch.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::mold::{Copy, FIRST_VERSION, Mold, Slot, mark};
use crate::scenario::Pod;

/// What the EndpointSlice controller puts into one slice at most.
const ENDPOINTS: u64 = 100;
/// Stands for the endpoints of a slice; in no object that a cluster makes.
const ENDPOINTS_HERE: &str = "\u{e001}";
const POD: u64 = 1;
const SLICE: u64 = 2;

/// What is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Pods.
    Pods,
    /// EndpointSlices.
    Slices,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Pods, Self::Slices];

    /// Where all of them are listed and watched.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Pods => "/api/v1/pods",
            Self::Slices => "/apis/discovery.k8s.io/v1/endpointslices",
        }
    }

    /// The frame that says that all there is has been told.
    pub(super) fn bookmark(self, version: u64) -> String {
        let (api_version, kind) = match self {
            Self::Pods => ("v1", "Pod"),
            Self::Slices => ("discovery.k8s.io/v1", "EndpointSlice"),
        };
        let annotations = json!({ "k8s.io/initial-events-end": "true" });
        let object = json!({
            "kind": kind, "apiVersion": api_version,
            "metadata": { "resourceVersion": version.to_string(), "annotations": annotations },
        });
        frame("BOOKMARK", &object.to_string())
    }
}

/// The type comes first, as an API server writes it: a reader need not keep the object until it knows what it is about.
fn frame(what: &str, object: &str) -> String {
    format!("{{\"type\":\"{what}\",\"object\":{object}}}\n")
}

/// Copies of one pod.
#[derive(Debug)]
pub(super) struct Herd {
    pod: Mold,
    endpoint: Mold,
    slice_head: Mold,
    slice_tail: Mold,
    /// Names of pods and slices up to the part that differs.
    prefixes: (String, String),
    cell: String,
    nodes: u64,
    /// The number of the first pod among all.
    first: u64,
    count: u64,
}

impl Herd {
    /// Copies of a pod that serves, `count` of them, numbered from `first` on, over so many nodes of its cell; `slices` are those of its namespace.
    pub(super) fn of(pod: &Value, slices: &[Value], first: u64, count: u64, nodes: u64) -> Result<Self> {
        let (slice, endpoint) = slices
            .iter()
            .find_map(|slice| Some((slice, endpoint_of(slice, Pod(pod).uid())?)))
            .with_context(|| format!("no EndpointSlice has {}", Pod(pod).name()))?;
        let (slice_head, slice_tail) = mold_of_slice(slice.clone())?;
        let name = |object: &Value| -> Result<String> {
            let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            Ok(name.rsplit_once('-').context("a name without a suffix")?.0.to_owned())
        };
        Ok(Self {
            pod: mold_of_pod(pod.clone())?,
            endpoint: mold_of_endpoint(endpoint.clone())?,
            slice_head,
            slice_tail,
            prefixes: (name(pod)?, name(slice)?),
            cell: Pod(pod).unit().to_lowercase(),
            nodes,
            first,
            count,
        })
    }

    /// How many frames of this kind there are.
    pub(super) fn frames(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Pods => self.count,
            Kind::Slices => self.count.div_ceil(ENDPOINTS),
        }
    }

    /// Writes the frame with this number, from 0 on.
    pub(super) fn write(&self, kind: Kind, number: u64, out: &mut String) {
        match kind {
            Kind::Pods => self.pod.pour(&self.copy(POD, self.first + number), out),
            Kind::Slices => self.write_slice(number, out),
        }
    }

    fn write_slice(&self, number: u64, out: &mut String) {
        let from = number * ENDPOINTS;
        // By its first pod: no two slices of all herds have that in common.
        let copy = Copy { prefix: &self.prefixes.1, ..self.copy(SLICE, self.first + from) };
        self.slice_head.pour(&copy, out);
        for pod in from..self.count.min(from + ENDPOINTS) {
            if pod > from {
                out.push(',');
            }
            self.endpoint.pour(&self.copy(POD, self.first + pod), out);
        }
        self.slice_tail.pour(&copy, out);
    }

    fn copy(&self, kind: u64, number: u64) -> Copy<'_> {
        Copy { prefix: &self.prefixes.0, number, kind, cell: &self.cell, nodes: self.nodes }
    }
}

fn endpoint_of<'a>(slice: &'a Value, uid: &str) -> Option<&'a Value> {
    let endpoints = slice.get("endpoints")?.as_array()?;
    endpoints.iter().find(|e| e.pointer("/targetRef/uid").and_then(Value::as_str) == Some(uid))
}

fn mold_of_pod(mut pod: Value) -> Result<Mold> {
    let mut slots = Vec::new();
    let mut places = vec![
        ("/metadata/name".to_owned(), Slot::Name),
        ("/metadata/uid".to_owned(), Slot::Uid),
        ("/metadata/resourceVersion".to_owned(), Slot::Version),
        ("/spec/nodeName".to_owned(), Slot::Node),
        ("/status/podIP".to_owned(), Slot::Address),
        ("/status/podIPs/0/ip".to_owned(), Slot::Address),
    ];
    let mut containers = 0;
    for list in ["initContainerStatuses", "containerStatuses"] {
        let statuses = pod.pointer(&format!("/status/{list}")).and_then(Value::as_array);
        for at in 0..statuses.map_or(0, Vec::len) {
            places.push((format!("/status/{list}/{at}/containerID"), Slot::Container(containers)));
            containers += 1;
        }
    }
    for (pointer, slot) in places {
        mark(&mut pod, &pointer, slot, &mut slots)?;
    }
    Mold::of(&frame("ADDED", &pod.to_string()), &slots)
}

fn mold_of_endpoint(mut endpoint: Value) -> Result<Mold> {
    let mut slots = Vec::new();
    let places = [
        ("/addresses/0", Slot::Address),
        ("/nodeName", Slot::Node),
        ("/targetRef/name", Slot::Name),
        ("/targetRef/uid", Slot::Uid),
    ];
    for (pointer, slot) in places {
        mark(&mut endpoint, pointer, slot, &mut slots)?;
    }
    Mold::of(&endpoint.to_string(), &slots)
}

/// What is before the endpoints of a slice, and what is behind them.
fn mold_of_slice(mut slice: Value) -> Result<(Mold, Mold)> {
    let mut slots = Vec::new();
    let places = [
        ("/metadata/name", Slot::Name),
        ("/metadata/uid", Slot::Uid),
        ("/metadata/resourceVersion", Slot::Version),
    ];
    for (pointer, slot) in places {
        mark(&mut slice, pointer, slot, &mut slots)?;
    }
    let endpoints = slice.get_mut("endpoints").context("a slice without endpoints")?;
    *endpoints = json!([ENDPOINTS_HERE]);
    let text = frame("ADDED", &slice.to_string());
    let (head, tail) = text.split_once(&format!("\"{ENDPOINTS_HERE}\"")).context("no place for endpoints")?;
    Ok((Mold::of(head, &slots)?, Mold::of(tail, &slots)?))
}

/// Everything of one kind in pieces of about [`PIECE`] bytes, the bookmark last. Nothing is kept but the piece in hand.
pub(super) struct Pieces<H> {
    herds: H,
    kind: Kind,
    herd: usize,
    number: u64,
    told: bool,
}

/// A few frames: what is written at once.
const PIECE: usize = 64 << 10;

impl<H: AsRef<[Herd]>> Pieces<H> {
    pub(super) fn new(herds: H, kind: Kind) -> Self {
        Self { herds, kind, herd: 0, number: 0, told: false }
    }
}

/// No object is newer than this.
pub(super) fn last_version(herds: &[Herd]) -> u64 {
    FIRST_VERSION + herds.iter().map(|herd| herd.first + herd.count).max().unwrap_or_default()
}

impl<H: AsRef<[Herd]>> Iterator for Pieces<H> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut out = String::with_capacity(PIECE + (PIECE >> 1));
        while let Some(herd) = self.herds.as_ref().get(self.herd) {
            if self.number >= herd.frames(self.kind) {
                (self.herd, self.number) = (self.herd + 1, 0);
                continue;
            }
            if out.len() >= PIECE {
                return Some(out);
            }
            herd.write(self.kind, self.number, &mut out);
            self.number += 1;
        }
        if !self.told {
            self.told = true;
            out.push_str(&self.kind.bookmark(last_version(self.herds.as_ref())));
        }
        (!out.is_empty()).then_some(out)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::Pod as TypedPod;
    use k8s_openapi::api::discovery::v1::EndpointSlice;
    use kube::core::WatchEvent;
    use serde::de::DeserializeOwned;

    use super::*;

    fn pod(unit: &str, uid: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": format!("web-{unit}-abcde"), "namespace": "n", "uid": uid, "resourceVersion": "7",
                "labels": { "app": "web", "cafe.dev/unit": unit } },
            "spec": { "nodeName": "x-1", "containers": [{ "name": "app", "image": "web:1" }] },
            "status": { "podIP": "10.0.0.1", "podIPs": [{ "ip": "10.0.0.1" }],
                "containerStatuses": [{ "name": "app", "containerID": "sim://1", "image": "web:1", "imageID": "i", "ready": true, "restartCount": 0 }],
                "initContainerStatuses": [{ "name": "proxy", "containerID": "sim://2", "image": "p:1", "imageID": "i", "ready": true, "restartCount": 0 }] },
        })
    }

    fn herds() -> Arc<[Herd]> {
        let endpoint = |uid: &str| {
            json!({ "addresses": ["10.0.0.1"], "nodeName": "x-1", "conditions": { "ready": true },
                "targetRef": { "kind": "Pod", "name": "web-a-abcde", "uid": uid } })
        };
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": "web-zzzzz", "namespace": "n", "uid": "s", "resourceVersion": "8" },
            "endpoints": [endpoint("u1"), endpoint("u2")],
        });
        let of = |unit, uid, first, count| {
            Herd::of(&pod(unit, uid), std::slice::from_ref(&slice), first, count, 3).unwrap()
        };
        Arc::from([of("CellA", "u1", 0, 120), of("CellB", "u2", 120, 30)])
    }

    /// As a watcher reads it: the objects, and at the end the version from which it goes on.
    fn read<K: DeserializeOwned>(kind: Kind) -> (Vec<K>, String) {
        let text: String = Pieces::new(herds(), kind).collect();
        let (mut objects, mut end) = (Vec::new(), None);
        for line in text.lines() {
            assert!(end.is_none(), "nothing comes after the bookmark");
            match serde_json::from_str::<WatchEvent<K>>(line).unwrap() {
                WatchEvent::Added(object) => objects.push(object),
                WatchEvent::Bookmark(bookmark) => {
                    assert!(bookmark.metadata.annotations.contains_key("k8s.io/initial-events-end"));
                    end = Some(bookmark.metadata.resource_version);
                }
                other => panic!("{other:?}"),
            }
        }
        (objects, end.unwrap())
    }

    #[test]
    fn pods_come_as_a_watcher_takes_them_each_with_an_identity_of_its_own() {
        let (pods, end) = read::<TypedPod>(Kind::Pods);
        assert_eq!(pods.len(), 150);
        let distinct = |of: &dyn Fn(&TypedPod) -> Option<String>| {
            pods.iter().map(|pod| of(pod).unwrap()).collect::<BTreeSet<_>>().len()
        };
        let container =
            |pod: &TypedPod| pod.status.as_ref()?.container_statuses.as_ref()?.first()?.container_id.clone();
        let distinct = [
            distinct(&|pod| pod.metadata.name.clone()),
            distinct(&|pod| pod.metadata.uid.clone()),
            distinct(&|pod| pod.metadata.resource_version.clone()),
            distinct(&|pod| pod.status.as_ref()?.pod_ip.clone()),
            distinct(&container),
        ];
        assert_eq!(distinct, [150; 5]);
        let newest =
            pods.iter().filter_map(|pod| pod.metadata.resource_version.as_ref()?.parse::<u64>().ok()).max();
        assert!(newest.unwrap() <= end.parse().unwrap(), "the watch goes on behind everything that was told");
        let (first, last) = (pods.first().unwrap(), pods.last().unwrap());
        let node = |pod: &TypedPod| pod.spec.as_ref().unwrap().node_name.clone().unwrap();
        assert_eq!((node(first), node(last)), ("cella-1".to_owned(), "cellb-3".to_owned()));
        assert_eq!(first.metadata.name.as_deref(), Some("web-CellA-00000"));
        let uid = first.metadata.uid.as_deref().unwrap();
        assert_eq!(uid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{uid}");
    }

    #[test]
    fn every_pod_is_an_endpoint_once_and_no_slice_has_more_than_a_hundred() {
        let uids: Vec<String> =
            read::<TypedPod>(Kind::Pods).0.into_iter().filter_map(|pod| pod.metadata.uid).collect();
        let (slices, _) = read::<EndpointSlice>(Kind::Slices);
        let sizes: Vec<usize> = slices.iter().map(|slice| slice.endpoints.as_ref().unwrap().len()).collect();
        assert_eq!(sizes, [100, 20, 30]);
        let names: BTreeSet<_> = slices.iter().map(|slice| slice.metadata.name.clone()).collect();
        assert_eq!(names.len(), 3);
        let endpoints = slices.into_iter().flat_map(|slice| slice.endpoints.unwrap_or_default());
        let known: Vec<String> = endpoints.filter_map(|endpoint| endpoint.target_ref?.uid).collect();
        assert_eq!(known, uids);
    }

    #[test]
    fn a_piece_is_small_however_many_pods_there_are() {
        let largest = Pieces::new(herds(), Kind::Pods).map(|piece| piece.len()).max().unwrap();
        assert!(largest < 2 * PIECE, "{largest}");
    }
}
