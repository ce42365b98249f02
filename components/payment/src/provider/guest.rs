//! HTTP out of the sandbox, as far as the host allows it.

use async_trait::async_trait;
use bytes::Bytes;
use cairn_shared::http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use spin_sdk::wasip3::{http::types::RequestOptions, http_compat::RequestOptionsExtension};

use super::Transport;

/// Answers of the provider are a few kilobytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Nanoseconds to wait for a connection, for an answer to begin, and between its parts.
const CONNECT_TIMEOUT: u64 = 3_000_000_000;
const ANSWER_TIMEOUT: u64 = 10_000_000_000;

/// The host's HTTP client.
pub struct Http;

#[async_trait(?Send)]
impl Transport for Http {
    async fn send(&self, request: Request) -> Result<Response, String> {
        let response = spin_sdk::http::send(outgoing(request)?).await.map_err(|error| format!("{error:?}"))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| format!("{error:?}"))?;
        Ok(Response { status, headers: Vec::new(), body: body.to_bytes().to_vec() })
    }
}

fn outgoing(request: Request) -> Result<http::Request<Full<Bytes>>, String> {
    let mut builder = http::Request::builder().method(request.method.as_str()).uri(request.target);
    for (name, value) in request.headers {
        builder = builder.header(name, value);
    }
    // Told beforehand, a body need not be sent in chunks, which not every proxy takes.
    if !request.body.is_empty() {
        builder = builder.header(http::header::CONTENT_LENGTH, request.body.len());
    }
    if let Some(extensions) = builder.extensions_mut() {
        extensions.insert(RequestOptionsExtension(deadlines()));
    }
    builder.body(Full::new(Bytes::from(request.body))).map_err(|error| error.to_string())
}

/// A host that knows no such deadlines has its own.
fn deadlines() -> RequestOptions {
    let options = RequestOptions::new();
    let set = [
        options.set_connect_timeout(Some(CONNECT_TIMEOUT)),
        options.set_first_byte_timeout(Some(ANSWER_TIMEOUT)),
        options.set_between_bytes_timeout(Some(ANSWER_TIMEOUT)),
    ];
    if set.iter().any(Result::is_err) {
        cairn_shared::log::warn("this host takes no deadlines for outgoing requests", &[]);
    }
    options
}
