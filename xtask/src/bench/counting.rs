//! What is counted rather than timed, from the API server's audit log.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use cafe_tests::bed::Bed;
use cafe_tests::bed::audit::{Entry, Reader};

use super::course::Course;
use super::report::Figures;
use super::subject::{Shape, Subject};

/// How long nothing may be written until what a release causes is over.
const QUIET: Duration = Duration::from_millis(2500);
const STEADY: Duration = Duration::from_secs(60);

/// Plays one release as fast as it goes, one at an easy pace, and a while in which nothing happens.
pub(crate) async fn play(bed: &Bed, subject: &Subject, pods: usize, figures: &mut Figures) -> Result<()> {
    let course = Course { bed, subject, pods, repeats: 1 };
    let mut log = Log { bed, subject, log: bed.audit(), looks: 0 };
    let shape = Shape { pods, budget: 100, groups: 1, restart: 0, spread: 0 };
    let mut work = course.create(shape, &mut Figures::default()).await?;
    log.quiet().await?;
    work.release().await?;
    count(&log.quiet().await?, subject, pods, figures);
    work.remove().await?;

    // At most a tenth of the pods is out at once, and each takes a time of its own: the API server has time to spare. Containers that
    // start in the same millisecond would all be put back at once, and most of a reaction would be the wait for the others' writes.
    let shape = Shape { pods, budget: 10, groups: 1, restart: 1000, spread: 4000 };
    let mut work = course.create(shape, &mut Figures::default()).await?;
    log.quiet().await?;
    work.release().await?;
    reactions(&log.quiet().await?, subject, &work.namespace, figures);

    tokio::time::sleep(STEADY).await;
    let steady = log.entries().await?;
    figures.add("steady_writes", steady.iter().filter(|entry| log.is_work(entry)).count() as f64);
    Ok(())
}

struct Log<'a> {
    bed: &'a Bed,
    subject: &'a Subject,
    log: Reader,
    looks: usize,
}

impl Log<'_> {
    async fn entries(&mut self) -> Result<Vec<Entry>> {
        self.looks += 1;
        self.bed.entries_until_now(&mut self.log, &format!("look-{}", self.looks)).await
    }

    /// Everything until the subject rests.
    async fn quiet(&mut self) -> Result<Vec<Entry>> {
        let mut all = Vec::new();
        loop {
            tokio::time::sleep(QUIET).await;
            let entries = self.entries().await?;
            let rests = !entries.iter().any(|entry| self.is_work(entry));
            all.extend(entries);
            if rests {
                return Ok(all);
            }
        }
    }

    /// A write of the subject that is not its claim to be the one who writes.
    fn is_work(&self, entry: &Entry) -> bool {
        self.subject.asked(entry) && entry.is_write() && entry.resource != "leases"
    }
}

fn count(entries: &[Entry], subject: &Subject, pods: usize, figures: &mut Figures) {
    let per_pod = |is_counted: &dyn Fn(&Entry) -> bool| {
        entries.iter().filter(|entry| entry.is_write() && is_counted(entry)).count() as f64 / pods as f64
    };
    let of_pods = |entry: &Entry| subject.asked(entry) && entry.resource == "pods";
    figures.add("writes_per_pod", per_pod(&of_pods));
    figures.add("all_writes_per_pod", per_pod(&|entry| subject.asked(entry) && entry.resource != "leases"));
    figures.add("other_writes_per_pod", per_pod(&|entry| !subject.asked(entry) && entry.resource == "pods"));
    figures.add("conflicts_per_pod", per_pod(&|entry| subject.asked(entry) && entry.code == 409));
    figures.add(
        "endpoint_slice_writes_per_pod",
        per_pod(&|entry| entry.resource == "endpointslices" && entry.code < 300),
    );
}

/// Milliseconds from a kubelet's last word about a pod until the subject's answer to it arrives: the write that puts an updated pod back
/// in service.
fn reactions(entries: &[Entry], subject: &Subject, namespace: &str, figures: &mut Figures) {
    let mut entries: Vec<&Entry> = entries
        .iter()
        .filter(|entry| {
            entry.namespace == namespace && entry.resource == "pods" && entry.is_write() && entry.code < 300
        })
        .collect();
    entries.sort_by_key(|entry| entry.answered);
    let mut lives: HashMap<&str, Life> = HashMap::new();
    let mut reactions = Vec::new();
    for entry in entries {
        let life = lives.entry(&entry.name).or_default();
        if !subject.asked(entry) {
            life.told = Some(entry);
        } else if entry.subresource == "status" {
            if let (true, Some(told)) = (life.swapped, life.told.take()) {
                reactions.push(entry.received.duration_since(told.answered).as_secs_f64() * 1000.0);
            }
            life.swapped = false;
        } else {
            *life = Life { swapped: true, told: None };
        }
    }
    reactions.sort_by(f64::total_cmp);
    for (name, share) in [("reaction_ms_p50", 50), ("reaction_ms_p99", 99)] {
        if let Some(reaction) = reactions.get(reactions.len() * share / 100) {
            figures.add(name, *reaction);
        }
    }
}

/// A pod, as far as its audit entries tell.
#[derive(Default)]
struct Life<'a> {
    /// Its image was changed and it is not back yet.
    swapped: bool,
    /// What its kubelet said last since then.
    told: Option<&'a Entry>,
}
