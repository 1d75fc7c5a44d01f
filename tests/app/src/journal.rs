//! What this pod was asked, for who compares it with what the clients know.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

/// A file that outlives the container: one line per request that has come and per answer that was made.
#[derive(Debug)]
pub(crate) struct Journal(Option<File>);

impl Journal {
    /// The file of this pod in `dir`; without a folder nothing is kept.
    pub(crate) fn open(dir: Option<&Path>, pod: &str) -> Result<Self> {
        let Some(dir) = dir else { return Ok(Self(None)) };
        fs::create_dir_all(dir)?;
        let file = dir.join(format!("{pod}.log"));
        let opened = OpenOptions::new().create(true).append(true).open(&file);
        Ok(Self(Some(opened.with_context(|| format!("cannot open {}", file.display()))?)))
    }

    /// One write per line and no buffer: a process that exits at once loses nothing of it. Without an id nothing is noted.
    pub(crate) fn note(&self, what: &str, id: &str, version: &str) {
        if let Some(mut file) = self.0.as_ref().filter(|_| !id.is_empty()) {
            let line = format!("{what} {id} {version}\n");
            if let Err(error) = file.write_all(line.as_bytes()) {
                eprintln!("cannot write the journal: {error}");
            }
        }
    }
}
