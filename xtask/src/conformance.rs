//! `cargo xtask protector-conformance`: does a protector keep to the protocol of docs/protectors.md?

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use cafe_tests::bed::{Bed, Options};
use cafe_tests::conformance::{self, Subject, Verdict};

/// Test a protector of your own, in any language, against a real API server on this machine.
///
/// The command is started in a shell, with KUBECONFIG (an account with the rights that docs/protectors.md lists),
/// PROTECTOR_NAME, PROTECTOR_NAMESPACE, PROTECTOR_SELECTOR and PROTECTOR_PORT in its environment. It must stay in the
/// foreground. It is killed and started again many times. The pods that it is shown have addresses of this machine
/// (127.77.x.y), where something answers HTTP.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The protector's name: what follows `protect.cafe.dev/` in its finalizer.
    #[arg(long, default_value = "conformance")]
    name: String,
    /// The shell command that runs the protector.
    #[arg(long, required_unless_present = "list", default_value = "")]
    command: String,
    /// A shell command that prints the addresses in the balancer's table, one per line. With it the table itself is held
    /// against the pods; without it, only what the protector says.
    #[arg(long, value_name = "COMMAND")]
    table_command: Option<String>,
    /// Where the balancer takes HTTP requests for the pods. With it, a drain is tried with a request in flight.
    #[arg(long, value_name = "HOST:PORT")]
    front: Option<SocketAddr>,
    /// Port of the pods.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// How long any one reaction may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    patience: u64,
    /// Run only these checks.
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    only: Vec<String>,
    /// Print the checks and end.
    #[arg(long)]
    list: bool,
    /// Use the bed in this folder, and leave it running; without it, a temporary one.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

/// Runs the checks, one line each; an error when one has failed.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.list {
        for check in conformance::checks() {
            println!("{:<20}{}", check.name, check.claim);
        }
        return Ok(());
    }
    let bed = match &args.dir {
        Some(dir) => Bed::open(dir)?,
        None => Bed::temporary()?,
    };
    eprintln!("Starting an API server in {} ...", bed.dir().display());
    let subject = Subject {
        name: args.name.clone(),
        command: args.command.clone(),
        table_command: args.table_command.clone(),
        front: args.front,
        port: args.port,
        patience: Duration::from_secs(args.patience),
    };
    for (given, what) in [
        (args.table_command.is_some(), "--table-command: the balancer's table is not looked at"),
        (args.front.is_some(), "--front: no requests are sent, so two checks are left out"),
    ] {
        if !given {
            eprintln!("Without {what}.");
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let all = runtime.block_on(async {
        bed.up(&Options { nodes: 1, ..Options::default() }).await?;
        conformance::run(&bed, subject, &args.only, tell).await
    })?;
    if !all {
        bail!(
            "the protector does not keep to the protocol; docs/protectors.md tells what each check stands for"
        );
    }
    println!("The protector keeps to the protocol.");
    Ok(())
}

fn tell(verdict: &Verdict) {
    let check = verdict.check;
    let word = if verdict.failure.is_some() { "FAIL" } else { "pass" };
    let note = verdict.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
    println!("{word}  {:<20}{}{note}  ({:.1} s)", check.name, check.claim, verdict.took.as_secs_f64());
    if let Some(failure) = &verdict.failure {
        println!("      seen: {}\n      fix:  {}", failure.replace('\n', "\n            "), check.fix);
    }
}
