//! Headers on the way in and out.

use cairn_shared::{
    Error, Timestamp,
    http::{Request, Response},
};

use crate::{
    app::Policy,
    domain::{self, Origins},
    limits::Decision,
};

pub const CORRELATION_ID: &str = "x-correlation-id";
const CLIENT_ADDRESS: &str = "spin-client-addr";

const METHODS: &str = "GET, POST, PUT, DELETE, PATCH, OPTIONS";
const REQUEST_HEADERS: &str = "Content-Type, Authorization, X-Requested-With, Accept, Origin, Cache-Control, Pragma, \
     If-None-Match, If-Modified-Since, X-Correlation-Id, Idempotency-Key";
const EXPOSED_HEADERS: &str = "Content-Range, X-Content-Range, Content-Disposition, X-Correlation-Id, Retry-After, \
     X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset";
/// How long a browser may remember a preflight, in seconds.
const PREFLIGHT_SECONDS: &str = "600";

/// What is kept of a request after it has been sent on.
#[derive(Debug, Default)]
pub struct Kept {
    pub correlation_id: String,
    /// The request's origin, if its pages may read the answer.
    pub origin: Option<String>,
    pub decision: Option<Decision>,
}

/// The address a request came from, as far as it can be trusted: the connection's, or
/// what the nearest of the trusted proxies wrote down.
pub fn client_address(request: &Request, trusted_proxies: usize) -> &str {
    let connection = request.header(CLIENT_ADDRESS).unwrap_or_default();
    if trusted_proxies == 0 {
        return connection;
    }
    let forwarded = request.headers.iter().filter(|(name, _)| name == "x-forwarded-for");
    let hops: Vec<_> = forwarded.flat_map(|(_, value)| value.split(',')).map(str::trim).collect();
    let at = hops.len().checked_sub(trusted_proxies);
    at.and_then(|at| hops.get(at)).copied().filter(|hop| !hop.is_empty()).unwrap_or(connection)
}

/// Takes a good correlation id along, or makes one, and drops what nobody outside may say.
pub fn take_in(request: &mut Request) -> String {
    request.headers.retain(|(name, _)| !domain::is_stripped(name));
    let given = request.header(CORRELATION_ID).filter(|id| domain::is_correlation_id(id));
    if let Some(id) = given {
        return id.to_owned();
    }
    let mut bytes = [0; 16];
    cairn_shared::id::random(&mut bytes);
    let id = format!("{:032x}", u128::from_be_bytes(bytes));
    request.headers.retain(|(name, _)| name != CORRELATION_ID);
    request.headers.push((CORRELATION_ID.to_owned(), id.clone()));
    id
}

/// Whether the page that sent a request may send cookies: an allowed one, or one of
/// the same host. Without an origin and a referrer nobody vouches for it.
pub fn comes_from_allowed_page(request: &Request, origins: &Origins) -> bool {
    let from = request.header("origin").or_else(|| request.header("referer").and_then(domain::origin_of));
    let Some(from) = from else { return false };
    let own = request.header("host");
    origins.allow(from) || from.split_once("://").is_some_and(|(_, host)| own == Some(host))
}

/// The answer to a preflight, the same for every path.
pub fn preflight() -> Response {
    Response::empty(204)
        .header("access-control-allow-methods", METHODS)
        .header("access-control-allow-headers", REQUEST_HEADERS)
        .header("access-control-max-age", PREFLIGHT_SECONDS)
}

/// The answer to somebody who asks too often.
pub fn too_many(decision: Decision, now: Timestamp) -> Response {
    Error::new(429, "RATE_LIMIT_EXCEEDED", "Too many requests. Please wait a little and try again.")
        .retry_after(decision.reset_seconds)
        .into_response("gateway", now)
}

/// Sets on a response what holds for all of them.
pub fn finish(mut response: Response, kept: Kept, policy: &Policy) -> Response {
    let headers = &mut response.headers;
    let has = |headers: &[(String, String)], name: &str| headers.iter().any(|(key, _)| key == name);
    let mut set = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
    set("vary", "Origin");
    if let Some(origin) = &kept.origin {
        set("access-control-allow-origin", origin);
        set("access-control-allow-credentials", "true");
        set("access-control-expose-headers", EXPOSED_HEADERS);
    }
    set("x-content-type-options", "nosniff");
    set("x-frame-options", "DENY");
    set("referrer-policy", "strict-origin-when-cross-origin");
    if policy.production {
        set("strict-transport-security", "max-age=31536000; includeSubDomains");
    }
    if let Some(decision) = kept.decision {
        set("x-ratelimit-limit", &decision.limit.to_string());
        set("x-ratelimit-remaining", &decision.remaining.to_string());
        set("x-ratelimit-reset", &decision.reset_seconds.to_string());
    }
    headers.push((CORRELATION_ID.to_owned(), kept.correlation_id));
    if !has(headers, "content-security-policy") {
        headers.push(("content-security-policy".to_owned(), "frame-ancestors 'none'".to_owned()));
    }
    if !has(headers, "cache-control") {
        for (name, value) in [
            ("cache-control", "no-store, no-cache, must-revalidate, proxy-revalidate"),
            ("pragma", "no-cache"),
            ("expires", "0"),
            ("surrogate-control", "no-store"),
        ] {
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    response
}

/// Drops what a service may not say to the outside.
pub fn let_out(mut response: Response) -> Response {
    response.headers.retain(|(name, _)| !is_dropped_from_answer(name));
    response
}

/// Headers of a service's answer that end here: ours to set, or nobody's business.
fn is_dropped_from_answer(name: &str) -> bool {
    name.starts_with("x-cairn-")
        || name.starts_with("access-control-")
        || matches!(
            name,
            CORRELATION_ID
                | "x-powered-by"
                | "server"
                | "connection"
                | "transfer-encoding"
                | "x-content-type-options"
                | "x-frame-options"
                | "referrer-policy"
                | "strict-transport-security"
        )
}
