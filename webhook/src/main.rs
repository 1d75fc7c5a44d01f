//! The admission webhook of Cafe: it refuses mistakes earlier and with a better message than anything else can, and notes who ordered
//! what. It is a convenience: what must hold is in the schema and the CEL rules, and the controller checks again.

mod admit;
mod args;
mod certificate;
mod clock;
mod habits;
mod metrics;
mod run;
mod serve;
mod stamp;

use cafe_process::{log, settings, stop::Stop};
use clap::{CommandFactory as _, Parser as _};

use args::{Cli, Command};

/// What this program calls itself to the API server.
const AGENT: &str = concat!("cafe-webhook/", env!("CARGO_PKG_VERSION"));

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stop = runtime.block_on(async { Stop::listen() })?;
    let Command::Serve(args) = Cli::parse().command;
    settings::check_environment(&Cli::command())?;
    let level = log::start(&args.log)?;
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    runtime.block_on(run::run(args, level, stop))
}
