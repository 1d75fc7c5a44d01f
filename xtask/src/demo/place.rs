//! The folder of the demo: its own, never that of another bed, never of two demos at once.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail};
use cafe_tests::bed::Bed;

/// Marks a folder as a demo's, so that a later demo may replace it.
const MARK: &str = "demo.lock";
/// What marks any bed.
const BED: &str = "bed.json";

/// A folder that belongs to this demo while this value lives.
pub(super) struct Place {
    bed: Bed,
    /// Held for its lock.
    _mark: File,
}

impl Place {
    /// Takes the folder; what an earlier demo left running there goes.
    pub(super) fn take(dir: &Path) -> Result<Self> {
        let bed = Bed::open(dir)?;
        let shown = dir.display();
        let mark = bed.dir().join(MARK);
        if bed.dir().join(BED).exists() {
            let Ok(earlier) = File::open(&mark) else {
                bail!(
                    "{shown} is the folder of another bed: stop that with `cargo xtask down --dir {shown}`, or give another --dir"
                );
            };
            require_alone(&earlier, dir)?;
            bed.down().context("cannot remove what an earlier demo left")?;
        }
        fs::create_dir_all(bed.dir()).with_context(|| format!("cannot create {shown}"))?;
        let file =
            File::create(&mark).with_context(|| format!("cannot write into {shown}: give another --dir"))?;
        require_alone(&file, dir)?;
        Ok(Self { bed, _mark: file })
    }

    /// The bed in the folder.
    pub(super) fn bed(&self) -> &Bed {
        &self.bed
    }
}

fn require_alone(mark: &File, dir: &Path) -> Result<()> {
    if mark.try_lock().is_err() {
        bail!("another demo plays in {}: wait for it, or give another --dir", dir.display());
    }
    Ok(())
}
