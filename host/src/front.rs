//! The public door: from a request on the wire to the component its route names.
//!
//! It decides what of a request a component sees, and what a client sees when
//! something goes wrong: never a cause, always a correlation id.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, request};
use http_body_util::BodyExt as _;
use hyper::{Request, body::Incoming};
use wasmtime_wasi_http::WasiBody;

use crate::{
    call::Call,
    continued,
    manifest::{StaticResponse, Target},
    message::{self, CORRELATION_ID, TRACEPARENT, TRACESTATE},
    registry::Registry,
    router::{Match, Router},
    server::Handler,
    service::{Failure, Service},
    tally::Ending,
    telemetry::{CorrelationId, Kind, TraceContext, Tracer},
};

const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("spin-client-addr");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Headers that start so are the host's to set; from outside they are dropped.
const RESERVED_PREFIX: &str = "spin-";
/// Where load balancers ask a Spin application whether it is there.
const HEALTH_PATH: &str = "/.well-known/spin/health";
/// What lets a component ask others, whatever its version.
const UPSTREAM: &str = "cairn:http/upstream@";
/// A longer `tracestate` is not passed on; W3C asks for 512 at least.
const TRACESTATE_BYTES_MAX: usize = 512;
/// What is read of a body past its limit before the connection is given up.
const DISCARDED_BYTES_MAX: usize = 64 << 20;
const DISCARD_TIME_MAX: Duration = Duration::from_secs(5);

/// Public requests of an application.
pub struct Front {
    router: Router,
    registry: Arc<Registry>,
    tracer: Tracer,
}

impl Front {
    /// Serves the routes of `router` by the services of `registry`, recorded by `tracer`.
    #[must_use]
    pub fn new(router: Router, registry: Arc<Registry>, tracer: Tracer) -> Self {
        Self { router, registry, tracer }
    }

    async fn route(
        &self,
        request: Request<Incoming>,
        client: SocketAddr,
        correlation_id: &CorrelationId,
    ) -> Response<WasiBody> {
        let path = request.uri().path().to_owned();
        if path == HEALTH_PATH {
            return Response::new(message::full(Bytes::from_static(b"OK")));
        }
        const NOT_FOUND: &str = "There is nothing at this address.";
        let Some(matched) = self.router.find(&path) else {
            return error(StatusCode::NOT_FOUND, NOT_FOUND, None);
        };
        let service = match matched.target {
            Target::Component(id) => self.registry.get(id),
            Target::Response(response) => return fixed(response),
        };
        let Some(service) = service else {
            return error(StatusCode::NOT_FOUND, NOT_FOUND, None);
        };
        let Some(chosen) = self.registry.routing().choose(|| caller(request.headers(), client)) else {
            return error(StatusCode::NOT_FOUND, "There is nothing at this address.", None);
        };
        let call = self.call_of(request.headers(), correlation_id, service).on(Arc::clone(&chosen.release));
        let began = Instant::now();
        let mut span =
            self.tracer.start(call.trace, Kind::Server, || format!("{} {}", request.method(), matched.route));
        if let Some(span) = &mut span {
            span.set("http.request.method", request.method().as_str());
            span.set("url.path", path.as_str());
            span.set("cairn.correlation_id", correlation_id.as_str());
        }
        let counted = service.metrics.request();
        let outcome = self.forward(request, client, &matched, service, call).await;
        chosen.release.tally.add(ending(&outcome), began.elapsed());
        log(service, correlation_id.as_str(), &outcome, began);
        if let (Some(span), Err(failure)) = (&mut span, &outcome) {
            span.fail(failure.kind());
        }
        let response = outcome.unwrap_or_else(|failure| failure_response(&failure, correlation_id.as_str()));
        counted.finish(response.status().as_u16());
        if let Some(span) = &mut span {
            span.set("http.response.status_code", response.status().as_u16());
            if response.status().is_server_error() {
                span.fail("server error");
            }
        }
        response
    }

