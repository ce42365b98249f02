//! The metrics in the JSON of OTLP.
//!
//! They are read from the text that `/metrics` answers, so that a collector is told
//! exactly what a scraper reads, by the same names: one list of metrics, not two.

use std::{collections::BTreeMap, time::SystemTime};

use serde_json::{Value as Json, json};

use super::encode::{nanos, resource, scope};

/// OTLP's code for values that count from the start of the process.
const CUMULATIVE: u8 = 2;

/// The body of a request to `/v1/metrics`.
pub(super) fn from_text(attributes: &[(String, String)], text: &str, started: SystemTime, now: SystemTime) -> String {
    let families = families(text);
    let times = Times { started: nanos(started), now: nanos(now) };
    let metrics: Vec<Json> = families.iter().map(|family| family.to_json(&times)).collect();
    let body = json!({ "resourceMetrics": [{
        "resource": resource(attributes),
        "scopeMetrics": [{ "scope": scope(), "metrics": metrics }],
    }] });
    body.to_string()
}

struct Times {
    started: String,
    now: String,
}

/// One metric with all its series.
#[derive(Debug, PartialEq)]
struct Family<'t> {
    name: &'t str,
    kind: &'t str,
    help: &'t str,
    unit: &'t str,
    samples: Vec<Sample<'t>>,
}

/// One line of the text.
#[derive(Debug, PartialEq)]
struct Sample<'t> {
    /// What follows the metric's name: `_total`, `_bucket`, `_sum`, `_count` or nothing.
    suffix: &'t str,
    labels: Vec<(&'t str, String)>,
    value: f64,
}

fn families(text: &str) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (Some(what), Some(name), Some(rest)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            if families.last().is_none_or(|family| family.name != name) {
                families.push(Family { name, kind: "", help: "", unit: "", samples: Vec::new() });
            }
            if let Some(family) = families.last_mut() {
                match what {
                    "HELP" => family.help = rest,
                    "TYPE" => family.kind = rest,
                    "UNIT" => family.unit = rest,
                    _ => {}
                }
            }
        } else if let Some(family) = families.last_mut()
            && let Some(sample) = sample(family.name, line)
        {
            family.samples.push(sample);
        }
    }
    families
}

fn sample<'t>(metric: &str, line: &'t str) -> Option<Sample<'t>> {
    let rest = line.strip_prefix(metric)?;
    let end = rest.find(['{', ' '])?;
    let (suffix, rest) = rest.split_at_checked(end)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { suffix, labels, value })
}

/// The labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        labels.push((name, value));
        rest = after;
    }
}

/// The text up to the closing quote, without its escapes, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

impl Family<'_> {
    fn to_json(&self, times: &Times) -> Json {
        let mut json = json!({ "name": self.name, "description": self.help, "unit": self.unit });
        match self.kind {
            "counter" => {
                json["sum"] = json!({
                    "dataPoints": self.numbers("_total", times),
                    "aggregationTemporality": CUMULATIVE,
                    "isMonotonic": true,
                });
            }
            "histogram" => {
                json["histogram"] =
                    json!({ "dataPoints": self.distributions(times), "aggregationTemporality": CUMULATIVE });
            }
            _ => json["gauge"] = json!({ "dataPoints": self.numbers("", times) }),
        }
        json
    }

    fn numbers(&self, suffix: &str, times: &Times) -> Vec<Json> {
        let samples = self.samples.iter().filter(|sample| sample.suffix == suffix);
        let point = |sample: &Sample<'_>| {
            json!({
                "attributes": attributes(&sample.labels),
                "startTimeUnixNano": times.started,
                "timeUnixNano": times.now,
                "asDouble": sample.value,
            })
        };
        samples.map(point).collect()
    }

    /// The lines of a histogram are put together by the labels that they share.
    fn distributions(&self, times: &Times) -> Vec<Json> {
        let mut series: BTreeMap<Vec<(&str, String)>, Distribution> = BTreeMap::new();
        for sample in &self.samples {
            let (bounds, labels): (Vec<_>, Vec<_>) = sample.labels.iter().cloned().partition(|(name, _)| *name == "le");
            let distribution = series.entry(labels).or_default();
            match (sample.suffix, bounds.first()) {
                ("_sum", _) => distribution.sum = sample.value,
                ("_count", _) => distribution.count = sample.value,
                ("_bucket", Some((_, bound))) => distribution.buckets.push((bound.clone(), sample.value)),
                _ => {}
            }
        }
        series.iter().map(|(labels, distribution)| distribution.to_json(labels, times)).collect()
    }
}

