//! The pods of a workload as the benchmark sees them: one watch, the same for every subject.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cafe_tests::bed::Bed;
use cafe_tests::slim_pod::{self, SlimPod};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::core::ApiResource;
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    image: Arc<str>,
    ready: bool,
}

/// What is known now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count {
    /// Pods there are.
    pub(crate) all: usize,
    /// Ready pods, by image.
    pub(crate) ready: HashMap<Arc<str>, usize>,
    /// Pods, ready or not, by image.
    pub(crate) of: HashMap<Arc<str>, usize>,
    /// The fewest that were ready at once since the last [`Pods::mark`].
    pub(crate) least_ready: usize,
}

impl Count {
    /// Ready pods with this image.
    pub(crate) fn ready(&self, image: &str) -> usize {
        self.ready.get(image).copied().unwrap_or_default()
    }

    /// Pods with this image.
    pub(crate) fn of(&self, image: &str) -> usize {
        self.of.get(image).copied().unwrap_or_default()
    }

    fn all_ready(&self) -> usize {
        self.ready.values().sum()
    }

    fn fold(&mut self, before: Option<&Seen>, now: Option<&Seen>) {
        if let Some(before) = before {
            self.all -= 1;
            take(&mut self.of, &before.image);
            if before.ready {
                take(&mut self.ready, &before.image);
            }
        }
        if let Some(now) = now {
            self.all += 1;
            *self.of.entry(now.image.clone()).or_default() += 1;
            if now.ready {
                *self.ready.entry(now.image.clone()).or_default() += 1;
            }
        }
        self.least_ready = self.least_ready.min(self.all_ready());
    }
}

fn take(counts: &mut HashMap<Arc<str>, usize>, image: &Arc<str>) {
    if let Some(count) = counts.get_mut(image) {
        *count -= 1;
    }
}

/// The watch. It ends with this value.
pub(crate) struct Pods {
    count: watch::Sender<Count>,
    task: JoinHandle<()>,
}

impl Drop for Pods {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pods {
    /// Watches the pods of a namespace.
    pub(crate) async fn watch(bed: &Bed, namespace: &str) -> Result<Self> {
        let resource = ApiResource::erase::<Pod>(&());
        let api: Api<SlimPod> = Api::namespaced_with(bed.client().await?, namespace, &resource);
        let count = watch::Sender::new(Count::default());
        let task = tokio::spawn(follow(api, count.clone()));
        Ok(Self { count, task })
    }

    /// Forgets how few have been ready.
    pub(crate) fn mark(&self) {
        self.count.send_modify(|count| count.least_ready = count.all_ready());
    }

    /// What is known now.
    pub(crate) fn now(&self) -> Count {
        self.count.borrow().clone()
    }

    /// Waits until `is_so`, and returns when it was seen to be.
    pub(crate) async fn until(
        &self,
        what: &str,
        patience: Duration,
        is_so: impl FnMut(&Count) -> bool,
    ) -> Result<Instant> {
        let mut count = self.count.subscribe();
        let waited = tokio::time::timeout(patience, count.wait_for(is_so)).await;
        match waited {
            Ok(known) => known.map(|_| Instant::now()).context("the watch of the pods has ended"),
            Err(_) => {
                let Count { all, ready, .. } = self.now();
                anyhow::bail!("not {what} after {} s: {all} pods, ready {ready:?}", patience.as_secs())
            }
        }
    }
}

async fn follow(api: Api<SlimPod>, count: watch::Sender<Count>) {
    let mut pods: HashMap<String, Seen> = HashMap::new();
    let mut stream = watcher::watcher(api, watcher::Config::default().streaming_lists()).boxed();
    while let Some(event) = stream.next().await {
        // The watcher begins again by itself; what it lists then comes as any other change.
        let Ok(event) = event else { continue };
        let (pod, is_there) = match event {
            Event::Apply(pod) | Event::InitApply(pod) => (pod, true),
            Event::Delete(pod) => (pod, false),
            Event::Init | Event::InitDone => continue,
        };
        let name = pod.metadata.name.clone().unwrap_or_default();
        let seen = is_there.then(|| seen(&pod));
        let before = match &seen {
            Some(seen) => pods.insert(name, seen.clone()),
            None => pods.remove(&name),
        };
        if before != seen {
            count.send_modify(|count| count.fold(before.as_ref(), seen.as_ref()));
        }
    }
}

fn seen(pod: &SlimPod) -> Seen {
    Seen { image: slim_pod::image(pod).into(), ready: slim_pod::has(pod, "Ready") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(image: &str, ready: bool) -> Seen {
        Seen { image: image.into(), ready }
    }

    #[test]
    fn every_change_is_counted_and_the_fewest_ready_are_remembered() {
        let mut count = Count::default();
        let (old, out, new) = (pod("v1", true), pod("v1", false), pod("v2", true));
        count.fold(None, Some(&old));
        count.fold(None, Some(&old));
        count.least_ready = 2;
        assert_eq!(count.ready("v1"), 2);
        count.fold(Some(&old), Some(&out));
        count.fold(Some(&out), Some(&new));
        assert_eq!((count.ready("v1"), count.ready("v2"), count.of("v1"), count.all), (1, 1, 1, 2));
        assert_eq!(count.least_ready, 1);
        count.fold(Some(&new), None);
        assert_eq!(count.all, 1);
    }
}
