//! The Cafe controller: watch -> world -> plan -> apply -> report, on one thread.

mod admin;
mod apply;
mod args;
mod client;
mod clock;
mod engine;
mod lease;
mod metrics;
mod observe;
mod report;
mod run;
mod selftest;
mod version;
mod watch;
mod world;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command, LogFormat, RunArgs};

fn main() -> anyhow::Result<()> {
    let command = Cli::parse().command;
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    // One thread owns the world: handing work between threads costs more than the work.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match command {
        Command::Run(args) => {
            log(&args)?;
            runtime.block_on(run::run(args))
        }
        Command::SelfTest(args) => runtime.block_on(selftest::run(&args)),
        Command::StandBy => {
            runtime.block_on(run::told_to_stop());
            Ok(())
        }
    }
}

fn log(args: &RunArgs) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&args.log_filter).map_err(|e| {
        anyhow::anyhow!("--log-filter {:?}: {e}; an example: info,cafe_controller=debug", args.log_filter)
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    match args.log_format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.init(),
    }
    Ok(())
}
