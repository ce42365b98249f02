//! Answers that are longer than a component should hold at once.
//!
//! A component with the buffered handler answers the first piece of such a body and says
//! in a header which request of which service has the next one; so does each further
//! piece. The pieces are asked for as the client takes them, each as a call of its own
//! with its own deadline, so that neither an instance nor a transaction waits for a slow
//! client, and none of it is held here. Only what has been granted requests to other
//! components may name one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::stream;
use http::{HeaderName, Response, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::{
    call::Call,
    platform::Request,
    registry::Registry,
    service::{Failure, Service},
};

/// `service target`, of the request that has the next piece; a piece names the target alone.
pub const CONTINUES: HeaderName = HeaderName::from_static("x-cairn-continues");

/// Pieces of one answer: what goes on for ever ends here.
const PIECES_MAX: u32 = 100_000;

/// How often a piece is asked for while its service is too busy.
const TRIES_MAX: u32 = 5;

/// Where the rest of a body is.
struct Rest {
    service: Arc<Service>,
    call: Call,
    target: String,
    pieces: u32,
}

/// The response with all of its body, piece by piece. A response that does not go on, or
/// whose component may not name others, stays as it is, without the header.
pub fn follow(mut response: Response<WasiBody>, registry: &Registry, call: &Call, granted: bool) -> Response<WasiBody> {
    let Some(next) = response.headers_mut().remove(&CONTINUES) else { return response };
    let named = next.to_str().ok().and_then(|next| next.split_once(' ')).filter(|_| granted);
    let rest = named.and_then(|(service, target)| {
        let service = Arc::clone(registry.get(service)?);
        Some(Rest { service, call: call.clone(), target: target.to_owned(), pieces: 0 })
    });
    let Some(rest) = rest else {
        tracing::warn!(correlation = %call.correlation_id, granted, "an answer that was to go on leads nowhere");
        return response;
    };
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.map(|first| body(first, rest))
}

/// The first piece, then the others as they are asked for.
fn body(first: WasiBody, rest: Rest) -> WasiBody {
    let pieces = stream::try_unfold((Some(first), Some(rest)), |(first, rest)| async move {
        if let Some(mut first) = first {
            if let Some(frame) = first.frame().await {
                return Ok(Some((frame?, (Some(first), rest))));
            }
        }
        let Some(rest) = rest else { return Ok(None) };
        let (piece, rest) = rest.next().await?;
        Ok::<_, Error>(Some((Frame::data(piece), (None, rest))))
    });
    StreamBody::new(pieces).boxed_unsync()
}

impl Rest {
    /// The next piece, and what comes after it. What fails breaks the body off, so that
    /// the client sees that it is not complete.
    async fn next(self) -> Result<(Bytes, Option<Self>), Error> {
        let Self { service, call, target, pieces } = self;
        let failed = |cause: &dyn std::fmt::Display| {
            tracing::error!(component = %service.id, correlation = %call.correlation_id, %cause, "an answer broke off");
            Error::HttpResponseIncomplete
        };
        if pieces >= PIECES_MAX {
            return Err(failed(&"it has too many pieces"));
        }
        let nested = call.nested().ok_or_else(|| failed(&"requests are nested too deep"))?;
        let mut tries = 1;
        let piece = loop {
            let nested = Call { deadline: Instant::now() + service.limits.request_time_max, ..nested.clone() };
            let mut request =
                Request { method: "GET".into(), target: target.clone(), headers: Vec::new(), body: Vec::new() };
            crate::message::set_call_headers(&mut request, &nested);
            let counted = service.metrics.request();
            let outcome = service.handle(nested, request).await;
            counted.finish(outcome.as_ref().map_or(500, |piece| piece.status));
            match outcome {
                Ok(piece) => break piece,
                // Nothing was done yet, and the client waits anyhow.
                Err(Failure::Overloaded { retry_after_seconds }) if tries < TRIES_MAX => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_secs(retry_after_seconds.into())).await;
                }
                Err(failure) => return Err(failed(&failure)),
            }
        };
        if piece.status != 200 {
            return Err(failed(&format!("a piece was answered with {}", piece.status)));
        }
        let next = piece.headers.into_iter().find(|(name, _)| name == CONTINUES.as_str());
        let rest = next.map(|(_, target)| Self { service, call, target, pieces: pieces + 1 });
        Ok((Bytes::from(piece.body), rest))
    }
}
