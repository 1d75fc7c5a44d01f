//! Words that messages share.

/// `1 pod`, `2 pods`.
#[must_use]
pub fn pods(count: i32) -> String {
    if count == 1 { "1 pod".to_owned() } else { format!("{count} pods") }
}

/// That somebody's edit has brought an older object, as `Kind name`, in the way of one that serves, and how to undo it. `kubectl` is the
/// command with its namespace.
#[must_use]
pub fn overlap_that_befell(older: &str, kubectl: &str) -> String {
    let (kind, name) = older.split_once(' ').unwrap_or(("", older));
    format!(
        "{older} is older, and since an edit of labels or units its pods and those of this one match each other's selectors: this one \
         goes on serving and replaces pods that die, but moves none; to let it go on, take that edit back: {kubectl} edit {} {name}",
        kind.to_ascii_lowercase()
    )
}
