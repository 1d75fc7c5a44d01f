//! `cargo xtask up`: a local Kubernetes with Cafe in it.

use std::path::PathBuf;

use anyhow::Result;
use cafe_tests::bed::{Bed, Options, controller};

/// Start a local Kubernetes with Cafe running in it; what already runs is left alone, what died is started again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the bed keeps its data, logs and pid files.
    #[arg(long, value_name = "FOLDER", default_value_os_t = Bed::default_dir())]
    dir: PathBuf,
    /// Nodes per cell.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// The cells, which are also the zones of their nodes.
    #[arg(long, value_delimiter = ',', default_value = "CellA,CellB")]
    cells: Vec<String>,
    /// Leave the controller out, to run it from an editor or a debugger.
    #[arg(long)]
    without_controller: bool,
    /// Build the controller optimised.
    #[arg(long)]
    release: bool,
}

/// Brings the bed up and prints the `export KUBECONFIG=...` line, alone, on stdout.
pub(crate) fn run(args: &Args) -> Result<()> {
    let bed = Bed::open(&args.dir)?;
    let controller = if args.without_controller { None } else { Some(controller::build(args.release)?) };
    let options = Options { cells: args.cells.clone(), nodes: args.nodes, controller, ..Options::default() };
    eprintln!("Starting Kubernetes in {} ...", bed.dir().display());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(bed.up(&options))?;
    eprintln!("Up. Logs are in {}; stop with `cargo xtask down`.", bed.dir().join("logs").display());
    println!("export KUBECONFIG={}", bed.kubeconfig().display());
    Ok(())
}
