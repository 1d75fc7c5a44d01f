//! The last step before the wire: a write leaves only while the claim is held.
//!
//! A request may wait inside the client, for its turn, for a token, for a connection that is slow to come about, and the claim may end
//! meanwhile. So it is asked twice: where the request goes to the connections, and when the connection fetches the body, which is the moment
//! before its first byte is sent. A body that is refused there takes the request with it: nothing of it has left.

use std::pin::Pin;
use std::task::{Context, Poll};

use cafe_process::connect::{ConnectError, Settings};
use http::{Method, Request};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::{self, connect::Connect, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::Client;
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::config::Config;
use tower::{BoxError, ServiceBuilder, ServiceExt as _, filter::FilterLayer};

use crate::lease::Claim;

/// A client whose writes leave only while the claim is held. What was decided before this process stood still for a while (frozen, starved,
/// swapped out), or before a connection that was slow to come about, does not leave after it.
///
/// # Errors
/// The settings cannot be used.
pub(crate) fn of_claim_holder(settings: &Settings, claim: Claim) -> Result<Client, ConnectError> {
    build(&settings.config, claim).map_err(|error| settings.cannot_build(error))
}

/// As kube builds its own client, with the claim asked inside of it.
fn build(config: &Config, claim: Claim) -> kube::Result<Client> {
    let mut plain = HttpConnector::new();
    plain.enforce_http(false);
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(plain)?);
    connector.set_connect_timeout(config.connect_timeout);
    over(connector, config, claim)
}

/// The most that a connection reads at once: one record of TLS. Without a bound each of them keeps a hundred kilobytes.
const READ_AT_ONCE: usize = 16 * 1024;

/// A client over these connections.
fn over<C>(connector: C, config: &Config, claim: Claim) -> kube::Result<Client>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let wire = legacy::Client::builder(TokioExecutor::new())
        .http1_max_buf_size(READ_AT_ONCE)
        .build::<_, Gated>(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .layer(FilterLayer::new(gate(claim)))
        .service(wire.map_err(BoxError::from));
    Ok(ClientBuilder::new(service, &*config.default_namespace).build())
}

/// Lets reads pass, and writes while the claim is held.
fn gate(claim: Claim) -> impl Fn(Request<Body>) -> Result<Request<Gated>, BoxError> + Clone + Send + 'static {
    move |request| {
        let claim = (!reads(request.method())).then(|| claim.clone());
        if claim.as_ref().is_some_and(|claim| !claim.is_held()) {
            return Err(BoxError::from(NotHeld));
        }
        Ok(request.map(|body| Gated { body, claim }))
    }
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The claim had ended: the write did not leave.
#[derive(Debug, thiserror::Error)]
#[error("the claim has ended: not sent")]
struct NotHeld;

