//! What this build is: for `--version`, the log and the metrics.

use std::sync::LazyLock;

/// The version of the release it belongs to.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from, as `cargo xtask dist` and the Containerfile say it; else `unknown`.
pub const REVISION: &str = env!("CAFE_REVISION");

/// The compiler that built it.
pub const RUSTC: &str = env!("CAFE_RUSTC");

/// Both, as `--version` tells them.
pub static TOLD: LazyLock<String> = LazyLock::new(|| format!("{VERSION} (revision {REVISION})"));
