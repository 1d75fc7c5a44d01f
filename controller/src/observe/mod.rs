//! From what the API server sends to what the planners see.

pub(crate) mod authors;
pub(crate) mod content;
pub(crate) mod gate_editor;
pub(crate) mod pod;
pub(crate) mod records;
pub(crate) mod slim;

use std::{collections::BTreeMap, sync::Arc};

use cafe_planner::Text;
use foldhash::HashSet;

/// The labels of a pod; those of most pods of a set are the same.
pub(crate) type Labels = Arc<BTreeMap<String, String>>;

/// Stores equal texts (container names, images, units) and equal labels once.
#[derive(Debug, Default)]
pub(crate) struct Interner(HashSet<Text>, HashSet<Labels>);

impl Interner {
    /// The shared copy of `text`.
    pub(crate) fn text(&mut self, text: &str) -> Text {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let new: Text = Arc::from(text);
        self.0.insert(new.clone());
        new
    }

    /// The shared copy of these labels.
    pub(crate) fn labels(&mut self, labels: Option<&BTreeMap<String, String>>) -> Labels {
        let none = BTreeMap::new();
        let labels = labels.unwrap_or(&none);
        if let Some(known) = self.1.get(labels) {
            return known.clone();
        }
        let new = Arc::new(labels.clone());
        self.1.insert(new.clone());
        new
    }

    /// Forgets texts and labels that nothing uses any more.
    pub(crate) fn sweep(&mut self) {
        self.0.retain(|text| Arc::strong_count(text) > 1);
        self.1.retain(|labels| Arc::strong_count(labels) > 1);
    }

    /// How many texts are held.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
