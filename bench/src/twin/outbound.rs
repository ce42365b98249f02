//! The way to the payment provider: HTTP over kept connections.

use std::time::Duration;

use bytes::Bytes;
use cairn_payment::provider::Transport;
use cairn_shared::{
    async_trait,
    http::{Request, Response},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// Answers of the provider are a few kilobytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// An HTTP client with connections of its own.
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Default for Http {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: Client::builder(TokioExecutor::new()).build(connector) }
    }
}

#[async_trait(?Send)]
impl Transport for Http {
    async fn send(&self, request: Request) -> Result<Response, String> {
        let mut builder = http::Request::builder().method(request.method.as_str()).uri(request.target);
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        let outgoing = builder.body(Full::new(Bytes::from(request.body))).map_err(|error| error.to_string())?;
        let exchange = async {
            let response = self.client.request(outgoing).await.map_err(|error| error.to_string())?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes().to_vec();
            Ok(Response { status, headers: Vec::new(), body })
        };
        tokio::time::timeout(ANSWER_TIME_MAX, exchange).await.map_err(|_| "no answer in time".to_owned())?
    }
}
