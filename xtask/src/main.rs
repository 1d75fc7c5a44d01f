//! The verbs of the house, the same for people and for CI: `cargo xtask <verb>`.

mod bench;
mod check;
mod conformance;
mod demo;
mod dist;
mod down;
mod e2e;
mod r#gen;
mod model;
mod test;
mod up;
mod verify;

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
    Demo(demo::Args),
    Check(check::Args),
    Test(test::Args),
    Model(model::Args),
    Gen(r#gen::Args),
    Up(up::Args),
    Down(down::Args),
    Verify(verify::Args),
    ProtectorConformance(conformance::Args),
    E2e(e2e::Args),
    Bench(bench::Args),
    Dist(dist::Args),
}

fn main() -> std::process::ExitCode {
    let done = match &Cli::parse().verb {
        Verb::Demo(args) => demo::run(args),
        Verb::Check(args) => check::run(args),
        Verb::Test(args) => test::run(args),
        Verb::Model(args) => model::run(args),
        Verb::Gen(args) => r#gen::run(args),
        Verb::Up(args) => up::run(args),
        Verb::Down(args) => down::run(args),
        Verb::Verify(args) => verify::run(args),
        Verb::ProtectorConformance(args) => conformance::run(args),
        Verb::E2e(args) => e2e::run(args),
        Verb::Bench(args) => bench::run(args),
        Verb::Dist(args) => dist::run(args),
    };
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            // What was attempted and why it failed; where in the code is of no use to who typed the command.
            eprintln!("Error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
