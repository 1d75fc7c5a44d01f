//! Where binaries built from a Go module are kept: a cache folder keyed by the hash of its `go.mod` and `go.sum`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::go_build;

/// A binary and the Go package it is built from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binary {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
}

/// The binaries of one Go module below `tests/`.
#[derive(Debug, Clone)]
pub(super) struct Store {
    module: PathBuf,
    cache: PathBuf,
    /// What is built, and for how long somebody has to wait for it the first time.
    what: &'static str,
}

impl Store {
    /// The store of the module in `tests/<folder>`.
    pub(super) fn locate(folder: &str, what: &'static str) -> Result<Self> {
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let cache = cache_root()?.join(folder).join(hash(&module)?);
        Ok(Self { module, cache, what })
    }

    /// Where a binary is, or will be once it is built.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.bin().join(name)
    }

    /// Builds what `missing` names, with progress on stderr. Only one process builds at a time, others wait for it.
    pub(super) fn ensure(&self, missing: impl Fn() -> Vec<Binary>) -> Result<()> {
        if missing().is_empty() {
            return Ok(());
        }
        let _lock = self.lock()?;
        // Another process may have built them while we waited.
        let missing = missing();
        if missing.is_empty() { Ok(()) } else { self.build(&missing) }
    }

    fn bin(&self) -> PathBuf {
        self.cache.join("bin")
    }

    fn lock(&self) -> Result<File> {
        fs::create_dir_all(&self.cache)
            .with_context(|| format!("cannot create the cache folder {}", self.cache.display()))?;
        let file = File::create(self.cache.join("lock"))?;
        if file.try_lock().is_err() {
            eprintln!("Waiting for another process that is building the same components ...");
            file.lock().with_context(|| format!("cannot lock {}", self.cache.display()))?;
        }
        Ok(file)
    }

    fn build(&self, missing: &[Binary]) -> Result<()> {
        // Built aside and moved, so that an interrupted build never leaves half a binary in place.
        let aside = self.cache.join("building");
        fs::create_dir_all(&aside)?;
        fs::create_dir_all(self.bin())?;
        go_build::build(&self.module, self.what, missing, &aside)?;
        for binary in missing {
            fs::rename(aside.join(binary.name), self.bin().join(binary.name))
                .with_context(|| format!("the build made no binary `{}`", binary.name))?;
        }
        fs::remove_dir_all(&aside)?;
        Ok(())
    }
}

fn cache_root() -> Result<PathBuf> {
    if let Some(cache) =
        std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute())
    {
        return Ok(cache.join("cafe"));
    }
    let home = std::env::home_dir().context("no home folder for the cache: set HOME or XDG_CACHE_HOME")?;
    Ok(home.join(".cache/cafe"))
}

fn hash(module: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    for file in ["go.mod", "go.sum"] {
        let file = module.join(file);
        hasher.update(fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?);
    }
    Ok(hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}
