//! Standing between a controller and the API server: requests are passed on as they come, answers as they arrive.

use anyhow::Result;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, header};
use axum::response::Response;
use kube::Client;

/// Requests of a controller are far smaller.
const LARGEST_REQUEST: usize = 16 << 20;

/// Sends a request on in the name of `upstream`; the body of the answer may go on for ever.
///
/// # Errors
/// When there is no answer, which is never the controller's fault.
pub(crate) async fn pass_on(upstream: &Client, request: Request) -> Result<Response> {
    let (mut parts, body) = request.into_parts();
    for name in [header::HOST, header::AUTHORIZATION] {
        parts.headers.remove(name);
    }
    let body = axum::body::to_bytes(body, LARGEST_REQUEST).await?;
    let request = Request::from_parts(parts, kube::client::Body::from(body));
    let mut answer = upstream.send(request).await?.map(Body::new);
    remove_framing(answer.headers_mut());
    Ok(answer)
}

/// How a body is framed is a matter of each connection.
fn remove_framing(headers: &mut HeaderMap) {
    for name in [header::TRANSFER_ENCODING, header::CONNECTION, header::CONTENT_LENGTH] {
        headers.remove(name);
    }
}

/// Whether a request changes something. A lease does not count: the claim is no part of the work. Questions about rights are posted as well.
pub(crate) fn is_write(request: &Request) -> bool {
    let path = request.uri().path();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let aside = ["/apis/coordination.k8s.io/", "/apis/authorization.k8s.io/", "/apis/authentication.k8s.io/"];
    !reads && !aside.iter().any(|api| path.starts_with(api))
}