#[derive(Default)]
struct Distribution {
    sum: f64,
    count: f64,
    /// Upper bounds, and how many are at or below them.
    buckets: Vec<(String, f64)>,
}

impl Distribution {
    fn to_json(&self, labels: &[(&str, String)], times: &Times) -> Json {
        let mut below = 0.0;
        let mut counts = Vec::new();
        for (_, cumulated) in &self.buckets {
            counts.push(whole(cumulated - below));
            below = *cumulated;
        }
        let bounds: Vec<f64> = self.buckets.iter().filter_map(|(bound, _)| bound.parse().ok()).collect();
        json!({
            "attributes": attributes(labels),
            "startTimeUnixNano": times.started,
            "timeUnixNano": times.now,
            "count": whole(self.count),
            "sum": self.sum,
            "bucketCounts": counts,
            // The last bucket has no upper bound.
            "explicitBounds": bounds.iter().filter(|bound| bound.is_finite()).collect::<Vec<_>>(),
        })
    }
}

/// A count as OTLP writes it: 64-bit numbers are text.
fn whole(count: f64) -> String {
    format!("{count:.0}")
}

fn attributes(labels: &[(&str, String)]) -> Vec<Json> {
    labels.iter().map(|(key, value)| json!({ "key": key, "value": { "stringValue": value } })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Metrics, metrics::RunOutcome};

    fn told() -> Json {
        let metrics = Metrics::new();
        let web = metrics.component("web");
        web.request().finish(204);
        web.instance_created();
        metrics.scheduler_run("web", "/a\"\\\nb", RunOutcome::Failed);
        let text = metrics.render().unwrap();
        let body = from_text(&[("service.name".into(), "shop".into())], &text, SystemTime::now(), SystemTime::now());
        serde_json::from_str(&body).unwrap()
    }

    fn metric(told: &Json, name: &str) -> Json {
        let metrics = told["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
        metrics.iter().find(|metric| metric["name"] == name).unwrap_or_else(|| panic!("no {name} in {told}")).clone()
    }

    #[test]
    fn counters_gauges_and_histograms_keep_their_values() {
        let told = told();
        let requests = metric(&told, "cairn_http_requests");
        let points = requests["sum"]["dataPoints"].as_array().unwrap();
        let success = points.iter().find(|point| point["attributes"][1]["value"]["stringValue"] == "2xx").unwrap();
        assert_eq!(success["asDouble"], 1.0);
        assert_eq!(metric(&told, "cairn_instances")["gauge"]["dataPoints"][0]["asDouble"], 1.0);
        let durations = metric(&told, "cairn_http_request_duration_seconds");
        let point = &durations["histogram"]["dataPoints"][0];
        assert_eq!((point["count"].as_str(), durations["unit"].as_str()), (Some("1"), Some("seconds")));
        let counts = point["bucketCounts"].as_array().unwrap();
        assert_eq!(counts.len(), point["explicitBounds"].as_array().unwrap().len() + 1);
        let sum: u64 = counts.iter().map(|count| count.as_str().unwrap().parse::<u64>().unwrap()).sum();
        assert_eq!(sum, 1);
    }

    #[test]
    fn labels_lose_their_escapes() {
        let runs = metric(&told(), "cairn_scheduler_runs");
        assert_eq!(runs["sum"]["dataPoints"][0]["attributes"][1]["value"]["stringValue"], "/a\"\\\nb");
    }
}
