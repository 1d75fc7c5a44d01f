//! The application of the traffic proof and the images made of it.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::images::{self, Image, PAUSE};
use crate::bed::controller;
use crate::scenario::image;

const PACKAGE: &str = "cafe-traffic-app";
const BINARY: &str = "app";

/// Tags of the image of [`crate::scenario::web`]: `v1`, `v2` and `v3` differ in content, `v3` and `v3-again` are one digest.
fn application() -> Vec<Image> {
    let serve =
        |tag: &str, more: &[&str]| Image::new(&image(tag), &[&["serve", "--version", tag], more].concat());
    vec![
        Image::new(PAUSE, &["pause"]),
        serve("v1", &[]),
        serve("v2", &[]),
        serve("v3", &[]).also(&image("v3-again")),
        serve("slow-v1", &["--stop-after-ms", "3000"]),
        serve("slow-v2", &["--stop-after-ms", "3000"]),
        serve("late", &["--ready-after-ms", "3000"]),
        Image::new(&image("exits"), &["exit"]),
    ]
}

/// Builds the application as one static binary with cargo, which shows its own progress, and returns it.
///
/// # Errors
/// When it does not compile.
pub fn build() -> Result<PathBuf> {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = controller::cargo();
    // A target of its own, so that the flags of the static binary touch nothing else.
    command.env("RUSTFLAGS", "-C target-feature=+crt-static").args([
        "build",
        "--release",
        "--target",
        &triple,
    ]);
    controller::build_binary(command, PACKAGE, BINARY)
}

/// Writes the archive with all images.
///
/// # Errors
/// As [`images::write`].
pub fn pack(archive: &Path, program: &Path) -> Result<()> {
    images::write(archive, program, &application())
}
