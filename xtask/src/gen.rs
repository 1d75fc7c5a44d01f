//! `cargo xtask gen`: the files that are made from the API types.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cafe_crds::generate;

/// Where the CustomResourceDefinitions go. The folder holds nothing else.
const CRDS: &str = "charts/cafe/files/crds";
const REFERENCE: &str = "docs/reference/api.md";
/// The names of the fields, which the programs look for in the cluster when they start.
const FIELDS: &str = "process/src/definitions/fields.txt";

/// Write the files made from the API types: the CustomResourceDefinitions, the API reference and the names of the fields.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail if a file is not what it would be.
    #[arg(long)]
    check: bool,
}

/// Brings the generated files up to date, or says which are not.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = crate::check::workspace();
    if args.check {
        return check(&root);
    }
    for change in changes(&root)? {
        change.carry_out(&root)?;
        println!("{}", change.describe());
    }
    Ok(())
}

/// Fails with the names of the files that are out of date.
pub(crate) fn check(root: &Path) -> Result<()> {
    let stale: Vec<String> = changes(root)?.iter().map(Change::describe).collect();
    if !stale.is_empty() {
        bail!(
            "not what the API types say:\n  {}\nrun `cargo xtask gen` and commit the result",
            stale.join("\n  ")
        );
    }
    Ok(())
}

/// What has to happen to one file. Paths are relative to the workspace.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Write { path: PathBuf, text: String },
    Remove { path: PathBuf },
}

impl Change {
    fn describe(&self) -> String {
        match self {
            Self::Write { path, .. } => format!("write {}", path.display()),
            Self::Remove { path } => format!("remove {}", path.display()),
        }
    }

    fn carry_out(&self, root: &Path) -> Result<()> {
        match self {
            Self::Write { path, text } => {
                let file = root.join(path);
                fs::create_dir_all(file.parent().unwrap_or(root))?;
                fs::write(&file, text)
            }
            Self::Remove { path } => fs::remove_file(root.join(path)),
        }
        .with_context(|| format!("cannot {}", self.describe()))
    }
}

fn wanted() -> BTreeMap<PathBuf, String> {
    let crds = generate::crds().into_iter().map(|(name, yaml)| (Path::new(CRDS).join(name), yaml));
    let others = [(REFERENCE, generate::reference()), (FIELDS, generate::fields())];
    crds.chain(others.map(|(path, text)| (PathBuf::from(path), text))).collect()
}

fn changes(root: &Path) -> Result<Vec<Change>> {
    changes_towards(root, wanted())
}

fn changes_towards(root: &Path, wanted: BTreeMap<PathBuf, String>) -> Result<Vec<Change>> {
    let mut changes: Vec<Change> = definitions_on_disk(root)?
        .into_iter()
        .filter(|path| !wanted.contains_key(path))
        .map(|path| Change::Remove { path })
        .collect();
    for (path, text) in wanted {
        if read(&root.join(&path))?.as_ref() != Some(&text) {
            changes.push(Change::Write { path, text });
        }
    }
    Ok(changes)
}

fn definitions_on_disk(root: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(root.join(CRDS)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {CRDS}"))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        found.push(Path::new(CRDS).join(entry?.file_name()));
    }
    found.sort();
    Ok(found)
}

fn read(file: &Path) -> Result<Option<String>> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        text => text.map(Some).with_context(|| format!("cannot read {}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(files: &[(&str, &str)]) -> BTreeMap<PathBuf, String> {
        files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect()
    }

    #[test]
    fn only_files_that_differ_are_written_and_definitions_nobody_makes_are_removed() {
        let root = std::env::temp_dir().join(format!("cafe-gen-{}", std::process::id()));
        let kept = format!("{CRDS}/kept.yaml");
        let old = format!("{CRDS}/old.yaml");
        let first = pairs(&[(&kept, "same"), (&old, "gone"), (REFERENCE, "one")]);
        for change in changes_towards(&root, first).unwrap() {
            change.carry_out(&root).unwrap();
        }
        let second = pairs(&[(&kept, "same"), (REFERENCE, "two")]);
        let changes = changes_towards(&root, second.clone()).unwrap();
        let described: Vec<String> = changes.iter().map(Change::describe).collect();
        assert_eq!(described, [format!("remove {old}"), format!("write {REFERENCE}")]);
        for change in &changes {
            change.carry_out(&root).unwrap();
        }
        assert_eq!(changes_towards(&root, second).unwrap(), []);
        fs::remove_dir_all(&root).unwrap();
    }
}
