//! Tells the programs what they were built from, for `--version` and the metric `cafe_build_info`.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CAFE_REVISION");
    let revision = std::env::var_os("CAFE_REVISION").and_then(|revision| revision.into_string().ok());
    let revision = revision.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=CAFE_REVISION={revision}");
    let rustc =
        std::env::var_os("RUSTC").and_then(|rustc| Command::new(rustc).arg("--version").output().ok());
    let version = rustc.and_then(|said| String::from_utf8(said.stdout).ok()).unwrap_or_default();
    let version = version.split_whitespace().nth(1).unwrap_or("unknown");
    println!("cargo:rustc-env=CAFE_RUSTC={version}");
}