    async fn forward(
        &self,
        request: Request<Incoming>,
        client: SocketAddr,
        matched: &Match<'_, '_>,
        service: &Arc<Service>,
        mut call: Call,
    ) -> Result<Response<WasiBody>, Failure> {
        let (mut parts, body) = request.into_parts();
        if declared_length(&parts.headers).is_some_and(|bytes| bytes > service.limits.body_bytes_max as u64) {
            discard(body).await;
            return Err(Failure::TooLarge);
        }
        let version = service.version(&mut call)?;
        set_headers(&mut parts, client, matched, &call, version.has_handler());
        let body = body.map_err(wasmtime_wasi_http::Error::from).boxed_unsync();
        let response = message::dispatch(service, call.clone(), Request::from_parts(parts, body)).await?;
        let granted = version.compiled.imports.keys().any(|name| name.starts_with(UPSTREAM));
        Ok(continued::follow(response, &self.registry, &call, granted))
    }

    fn call_of(&self, headers: &HeaderMap, correlation_id: &CorrelationId, service: &Service) -> Call {
        let sent = headers.get(TRACEPARENT).map(HeaderValue::as_bytes);
        let trace = TraceContext::from_client(sent);
        let trace = self.tracer.decide(trace, trace.parent_span_id().is_some());
        let mut call = Call::new(correlation_id.clone(), trace, service.limits.request_time_max);
        if trace.parent_span_id().is_some() {
            let state = headers.get(TRACESTATE).and_then(|state| state.to_str().ok());
            call.trace_state = state.filter(|state| state.len() <= TRACESTATE_BYTES_MAX).map(Arc::from);
        }
        call.traced_by(self.tracer.clone())
    }
}

impl Handler for Front {
    async fn answer(self: Arc<Self>, request: Request<Incoming>, client: SocketAddr) -> Response<WasiBody> {
        let sent = request.headers().get(CORRELATION_ID).map(HeaderValue::as_bytes);
        let correlation_id = CorrelationId::from_client(sent);
        let mut response = self.route(request, client, &correlation_id).await;
        if let Ok(value) = HeaderValue::from_str(correlation_id.as_str()) {
            response.headers_mut().insert(CORRELATION_ID, value);
        }
        response
    }
}

/// The answer that the manifest spells out.
fn fixed(response: &StaticResponse) -> Response<WasiBody> {
    let mut answer = Response::new(message::full(Bytes::from(response.body.clone())));
    *answer.status_mut() = response.status;
    *answer.headers_mut() = response.headers.clone();
    answer
}

/// Reads a body that nobody wants, within limits. Most clients send all of it before
/// they look at the answer, and would see a broken connection instead of the answer.
async fn discard(mut body: Incoming) {
    let read = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > DISCARDED_BYTES_MAX {
                break;
            }
        }
    };
    // Past the time the connection is closed with what has been answered by then.
    drop(tokio::time::timeout(DISCARD_TIME_MAX, read).await);
}

/// Who asks, as far as that can be told, so that a caller keeps to one release during
/// a canary: by its credentials, else its cookies, else its address.
fn caller(headers: &HeaderMap, client: SocketAddr) -> u64 {
    let mut hasher = DefaultHasher::new();
    let known = headers.get(header::AUTHORIZATION).or_else(|| headers.get(header::COOKIE));
    match known {
        Some(value) => value.as_bytes().hash(&mut hasher),
        // Behind a proxy all addresses are the proxy's; what it says of the client is
        // good enough to choose a release by.
        None => (headers.get(FORWARDED_FOR).map(HeaderValue::as_bytes), client.ip()).hash(&mut hasher),
    }
    hasher.finish()
}

