//! A small JSON client for journeys: a base URL, a bearer token, and a [`Reply`] that is read
//! whole. It has no opinion about statuses: the test judges them.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::{Client as Pool, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// The largest reply that is read.
pub const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a reply may take unless [`Client::with_timeout`] says otherwise.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no reply. An HTTP error status is a reply, not an error.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The request could not be built: a malformed URL or header.
    #[error("bad request to {url}: {cause}")]
    Request {
        /// Where it should have gone.
        url: String,
        /// What is wrong with it.
        cause: http::Error,
    },
    /// No connection, or it broke before the reply's head.
    #[error("no answer from {url}: {cause}")]
    Connection {
        /// Where the request went.
        url: String,
        /// What the transport reported.
        cause: hyper_util::client::legacy::Error,
    },
    /// The reply broke off or is above [`REPLY_BYTES_MAX`].
    #[error("broken answer from {url}: {cause}")]
    Body {
        /// Where the request went.
        url: String,
        /// What the transport reported.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No complete reply in time.
    #[error("no answer from {url} within {after:?}")]
    Timeout {
        /// Where the request went.
        url: String,
        /// The time that was allowed.
        after: Duration,
    },
}

/// A whole reply.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Bytes,
    /// The body as JSON; [`Value::Null`] if it is none.
    pub json: Value,
}

impl Reply {
    /// A header's value if there is one and it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A JSON client for one base URL over plain HTTP. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    headers: Vec<(String, String)>,
    timeout: Duration,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// A client for `base` (`http://host:port`, with or without a path prefix).
    pub fn new(base: impl Into<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            base: base.into().trim_end_matches('/').to_owned(),
            headers: Vec::new(),
            timeout: REPLY_TIMEOUT,
            pool: Pool::builder(TokioExecutor::new()).build(connector),
        }
    }

    /// The same client of another host.
    #[must_use]
    pub fn with_base(&self, base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), ..self.clone() }
    }

    /// The same client with a bearer token in each request.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        self.with_header(header::AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    /// The same client with a header in each request, instead of an earlier one of that name.
    #[must_use]
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// The same client with another limit on the time a reply takes.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// GET.
    ///
    /// # Errors
    /// No reply, see [`ClientError`]; so for all methods here.
    pub async fn get(&self, path: &str) -> Result<Reply, ClientError> {
        self.send(Method::GET, path, None, Bytes::new()).await
    }

    /// POST with a JSON body.
    ///
    /// # Errors
    /// No reply.
    pub async fn post(&self, path: &str, json: &Value) -> Result<Reply, ClientError> {
        self.send_json(Method::POST, path, json).await
    }

    /// PUT with a JSON body.
    ///
    /// # Errors
    /// No reply.
    pub async fn put(&self, path: &str, json: &Value) -> Result<Reply, ClientError> {
        self.send_json(Method::PUT, path, json).await
    }

    /// PATCH with a JSON body.
    ///
    /// # Errors
    /// No reply.
    pub async fn patch(&self, path: &str, json: &Value) -> Result<Reply, ClientError> {
        self.send_json(Method::PATCH, path, json).await
    }

    /// DELETE; [`Value::Null`] sends no body.
    ///
    /// # Errors
    /// No reply.
    pub async fn delete(&self, path: &str, json: &Value) -> Result<Reply, ClientError> {
        match json {
            Value::Null => self.send(Method::DELETE, path, None, Bytes::new()).await,
            json => self.send_json(Method::DELETE, path, json).await,
        }
    }

    async fn send_json(&self, method: Method, path: &str, json: &Value) -> Result<Reply, ClientError> {
        self.send(method, path, Some("application/json"), Bytes::from(json.to_string())).await
    }

    /// Any method with a body of any media type.
    ///
    /// # Errors
    /// No reply.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        media_type: Option<&str>,
        body: Bytes,
    ) -> Result<Reply, ClientError> {
        let url = format!("{}{path}", self.base);
        let request = self
            .request(method, &url, media_type, body)
            .map_err(|cause| ClientError::Request { url: url.clone(), cause })?;
        match tokio::time::timeout(self.timeout, self.exchange(&url, request)).await {
            Ok(reply) => reply,
            Err(_elapsed) => Err(ClientError::Timeout { url, after: self.timeout }),
        }
    }

    fn request(
        &self,
        method: Method,
        url: &str,
        media_type: Option<&str>,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::builder().method(method).uri(Uri::try_from(url)?);
        if let Some(media_type) = media_type {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(body))
    }

    async fn exchange(&self, url: &str, request: Request<Full<Bytes>>) -> Result<Reply, ClientError> {
        let response =
            self.pool.request(request).await.map_err(|cause| ClientError::Connection { url: url.to_owned(), cause })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, REPLY_BYTES_MAX)
            .collect()
            .await
            .map_err(|cause| ClientError::Body { url: url.to_owned(), cause })?
            .to_bytes();
        let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(Reply { status: head.status, headers: head.headers, body, json })
    }
}
