//! Requests and responses in their two forms: plain records for components with the
//! buffered handler, and `http` types with streaming bodies for everybody else.
//!
//! What must not pass from one connection to another is dropped here. Nothing here
//! knows routes.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request, uri::Authority};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use std::sync::Arc;
use wasmtime_wasi_http::WasiBody;

use crate::{
    call::Call,
    platform::{Request, Response},
    service::{Failure, Service},
    telemetry::Recording,
};

/// Names a request across log lines, components and the answer.
pub const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
/// W3C trace context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What vendors add to a trace's context.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Largest response that is collected from a streaming component for a caller that
/// wants it whole, in bytes.
const COLLECTED_RESPONSE_BYTES_MAX: usize = 16 << 20;

/// Headers about one connection or one encoding of a body. A component neither sees
/// nor sets them.
const CONNECTION_HEADERS: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Answers a request with streaming bodies by whichever handler the service has.
///
/// # Errors
/// See [`Failure`].
pub async fn dispatch(
    service: &Arc<Service>,
    mut call: Call,
    request: http::Request<WasiBody>,
) -> Result<http::Response<WasiBody>, Failure> {
    if !service.version(&mut call)?.has_handler() {
        let bytes_max = service.limits.body_bytes_max;
        let mut request = with_authority(request, &service.id).map(|body| limited(body, bytes_max));
        strip_connection_headers(request.headers_mut());
        let mut response = service.handle_streaming(call, request).await?;
        strip_connection_headers(response.headers_mut());
        return Ok(response);
    }
    let (parts, body) = request.into_parts();
    let remaining = call.deadline.saturating_duration_since(std::time::Instant::now());
    let body = tokio::time::timeout(remaining, collect(body, service.limits.body_bytes_max))
        .await
        .map_err(|_| Failure::Deadline)??;
    let response = service.handle(call, to_record(&parts, &body)).await?;
    Ok(from_record(response)?.map(full))
}

/// Asks a component that has only the streaming handler, and collects its answer.
///
/// # Errors
/// See [`Failure`].
pub async fn through_streams(service: &Arc<Service>, call: Call, record: Request) -> Result<Response, Failure> {
    let request = request_from_record(record)?;
    let request = with_authority(request, &service.id);
    let response = service.handle_streaming(call, request).await?;
    let (parts, body) = response.into_parts();
    let body = collect(body, COLLECTED_RESPONSE_BYTES_MAX).await?;
    Ok(Response { status: parts.status.as_u16(), headers: header_list(&parts.headers), body: body.into() })
}

/// The record of a request whose body has been read.
#[must_use]
pub fn to_record(parts: &request::Parts, body: &Bytes) -> Request {
    let mut headers = header_list(&parts.headers);
    // HTTP/2 has the host in the address; components find it where HTTP/1.1 has it.
    if let Some(authority) = parts.uri.authority()
        && !parts.headers.contains_key(header::HOST)
    {
        headers.push((header::HOST.as_str().to_owned(), authority.as_str().to_owned()));
    }
    Request {
        method: parts.method.as_str().to_owned(),
        target: parts.uri.path_and_query().map_or_else(|| "/".to_owned(), |target| target.as_str().to_owned()),
        headers,
        body: body.to_vec(),
    }
}