/// How a request ended, as its client sees it.
fn ending(outcome: &Result<Response<WasiBody>, Failure>) -> Ending {
    match outcome {
        Ok(response) if response.status().is_server_error() => Ending::Error,
        Ok(_) | Err(Failure::NotServed | Failure::TooLarge) => Ending::Answered,
        Err(Failure::Overloaded { .. } | Failure::CircuitOpen { .. } | Failure::Deadline) => Ending::Error,
        Err(Failure::Trapped(_)) => Ending::Trap,
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Removes what only the host may say, and says it.
fn set_headers(parts: &mut request::Parts, client: SocketAddr, matched: &Match<'_, '_>, call: &Call, buffered: bool) {
    let reserved: Vec<HeaderName> =
        parts.headers.keys().filter(|name| name.as_str().starts_with(RESERVED_PREFIX)).cloned().collect();
    for name in reserved {
        parts.headers.remove(name);
    }
    set(&mut parts.headers, CLIENT_ADDRESS, &client.to_string());
    message::set_call(&mut parts.headers, call);
    if !buffered {
        set_route_headers(parts, matched);
    }
}

/// Headers with which Spin tells a component how its route matched.
fn set_route_headers(parts: &mut request::Parts, matched: &Match<'_, '_>) {
    let host = match (parts.uri.authority(), parts.headers.get(header::HOST)) {
        (Some(authority), _) => authority.as_str().to_owned(),
        (None, Some(host)) => String::from_utf8_lossy(host.as_bytes()).into_owned(),
        (None, None) => "localhost".to_owned(),
    };
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let full_url = format!("http://{host}{target}");
    let component_route = matched.route.strip_suffix("/...").unwrap_or(matched.route);
    let headers = &mut parts.headers;
    set(headers, HeaderName::from_static("spin-full-url"), &full_url);
    set(headers, HeaderName::from_static("spin-path-info"), matched.path_info);
    set(headers, HeaderName::from_static("spin-matched-route"), matched.route);
    set(headers, HeaderName::from_static("spin-raw-component-route"), matched.route);
    set(headers, HeaderName::from_static("spin-component-route"), component_route);
    set(headers, HeaderName::from_static("spin-base-path"), "/");
    for (name, value) in matched.params() {
        if let Ok(name) = HeaderName::try_from(format!("spin-path-match-{name}")) {
            set(headers, name, value);
        }
    }
}

/// Sets a header whose value comes from a path or an address.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn log(service: &Service, correlation_id: &str, outcome: &Result<Response<WasiBody>, Failure>, began: Instant) {
    let duration_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    match outcome {
        Ok(response) => tracing::debug!(
            component = %service.id, correlation = correlation_id, status = response.status().as_u16(), duration_us, "request answered"
        ),
        Err(failure) => tracing::warn!(
            component = %service.id, correlation = correlation_id, kind = failure.kind(), duration_us, "request failed"
        ),
    }
}

fn failure_response(failure: &Failure, correlation_id: &str) -> Response<WasiBody> {
    match failure {
        Failure::Overloaded { retry_after_seconds } | Failure::CircuitOpen { retry_after_seconds } => {
            let mut response = error(
                StatusCode::SERVICE_UNAVAILABLE,
                "We are very busy right now. Please try again in a moment.",
                None,
            );
            response.headers_mut().insert(header::RETRY_AFTER, (*retry_after_seconds).into());
            response
        }
        Failure::Deadline => error(
            StatusCode::GATEWAY_TIMEOUT,
            "This took too long. Please check whether it went through before you try again.",
            Some(correlation_id),
        ),
        Failure::TooLarge => error(StatusCode::PAYLOAD_TOO_LARGE, "The request is too large.", None),
        Failure::NotServed => error(StatusCode::NOT_FOUND, "There is nothing at this address.", None),
        Failure::Trapped(_) => error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Something went wrong on our side. Please try again.",
            Some(correlation_id),
        ),
    }
}

/// An answer of the host's own: a JSON object with a message for people.
#[must_use]
pub fn error(status: StatusCode, message: &str, correlation_id: Option<&str>) -> Response<WasiBody> {
    let body = match correlation_id {
        Some(id) => serde_json::json!({ "message": message, "correlationId": id }),
        None => serde_json::json!({ "message": message }),
    };
    json(status, &body)
}

/// An answer in JSON.
#[must_use]
pub fn json(status: StatusCode, body: &serde_json::Value) -> Response<WasiBody> {
    let mut response = Response::new(message::full(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
