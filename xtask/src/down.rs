//! `cargo xtask down`: stop the local Kubernetes and remove its data.

use std::path::PathBuf;

use anyhow::Result;
use cafe_tests::bed::Bed;

/// Stop a local Kubernetes that `up` started and remove all it left.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder that was given to `up`.
    #[arg(long, value_name = "FOLDER", default_value_os_t = Bed::default_dir())]
    dir: PathBuf,
}

/// Stops every process of the bed, then removes its folder.
pub(crate) fn run(args: &Args) -> Result<()> {
    let bed = Bed::open(&args.dir)?;
    bed.down()?;
    eprintln!("Down; {} is gone.", bed.dir().display());
    Ok(())
}