/// Whether a request did not leave because the claim had ended.
pub(crate) fn is_unsent(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<NotHeld>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A body that is given away only while the claim is held. Every write has one: deletions say their preconditions in it.
struct Gated {
    body: Body,
    /// Asked before the first piece; none for a read, and after it.
    claim: Option<Claim>,
}

impl HttpBody for Gated {
    type Data = <Body as HttpBody>::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, BoxError>>> {
        let this = self.get_mut();
        if this.claim.take().is_some_and(|claim| !claim.is_held()) {
            return Poll::Ready(Some(Err(BoxError::from(NotHeld))));
        }
        Pin::new(&mut this.body).poll_frame(cx).map_err(BoxError::from)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use hyper_util::rt::TokioIo;
    use serde_json::Value;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::client::{Outcome, Refusal, call};

    const WRITES: [Method; 4] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

    /// A server of which connections come about only when it is let, and what it was sent.
    struct Server {
        listener: TcpListener,
        config: Config,
        way: Arc<Semaphore>,
        /// A connection has been asked for.
        asked: Arc<Semaphore>,
    }

    impl Server {
        async fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
            let (way, asked) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
            Self { listener, config: Config::new(address), way, asked }
        }

        fn client(&self, claim: Claim) -> Client {
            let (way, asked) = (Arc::clone(&self.way), Arc::clone(&self.asked));
            let connector = tower::service_fn(move |uri: http::Uri| {
                let (way, asked) = (Arc::clone(&way), Arc::clone(&asked));
                Box::pin(async move {
                    asked.add_permits(1);
                    way.acquire().await.unwrap().forget();
                    TcpStream::connect(uri.authority().unwrap().as_str()).await.map(TokioIo::new)
                })
            });
            over(connector, &self.config, claim).unwrap()
        }

        /// Takes one connection, answers a request if one comes, and returns all that was sent until its end.
        async fn serve(&self) -> String {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            let mut sent = Vec::new();
            let mut piece = [0; 1024];
            loop {
                let length = stream.read(&mut piece).await.unwrap();
                sent.extend_from_slice(&piece[..length]);
                if length == 0 {
                    return String::from_utf8(sent).unwrap();
                }
                let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
                stream.write_all(answer).await.unwrap();
            }
        }
    }

    fn request(method: &Method, body: &str) -> Request<Vec<u8>> {
        Request::builder().method(method).uri("/api/v1/pods").body(body.into()).unwrap()
    }

    #[tokio::test]
    async fn a_write_that_waited_for_its_connection_past_the_end_of_the_claim_is_not_sent() {
        for method in WRITES {
            let server = Server::start().await;
            let (claim, end) = Claim::granted();
            let client = server.client(claim);
            let write = tokio::spawn(async move {
                Outcome::from(call(client.request::<Value>(request(&method, "{}"))).await)
            });
            server.asked.acquire().await.unwrap().forget();
            end();
            server.way.add_permits(1);
            assert_eq!(server.serve().await, "", "not a byte");
            let outcome = write.await.unwrap();
            assert!(matches!(outcome, Outcome::NotApplied(Refusal { code: 0, .. })), "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_write_that_waited_for_its_connection_under_the_claim_and_a_read_without_it_are_sent_whole() {
        let sent = |claim: Claim, method: Method, body: &'static str| async move {
            let server = Server::start().await;
            server.way.add_permits(1);
            let client = server.client(claim);
            let request = request(&method, body);
            let (sent, answer) = tokio::join!(server.serve(), client.request::<Value>(request));
            assert_eq!(answer.unwrap(), serde_json::json!({}), "{method}");
            sent
        };
        for method in WRITES {
            let text = sent(Claim::always(), method.clone(), r#"{"a":1}"#).await;
            assert!(text.starts_with(&format!("{method} /api/v1/pods HTTP/1.1\r\n")), "{text}");
            // Without a length the API server could not keep the connection.
            assert!(text.contains("content-length: 7\r\n") && text.ends_with("\r\n\r\n{\"a\":1}"), "{text}");
        }
        let read = sent(Claim::never(), Method::GET, "").await;
        assert!(read.starts_with("GET /api/v1/pods HTTP/1.1\r\n"), "{read}");
    }

    #[tokio::test]
    async fn without_the_claim_a_write_does_not_even_ask_for_a_connection() {
        let server = Server::start().await;
        let client = server.client(Claim::never());
        for method in WRITES {
            let outcome = Outcome::from(call(client.request::<Value>(request(&method, "{}"))).await);
            assert!(matches!(outcome, Outcome::NotApplied(Refusal { code: 0, .. })), "{outcome:?}");
        }
        assert_eq!(server.asked.available_permits(), 0);
    }

    #[tokio::test]
    async fn a_connection_that_fails_leaves_the_outcome_of_a_write_unknown() {
        let server = Server::start().await;
        server.way.add_permits(1);
        let client = server.client(Claim::always());
        let take = async { drop(server.listener.accept().await.unwrap()) };
        let write = request(&Method::POST, "{}");
        let (_, answer) = tokio::join!(take, call(client.request::<Value>(write)));
        assert!(matches!(Outcome::from(answer), Outcome::Unknown(_)));
    }

    #[tokio::test]
    async fn a_connection_that_does_not_come_about_is_given_up_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // It takes connections, and never says a word of TLS.
        let address = format!("https://{}", listener.local_addr().unwrap());
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut config = Config::new(address.parse().unwrap());
        config.connect_timeout = Some(Duration::from_millis(20));
        let client = build(&config, Claim::always()).unwrap();
        let answer = call(client.request::<Value>(request(&Method::POST, "{}"))).await;
        assert!(matches!(answer, Err(crate::client::CallError::Kube(_))), "{answer:?}");
    }
}
