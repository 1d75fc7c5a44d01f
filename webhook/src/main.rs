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
mod version;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command, LogFormat, ServeArgs};

fn main() -> anyhow::Result<()> {
    let Command::Serve(args) = Cli::parse().command;
    log(&args)?;
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run::run(args))
}

fn log(args: &ServeArgs) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&args.log_filter).map_err(|e| {
        anyhow::anyhow!("--log-filter {:?}: {e}; an example: info,cafe_webhook=debug", args.log_filter)
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
