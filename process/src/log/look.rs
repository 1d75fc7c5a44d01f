//! Which look at which kind of object a line of the log belongs to.
//!
//! It is noted in the thread, not in a span: a look costs two stores, and nothing is written for one that has nothing to say.

use std::cell::Cell;

/// A look at an object: one plan, and what comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Kind of the object, in lower case, as in the label of the metrics.
    pub controller: &'static str,
    /// Number of the look in this process, from 1.
    pub id: u64,
}

thread_local! {
    static NOW: Cell<Option<Look>> = const { Cell::new(None) };
}

/// While this lives, the lines of its thread bear the look. Not for use across an await.
#[derive(Debug)]
#[must_use]
pub struct Entered(Option<Look>);

impl Look {
    /// Lines of this thread belong to this look from now on.
    pub fn enter(self) -> Entered {
        Entered(NOW.replace(Some(self)))
    }

    /// The look that this thread is in.
    #[must_use]
    pub fn now() -> Option<Self> {
        NOW.get()
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        NOW.set(self.0);
    }
}
