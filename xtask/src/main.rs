//! The verbs of the house, the same for people and for CI: `cargo xtask <verb>`.

mod down;
mod up;

use clap::{Parser, Subcommand};

/// The verbs of the house.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Up(up::Args),
    Down(down::Args),
}

fn main() -> anyhow::Result<()> {
    match &Cli::parse().verb {
        Verb::Up(args) => up::run(args),
        Verb::Down(args) => down::run(args),
    }
}
