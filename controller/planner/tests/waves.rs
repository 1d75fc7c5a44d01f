//! How many pods of a large set are reserved by one write of the journal, and how often counters are worth one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod simulator;

use cafe_crds::{deployment::Strategy, time::Seconds};
use cafe_planner::{
    identity::Uid,
    set::{
        self, Action, Snapshot, intent,
        journal::{self, Journal, MOST_ENTRIES},
        snapshot::Entry,
    },
    time::{Millis, Now},
};
use simulator::Cluster;

const PODS: usize = 2_000;

/// A set of [`PODS`], all of which may be out and are to move, with so many of them in its journal, and what its next journal is so many
/// milliseconds after the last.
fn next(reserved: usize, later: u64) -> Journal {
    let mut cluster = Cluster::installed(1, 1, Strategy::default());
    cluster.let_all_move();
    let uid = cluster.crowd(PODS, PODS);
    let from = cluster.pods.values().next().unwrap().pod.revision;
    let entry = |uid: &Uid| Entry { uid: *uid, from, to: None, since: Seconds(0) };
    let journal = cluster.pods.keys().take(reserved).map(entry).collect();
    cluster.sets.first_mut().unwrap().journal = journal;
    cluster.look_at_set(uid, |s| {
        let (written, now) = (s.now.mono, Now { mono: Millis(s.now.mono.0 + later), ..s.now });
        let s = Snapshot { status_written: Some(written), now, ..s };
        journal::plan(&s, &intent::assign(&s, s.target.unwrap()), false)
    })
}

#[test]
fn a_journal_that_is_full_takes_pods_in_by_halves_or_once_a_second() {
    assert_eq!(next(0, 0).next.len(), MOST_ENTRIES, "the first wave");
    let few = next(MOST_ENTRIES - 10, 0);
    assert!(!few.due && few.later, "ten are not worth a write of all");
    assert_eq!(few.next.len(), MOST_ENTRIES - 10);
    assert_eq!(next(MOST_ENTRIES / 2, 0).next.len(), MOST_ENTRIES, "half of it is");
    let stalled = next(MOST_ENTRIES - 10, 1_000);
    assert!(stalled.due, "whatever there is after a second");
    assert_eq!(stalled.next.len(), MOST_ENTRIES);
}

/// Whether the status is written that long after the last write, when nothing but its counters has changed, and when it is looked at again.
fn counters_after(milliseconds: u64) -> (bool, Option<Millis>) {
    let mut cluster = Cluster::installed(4, 1, Strategy::default());
    let (set, pod) = (cluster.sets[0].uid, *cluster.pods.keys().next().unwrap());
    cluster.sicken(pod, true);
    while let Some(step) = cluster.moves().first().copied() {
        cluster.make(step);
    }
    cluster.look_at_set(set, |s| {
        let (written, now) = (s.now.mono, Now { mono: Millis(s.now.mono.0 + milliseconds), ..s.now });
        let plan = set::plan(&Snapshot { status_written: Some(written), now, ..s });
        let writes = plan.actions.iter().any(|action| matches!(action, Action::WriteStatus { .. }));
        (writes, plan.wake.0.map(|at| Millis(at.0 - written.0)))
    })
}

#[test]
fn counters_alone_are_written_every_two_seconds() {
    assert_eq!(counters_after(1_999), (false, Some(Millis(2_000))));
    assert!(counters_after(2_000).0);
}
