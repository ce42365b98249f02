//! The operator's API: health, metrics, what runs, and commands.
//!
//! | request | |
//! |---|---|
//! | `GET /livez`, `/readyz` | the process lives; it serves |
//! | `GET /metrics` | Prometheus |
//! | `GET /status` | the host and its components, what goes on with their versions |
//! | `GET /components`, `/jobs` | the components alone; the scheduled jobs |
//! | `GET /components/<id>/versions` | versions kept, the newest first |
//! | `POST /swap?canary_percent=&hold_seconds=` | replaces components, all or none; see [`swaps`] |
//! | `PUT /components/<id>` | replaces one by the bytes of the body |
//! | `POST /components/<id>/rollback` | goes back to the version before |
//! | `POST /backup` | an archive of all databases as they are at one moment |
//! | `GET /logs?component=&lines=&follow=` | log lines |
//! | `GET /log-levels`, `PUT /log-levels/<id>` | levels; `{"level": "debug"}`, `null` for the host's |
//! | `POST /call/<id>/<path>` | runs a job by hand |
//!
//! Who may do what is in [`access`]. Errors are JSON with a `message`.

pub mod access;
mod logs;
pub mod socket;
mod status;
mod stream;
pub mod swaps;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::{Request, body::Incoming};
use serde::Deserialize;
use serde_json::{Value, json};
use wasmtime_wasi_http::WasiBody;

use crate::{
    backup::Backups,
    call::Call,
    front::{error, json as json_response},
    host::swap::{Replacement, SwapError, Swapped, Swapper},
    message::{self, CORRELATION_ID},
    platform,
    precompiled::COMPONENT_BYTES_MAX,
    registry::Registry,
    scheduler::Scheduler,
    server::Handler,
    service::{Failure, Service},
    telemetry::{
        Logging,
        metrics::{self, Metrics},
    },
};
use access::Access;

const PLAIN: &str = "text/plain; charset=utf-8";
/// Body of a request that is no component, in bytes.
const BODY_BYTES_MAX: usize = 64 << 10;

/// What the operator's API shows and commands.
pub struct Control {
    pub registry: Arc<Registry>,
    pub readiness: Readiness,
    pub metrics: Arc<Metrics>,
    pub scheduler: Arc<Scheduler>,
    pub swapper: Arc<Swapper>,
    pub backups: Backups,
    /// Nothing where the process logs in a way of its own.
    pub logging: Option<Logging>,
    pub started: Instant,
}

/// Why the host is not ready; empty if it is.
pub type Readiness = Box<dyn Fn() -> Vec<String> + Send + Sync>;

/// One way to the operator's API.
pub struct Door {
    pub control: Arc<Control>,
    pub access: Access,
}

impl<C: Send + 'static> Handler<C> for Door {
    async fn answer(self: Arc<Self>, request: Request<Incoming>, _client: C) -> Response<WasiBody> {
        match self.access.check(request.method(), request.uri().path(), request.headers()) {
            Ok(()) => self.control.route(request).await,
            Err(refusal) => {
                let mut response = error(refusal.status, refusal.message, None);
                if refusal.status == StatusCode::UNAUTHORIZED {
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                }
                response
            }
        }
    }
}

/// An answer, or the one that says why there is none.
type Answer = Result<Response<WasiBody>, Response<WasiBody>>;

