//! From what the API server sends to what the planners see.

pub(crate) mod authors;
pub(crate) mod content;
pub(crate) mod gate_editor;
pub(crate) mod pod;
pub(crate) mod records;
pub(crate) mod slim;

use std::{collections::BTreeMap, hash::Hash, sync::Arc};

use cafe_planner::{Text, identity::Uid, pod::ContainerState};
use foldhash::HashSet;

/// The labels of a pod; those of most pods of a set are the same.
pub(crate) type Labels = Arc<BTreeMap<String, String>>;

/// What the pods of one set at one revision have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Family {
    /// Their set.
    pub(crate) set: Uid,
    /// Their namespace.
    pub(crate) namespace: Text,
    /// Their labels.
    pub(crate) labels: Labels,
}

/// Stores once what many objects have in common: texts (container names, images, units), labels, states of containers.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    texts: HashSet<Text>,
    labels: HashSet<Labels>,
    families: HashSet<Arc<Family>>,
    states: HashSet<Arc<ContainerState>>,
}

impl Interner {
    /// The shared copy of `text`.
    pub(crate) fn text(&mut self, text: &str) -> Text {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let new: Text = Arc::from(text);
        self.texts.insert(new.clone());
        new
    }

    /// The shared copy of these labels.
    pub(crate) fn labels(&mut self, labels: Option<&BTreeMap<String, String>>) -> Labels {
        let none = BTreeMap::new();
        let labels = labels.unwrap_or(&none);
        if let Some(known) = self.labels.get(labels) {
            return known.clone();
        }
        let new = Arc::new(labels.clone());
        self.labels.insert(new.clone());
        new
    }

    /// The family of a pod.
    pub(crate) fn family(
        &mut self,
        set: Uid,
        namespace: &str,
        labels: Option<&BTreeMap<String, String>>,
    ) -> Arc<Family> {
        let family = Family { set, namespace: self.text(namespace), labels: self.labels(labels) };
        shared(&mut self.families, family)
    }

    /// The shared copy of this state.
    pub(crate) fn state(&mut self, state: ContainerState) -> Arc<ContainerState> {
        shared(&mut self.states, state)
    }

    /// Forgets what nothing uses any more.
    pub(crate) fn sweep(&mut self) {
        self.families.retain(|family| Arc::strong_count(family) > 1);
        self.states.retain(|state| Arc::strong_count(state) > 1);
        // Those before hold some of these.
        self.labels.retain(|labels| Arc::strong_count(labels) > 1);
        self.texts.retain(|text| Arc::strong_count(text) > 1);
    }

    /// How many texts are held.
    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }
}

fn shared<T: Eq + Hash>(all: &mut HashSet<Arc<T>>, one: T) -> Arc<T> {
    if let Some(known) = all.get(&one) {
        return Arc::clone(known);
    }
    let new = Arc::new(one);
    all.insert(Arc::clone(&new));
    new
}
