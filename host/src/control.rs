//! The operator's address: health, metrics, what runs, and calls by hand.
//!
//! It is meant for the operator's own network and asks for no credentials; requests
//! that a browser makes for some web page are refused.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::{Request, body::Incoming};
use serde_json::json;
use wasmtime_wasi_http::WasiBody;

use crate::{
    call::Call,
    front::{error, json as json_response},
    host::swap::{Replacement, SwapError, Swapped, Swapper},
    message::{self, CORRELATION_ID},
    platform,
    precompiled::COMPONENT_BYTES_MAX,
    registry::Registry,
    scheduler::{JobStatus, Scheduler},
    server::Handler,
    service::{Failure, Service},
    telemetry::metrics::{self, Metrics},
};

/// Headers by which a browser shows that a web page sent the request.
const BROWSER_HEADERS: [&str; 2] = ["origin", "sec-fetch-site"];

const PLAIN: &str = "text/plain; charset=utf-8";

/// Requests of the operator.
pub struct Control {
    registry: Arc<Registry>,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    scheduler: Arc<Scheduler>,
    swapper: Arc<Swapper>,
}

/// Why the host is not ready; empty if it is.
pub type Readiness = Box<dyn Fn() -> Vec<String> + Send + Sync>;

impl Control {
    /// Shows `registry` and what is scheduled, and is as ready as `readiness` says.
    #[must_use]
    pub fn new(
        registry: Arc<Registry>,
        readiness: Readiness,
        metrics: Arc<Metrics>,
        scheduler: Arc<Scheduler>,
        swapper: Arc<Swapper>,
    ) -> Self {
        Self { registry, readiness, metrics, scheduler, swapper }
    }

    async fn route(&self, request: Request<Incoming>) -> Response<WasiBody> {
        if BROWSER_HEADERS.iter().any(|name| request.headers().contains_key(*name)) {
            return error(StatusCode::FORBIDDEN, "This address is not for web pages.", None);
        }
        let path = request.uri().path();
        match (request.method(), path) {
            (&Method::GET, "/livez") => text(PLAIN, "ok\n"),
            (&Method::GET, "/readyz") => match (self.readiness)().as_slice() {
                [] => text(PLAIN, "ready\n"),
                reasons => error(StatusCode::SERVICE_UNAVAILABLE, &reasons.join("; "), None),
            },
            (&Method::GET, "/metrics") => match self.metrics.render() {
                Ok(metrics) => text(metrics::CONTENT_TYPE, &metrics),
                Err(problem) => error(StatusCode::INTERNAL_SERVER_ERROR, &problem.to_string(), None),
            },
            (&Method::GET, "/jobs") => json_response(StatusCode::OK, &self.jobs()),
            (&Method::GET, "/components") => json_response(StatusCode::OK, &self.components()),
            (&Method::PUT, _) => match path.strip_prefix("/components/").map(str::to_owned) {
                Some(component) => self.swap(&component, request.into_body()).await,
                None => not_found(),
            },
            (&Method::POST, _) => self.command(path, request.uri().query()).await,
            _ => not_found(),
        }
    }

    async fn command(&self, path: &str, query: Option<&str>) -> Response<WasiBody> {
        if let Some(component) = path.strip_prefix("/components/").and_then(|rest| rest.strip_suffix("/rollback")) {
            return swapped(self.swapper.roll_back(component).await);
        }
        match path.strip_prefix("/call/").and_then(|rest| rest.split_once('/')) {
            Some((component, rest)) => self.call(component, &target(rest, query)).await,
            None => not_found(),
        }
    }

    async fn swap(&self, component: &str, body: Incoming) -> Response<WasiBody> {
        let body = body.map_err(wasmtime_wasi_http::Error::from).boxed_unsync();
        match message::collect(body, COMPONENT_BYTES_MAX).await {
            Ok(bytes) => {
                let replacement = Replacement { component: component.to_owned(), bytes: bytes.into() };
                swapped(self.swapper.swap(vec![replacement], None, &|_| {}).await)
            }
            Err(failure) => error(StatusCode::BAD_REQUEST, &failure.to_string(), None),
        }
    }

