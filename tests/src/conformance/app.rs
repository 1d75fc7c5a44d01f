//! What answers at the address of a played pod: a few lines of HTTP, and requests that take as long as the test wants.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The path of requests that are held.
pub(super) const HELD: &str = "/hold";

/// A server at one address.
#[derive(Debug)]
pub(super) struct App {
    address: IpAddr,
    task: JoinHandle<()>,
    held: watch::Receiver<usize>,
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
        let (release, released) = watch::channel(false);
        let (count, held) = watch::channel(0);
        let count = Arc::new(count);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, address.ip(), Arc::clone(&count), released.clone()));
            }
        });
        Ok(Self { address: address.ip(), task, held, release })
    }

    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns when a request is held.
    pub(super) async fn until_held(&self) -> Result<()> {
        self.held.clone().wait_for(|held| *held > 0).await.context("the pod's server is gone")?;
        Ok(())
    }

    /// Lets the held requests go.
    pub(super) fn release(&self) {
        self.release.send_replace(true);
    }
}

async fn answer(
    stream: TcpStream,
    address: IpAddr,
    held: Arc<watch::Sender<usize>>,
    mut released: watch::Receiver<bool>,
) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut path = String::new();
    stream.read_line(&mut path).await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        line.clear();
    }
    if path.contains(HELD) {
        held.send_modify(|held| *held += 1);
        released.wait_for(|released| *released).await?;
    }
    let body = address.to_string();
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain";
    stream.write_all(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
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
