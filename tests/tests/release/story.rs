//! What the watches have seen of a pod, as a story.

use std::collections::BTreeMap;
use std::sync::Arc;

use cafe_tests::scenario::{Gate, Kind, Pod, Workload};
use serde_json::Value;

/// What the EndpointSlices say of one pod: ready and serving, by Service.
pub(crate) type Said = BTreeMap<String, (Option<bool>, Option<bool>)>;

/// What happened to a pod, each step once: `out`, `in` (its gate), `wants v2`, `runs v2` (its first container), `served`,
/// `unserved` (any endpoint), `terminating`.
pub(crate) fn steps(web: &Workload, uid: &str) -> Vec<String> {
    let mut slices: BTreeMap<String, Arc<Value>> = BTreeMap::new();
    let mut last: BTreeMap<&str, String> = BTreeMap::new();
    let mut steps = Vec::new();
    for seen in web.watcher().history() {
        let now: Vec<(&str, String)> = match seen.kind {
            Kind::Slice if seen.gone => {
                slices.remove(&seen.name);
                vec![("endpoint", endpoint(&slices, uid))]
            }
            Kind::Slice => {
                slices.insert(seen.name.clone(), Arc::clone(&seen.object));
                vec![("endpoint", endpoint(&slices, uid))]
            }
            Kind::Pod if Pod(&seen.object).uid() == uid && !seen.gone => facts(Pod(&seen.object)),
            _ => continue,
        };
        for (what, now) in now {
            if last.get(what) != Some(&now) {
                steps.push(now.clone());
                last.insert(what, now);
            }
        }
    }
    steps
}

/// The steps of a pod from its first drain on.
pub(crate) fn since_out(web: &Workload, uid: &str) -> Vec<String> {
    steps(web, uid).into_iter().skip_while(|step| step != "out").collect()
}

fn facts(pod: Pod<'_>) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    match pod.gate() {
        Gate::Missing => {}
        Gate::True => facts.push(("gate", "in".to_owned())),
        Gate::False(_) => facts.push(("gate", "out".to_owned())),
    }
    let tag = |image: &str| image.rsplit(':').next().unwrap_or_default().to_owned();
    let container = &pod.containers()[0];
    facts.push(("wants", format!("wants {}", tag(&container.wants))));
    if !container.id.is_empty() {
        facts.push(("runs", format!("runs {}", tag(&container.runs))));
    }
    if pod.is_terminating() {
        facts.push(("end", "terminating".to_owned()));
    }
    facts
}

fn endpoint(slices: &BTreeMap<String, Arc<Value>>, uid: &str) -> String {
    let serves = said(slices, uid).values().any(|(ready, serving)| serving.or(*ready).unwrap_or(true));
    if serves { "served" } else { "unserved" }.to_owned()
}

fn said(slices: &BTreeMap<String, Arc<Value>>, uid: &str) -> Said {
    let mut said = Said::new();
    for slice in slices.values() {
        let service = slice.pointer("/metadata/labels/kubernetes.io~1service-name");
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            if endpoint.pointer("/targetRef/uid").and_then(Value::as_str) == Some(uid) {
                let of = |name: &str| endpoint["conditions"][name].as_bool();
                let service = service.and_then(Value::as_str).unwrap_or_default();
                said.insert(service.to_owned(), (of("ready"), of("serving")));
            }
        }
    }
    said
}

/// What the EndpointSlices said of each pod, by name, when it was given its next image.
pub(crate) fn at_updates(web: &Workload) -> BTreeMap<String, Said> {
    let mut slices: BTreeMap<String, Arc<Value>> = BTreeMap::new();
    let mut images: BTreeMap<String, String> = BTreeMap::new();
    let mut at = BTreeMap::new();
    for seen in web.watcher().history() {
        match seen.kind {
            Kind::Slice if seen.gone => drop(slices.remove(&seen.name)),
            Kind::Slice => drop(slices.insert(seen.name.clone(), Arc::clone(&seen.object))),
            Kind::Pod if !seen.gone => {
                let pod = Pod(&seen.object);
                let image = pod.containers()[0].wants.clone();
                if images.insert(pod.uid().to_owned(), image.clone()).is_some_and(|before| before != image) {
                    at.insert(seen.name.clone(), said(&slices, pod.uid()));
                }
            }
            _ => {}
        }
    }
    at
}

/// Whether a container with this tag has run in any pod.
pub(crate) fn ever_ran(web: &Workload, tag: &str) -> bool {
    let ending = format!(":{tag}");
    let pods = web.watcher().history().into_iter().filter(|seen| seen.kind == Kind::Pod);
    pods.into_iter().any(|seen| {
        Pod(&seen.object).containers().iter().any(|c| !c.id.is_empty() && c.runs.ends_with(&ending))
    })
}
