//! The admission webhook of Cafe. It is not part of this release: the binary serves nothing yet.
//!
//! What must hold is in the schema and the CEL rules of the CustomResourceDefinitions, and the controller checks again;
//! the webhook will refuse some mistakes earlier and with a better message.

use clap::{CommandFactory, Parser};

/// The admission webhook of Cafe. Not part of this release: it serves nothing, and the chart does not install it.
#[derive(Debug, Parser)]
#[command(name = "cafe-webhook", version)]
struct Cli {}

fn main() -> anyhow::Result<()> {
    Cli::parse();
    Ok(Cli::command().print_help()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_says_that_nothing_is_served() {
        assert!(Cli::command().render_help().to_string().contains("serves nothing"));
    }
}
