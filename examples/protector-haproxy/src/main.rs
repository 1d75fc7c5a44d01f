//! Takes pods in and out of a running HAProxy, and lets nobody stop one that HAProxy still routes to.
//!
//! One process stands beside one HAProxy. It keeps nothing: what it needs is in the pods and in HAProxy's table.
//!
//! - `protocol.rs`: what to do with one pod, in which order
//! - `pod.rs`: what is read of a pod, and the three patches
//! - `haproxy.rs`: HAProxy's runtime API
//! - `watchman.rs`: notices that HAProxy was restarted, and servers that belong to no pod

mod haproxy;
mod pod;
mod protocol;
mod watchman;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use futures::channel::mpsc;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{Controller, WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client, Config};
use tokio::sync::watch;

use haproxy::HaProxy;
use pod::Pods;
use protocol::Protector;

/// Takes pods in and out of a running HAProxy, and speaks Cafe's drain protocol.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Protect pods until told to stop.
    Run {
        #[command(flatten)]
        haproxy: HaProxyArgs,
        #[command(flatten)]
        pods: PodArgs,
    },
    /// Print the addresses in HAProxy's table, one per line.
    Table(HaProxyArgs),
}

/// Where HAProxy is.
#[derive(Debug, clap::Args)]
struct HaProxyArgs {
    /// HAProxy's stats socket; needs `level admin`.
    #[arg(long, value_name = "FILE", env = "HAPROXY_SOCKET", default_value = "/run/haproxy/admin.sock")]
    socket: PathBuf,
    /// The backend. It belongs to this process alone: servers that it does not know are taken out.
    #[arg(long, env = "HAPROXY_BACKEND", default_value = "web")]
    backend: String,
}

/// Which pods are protected, and in whose name.
#[derive(Debug, clap::Args)]
struct PodArgs {
    /// Name of this protector. Two HAProxies need two names.
    #[arg(long, env = "PROTECTOR_NAME", default_value = "haproxy")]
    name: String,
    /// Namespace of the pods.
    #[arg(long, env = "PROTECTOR_NAMESPACE", default_value = "default")]
    namespace: String,
    /// Labels that a pod must carry.
    #[arg(long, env = "PROTECTOR_SELECTOR", value_name = "KEY=VALUE", value_delimiter = ',', value_parser = label)]
    selector: Vec<(String, String)>,
    /// Port of the pods.
    #[arg(long, env = "PROTECTOR_PORT", default_value_t = 8080)]
    port: u16,
    /// Settings of each server, as on a `server` line of haproxy.cfg. They must contain `check`.
    #[arg(long, value_name = "WORDS", default_value = "check inter 500ms fall 2 rise 1")]
    server: String,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write labels as key=value, separated by commas")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Table(args) => {
            for server in HaProxy::new(args.socket, args.backend, String::new()).table().await? {
                println!("{}", server.address.ip());
            }
            Ok(())
        }
        Command::Run { haproxy, pods } => {
            tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
            run(HaProxy::new(haproxy.socket, haproxy.backend, pods.server.clone()), pods).await
        }
    }
}

async fn run(haproxy: HaProxy, args: PodArgs) -> anyhow::Result<()> {
    let mut config = Config::infer().await?;
    // A write is decided on one version of a pod; repeated later, unseen, it would be refused anyway.
    config.default_retry = false;
    let client = Client::try_from(config)?;
    // Not only the pods with the labels: one that loses them while it is locked must be let go.
    let watched: Api<Pod> = Api::namespaced(client.clone(), &args.namespace);
    let (store, writer) = reflector::store();
    let (listed, is_listed) = watch::channel(false);
    let pods = watcher(watched.clone(), watcher::Config::default())
        .default_backoff()
        .modify(|pod| pod.metadata.managed_fields = None)
        .reflect(writer)
        .inspect_ok(move |event| {
            if matches!(event, watcher::Event::InitDone) {
                listed.send_replace(true);
            }
        })
        .touched_objects();
    let (wake, woken) = mpsc::channel(1);
    let controller = Controller::for_stream(pods, store.clone()).reconcile_all_on(woken).shutdown_on_signal();
    let protector = Arc::new(Protector {
        haproxy,
        pods: Pods::new(watched, &args.name),
        labels: args.selector,
        port: args.port,
    });
    tokio::spawn(watchman::watch(Arc::clone(&protector), store, is_listed, wake));
    tracing::info!(finalizer = protector.pods.lock_name(), namespace = args.namespace, "protecting");
    let after_error = |pod: Arc<Pod>, error: &protocol::Error, _| protocol::after_error(&pod, error);
    controller.run(protocol::reconcile, after_error, protector).for_each(|_| async {}).await;
    Ok(())
}
