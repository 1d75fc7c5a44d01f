//! The checkout that is built: which commit it is, and when that was made.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::succeed;

/// The version of everything in the workspace.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A checkout of git.
#[derive(Debug)]
pub(super) struct Source {
    root: PathBuf,
    revision: String,
    epoch: u64,
}

impl Source {
    /// Asks git. `epoch` goes before the time of the commit.
    pub(super) fn of(root: &Path, epoch: Option<u64>) -> Result<Self> {
        let git = |args: &[&str]| -> Result<String> {
            let said = succeed(Command::new("git").arg("-C").arg(root).args(args))?;
            Ok(said.trim().to_owned())
        };
        let mut revision =
            git(&["rev-parse", "HEAD"]).context("what is given out is built from a checkout of git")?;
        if !git(&["status", "--porcelain"])?.is_empty() {
            revision.push_str(CHANGED);
        }
        let epoch = match epoch {
            Some(epoch) => epoch,
            None => git(&["log", "-1", "--format=%ct"])?.parse().context("git told no time")?,
        };
        Ok(Self { root: root.to_owned(), revision, epoch })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The commit, and a word when files differ from it.
    pub(super) fn revision(&self) -> &str {
        &self.revision
    }

    pub(super) fn is_changed(&self) -> bool {
        self.revision.ends_with(CHANGED)
    }

    /// Seconds since 1970 that everything is dated.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The same as RFC 3339 has it.
    pub(super) fn time(&self) -> Result<String> {
        Ok(jiff::Timestamp::from_second(self.epoch.try_into()?)?.to_string())
    }
}

const CHANGED: &str = "-changed";