impl Control {
    async fn route(&self, request: Request<Incoming>) -> Response<WasiBody> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        // One slash and no more: what is allowed depends on the path as it stands.
        let mut segments = path.strip_prefix('/').unwrap_or_default().split('/');
        let segments = [segments.next(), segments.next(), segments.next(), segments.next()];
        let answer = match (method, segments) {
            (Method::GET, [Some("livez"), None, ..]) => Ok(text(PLAIN, "ok\n")),
            (Method::GET, [Some("readyz"), None, ..]) => self.readyz(),
            (Method::GET, [Some("metrics"), None, ..]) => self.metrics(),
            (Method::GET, [Some("status"), None, ..]) => Ok(ok(&self.status())),
            (Method::GET, [Some("jobs"), None, ..]) => {
                Ok(ok(&self.scheduler.status().iter().map(status::job).collect()))
            }
            (Method::GET, [Some("components"), None, ..]) => Ok(ok(&self.components())),
            (Method::GET, [Some("components"), Some(id), Some("versions"), None]) => self.versions(id),
            (Method::PUT, [Some("components"), Some(id), None, _]) => self.replace(id, request).await,
            (Method::POST, [Some("components"), Some(id), Some("rollback"), None]) => self.roll_back(id).await,
            (Method::POST, [Some("swap"), None, ..]) => self.swap(request).await,
            (Method::POST, [Some("backup"), None, ..]) => Ok(self.backups.answer().await),
            (Method::GET, [Some("logs"), None, ..]) => self.logs(&Query(request.uri().query())),
            (Method::GET, [Some("log-levels"), None, ..]) => self.log_levels(),
            (Method::PUT, [Some("log-levels"), Some(id), None, _]) => self.set_log_level(id, request).await,
            (Method::POST, [Some("call"), Some(id), Some(_), _]) => {
                let target = request.uri().path_and_query().map_or("", |target| target.as_str()).to_owned();
                self.call(id, target.strip_prefix("/call/").and_then(|rest| rest.strip_prefix(id)).unwrap_or("/")).await
            }
            _ => Err(not_found()),
        };
        answer.unwrap_or_else(|refusal| refusal)
    }

    fn readyz(&self) -> Answer {
        match (self.readiness)().as_slice() {
            [] => Ok(text(PLAIN, "ready\n")),
            reasons => Err(error(StatusCode::SERVICE_UNAVAILABLE, &reasons.join("; "), None)),
        }
    }

    fn metrics(&self) -> Answer {
        let rendered = self.metrics.render();
        rendered
            .map(|metrics| text(metrics::CONTENT_TYPE, &metrics))
            .map_err(|problem| error(StatusCode::INTERNAL_SERVER_ERROR, &problem.to_string(), None))
    }

    fn components(&self) -> Value {
        self.registry.iter().map(|service| status::component(service)).collect()
    }

    fn status(&self) -> Value {
        let versions = self.swapper.status();
        json!({
            "host": status::host(self.started, &(self.readiness)()),
            "components": self.components(),
            "canary": versions.canary.as_ref().map(status::canary),
            "rollbacks": versions.rollbacks.iter().map(swaps::rollback).collect::<Value>(),
        })
    }

    fn versions(&self, id: &str) -> Answer {
        match self.swapper.versions(id) {
            Ok(versions) => Ok(ok(&versions.iter().map(swaps::version).collect())),
            Err(refusal) => Err(swapped(&Err(refusal))),
        }
    }

    async fn replace(&self, id: &str, request: Request<Incoming>) -> Answer {
        let bytes = collect(request, COMPONENT_BYTES_MAX).await?.into();
        let replacement = Replacement { component: id.to_owned(), bytes };
        Ok(swapped(&self.swapper.swap(vec![replacement], None, &|_| {}).await))
    }

    async fn swap(&self, request: Request<Incoming>) -> Answer {
        let query = Query(request.uri().query());
        let canary = swaps::canary(query.get("canary_percent"), query.get("hold_seconds")).map_err(bad_request)?;
        let body = collect(request, swaps::SWAP_BYTES_MAX).await?;
        let replacements = swaps::parse(body).map_err(|problem| bad_request(&problem))?;
        Ok(stream::response(swaps::start(Arc::clone(&self.swapper), replacements, canary)))
    }

    async fn roll_back(&self, id: &str) -> Answer {
        Ok(swapped(&self.swapper.roll_back(id).await))
    }

    fn logging(&self) -> Result<&Logging, Response<WasiBody>> {
        self.logging
            .as_ref()
            .ok_or_else(|| error(StatusCode::CONFLICT, "This host leaves its log to the program around it.", None))
    }

    fn logs(&self, query: &Query<'_>) -> Answer {
        let logs = &self.logging()?.logs;
        if let Some(id) = query.get("component") {
            self.service(id)?;
        }
        let wanted = logs::Wanted::new(query.get("component"), query.get("lines"), query.get("follow"));
        Ok(stream::response(logs::show(logs, wanted.map_err(bad_request)?)))
    }

    fn log_levels(&self) -> Answer {
        let levels = &self.logging()?.levels;
        Ok(ok(&self.registry.iter().map(|service| status::log_level(&service.id, levels)).collect()))
    }

    async fn set_log_level(&self, id: &str, request: Request<Incoming>) -> Answer {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body {
            level: Option<String>,
        }
        const LEVELS: &str =
            "a body is {\"level\": …}: off, error, warn, info, debug, trace, or null for the host's own";
        let levels = &self.logging()?.levels;
        let service = self.service(id)?;
        let body = collect(request, BODY_BYTES_MAX).await?;
        let body: Body = serde_json::from_slice(&body).map_err(|_| bad_request(LEVELS))?;
        let level = match body.level.as_deref() {
            None => None,
            Some(name) => Some(status::level(name).ok_or_else(|| bad_request(LEVELS))?),
        };
        levels.set(&service.id, level);
        let (level, _) = levels.of(&service.id);
        tracing::info!(component = %service.id, own_level = %level, "log level set by the operator");
        Ok(ok(&status::log_level(&service.id, levels)))
    }

    async fn call(&self, id: &str, target: &str) -> Answer {
        let service = self.service(id)?;
        let call = Call::own(service.limits.request_time_max);
        let correlation_id = call.correlation_id.clone();
        match post(service, target, call).await.and_then(message::from_record) {
            Ok(mut response) => {
                if let Ok(value) = HeaderValue::from_str(correlation_id.as_str()) {
                    response.headers_mut().insert(CORRELATION_ID, value);
                }
                Ok(response.map(message::full))
            }
            Err(failure) => Err(error(StatusCode::BAD_GATEWAY, &failure.to_string(), Some(correlation_id.as_str()))),
        }
    }

    fn service(&self, id: &str) -> Result<&Arc<Service>, Response<WasiBody>> {
        let unknown = || error(StatusCode::NOT_FOUND, &format!("There is no component {id:?}."), None);
        self.registry.get(id).ok_or_else(unknown)
    }
}

