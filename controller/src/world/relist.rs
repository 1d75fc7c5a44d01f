//! Lists: what a complete list does not contain is gone.

use std::collections::{HashMap, HashSet};

use cafe_planner::{Text, identity::Uid};

use super::Kind;

/// One watch: a kind in a namespace, or in all.
type Watch = (Kind, Option<Text>);

/// The lists under way.
#[derive(Debug, Default)]
pub(super) struct Relists {
    /// What each list under way has brought so far.
    seen: HashMap<Watch, HashSet<Uid>>,
    complete: HashSet<Watch>,
}

impl Relists {
    /// A list begins.
    pub(super) fn begin(&mut self, kind: Kind, scope: Option<&Text>) {
        self.seen.insert((kind, scope.cloned()), HashSet::new());
    }

    /// An object was seen, by a list, a watch or an answer to a write: no list under way may take it for gone.
    pub(super) fn see(&mut self, kind: Kind, uid: Uid) {
        for ((k, _), seen) in &mut self.seen {
            if *k == kind {
                seen.insert(uid);
            }
        }
    }

    /// A list is complete: what it has brought, if one was under way.
    pub(super) fn end(&mut self, kind: Kind, scope: Option<&Text>) -> Option<HashSet<Uid>> {
        let watch = (kind, scope.cloned());
        let seen = self.seen.remove(&watch);
        self.complete.insert(watch);
        seen
    }

    /// Watches that have brought a complete list at least once.
    pub(super) fn done(&self) -> usize {
        self.complete.len()
    }
}
