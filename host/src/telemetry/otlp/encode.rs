//! Spans in the JSON of OTLP: ids in hex, 64-bit numbers as text.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};

use crate::telemetry::span::{Span, Value};

/// The name under which what the host measures is told.
const SCOPE: &str = "cairn";
/// OTLP's code for a span that failed.
const STATUS_ERROR: u8 = 2;

/// The body of a request to `/v1/traces`.
pub(super) fn spans(resource: &[(String, String)], spans: &[Span]) -> String {
    let spans: Vec<Json> = spans.iter().map(span).collect();
    let body = json!({ "resourceSpans": [{
        "resource": self::resource(resource),
        "scopeSpans": [{ "scope": scope(), "spans": spans }],
    }] });
    body.to_string()
}

pub(super) fn resource(attributes: &[(String, String)]) -> Json {
    let attributes: Vec<Json> =
        attributes.iter().map(|(key, value)| json!({ "key": key, "value": { "stringValue": value } })).collect();
    json!({ "attributes": attributes })
}

pub(super) fn scope() -> Json {
    json!({ "name": SCOPE, "version": env!("CARGO_PKG_VERSION") })
}

/// Nanoseconds since 1970, as text.
pub(super) fn nanos(at: SystemTime) -> String {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

fn span(span: &Span) -> Json {
    let mut json = json!({
        "traceId": format!("{:032x}", span.context.trace_id()),
        "spanId": format!("{:016x}", span.context.span_id()),
        "kind": span.kind as u8,
        "name": span.name,
        "startTimeUnixNano": nanos(span.started),
        "endTimeUnixNano": nanos(span.ended),
        "attributes": span.attributes.iter().map(|(key, value)| attribute(key, value)).collect::<Vec<_>>(),
        "status": match &span.error {
            Some(reason) => json!({ "code": STATUS_ERROR, "message": reason }),
            None => json!({}),
        },
    });
    if let Some(parent) = span.context.parent_span_id() {
        json["parentSpanId"] = format!("{parent:016x}").into();
    }
    json
}

fn attribute(key: &str, value: &Value) -> Json {
    match value {
        Value::Text(text) => json!({ "key": key, "value": { "stringValue": text } }),
        Value::Integer(number) => json!({ "key": key, "value": { "intValue": number.to_string() } }),
    }
}
