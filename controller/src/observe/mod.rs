//! From what the API server sends to what the planners see.

pub(crate) mod authors;
pub(crate) mod content;
pub(crate) mod pod;
pub(crate) mod records;
pub(crate) mod slim;

use std::{collections::HashSet, sync::Arc};

use cafe_planner::Text;

/// Stores equal texts (container names, images, units) once.
#[derive(Debug, Default)]
pub(crate) struct Interner(HashSet<Text>);

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

    /// Forgets texts that nothing uses any more.
    pub(crate) fn sweep(&mut self) {
        self.0.retain(|text| Arc::strong_count(text) > 1);
    }

    /// How many texts are held.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
