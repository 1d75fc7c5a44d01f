//! The arguments of `cafe-controller`. Reads the environment through clap only, so that `--help` shows every setting.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cafe_process::{log::LogArgs, version};
use clap::{Parser, Subcommand};

/// The Cafe controller: releases CafeDeployments and InPlaceSets.
#[derive(Debug, Parser)]
#[command(name = "cafe-controller", version = version::TOLD.as_str(), arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch the cluster and carry out releases until told to stop (SIGTERM).
    Run(RunArgs),
    /// Play a release with a gate in this cluster and clean up; `helm test` does so.
    SelfTest(SelfTestArgs),
    /// Do nothing until told to stop (SIGTERM): the pods of the self-test run this.
    StandBy,
}

/// Settings of `cafe-controller self-test`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SelfTestArgs {
    /// Kubeconfig to use; without it, KUBECONFIG, ~/.kube/config, then the pod's service account.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Namespace to play in.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    pub(crate) namespace: String,

    /// Name of the CafeDeployment that is made and deleted.
    #[arg(long, default_value = "cafe-self-test")]
    pub(crate) name: String,

    /// Image of its pods: one that holds /cafe-controller.
    #[arg(long)]
    pub(crate) image: String,

    /// Secret with the password of the image's registry.
    #[arg(long, value_name = "SECRET")]
    pub(crate) pull_secret: Vec<String>,

    /// Seconds that each step may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub(crate) patience: u64,
}

/// Settings of `cafe-controller run`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RunArgs {
    /// Kubeconfig to use; without it, KUBECONFIG, ~/.kube/config, then the pod's service account.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Namespace of the lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "cafe-system")]
    pub(crate) namespace: String,

    /// Name of this replica in the lease. Must differ between replicas and survive a restart of the container.
    #[arg(long, env = "POD_NAME", default_value_t = hostname(), value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) identity: String,

    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, env = "CAFE_ADMIN_ADDRESS", value_name = "HOST:PORT", default_value = "0.0.0.0:8080")]
    pub(crate) admin_address: SocketAddr,

    /// Writes that may be on their way to the API server at once.
    #[arg(long, env = "CAFE_WRITES_IN_FLIGHT", value_name = "COUNT", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) writes_in_flight: u16,

    /// How it logs.
    #[command(flatten)]
    pub(crate) log: LogArgs,

    /// How long a lease that is not renewed keeps the other replicas from writing, in seconds.
    #[arg(long, env = "CAFE_LEASE_SECONDS", value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u16).range(5..=300))]
    pub(crate) lease_seconds: u16,

    /// Watch these namespaces only, separated by commas; without it, all.
    #[arg(long, env = "CAFE_WATCH_NAMESPACES", value_name = "A,B", value_delimiter = ',', value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) watch_namespaces: Vec<String>,

    /// Believe the annotation `cafe.dev/authors` of CafeDeployments, in which the admission webhook says who wrote what. Only
    /// where that webhook is installed: elsewhere anyone could write it.
    #[arg(long, env = "CAFE_TRUST_AUTHOR_STAMPS")]
    pub(crate) trust_author_stamps: bool,

    /// Write without a lease. Only for a single replica: two such processes write against each other.
    #[arg(long, env = "CAFE_NO_LEADER_ELECTION")]
    pub(crate) no_leader_election: bool,
}

impl RunArgs {
    /// How long a lease that is not renewed stays valid.
    pub(crate) fn lease_duration(&self) -> Duration {
        Duration::from_secs(self.lease_seconds.into())
    }
}

/// The host's name: no random part, so a restarted process takes its own claim back at once.
fn hostname() -> String {
    hostname::get().map_or_else(|_| "cafe-controller".to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cafe_process::log::LogFormat;
    use clap::CommandFactory;

    fn run(args: &[&str]) -> Result<RunArgs, clap::Error> {
        let line = ["cafe-controller", "run"].iter().chain(args);
        Cli::try_parse_from(line).map(|cli| match cli.command {
            Command::Run(run) => run,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_suit_a_cluster() {
        let args = run(&["--namespace", "cafe-system"]).unwrap();
        assert_eq!(args.admin_address.to_string(), "0.0.0.0:8080");
        assert_eq!((args.writes_in_flight, args.lease_duration()), (32, Duration::from_secs(15)));
        assert_eq!(args.log.log_format, LogFormat::Json);
        assert!(!args.identity.is_empty() && args.watch_namespaces.is_empty() && !args.no_leader_election);
    }

    #[test]
    fn namespaces_are_separated_by_commas_and_never_empty() {
        assert_eq!(run(&["--watch-namespaces", "a,b"]).unwrap().watch_namespaces, ["a", "b"]);
        assert!(run(&["--watch-namespaces", "a,"]).is_err());
    }

    #[test]
    fn values_that_cannot_work_are_refused() {
        for bad in [
            ["--writes-in-flight", "0"],
            ["--lease-seconds", "1"],
            ["--identity", ""],
            ["--admin-address", "8080"],
        ] {
            assert!(run(&bad).is_err(), "{bad:?}");
        }
    }
}
