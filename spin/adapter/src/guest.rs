//! The exports, over `wasi:http`.

use std::{cell::RefCell, future::Future, pin::pin};

use bytes::Bytes;
use futures::future::{Either, select};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use spin_sdk::{
    http::{Response as Incoming, send},
    wasip3::{clocks::monotonic_clock, http::types::ErrorCode, spawn},
};

use crate::{coalesce::Running, forward};

#[expect(unsafe_code, reason = "what is generated here carries values across the component's boundary")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        inline: "
            package cairn:spin-adapter;
            world adapter {
                export cairn:http/upstream@1.0.0;
                export cairn:jobs/wake@1.0.0;
            }
        ",
        path: ["../../wit/http", "../../wit/jobs"],
        runtime_path: "spin_sdk::wit_bindgen::rt",
        generate_all,
    });

    export!(Exports with_types_in self);

    use super::Exports;
}

use bindings::{
    cairn::http::types::{Request, Response},
    exports::cairn::{
        http::upstream::{self, Error},
        jobs::wake,
    },
};

/// How long a request to another component may take, in nanoseconds.
const ANSWER_NS_MAX: u64 = 30_000_000_000;

/// How long work that was woken may take, in nanoseconds.
const WORK_NS_MAX: u64 = 120_000_000_000;

/// The largest answer that is taken, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What callers are told to wait when a component is too busy, in seconds.
const RETRY_AFTER_S: u32 = 1;

struct Exports;

thread_local! {
    static RUNNING: RefCell<Running> = RefCell::default();
}

impl upstream::Guest for Exports {
    async fn send(service: String, request: Request) -> Result<Response, Error> {
        within(ANSWER_NS_MAX, exchange(&service, request)).await
    }
}

impl wake::Guest for Exports {
    /// Returns at once; the request goes on in the background of this call.
    async fn wake(service: String, path: String) {
        if RUNNING.with_borrow_mut(|running| running.ask(&service, &path)) {
            spawn(work(service, path));
        }
    }
}

async fn work(service: String, path: String) {
    loop {
        let request = Request { method: "POST".into(), target: path.clone(), headers: Vec::new(), body: Vec::new() };
        // Whoever must have the work done also has it scheduled, so a failure is
        // only worth a line.
        match within(WORK_NS_MAX, exchange(&service, request)).await {
            Ok(answer) if answer.status < 400 => {}
            Ok(answer) => eprintln!("{service}{path} was woken and answered {}", answer.status),
            Err(error) => eprintln!("{service}{path} could not be woken: {error:?}"),
        }
        if !RUNNING.with_borrow_mut(|running| running.done(&service, &path)) {
            return;
        }
    }
}

/// The outcome of `work`, or [`Error::Timeout`] when it takes longer. The work ends then.
async fn within<T>(nanoseconds: u64, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match select(pin!(work), pin!(monotonic_clock::wait_for(nanoseconds))).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(_) => Err(Error::Timeout),
    }
}

async fn exchange(service: &str, request: Request) -> Result<Response, Error> {
    let address =
        forward::address(service, &request.target).ok_or_else(|| Error::UnknownService(service.to_owned()))?;
    let mut outgoing = http::Request::builder().method(request.method.as_str()).uri(address);
    for (name, value) in forward::end_to_end(request.headers) {
        outgoing = outgoing.header(name, value);
    }
    let outgoing = outgoing
        .body(Full::new(Bytes::from(request.body)))
        .map_err(|error| Error::Failed(format!("the request is not valid: {error}")))?;
    let incoming = send(outgoing).await.map_err(|code| failure(service, code))?;
    read(service, incoming).await
}

async fn read(service: &str, incoming: Incoming) -> Result<Response, Error> {
    let (parts, body) = incoming.into_parts();
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let headers = forward::end_to_end(headers.collect());
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return Error::Failed(format!("{service} answered more than {ANSWER_BYTES_MAX} bytes"));
        }
        match error.downcast::<ErrorCode>() {
            Ok(code) => failure(service, *code),
            Err(error) => Error::Failed(format!("the answer of {service} broke off: {error}")),
        }
    })?;
    Ok(Response { status: parts.status.as_u16(), headers, body: body.to_bytes().to_vec() })
}

fn failure(service: &str, code: ErrorCode) -> Error {
    match code {
        ErrorCode::DestinationNotFound | ErrorCode::DnsError(_) | ErrorCode::HttpRequestDenied => {
            Error::UnknownService(service.to_owned())
        }
        ErrorCode::DestinationUnavailable | ErrorCode::ConnectionRefused | ErrorCode::ConnectionLimitReached => {
            Error::Unavailable(RETRY_AFTER_S)
        }
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => Error::Timeout,
        other => Error::Failed(format!("{service}: {other:?}")),
    }
}
