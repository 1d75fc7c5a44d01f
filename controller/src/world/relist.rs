//! Lists: what a complete list does not contain is gone.

use std::collections::{HashMap, HashSet};

use cafe_planner::{Text, identity::Uid};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Kind, World, fold::uid_of};
use crate::observe::records::resource_version;

/// One watch: a kind in a namespace, or in all.
type Watch = (Kind, Option<Text>);

/// The lists under way.
#[derive(Debug, Default)]
pub(super) struct Relists {
    /// What each list under way has brought so far.
    seen: HashMap<Watch, HashSet<Uid>>,
    complete: HashSet<Watch>,
    /// The highest resource version each watch has brought outside of lists.
    heights: HashMap<Watch, u64>,
    /// How many lists of EndpointSlices have begun.
    slice_lists: u64,
}

impl Relists {
    /// A list begins.
    pub(super) fn begin(&mut self, kind: Kind, scope: Option<&Text>) {
        self.seen.insert((kind, scope.cloned()), HashSet::new());
        self.slice_lists += u64::from(kind == Kind::Slice);
    }

    /// An object was seen, by a list, a watch or an answer to a write: no list under way may take it for gone.
    pub(super) fn see(&mut self, kind: Kind, uid: Uid) {
        for ((k, _), seen) in &mut self.seen {
            if *k == kind {
                seen.insert(uid);
            }
        }
    }

    /// A watch has brought this resource version.
    pub(super) fn reached(&mut self, kind: Kind, scope: Option<&Text>, rv: u64) {
        let height = self.heights.entry((kind, scope.cloned())).or_default();
        *height = rv.max(*height);
    }

    /// Whether the watch had reached this resource version before the list under way began: a list that shows less was made
    /// from an older history.
    pub(super) fn had_reached(&self, kind: Kind, scope: Option<&Text>, rv: u64) -> bool {
        self.heights.get(&(kind, scope.cloned())).is_some_and(|height| rv <= *height)
    }

    /// The highest resource version that a watch of this kind in the namespace, or in all, has brought.
    pub(super) fn height(&self, kind: Kind, namespace: &Text) -> u64 {
        let height = |scope: Option<Text>| self.heights.get(&(kind, scope)).copied().unwrap_or_default();
        height(Some(namespace.clone())).max(height(None))
    }

    /// How many lists of EndpointSlices have begun.
    pub(super) fn slice_lists(&self) -> u64 {
        self.slice_lists
    }

    /// Whether a list of this kind is under way in the namespace, or in all.
    pub(super) fn is_under_way(&self, kind: Kind, namespace: &Text) -> bool {
        [Some(namespace.clone()), None].into_iter().any(|scope| self.seen.contains_key(&(kind, scope)))
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

impl World {
    /// A list that shows an object as it was before a watch of the same kind had shown something newer was made from an
    /// older history: the cluster was restored from a backup, and nothing this process knows can be trusted.
    pub(super) fn compare_with_history(&mut self, kind: Kind, scope: Option<&Text>, listed: &ObjectMeta) {
        let known = uid_of(listed).and_then(|uid| self.resource_version_of(kind, uid));
        let older = known.filter(|known| resource_version(listed) < *known);
        if let Some(known) = older.filter(|known| self.relists.had_reached(kind, scope, *known)) {
            let (namespace, name) = (listed.namespace.as_deref(), listed.name.as_deref());
            let listed = resource_version(listed);
            tracing::error!(
                resource = kind.resource(),
                namespace,
                name,
                listed,
                known,
                "history went backwards"
            );
            self.rewound = true;
        }
    }
}