    fn components(&self) -> serde_json::Value {
        self.registry.iter().map(|service| component(service)).collect()
    }

    fn jobs(&self) -> serde_json::Value {
        self.scheduler.status().iter().map(job).collect()
    }

    async fn call(&self, component: &str, target: &str) -> Response<WasiBody> {
        let Some(service) = self.registry.get(component) else {
            return error(StatusCode::NOT_FOUND, "There is no component of that id.", None);
        };
        let call = Call::own(service.limits.request_time_max);
        let correlation_id = call.correlation_id.clone();
        match post(service, target, call).await.and_then(message::from_record) {
            Ok(mut response) => {
                if let Ok(value) = HeaderValue::from_str(correlation_id.as_str()) {
                    response.headers_mut().insert(CORRELATION_ID, value);
                }
                response.map(message::full)
            }
            Err(failure) => error(StatusCode::BAD_GATEWAY, &failure.to_string(), Some(correlation_id.as_str())),
        }
    }
}

impl Handler for Control {
    async fn answer(self: Arc<Self>, request: Request<Incoming>, _client: SocketAddr) -> Response<WasiBody> {
        self.route(request).await
    }
}

/// POSTs an empty body to a private route of a component.
///
/// # Errors
/// See [`Failure`].
pub async fn post(service: &Arc<Service>, target: &str, call: Call) -> Result<platform::Response, Failure> {
    let mut request = platform::Request {
        method: "POST".to_owned(),
        target: target.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    message::set_call_headers(&mut request, &call);
    service.handle(call, request).await
}

fn swapped(outcome: Result<Vec<Swapped>, SwapError>) -> Response<WasiBody> {
    match outcome {
        Ok(swapped) => {
            let first = swapped.first();
            let first =
                first.map(|Swapped { component, from, to }| json!({ "component": component, "from": from, "to": to }));
            json_response(StatusCode::OK, &first.unwrap_or_default())
        }
        Err(refusal @ SwapError::NoComponent(_)) => error(StatusCode::NOT_FOUND, &refusal.to_string(), None),
        Err(refusal @ (SwapError::Refused(_) | SwapError::NoPrevious(_) | SwapError::CanaryUnderWay(_))) => {
            error(StatusCode::CONFLICT, &refusal.to_string(), None)
        }
        Err(failure @ SwapError::Storage(_)) => error(StatusCode::INTERNAL_SERVER_ERROR, &failure.to_string(), None),
    }
}

fn target(rest: &str, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("/{rest}?{query}"),
        None => format!("/{rest}"),
    }
}

fn component(service: &Service) -> serde_json::Value {
    let version = service.current();
    let (requests, errors) = version.as_ref().map_or((0, 0), |version| version.counts());
    json!({
        "id": &*service.id,
        "version": version.as_ref().map(|version| version.compiled.hash.as_str()),
        "ageSeconds": version.as_ref().map(|version| version.started.elapsed().as_secs()),
        "requests": requests,
        "errors": errors,
        "running": service.running(),
        "idleInstances": version.as_ref().map(|version| version.idle_count()),
        "circuitOpen": version.as_ref().is_some_and(|version| version.breaker.is_open(Instant::now())),
    })
}

fn job(status: &JobStatus) -> serde_json::Value {
    let last = status
        .last
        .as_ref()
        .map(|last| json!({ "startedMs": last.started_ms, "durationMs": last.duration_ms, "failure": last.failure }));
    json!({
        "component": status.component,
        "path": status.path,
        "crons": status.crons,
        "nextMs": status.next_ms,
        "running": status.running,
        "last": last,
    })
}

fn not_found() -> Response<WasiBody> {
    error(StatusCode::NOT_FOUND, "There is nothing at this address.", None)
}

fn text(media_type: &'static str, body: &str) -> Response<WasiBody> {
    let mut response = Response::new(message::full(Bytes::from(body.to_owned())));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
