//! The Cafe controller: watch -> world -> plan -> apply -> report, on one thread.

mod admin;
mod apply;
mod args;
mod client;
mod clock;
mod engine;
mod lease;
mod metrics;
mod needs;
mod observe;
mod report;
mod run;
mod selftest;
mod tally;
mod watch;
mod wire;
pub mod workbench;
mod world;

use cafe_process::{log, settings, stop::Stop};
use clap::{CommandFactory as _, Parser as _};

use args::{Cli, Command};

/// What this program calls itself to the API server.
const AGENT: &str = concat!("cafe-controller/", env!("CARGO_PKG_VERSION"));

/// Does what the command line asks for, until it is done or told to stop.
///
/// # Errors
/// The settings are wrong, the cluster lacks what is needed, or the claim is lost: the process ends with a message.
pub fn main() -> anyhow::Result<()> {
    // One thread owns the world: handing work between threads costs more than the work.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut stop = runtime.block_on(async { Stop::listen() })?;
    let command = Cli::parse().command;
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    match command {
        Command::Run(args) => {
            settings::check_environment(&Cli::command())?;
            let level = log::start(&args.log)?;
            runtime.block_on(run::run(args, level, stop))
        }
        Command::SelfTest(args) => runtime.block_on(selftest::run(&args, stop)),
        Command::StandBy => {
            runtime.block_on(stop.told());
            Ok(())
        }
    }
}
