//! `cargo xtask model`: the planner as shipped, searched exhaustively.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Search the planner as shipped exhaustively: every order of events that the sizes allow.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Handed on to the search; `--help` tells.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Builds the search and runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut command = Command::new("cargo");
    command.current_dir(crate::check::workspace());
    command.args(["run", "--quiet", "--locked", "--package", "cafe-model", "--"]).args(&args.rest);
    if !command.status().context("cannot run cargo")?.success() {
        bail!("the search did not come out as it must");
    }
    Ok(())
}
