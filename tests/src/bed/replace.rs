//! Files of a bed that others may be reading while they are written.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

/// Writes a file aside and moves it into place: a reader finds the old content or the new one, never a part of either,
/// and an interrupted command leaves no damaged file. What is as it should be is left alone.
pub(super) fn replace(file: &Path, content: &[u8]) -> Result<()> {
    if fs::read(file).is_ok_and(|present| present == content) {
        return Ok(());
    }
    move_into_place(file, content).with_context(|| format!("cannot write {}", file.display()))
}

fn move_into_place(file: &Path, content: &[u8]) -> Result<()> {
    let mut aside = NamedTempFile::new_in(file.parent().context("a file in a folder")?)?;
    aside.write_all(content)?;
    aside.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_reader_never_finds_a_part_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("admin.kubeconfig");
        let contents = [vec![b'a'; 100_000], vec![b'b'; 50_000]];
        replace(&file, &contents[0]).unwrap();
        thread::scope(|scope| {
            let writer =
                scope.spawn(|| (0..200).for_each(|turn| replace(&file, &contents[turn % 2]).unwrap()));
            while !writer.is_finished() {
                let found = fs::read(&file).unwrap();
                assert!(contents.contains(&found), "{} bytes, of neither content", found.len());
            }
        });
    }

    #[test]
    fn nothing_is_left_beside_the_file() {
        let folder = tempfile::tempdir().unwrap();
        replace(&folder.path().join("bed.json"), b"{}").unwrap();
        replace(&folder.path().join("bed.json"), b"[]").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
