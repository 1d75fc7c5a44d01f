//! What is told to people about an object.

/// An event on an object of ours or on a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// True for a Warning.
    pub warning: bool,
    /// CamelCase reason, from the one word list.
    pub reason: &'static str,
    /// What happened, for people.
    pub note: String,
    /// Tells apart what must be told once (a token) from what may recur; empty when it may.
    pub once: String,
}

impl Event {
    /// A Normal event.
    #[must_use]
    pub fn normal(reason: &'static str, note: String) -> Self {
        Self { warning: false, reason, note, once: String::new() }
    }

    /// A Warning event.
    #[must_use]
    pub fn warning(reason: &'static str, note: String) -> Self {
        Self { warning: true, reason, note, once: String::new() }
    }
}
