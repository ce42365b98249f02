//! Components at a URL: fetched once, and known by their digest from then on.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use crate::{
    capability::{
        allowed_hosts::AllowedHosts,
        outbound_http::{self, HttpClient, Refusal},
    },
    manifest::Remote,
    message,
    precompiled::{COMPONENT_BYTES_MAX, content_hash},
};

/// Addresses that one URL may lead to, one after the other.
const REDIRECTS_MAX: usize = 5;
/// Time for all of it.
const FETCH_TIME_MAX: Duration = Duration::from_secs(300);
/// Time without a byte from the server.
const SILENCE_TIME_MAX: Duration = Duration::from_secs(30);
/// How often the progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// The bytes of a component, which are those of the digest.
///
/// # Errors
/// Why they cannot be had, and what to do.
pub(super) async fn fetch(component: &str, remote: &Remote) -> Result<Bytes, String> {
    let url = shown(&remote.url);
    tracing::info!(component, url, "fetching the component");
    let began = Instant::now();
    let fetching = async {
        let response = follow(&remote.url).await?;
        let bytes = read(component, response).await?;
        let found = content_hash(&bytes);
        if found != remote.sha256 {
            return Err(format!(
                "its SHA-256 is {found} and not {}, as the manifest has it: if that file is wanted, change the digest",
                remote.sha256
            ));
        }
        Ok(bytes)
    };
    let fetched = match timeout(FETCH_TIME_MAX, fetching).await {
        Ok(fetched) => fetched,
        Err(_) => Err(format!("it takes longer than {} s", FETCH_TIME_MAX.as_secs())),
    };
    let bytes = fetched.map_err(|problem| format!("cannot fetch {url}: {problem}"))?;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(component, bytes = bytes.len(), took_ms, "the component is fetched");
    Ok(bytes)
}

/// The answer at the end of the redirects. They lead to hosts of the public internet by
/// `https` only, unless they stay where they were.
async fn follow(url: &Uri) -> Result<Response<Incoming>, String> {
    let allowed = AllowedHosts::parse(&[origin(url), "https://*:*".to_owned()]).map_err(|all| all.join("; "))?;
    let client = outbound_http::client(&Arc::new(allowed));
    let mut target = url.clone();
    for _ in 0..=REDIRECTS_MAX {
        let response = ask(&client, &target).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let location = response.headers().get(header::LOCATION).filter(|_| response.status().is_redirection());
        let Some(location) = location else {
            return Err(format!("{} answers {}", target.host().unwrap_or_default(), response.status()));
        };
        target = redirected(&target, location).ok_or("it redirects to what is no URL")?;
    }
    Err(format!("it redirects more than {REDIRECTS_MAX} times"))
}

async fn ask(client: &HttpClient, target: &Uri) -> Result<Response<Incoming>, String> {
    let mut request = Request::new(message::full(Bytes::new()));
    *request.uri_mut() = target.clone();
    let agent = HeaderValue::from_static(concat!("cairn/", env!("CARGO_PKG_VERSION")));
    request.headers_mut().insert(header::USER_AGENT, agent);
    match timeout(SILENCE_TIME_MAX, client.request(request)).await {
        Ok(answer) => answer.map_err(|error| format!("{}: {}", target.host().unwrap_or_default(), cause(&error))),
        Err(_) => Err(silence()),
    }
}

async fn read(component: &str, response: Response<Incoming>) -> Result<Bytes, String> {
    let too_large = || format!("it has more than {COMPONENT_BYTES_MAX} bytes, which no component may have");
    let length = response.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let total: Option<usize> = length.and_then(|length| length.parse().ok());
    if total.is_some_and(|total| total > COMPONENT_BYTES_MAX) {
        return Err(too_large());
    }
    let mut body = response.into_body();
    let mut bytes = BytesMut::new();
    let mut told = Instant::now();
    loop {
        let Some(frame) = timeout(SILENCE_TIME_MAX, body.frame()).await.map_err(|_| silence())? else {
            return Ok(bytes.freeze());
        };
        let frame = frame.map_err(|error| format!("the connection broke: {}", cause(&error)))?;
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
        if bytes.len() > COMPONENT_BYTES_MAX {
            return Err(too_large());
        }
        if told.elapsed() >= PROGRESS_INTERVAL {
            told = Instant::now();
            tracing::info!(component, bytes = bytes.len(), total, "still fetching");
        }
    }
}

fn silence() -> String {
    format!("the server sends nothing for {} s", SILENCE_TIME_MAX.as_secs())
}

/// What is at the bottom of an error.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut bottom = error;
    loop {
        if let Some(refusal) = bottom.downcast_ref::<Refusal>() {
            return refusal.to_string();
        }
        match bottom.source() {
            Some(source) => bottom = source,
            None => return bottom.to_string(),
        }
    }
}

fn redirected(from: &Uri, location: &HeaderValue) -> Option<Uri> {
    let location = location.to_str().ok()?;
    let absolute = if location.starts_with('/') { format!("{}{location}", origin(from)) } else { location.to_owned() };
    absolute.parse().ok().filter(|url: &Uri| url.scheme().is_some() && url.host().is_some())
}

fn origin(url: &Uri) -> String {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}", url.scheme_str().unwrap_or_default())
}

/// A URL without its query, which may hold a key.
fn shown(url: &Uri) -> String {
    format!("{}{}", origin(url), url.path())
}
