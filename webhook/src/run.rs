//! Putting the parts together: a certificate, the two ports, and an orderly end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum_server::{Handle, tls_rustls::RustlsConfig};
use hyper_util::rt::TokioTimer;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::{
    args::ServeArgs,
    certificate::{Served, files, keeper::Keeper},
    metrics::Metrics,
    serve, version,
};

/// How long reviews in hand may take after the word to stop.
const GRACE: Duration = Duration::from_secs(5);
/// How long a client may take to send its headers, also the next ones of a connection: longer than an API server keeps one that is idle, so
/// that it is the one to close it.
const HEADERS: Duration = Duration::from_secs(120);
/// How long reviews are answered after the word to stop, while the API server hears that others are to be asked.
const LAG: Duration = Duration::from_secs(5);

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    tracing::info!(version = version::VERSION, revision = version::REVISION, "starting");
    let (metrics, served) = (Metrics::default(), Served::default());
    let admin = bind(args.admin_address, "--admin-address")?;
    let reviews = bind(args.address, "--address")?;
    tracing::info!(reviews = %reviews.local_addr()?, admin = %admin.local_addr()?, "listens");
    keep(&args, &served, &metrics).await?;

    let (handle, leaving) = (Handle::new(), served.clone());
    let tls = RustlsConfig::from_config(Arc::new(served.tls()));
    let mut server = axum_server::from_tcp_rustls(reviews, tls)?.handle(handle.clone());
    // Without the wait for a first byte that tells the two versions apart.
    *server.http_builder() = server.http_builder().clone().http1_only();
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
    let reviews = server.serve(serve::reviews(&args.controller_user, metrics.clone()).into_make_service());
    let admin = axum_server::from_tcp(admin)?
        .handle(handle.clone())
        .serve(serve::admin(served, metrics).into_make_service());
    tokio::spawn(async move {
        told_to_stop().await;
        tracing::info!("stops: answers until nobody asks any more");
        leaving.leave();
        tokio::time::sleep(LAG).await;
        handle.graceful_shutdown(Some(GRACE));
    });
    tokio::try_join!(reviews, admin).context("a port is no longer served")?;
    Ok(())
}

fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address}: choose another with {flag}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Sees to a certificate: the first from files must be there, one of our own is made as soon as the API server can be asked.
async fn keep(args: &ServeArgs, served: &Served, metrics: &Metrics) -> anyhow::Result<()> {
    if let Some(folder) = args.certificate_dir.clone() {
        let known = files::load(&folder, served, metrics)?;
        let (served, metrics) = (served.clone(), metrics.clone());
        tokio::spawn(async move { files::follow(&folder, served, metrics, known).await });
        return Ok(());
    }
    let config = match &args.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("cannot use kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
        }
        None => Config::infer().await.context(
            "found no cluster: give --kubeconfig, set KUBECONFIG, or run in a pod with a service account token; \
             or bring a certificate with --certificate-dir",
        )?,
    };
    let keeper = Keeper {
        client: Client::try_from(config)?,
        namespace: args.namespace.clone(),
        secret: args.certificate_secret.clone(),
        configuration: args.configuration.clone(),
        names: names(&args.service, &args.namespace),
        served: served.clone(),
        metrics: metrics.clone(),
    };
    tokio::spawn(keeper.run());
    Ok(())
}

/// The names by which an API server may call a Service.
fn names(service: &str, namespace: &str) -> Vec<String> {
    vec![format!("{service}.{namespace}.svc"), format!("{service}.{namespace}.svc.cluster.local")]
}

async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