/// Says in the headers of a request which call it belongs to, whatever its sender said.
pub fn set_call(headers: &mut HeaderMap, call: &Call) {
    let own = [(CORRELATION_ID, call.correlation_id.to_string()), (TRACEPARENT, call.trace.to_string())];
    for (name, value) in own {
        // Both are made of plain letters and digits only.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}

/// Says in the headers of a request that leaves which span of which trace it belongs to,
/// unless the component itself continues a trace there.
pub fn set_trace(headers: &mut HeaderMap, call: &Call, span: Option<&Recording>) {
    let context = span.and_then(Recording::context);
    if context.is_none() && headers.contains_key(&TRACEPARENT) {
        return;
    }
    let trace = context.unwrap_or(call.trace).to_string();
    if let Ok(value) = HeaderValue::try_from(trace) {
        headers.insert(TRACEPARENT, value);
    }
    if let Some(Ok(state)) = call.trace_state.as_deref().map(HeaderValue::from_str) {
        headers.insert(TRACESTATE, state);
    }
}

/// Says in the headers of a record which call it belongs to, whatever its sender said.
pub fn set_call_headers(record: &mut Request, call: &Call) {
    let own = [(CORRELATION_ID, call.correlation_id.to_string()), (TRACEPARENT, call.trace.to_string())];
    record.headers.retain(|(sent, _)| !own.iter().any(|(name, _)| sent.eq_ignore_ascii_case(name.as_str())));
    record.headers.extend(own.map(|(name, value)| (name.as_str().to_owned(), value)));
}

/// The response that a record stands for.
///
/// # Errors
/// When a component answers with what cannot be sent: a status that is none, or a
/// header that is no header.
pub fn from_record(record: Response) -> Result<http::Response<Bytes>, Failure> {
    let invalid = |what: &str| Failure::Trapped(wasmtime::Error::msg(format!("the component answered with {what}")));
    let status = StatusCode::from_u16(record.status)
        .ok()
        .filter(|status| !status.is_informational())
        .ok_or_else(|| invalid(&format!("the status {}", record.status)))?;
    let headers = header_map(&record.headers).ok_or_else(|| invalid("an invalid header"))?;
    let mut response = http::Response::new(Bytes::from(record.body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn request_from_record(record: Request) -> Result<http::Request<WasiBody>, Failure> {
    let invalid = || Failure::Trapped(wasmtime::Error::msg("the request is not valid HTTP"));
    let headers = header_map(&record.headers).ok_or_else(invalid)?;
    let mut request = http::Request::builder()
        .method(record.method.as_str())
        .uri(record.target)
        .body(full(Bytes::from(record.body)))
        .map_err(|_| invalid())?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// A body that is there already.
#[must_use]
pub fn full(body: Bytes) -> WasiBody {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

/// The body, which breaks off with an error where it is larger than `bytes_max`.
fn limited(body: WasiBody, bytes_max: usize) -> WasiBody {
    Limited::new(body, bytes_max)
        .map_err(move |error| match error.downcast::<wasmtime_wasi_http::Error>() {
            Ok(error) => *error,
            Err(_) => wasmtime_wasi_http::Error::HttpRequestBodySize(u64::try_from(bytes_max).ok()),
        })
        .boxed_unsync()
}

/// Reads a body of at most `bytes_max`.
///
/// # Errors
/// When it is larger, or breaks off.
pub async fn collect(body: WasiBody, bytes_max: usize) -> Result<Bytes, Failure> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::TooLarge),
        Err(error) => Err(Failure::Trapped(wasmtime::Error::msg(format!("a body broke off: {error}")))),
    }
}

fn strip_connection_headers(headers: &mut HeaderMap) {
    for name in &CONNECTION_HEADERS {
        if *name != header::CONTENT_LENGTH {
            headers.remove(name);
        }
    }
}

fn header_list(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| !CONNECTION_HEADERS.contains(name))
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

/// The headers as a map, without those of the connection; nothing if one is invalid.
fn header_map(headers: &[(String, String)]) -> Option<HeaderMap> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        if !CONNECTION_HEADERS.contains(&name) {
            map.append(name, HeaderValue::from_str(value).ok()?);
        }
    }
    Some(map)
}

/// `wasi:http` wants to know scheme and host; requests from inside have none.
fn with_authority(mut request: http::Request<WasiBody>, service: &str) -> http::Request<WasiBody> {
    if request.uri().authority().is_some() {
        return request;
    }
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| Authority::try_from(host.as_bytes()).ok())
        .or_else(|| Authority::try_from(format!("{service}.spin.internal")).ok());
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(http::uri::Scheme::HTTP);
    parts.authority = host;
    if parts.path_and_query.is_none() {
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    }
    if let Ok(uri) = http::Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_keeps_repeated_headers_and_loses_those_of_the_connection() {
        let headers =
            [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("transfer-encoding", "chunked"), ("content-length", "9")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let response = from_record(Response { status: 200, headers: headers.into(), body: vec![1] }).unwrap();
        assert_eq!(response.headers().get_all(header::SET_COOKIE).iter().count(), 2);
        assert_eq!(response.headers().len(), 2);
    }

    #[test]
    fn what_cannot_be_sent_is_a_failure_of_the_component() {
        let response = |status, name: &str, value: &str| {
            from_record(Response { status, headers: vec![(name.into(), value.into())], body: vec![] })
        };
        assert!(response(200, "x", "y").is_ok());
        for (status, name, value) in [(99, "x", "y"), (101, "x", "y"), (200, "a b", "y"), (200, "x", "a\r\nb: c")] {
            assert!(matches!(response(status, name, value), Err(Failure::Trapped(_))), "{status} {name} {value}");
        }
    }
}
