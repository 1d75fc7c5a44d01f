//! What answers at the address of a played pod: a few lines of HTTP, and requests that take as long as the test wants.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The path of requests that are held.
pub(super) const HELD: &str = "/hold";
/// The path of requests that take a moment, which is longer than a protector takes to answer without waiting for them.
pub(super) const WORK: &str = "/work";
const MOMENT: Duration = Duration::from_millis(150);

/// A server at one address. It stops at once and in the middle of its requests: the worst way to stop.
#[derive(Debug)]
pub(super) struct App {
    address: SocketAddr,
    task: JoinHandle<()>,
    requests: Arc<Requests>,
}

/// What goes on inside.
#[derive(Debug)]
struct Requests {
    /// Requests that have come and are not answered.
    open: watch::Sender<usize>,
    held: watch::Sender<usize>,
    release: watch::Sender<bool>,
}

impl Drop for App {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl App {
    /// Serves at the address, if it is free.
    pub(super) async fn start(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let requests = Arc::new(Requests {
            open: watch::Sender::new(0),
            held: watch::Sender::new(0),
            release: watch::Sender::new(false),
        });
        let task = tokio::spawn(serve(listener, address.ip(), Arc::clone(&requests)));
        Ok(Self { address, task, requests })
    }

    pub(super) fn address(&self) -> IpAddr {
        self.address.ip()
    }

    /// Ends at once, and serves again.
    pub(super) async fn restart(&mut self) -> Result<()> {
        self.stop().await;
        let end = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            match Self::start(self.address).await {
                Ok(app) => *self = app,
                // Requests that were cut off close their sockets a moment later.
                Err(_) if tokio::time::Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            return Ok(());
        }
    }

    /// Ends at once.
    pub(super) async fn stop(&mut self) {
        self.task.abort();
        (&mut self.task).await.ok();
    }

    /// Returns when a request is held.
    pub(super) async fn until_held(&self) -> Result<()> {
        self.requests
            .held
            .subscribe()
            .wait_for(|held| *held > 0)
            .await
            .context("the pod's server is gone")?;
        Ok(())
    }

    /// Returns when there is a request inside.
    pub(super) async fn until_busy(&self) -> Result<()> {
        self.requests
            .open
            .subscribe()
            .wait_for(|open| *open > 0)
            .await
            .context("the pod's server is gone")?;
        Ok(())
    }

    /// Lets the held requests go.
    pub(super) fn release(&self) {
        self.requests.release.send_replace(true);
    }
}

async fn serve(listener: TcpListener, address: IpAddr, requests: Arc<Requests>) {
    // Aborted with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                connections.spawn(answer(stream, address, Arc::clone(&requests)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(stream: TcpStream, address: IpAddr, requests: Arc<Requests>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut path = String::new();
    stream.read_line(&mut path).await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        line.clear();
    }
    requests.open.send_modify(|open| *open += 1);
    if path.contains(HELD) {
        requests.held.send_modify(|held| *held += 1);
        requests.release.subscribe().wait_for(|released| *released).await?;
    } else if path.contains(WORK) {
        tokio::time::sleep(MOMENT).await;
    }
    let body = address.to_string();
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain";
    stream.write_all(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
    requests.open.send_modify(|open| *open -= 1);
    Ok(stream.shutdown().await?)
}

/// One request through the balancer; the address of the pod that has answered it.
pub(super) async fn get(front: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(front).await.with_context(|| format!("cannot reach {front}"))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { bail!("no answer: {answer:?}") };
    if !head.contains(" 200 ") {
        bail!("{}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}
