//! The application of the traffic proof, one static binary for all its images.
//!
//! `serve` answers every request with its version, its pod and the request's id after a small service time. On SIGTERM
//! it exits at once and drops what is open, which is the worst an application can do; `--stop-after-ms` makes it stop
//! slowly instead. `pause` holds a pod's namespaces, `exit` fails at start.

mod journal;
mod serve;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Serve HTTP.
    Serve(serve::Args),
    /// Do nothing until told to stop: the container that holds a pod together.
    Pause,
    /// Fail at once: an image that does not start.
    Exit,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Cli::parse().role {
        Role::Serve(args) => serve::run(args).await,
        Role::Pause => {
            signal(SignalKind::terminate())?.recv().await;
            Ok(())
        }
        Role::Exit => bail!("this image exits at start"),
    }
}
