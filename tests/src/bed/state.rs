//! What a bed remembers between two commands: `bed.json` in its folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::ports::{self, Ports, Reservation};
use super::replace::replace;

const FILE: &str = "bed.json";

/// The remembered facts. The file also marks a folder as a bed: no other folder is ever removed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) ports: Ports,
    /// The controller's binary, once the bed has been up with one.
    #[serde(default)]
    pub(super) controller: Option<PathBuf>,
}

impl State {
    /// What is remembered, or a new state with free ports, which are held until the reservation is dropped.
    pub(super) fn load_or_create(dir: &Path) -> Result<(Self, Option<Reservation>)> {
        if let Some(state) = Self::load(dir)? {
            return Ok((state, None));
        }
        let (ports, reservation) = ports::reserve()?;
        let state = Self { ports, controller: None };
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        state.save(dir)?;
        Ok((state, Some(reservation)))
    }

    /// Remembers.
    pub(super) fn save(&self, dir: &Path) -> Result<()> {
        replace(&dir.join(FILE), &serde_json::to_vec_pretty(self)?)
    }

    /// What is remembered, if the folder is a bed.
    pub(super) fn load(dir: &Path) -> Result<Option<Self>> {
        let file = dir.join(FILE);
        let content = match fs::read(&file) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        let state = serde_json::from_slice(&content).with_context(|| {
            format!("{} is damaged: remove the folder {} and start again", file.display(), dir.display())
        })?;
        Ok(Some(state))
    }
}
