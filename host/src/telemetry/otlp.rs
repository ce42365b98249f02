//! Sends spans and metrics to an OpenTelemetry collector: OTLP over HTTP, as JSON.
//!
//! It is configured by OpenTelemetry's own environment variables and off without
//! `OTEL_EXPORTER_OTLP_ENDPOINT`. What a collector does not take is tried once more
//! and then lost: telemetry never fills the memory nor slows a request down.

mod encode;
mod metrics;

use std::{
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    Metrics, Tracer,
    metrics::ExportOutcome,
    span::{Sampler, Span},
};
use crate::{
    capability::{allowed_hosts::AllowedHosts, outbound_http},
    message,
};

/// Spans that are sent in one request.
const REQUEST_SPANS_MAX: usize = 512;
/// How long a span waits for others to be sent with.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// Time for one request to the collector.
const EXPORT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a refused request waits to be tried once more.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// Time for what is left when the host stops.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);
/// Between two failures that are logged.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Where telemetry goes, and what of it.
#[derive(Debug, Clone)]
pub struct Settings {
    endpoint: Uri,
    headers: HeaderMap,
    resource: Vec<(String, String)>,
    sampler: Sampler,
    metrics_interval: Duration,
}

impl Settings {
    /// Reads OpenTelemetry's variables; nothing where there is no endpoint.
    ///
    /// # Errors
    /// Every variable that cannot be read, with what it should be.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Vec<String>> {
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let Some(endpoint) = variable("OTEL_EXPORTER_OTLP_ENDPOINT") else {
            return Ok(None);
        };
        let mut problems = Vec::new();
        let endpoint = parse_endpoint(&endpoint).unwrap_or_else(|problem| {
            problems.push(problem);
            Uri::default()
        });
        if let Some(protocol) = variable("OTEL_EXPORTER_OTLP_PROTOCOL").filter(|protocol| protocol != "http/json") {
            problems.push(format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL is {protocol:?}; only http/json is spoken here (collectors take it at port 4318)"
            ));
        }
        let mut take = |outcome: Result<HeaderMap, String>| outcome.map_err(|problem| problems.push(problem)).ok();
        let headers = take(parse_headers(&variable("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default()));
        let sampler = variable("OTEL_TRACES_SAMPLER").unwrap_or_else(|| "parentbased_always_on".to_owned());
        let sampler = parse_sampler(&sampler, variable("OTEL_TRACES_SAMPLER_ARG").as_deref())
            .map_err(|problem| problems.push(problem));
        let interval_ms = variable("OTEL_METRIC_EXPORT_INTERVAL").unwrap_or_else(|| "60000".to_owned());
        let metrics_interval = interval_ms.parse().ok().filter(|ms| *ms >= 100).map(Duration::from_millis);
        if metrics_interval.is_none() {
            problems.push(format!(
                "OTEL_METRIC_EXPORT_INTERVAL is {interval_ms:?}; give milliseconds, 100 or more, such as 60000"
            ));
        }
        let service = variable("OTEL_SERVICE_NAME").unwrap_or_else(|| "cairn".to_owned());
        let resource = parse_resource(&variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default(), service);
        match (headers, sampler, metrics_interval) {
            (Some(headers), Ok(sampler), Some(metrics_interval)) if problems.is_empty() => {
                Ok(Some(Self { endpoint, headers, resource, sampler, metrics_interval }))
            }
            _ => Err(problems),
        }
    }

    /// A collector at `endpoint`, which is told everything: for tests and programs that
    /// embed the host.
    ///
    /// # Errors
    /// When it is no address of HTTP.
    pub fn new(endpoint: &str, metrics_interval: Duration) -> Result<Self, String> {
        Ok(Self {
            endpoint: parse_endpoint(endpoint)?,
            headers: HeaderMap::new(),
            resource: parse_resource("", "cairn".to_owned()),
            sampler: Sampler::PARENT_OR_ALL,
            metrics_interval,
        })
    }
}

fn parse_endpoint(text: &str) -> Result<Uri, String> {
    let wrong = || {
        format!(
            "OTEL_EXPORTER_OTLP_ENDPOINT is {text:?}; give the collector's base address, such as http://127.0.0.1:4318"
        )
    };
    let uri: Uri = text.trim().trim_end_matches('/').parse().map_err(|_| wrong())?;
    let http = matches!(uri.scheme_str(), Some("http" | "https"));
    if http && uri.host().is_some() && uri.query().is_none() { Ok(uri) } else { Err(wrong()) }
}

/// `key=value` pairs with commas between them, values percent-encoded.
fn pairs(text: &str) -> impl Iterator<Item = (&str, String)> {
    text.split(',').filter(|pair| !pair.trim().is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key.trim(), percent_decoded(value.trim()))
    })
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| byte == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The values are often keys of the collector's: a problem names none of them.
fn parse_headers(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs(text) {
        let parsed = (HeaderName::try_from(name), HeaderValue::try_from(value));
        let (Ok(key), Ok(mut value)) = parsed else {
            return Err(format!("OTEL_EXPORTER_OTLP_HEADERS holds {name:?}, which is no header; write name=value,…"));
        };
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

fn parse_resource(text: &str, service: String) -> Vec<(String, String)> {
    let mut resource: Vec<(String, String)> =
        pairs(text).filter(|(key, _)| *key != "service.name").map(|(key, value)| (key.to_owned(), value)).collect();
    resource.push(("service.name".to_owned(), service));
    resource
}

fn parse_sampler(name: &str, share: Option<&str>) -> Result<Sampler, String> {
    let (parent_based, rest) = match name.strip_prefix("parentbased_") {
        Some(rest) => (true, rest),
        None => (false, name),
    };
    let share = match rest {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => {
            let text = share.unwrap_or("1");
            text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| {
                format!("OTEL_TRACES_SAMPLER_ARG is {text:?}; give the share of traces to record, 0 to 1, such as 0.1")
            })?
        }
        _ => {
            return Err(format!(
                "OTEL_TRACES_SAMPLER is {name:?}; it is always_on, always_off or traceidratio, or one of these after parentbased_"
            ));
        }
    };
    Ok(Sampler { parent_based, share })
}

/// The task that sends. It ends, with what it still has, when [`Exporter::stop`] is called.
pub struct Exporter {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Sends spans of the tracer that it gives, and `metrics`, from now on. Must be
    /// called inside a tokio runtime.
    ///
    /// # Errors
    /// When the endpoint cannot be one.
    pub fn start(settings: Settings, metrics: &Arc<Metrics>) -> Result<(Self, Tracer), String> {
        let (tracer, spans) = Tracer::new(settings.sampler);
        let (stop, stopped) = oneshot::channel();
        let collector = Collector::new(&settings)?;
        let work = Work {
            spans,
            pending: Vec::new(),
            tracer: tracer.clone(),
            metrics: Arc::downgrade(metrics),
            collector,
            resource: settings.resource,
            started: SystemTime::now(),
        };
        let task = tokio::spawn(work.run(settings.metrics_interval, stopped));
        Ok((Self { stop, task }, tracer))
    }

    /// Sends what is left, within 5 s.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        if timeout(STOP_TIME_MAX, self.task).await.is_err() {
            tracing::warn!("the last telemetry did not reach the collector in time");
        }
    }
}