/// The part of an address behind `?`. Ids, numbers and words need no escapes.
struct Query<'a>(Option<&'a str>);

impl<'a> Query<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        let mut pairs = self.0?.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

async fn collect(request: Request<Incoming>, bytes_max: usize) -> Result<Bytes, Response<WasiBody>> {
    let body = request.into_body().map_err(wasmtime_wasi_http::Error::from).boxed_unsync();
    message::collect(body, bytes_max).await.map_err(|failure| match failure {
        Failure::TooLarge => {
            error(StatusCode::PAYLOAD_TOO_LARGE, &format!("At most {bytes_max} bytes are accepted."), None)
        }
        other => bad_request(&other.to_string()),
    })
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

fn swapped(outcome: &Result<Vec<Swapped>, SwapError>) -> Response<WasiBody> {
    let (status, body) = swaps::answer(outcome);
    json_response(status, &body)
}

fn ok(body: &Value) -> Response<WasiBody> {
    json_response(StatusCode::OK, body)
}

fn bad_request(problem: &str) -> Response<WasiBody> {
    error(StatusCode::BAD_REQUEST, problem, None)
}

fn not_found() -> Response<WasiBody> {
    error(StatusCode::NOT_FOUND, "There is nothing at this address.", None)
}

fn text(media_type: &'static str, body: &str) -> Response<WasiBody> {
    let mut response = Response::new(message::full(Bytes::from(body.to_owned())));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
