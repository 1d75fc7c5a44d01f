//! What this build is, for `--version`, the log and the metrics.

use std::sync::LazyLock;

/// The version of the release it belongs to.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from, as `cargo xtask dist` and the Containerfile say it.
pub(crate) const REVISION: &str = match option_env!("CAFE_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Both, as `--version` tells them.
pub(crate) static TOLD: LazyLock<String> = LazyLock::new(|| format!("{VERSION} (revision {REVISION})"));