struct Work {
    spans: mpsc::Receiver<Span>,
    pending: Vec<Span>,
    tracer: Tracer,
    metrics: Weak<Metrics>,
    collector: Collector,
    resource: Vec<(String, String)>,
    started: SystemTime,
}

impl Work {
    async fn run(mut self, metrics_interval: Duration, mut stopped: oneshot::Receiver<()>) {
        let mut flush = interval(FLUSH_INTERVAL);
        let mut measure = interval(metrics_interval);
        for ticks in [&mut flush, &mut measure] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // The first tick comes at once, when there is nothing to send.
            ticks.tick().await;
        }
        loop {
            tokio::select! {
                _ = &mut stopped => break,
                count = self.spans.recv_many(&mut self.pending, REQUEST_SPANS_MAX) => {
                    if count == 0 { break }
                    if self.pending.len() >= REQUEST_SPANS_MAX { self.send_spans().await }
                }
                _ = flush.tick() => self.send_spans().await,
                _ = measure.tick() => self.send_metrics().await,
            }
        }
        while let Ok(span) = self.spans.try_recv() {
            self.pending.push(span);
        }
        self.send_spans().await;
        self.send_metrics().await;
    }

    async fn send_spans(&mut self) {
        let metrics = self.metrics.upgrade();
        if let Some(metrics) = &metrics {
            metrics.spans_dropped(self.tracer.dropped());
        }
        for spans in std::mem::take(&mut self.pending).chunks(REQUEST_SPANS_MAX) {
            let body = encode::spans(&self.resource, spans);
            let outcome = self.collector.send("/v1/traces", body).await;
            if let Some(metrics) = &metrics {
                metrics.exported("traces", outcome);
            }
        }
    }

    async fn send_metrics(&mut self) {
        let Some(metrics) = self.metrics.upgrade() else {
            return;
        };
        match metrics.render() {
            Ok(text) => {
                let body = metrics::from_text(&self.resource, &text, self.started, SystemTime::now());
                let outcome = self.collector.send("/v1/metrics", body).await;
                metrics.exported("metrics", outcome);
            }
            Err(error) => tracing::error!(%error, "the metrics cannot be read"),
        }
    }
}

