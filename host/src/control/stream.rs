//! Answers that come line by line, each a JSON value.

use std::{convert::Infallible, pin::Pin};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use tokio::sync::mpsc;
use wasmtime_wasi_http::WasiBody;

/// Media type of such an answer.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// Lines as they come, each with its end.
pub(super) type Lines = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// A line for each value, until the sender is gone.
pub(super) fn of(receiver: mpsc::UnboundedReceiver<Value>) -> Lines {
    let next = async |mut receiver: mpsc::UnboundedReceiver<Value>| {
        let value = receiver.recv().await?;
        Some((Bytes::from(format!("{value}\n")), receiver))
    };
    Box::pin(stream::unfold(receiver, next))
}

/// The answer that has these lines.
pub(super) fn response(lines: Lines) -> Response<WasiBody> {
    let frames = lines.map(|line| Ok::<_, Infallible>(Frame::data(line)));
    let body = StreamBody::new(frames).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    response
}
