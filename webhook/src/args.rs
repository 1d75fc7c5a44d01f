//! The arguments of `cafe-webhook`.

use std::net::SocketAddr;
use std::path::PathBuf;

use cafe_process::{log::LogArgs, version};
use clap::{Parser, Subcommand};

/// The admission webhook of Cafe: validates CafeDeployments and InPlaceSets, and notes who ordered what.
#[derive(Debug, Parser)]
#[command(name = "cafe-webhook", version = version::TOLD.as_str(), arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer admission reviews until told to stop (SIGTERM).
    Serve(ServeArgs),
}

/// Settings of `cafe-webhook serve`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServeArgs {
    /// Kubeconfig to use; without it, KUBECONFIG, ~/.kube/config, then the pod's service account. Not needed with --certificate-dir.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Namespace of this webhook, its Service and its Secret.
    #[arg(long, env = "POD_NAMESPACE", default_value = "cafe-system")]
    pub(crate) namespace: String,

    /// Where reviews are answered, over TLS.
    #[arg(long, env = "CAFE_ADDRESS", value_name = "HOST:PORT", default_value = "0.0.0.0:9443")]
    pub(crate) address: SocketAddr,

    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, env = "CAFE_ADMIN_ADDRESS", value_name = "HOST:PORT", default_value = "0.0.0.0:8080")]
    pub(crate) admin_address: SocketAddr,

    /// Name of the Service by which the API server reaches this webhook.
    #[arg(long, env = "CAFE_SERVICE", value_name = "NAME", default_value = "cafe-webhook")]
    pub(crate) service: String,

    /// Secret that holds the webhook's own authority and certificate. It is created and renewed by the webhook.
    #[arg(
        long,
        env = "CAFE_CERTIFICATE_SECRET",
        value_name = "NAME",
        default_value = "cafe-webhook-certificate",
        conflicts_with = "certificate_dir"
    )]
    pub(crate) certificate_secret: String,

    /// Name of the ValidatingWebhookConfiguration and the MutatingWebhookConfiguration that get the authority's certificate.
    #[arg(
        long,
        env = "CAFE_CONFIGURATION",
        value_name = "NAME",
        default_value = "cafe-webhook",
        conflicts_with = "certificate_dir"
    )]
    pub(crate) configuration: String,

    /// Folder with tls.crt and tls.key from elsewhere, such as cert-manager; read again when they change. Then somebody else writes the
    /// authority's certificate into the configurations.
    #[arg(long, env = "CAFE_CERTIFICATE_DIR", value_name = "FOLDER")]
    pub(crate) certificate_dir: Option<PathBuf>,

    /// User name of the controller: the InPlaceSets that it writes are not judged.
    #[arg(
        long,
        env = "CAFE_CONTROLLER_USER",
        value_name = "USER",
        default_value = "system:serviceaccount:cafe-system:cafe-controller"
    )]
    pub(crate) controller_user: String,

    /// How it logs.
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn serve(args: &[&str]) -> Result<ServeArgs, clap::Error> {
        let line = ["cafe-webhook", "serve"].iter().chain(args);
        Cli::try_parse_from(line).map(|cli| match cli.command {
            Command::Serve(serve) => serve,
        })
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_certificate_comes_from_one_place() {
        assert!(serve(&["--certificate-dir", "/tls"]).is_ok());
        assert!(serve(&["--certificate-dir", "/tls", "--certificate-secret", "s"]).is_err());
        assert!(serve(&["--address", "9443"]).is_err());
    }
}