/// The address that telemetry is sent to.
struct Collector {
    client: outbound_http::HttpClient,
    endpoint: String,
    headers: HeaderMap,
    complained: Option<Instant>,
}

impl Collector {
    fn new(settings: &Settings) -> Result<Self, String> {
        let origin = format!(
            "{}://{}",
            settings.endpoint.scheme_str().unwrap_or("http"),
            settings.endpoint.authority().map_or("", |authority| authority.as_str())
        );
        let allowed = AllowedHosts::parse(&[origin]).map_err(|problems| problems.join("; "))?;
        let mut headers = settings.headers.clone();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Self {
            client: outbound_http::client(&Arc::new(allowed)),
            endpoint: settings.endpoint.to_string().trim_end_matches('/').to_owned(),
            headers,
            complained: None,
        })
    }

    async fn send(&mut self, path: &str, body: String) -> ExportOutcome {
        let first = self.try_send(path, body.clone()).await;
        let outcome = match first {
            Err(_) => {
                tokio::time::sleep(RETRY_WAIT).await;
                self.try_send(path, body).await
            }
            sent => sent,
        };
        match outcome {
            Ok(()) => ExportOutcome::Sent,
            Err(problem) => {
                if self.complained.is_none_or(|at| at.elapsed() >= COMPLAINT_INTERVAL) {
                    self.complained = Some(Instant::now());
                    tracing::warn!(collector = self.endpoint, problem, "telemetry was lost: is the collector up?");
                }
                ExportOutcome::Lost
            }
        }
    }

    async fn try_send(&self, path: &str, body: String) -> Result<(), String> {
        let mut request = Request::new(message::full(body.into()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() =
            format!("{}{path}", self.endpoint).parse().map_err(|_| "its address is wrong".to_owned())?;
        *request.headers_mut() = self.headers.clone();
        let answer = timeout(EXPORT_TIME_MAX, self.client.request(request)).await;
        let response = answer.map_err(|_| "no answer in 10 s".to_owned())?.map_err(|error| error.to_string())?;
        if response.status().is_success() { Ok(()) } else { Err(format!("it answers {}", response.status())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Settings>, Vec<String>> {
        Settings::from_environment(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn without_an_endpoint_it_is_off() {
        assert!(read(&[("OTEL_SERVICE_NAME", "x")]).unwrap().is_none());
        assert!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).unwrap().is_none());
    }

    #[test]
    fn the_standard_variables_are_read() {
        let settings = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b,x=y"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test,service.name=other"),
            ("OTEL_SERVICE_NAME", "shop"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "2000"),
        ]);
        let settings = settings.unwrap().unwrap();
        assert_eq!(settings.headers.get("api-key").unwrap(), "a b");
        assert_eq!(settings.sampler, Sampler { parent_based: false, share: 0.5 });
        assert_eq!(settings.metrics_interval, Duration::from_secs(2));
        let expected = [("deployment.environment", "test"), ("service.name", "shop")];
        assert_eq!(settings.resource, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert!(!format!("{settings:?}").contains("a b"), "a key is not shown");
    }

    #[test]
    fn all_that_is_wrong_is_named_at_once() {
        let problems = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a b=secret"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "often"),
        ]);
        let problems = problems.unwrap_err();
        assert_eq!(problems.len(), 5, "{problems:?}");
        assert!(!problems.join(" ").contains("secret"));
        let share = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ];
        assert_eq!(read(&share).unwrap_err().len(), 1);
    }
}
