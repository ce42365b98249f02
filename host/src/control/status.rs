//! What the operator's API tells of components and jobs.

use std::time::Instant;

use serde_json::{Value, json};
use tracing::level_filters::LevelFilter;

use super::swaps;
use crate::{
    host::swap::CanaryStatus,
    scheduler::JobStatus,
    service::Service,
    telemetry::{LogLevels, metrics},
};

pub(super) fn host(started: Instant, problems: &[String]) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": problems.is_empty(),
        "problems": problems,
        "ageSeconds": started.elapsed().as_secs(),
        "memoryBytes": metrics::resident_bytes(),
    })
}

pub(super) fn component(service: &Service) -> Value {
    let version = service.current();
    let (requests, errors) = version.as_ref().map_or((0, 0), |version| version.counts());
    let recent = version.as_ref().map(|version| version.lately.of(&version.tally));
    let percentile = |percent| Some(recent.as_ref()?.percentile(percent)?.as_secs_f64() * 1_000.0);
    json!({
        "id": &*service.id,
        "version": version.as_ref().map(|version| version.compiled.hash.as_str()),
        "ageSeconds": version.as_ref().map(|version| version.started.elapsed().as_secs()),
        "requests": requests,
        "errors": errors,
        "p50Ms": percentile(50),
        "p99Ms": percentile(99),
        "memoryBytes": service.metrics.memory_bytes(),
        "running": service.running(),
        "idleInstances": version.as_ref().map(|version| version.idle_count()),
        "circuitOpen": version.as_ref().is_some_and(|version| version.breaker.is_open(Instant::now())),
    })
}

pub(super) fn canary(canary: &CanaryStatus) -> Value {
    json!({
        "swapped": swaps::list(&canary.swapped),
        "sharePercent": canary.share_percent,
        "beganMs": canary.began_ms,
        "endsMs": canary.ends_ms,
        "requests": canary.requests,
        "errors": canary.errors,
    })
}

pub(super) fn job(status: &JobStatus) -> Value {
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

pub(super) fn log_level(component: &str, levels: &LogLevels) -> Value {
    let (level, own) = levels.of(component);
    json!({ "component": component, "level": name(level), "own": own })
}

const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// The level of that name.
pub(super) fn level(name: &str) -> Option<LevelFilter> {
    LEVELS.iter().find(|(known, _)| *known == name).map(|(_, level)| *level)
}

fn name(level: LevelFilter) -> Option<&'static str> {
    LEVELS.iter().find(|(_, known)| *known == level).map(|(name, _)| *name)
}
