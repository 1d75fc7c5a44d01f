//! The programs: static, without symbols, and without a trace of where they were built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::source::Source;
use super::{cargo, succeed};

/// Packages, named like their programs.
pub(super) const PROGRAMS: [&str; 2] = ["cafe-controller", "cafe-webhook"];
/// Bytes that a program may have.
const MOST: usize = 15_000_000;

/// The C library in the program, and half a megabyte of relocations in some kilobytes.
const FLAGS: [&str; 2] = ["-Ctarget-feature=+crt-static", "-Clink-arg=-Wl,-z,pack-relative-relocs"];

/// A program and what is in its file.
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) content: Vec<u8>,
}

/// Builds them in `target`, where nobody else builds.
pub(super) fn build(source: &Source, target: &Path) -> Result<Vec<Program>> {
    let places = Places::of(source, target)?;
    PROGRAMS.into_iter().map(|name| build_one(name, source, target, &places)).collect()
}

/// Each by itself: built together, both would carry what one of them needs of a crate that they share, HTTP/2 for example.
fn build_one(name: &'static str, source: &Source, target: &Path, places: &Places) -> Result<Program> {
    let triple = triple();
    let mut build = cargo(source.root());
    build
        .args(["build", "--release", "--locked", "--package", name, "--bin", name])
        .args(["--target", &triple, "--target-dir"])
        .arg(target)
        .env("CARGO_ENCODED_RUSTFLAGS", places.rust_flags().join("\u{1f}"))
        .env("CFLAGS", places.c_flags())
        .env("CARGO_INCREMENTAL", "0")
        .env("SOURCE_DATE_EPOCH", source.epoch().to_string())
        .env("CAFE_REVISION", source.revision());
    ensure!(build.status().context("cannot run cargo")?.success(), "{name} does not compile");
    let file = target.join(triple).join("release").join(name);
    let content = fs::read(file).with_context(|| format!("cargo built no {name}"))?;
    ensure!(content.len() <= MOST, "{name} has {} bytes, more than {MOST}", content.len());
    if let Some(place) = places.named_in(&content) {
        bail!("{name} names {}, where it was built: it would differ elsewhere", place.display());
    }
    Ok(Program { name, content })
}

/// The C library is linked in: glibc does names without a shared library, and what the host has is what is tested.
fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Folders of this machine, and what they are called in messages of the programs.
struct Places(Vec<(PathBuf, &'static str)>);

impl Places {
    fn of(source: &Source, target: &Path) -> Result<Self> {
        let cargo_home = match std::env::var_os("CARGO_HOME") {
            Some(home) => PathBuf::from(home),
            None => PathBuf::from(std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?)
                .join(".cargo"),
        };
        let mut rustc = Command::new("rustc");
        let sysroot = succeed(rustc.current_dir(source.root()).args(["--print", "sysroot"]))?;
        // The last one that fits is taken, and the target is often within the checkout.
        Ok(Self(vec![
            (cargo_home, "/cargo"),
            (PathBuf::from(sysroot.trim()), "/rust"),
            (source.root().to_owned(), "/cafe"),
            (target.to_owned(), "/target"),
        ]))
    }

    fn rust_flags(&self) -> Vec<String> {
        let remap = |(from, to): &(PathBuf, &str)| format!("--remap-path-prefix={}={to}", from.display());
        FLAGS.map(ToOwned::to_owned).into_iter().chain(self.0.iter().map(remap)).collect()
    }

    /// Of the C and assembly in `ring`. The compiler's arguments are split at spaces, so only the crates' folder is named.
    fn c_flags(&self) -> String {
        let home = self.0.iter().find(|(_, to)| *to == "/cargo");
        home.map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display())).unwrap_or_default()
    }

    /// A folder whose name has got into the file.
    fn named_in(&self, content: &[u8]) -> Option<&Path> {
        // At the beginning of a path only: `/src` is a part of many others.
        let begins = |at: usize| {
            let before = at.checked_sub(1).and_then(|at| content.get(at));
            before.is_none_or(|byte| !byte.is_ascii_alphanumeric() && !b"._-/".contains(byte))
        };
        let has = |path: &Path| {
            let name = [path.as_os_str().as_encoded_bytes(), b"/"].concat();
            content.windows(name.len()).enumerate().any(|(at, window)| window == name && begins(at))
        };
        // What is called the same afterwards tells nothing.
        let others = self.0.iter().filter(|(from, to)| from != Path::new(to));
        others.map(|(from, _)| from.as_path()).find(|from| has(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_names_the_folder_it_was_built_in_is_found() {
        let places =
            Places(vec![(PathBuf::from("/home/ann/.cargo"), "/cargo"), (PathBuf::from("/src"), "/cafe")]);
        assert_eq!(places.named_in(b"panicked at /cargo/registry/src/x.rs"), None);
        assert_eq!(places.named_in(b"panicked at /src/x.rs"), Some(Path::new("/src")));
        assert_eq!(Places(vec![(PathBuf::from("/cargo"), "/cargo")]).named_in(b"\0/cargo/x.rs"), None);
        assert_eq!(places.named_in(b"\0/home/ann/.cargo/registry/x.rs"), Some(Path::new("/home/ann/.cargo")));
    }
}
