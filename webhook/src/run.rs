//! Putting the parts together: a certificate, the two ports, and an orderly end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum_server::{Handle, tls_rustls::RustlsConfig};
use cafe_process::{
    connect::Settings,
    definitions,
    log::{self, Level},
    rights::{self, Right},
    stop::Stop,
    version,
};
use hyper_util::rt::TokioTimer;

use crate::{
    AGENT,
    args::ServeArgs,
    certificate::{Served, files, keeper::Keeper},
    metrics::Metrics,
    serve,
};

/// How long reviews in hand may take after the word to stop.
const GRACE: Duration = Duration::from_secs(5);
/// How long a client may take to send its headers, also the next ones of a connection: longer than an API server keeps one that is idle, so
/// that it is the one to close it.
const HEADERS: Duration = Duration::from_secs(120);
/// How long reviews are answered after the word to stop, while the API server hears that others are to be asked.
const LAG: Duration = Duration::from_secs(5);

/// Serves until it is told to stop.
pub(crate) async fn run(args: ServeArgs, level: Level, mut stop: Stop) -> anyhow::Result<()> {
    tracing::info!(version = version::VERSION, revision = version::REVISION, "starting");
    let (metrics, served) = (Metrics::default(), Served::default());
    let admin = bind(args.admin_address, "--admin-address")?;
    let reviews = bind(args.address, "--address")?;
    tracing::info!(reviews = %reviews.local_addr()?, admin = %admin.local_addr()?, "listens");
    let (handle, leaving) = (Handle::new(), served.clone());
    // Probes are answered from here on, however long the API server lets a certificate wait.
    let admin = axum_server::from_tcp(admin)?.handle(handle.clone()).serve(
        serve::admin(served.clone(), metrics.clone())
            .merge(log::routes(level))
            .into_make_service_with_connect_info::<SocketAddr>(),
    );
    let admin = tokio::spawn(admin);
    let Some(()) = stop.or(keep(&args, &served, &metrics)).await.transpose()? else { return Ok(()) };

    let tls = RustlsConfig::from_config(Arc::new(served.tls()));
    let mut server = axum_server::from_tcp_rustls(reviews, tls)?.handle(handle.clone());
    // Without the wait for a first byte that tells the two versions apart.
    *server.http_builder() = server.http_builder().clone().http1_only();
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
    let reviews = server.serve(serve::reviews(&args.controller_user, metrics).into_make_service());
    tokio::spawn(async move {
        stop.told().await;
        tracing::info!("stops: answers until nobody asks any more");
        leaving.leave();
        tokio::time::sleep(LAG).await;
        handle.graceful_shutdown(Some(GRACE));
    });
    let admin = async { admin.await.unwrap_or_else(|broken| Err(io::Error::other(broken))) };
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
    let settings = Settings::read(args.kubeconfig.as_deref(), AGENT).await?;
    let client = settings.client()?;
    settings.greet(&client).await?;
    rights::require(&client, env!("CARGO_PKG_NAME"), needed(args)).await?;
    definitions::require(&client).await?;
    let keeper = Keeper {
        client,
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

/// The rights that the chart gives, which are those that are used.
fn needed(args: &ServeArgs) -> Vec<Right> {
    let right =
        |namespace: Option<&String>, name: Option<&String>, group: &str, resource: &str, verb: &str| {
            let (namespace, name) = (namespace.cloned(), name.cloned());
            Right { namespace, name, group: group.into(), resource: resource.into(), verb: verb.into() }
        };
    let (namespace, secret) = (Some(&args.namespace), Some(&args.certificate_secret));
    let mut rights = vec![right(namespace, None, "", "secrets", "create")];
    rights.extend(["get", "update"].map(|verb| right(namespace, secret, "", "secrets", verb)));
    for resource in ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"] {
        let of =
            |verb| right(None, Some(&args.configuration), "admissionregistration.k8s.io", resource, verb);
        rights.extend(["get", "patch"].map(of));
    }
    rights
}

/// The names by which an API server may call a Service.
fn names(service: &str, namespace: &str) -> Vec<String> {
    vec![format!("{service}.{namespace}.svc"), format!("{service}.{namespace}.svc.cluster.local")]
}
