//! Words that messages share.

/// `1 pod`, `2 pods`.
#[must_use]
pub fn pods(count: i32) -> String {
    if count == 1 { "1 pod".to_owned() } else { format!("{count} pods") }
}
