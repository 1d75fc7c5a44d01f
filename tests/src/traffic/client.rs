//! One request: connect if need be, ask, read all of the answer, and check it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, HOST};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::record::{Answer, Connection};

/// Far more than any answer takes: a request that is not answered by then is lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// No request starts on a connection that is older. A connection binds its client to one pod, whatever the endpoints
/// say by then; nothing but its end takes the client elsewhere.
const OLDEST: Duration = Duration::from_secs(1);

/// Asks one server.
#[derive(Debug)]
pub(super) struct Client {
    address: SocketAddr,
    idle: Mutex<VecDeque<Open>>,
}

#[derive(Debug)]
struct Open {
    sender: SendRequest<Empty<Bytes>>,
    since: Instant,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, idle: Mutex::default() }
    }

    /// The answer to one request that takes the server `service` to make.
    pub(super) async fn ask(&self, id: &str, connection: Connection, service: Duration) -> Result<Answer> {
        tokio::time::timeout(PATIENCE, self.exchange(id, connection, service))
            .await
            .with_context(|| format!("no answer within {} s", PATIENCE.as_secs()))?
    }

    async fn exchange(&self, id: &str, connection: Connection, service: Duration) -> Result<Answer> {
        let kept = (connection == Connection::KeptAlive).then(|| self.take()).flatten();
        let mut open = match kept {
            Some(open) => open,
            None => self.connect().await?,
        };
        let request = Request::get(format!("/?ms={}", service.as_millis()))
            .header(HOST, self.address.to_string())
            .header("x-request-id", id)
            .header(CONNECTION, if connection == Connection::New { "close" } else { "keep-alive" })
            .body(Empty::new())?;
        open.sender.ready().await.context("the connection was closed")?;
        let response = open.sender.send_request(request).await.context("no answer")?;
        let closes = header(&response, CONNECTION.as_str()).eq_ignore_ascii_case("close");
        let answer = check(response, id).await?;
        if connection == Connection::KeptAlive && !closes {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push_back(open);
        }
        Ok(answer)
    }

    /// The connection that has been idle longest: all of them come round quickly.
    fn take(&self) -> Option<Open> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(open) = idle.pop_front() {
            if open.since.elapsed() < OLDEST && !open.sender.is_closed() {
                return Some(open);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Open> {
        let since = Instant::now();
        let stream = TcpStream::connect(self.address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Open { sender, since })
    }
}

async fn check(response: Response<Incoming>, id: &str) -> Result<Answer> {
    let status = response.status();
    ensure!(status.is_success(), "the answer is {status}");
    let echoed = header(&response, "x-request-id").to_owned();
    let answer = Answer {
        pod: header(&response, "x-pod").to_owned(),
        version: header(&response, "x-version").to_owned(),
        arrived: header(&response, "x-arrived-us").parse().unwrap_or_default(),
    };
    let body = response.into_body().collect().await.context("the answer breaks off")?.to_bytes();
    ensure!(echoed == id, "the answer is for request `{echoed}`");
    ensure!(body == answer.version, "the answer's body is not its version");
    Ok(answer)
}

fn header<'a>(response: &'a Response<Incoming>, name: &str) -> &'a str {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
