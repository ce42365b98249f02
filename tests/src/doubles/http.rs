//! The HTTP/1.1 server under both doubles: buffered requests, buffered answers, and the one
//! thing web frameworks do not offer, closing a connection without an answer.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

/// Open connections of one server; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 512;
/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A request with its whole body.
#[derive(Debug)]
pub(crate) struct Call {
    pub method: Method,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Call {
    /// The path without its empty segments.
    pub fn segments(&self) -> Vec<&str> {
        self.path.split('/').filter(|segment| !segment.is_empty()).collect()
    }

    /// The first value of a query parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A header's value if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What the server does with a request.
pub(crate) enum Answer {
    Send(Response<Full<Bytes>>),
    /// Close the connection and say nothing.
    Hangup,
}

/// A JSON response.
pub(crate) fn json(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    content(status, "application/json", Bytes::from(body.to_string()))
}

/// A page. `body` must be escaped already, see [`escape`].
pub(crate) fn html(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    content(status, "text/html; charset=utf-8", Bytes::from(body))
}

/// A response of any media type. A media type that is no legal header value becomes
/// `application/octet-stream`.
pub(crate) fn content(status: StatusCode, media_type: &str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let value = header::HeaderValue::from_str(media_type)
        .unwrap_or(header::HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

/// Text made safe for HTML content and quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// A listening server. Dropping it closes the listener and every connection.
#[derive(Debug)]
pub(crate) struct Server {
    pub addr: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts connections, each served by `serve` in a task of its own that ends with the server.
pub(crate) async fn accept<S, F>(listen: &str, connections_max: usize, serve: S) -> std::io::Result<Server>
where
    S: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(listen).await?;
    let addr = listener.local_addr()?;
    let room = Arc::new(Semaphore::new(connections_max));
    let accepting = tokio::spawn(async move {
        // Dropped with this task, and every connection with it.
        let mut connections = JoinSet::new();
        while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
            while connections.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, _)) => {
                    // Small answers at once. On a connection that is gone already it fails, and
                    // reading from that one tells.
                    drop(stream.set_nodelay(true));
                    let connection = serve(stream);
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                // Out of file descriptors or a peer that is gone already: neither ends the server.
                Err(error) => {
                    eprintln!("accepting a connection on {addr}: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    });
    Ok(Server { addr, accepting })
}

/// Serves HTTP/1.1 with `handler`. Bodies above `body_bytes_max` are answered with 413.
pub(crate) async fn serve<H, F>(listen: &str, body_bytes_max: usize, handler: H) -> std::io::Result<Server>
where
    H: Fn(Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    accept(listen, CONNECTIONS_MAX, move |stream| {
        let handler = handler.clone();
        async move {
            let service = hyper::service::service_fn(move |request| {
                let handler = handler.clone();
                async move { respond(request, body_bytes_max, handler).await }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            // A client that goes away and a deliberate hang-up both end up here. Neither is
            // worth a line: a test that cares looks at the state.
            drop(served);
        }
    })
    .await
}

/// The deliberate end of a connection, as the error hyper wants for it.
#[derive(Debug, thiserror::Error)]
#[error("hung up on purpose")]
struct HungUp;

async fn respond<H, F>(
    request: Request<Incoming>,
    body_bytes_max: usize,
    handler: H,
) -> Result<Response<Full<Bytes>>, HungUp>
where
    H: Fn(Call) -> F,
    F: Future<Output = Answer>,
{
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, body_bytes_max).collect().await else {
        let message = serde_json::json!({ "error": { "description": "The request body is too large or broken off." } });
        return Ok(json(StatusCode::PAYLOAD_TOO_LARGE, &message));
    };
    let query = head.uri.query().unwrap_or_default();
    let call = Call {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: head.headers,
        body: body.to_bytes(),
    };
    match handler(call).await {
        Answer::Send(response) => Ok(response),
        Answer::Hangup => Err(HungUp),
    }
}
