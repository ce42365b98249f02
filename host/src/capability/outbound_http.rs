//! Outbound HTTP: what a component sends with the `wasi:http` client.
//!
//! A request leaves only for hosts on the component's list, over a connection to
//! an address that was judged: a name is resolved once, each address is checked,
//! and the connection is made to the checked address itself, so that no second
//! resolution can lead elsewhere. Names under `.spin.internal` never leave: the
//! named component of the same application answers them. A request without a host, or
//! to `self.alt`, comes in again at the application's own door.

pub mod relative;

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, Uri, uri::Scheme};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::allowed_hosts::{AllowedHosts, INTERNAL_SUFFIX, Permission};
use crate::{
    call::CurrentCall,
    links::guarded,
    message,
    registry::RegistryHandle,
    service::Failure,
    telemetry::{
        Kind, Recording,
        metrics::{ComponentMetrics, LimitReached, Outbound},
    },
};

/// Where an application is reached, once it is.
pub type OwnAddress = Arc<OnceLock<SocketAddr>>;

/// The host of requests to the application itself, for clients that insist on one.
const OWN_HOST: &str = "self.alt";
/// Time to resolve a name.
const RESOLVE_TIME_MAX: Duration = Duration::from_secs(2);
/// Time to make a connection, of TCP and of TLS each.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// Time from sending a request to the head of its response.
const RESPONSE_TIME_MAX: Duration = Duration::from_secs(10);
/// Largest response body, in bytes.
const RESPONSE_BYTES_MAX: usize = 16 << 20;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
/// Idle connections kept to one host.
const IDLE_CONNECTIONS_MAX: usize = 8;
/// How long an idle connection is kept.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);

/// The HTTP client of one component, shared by its instances.
#[derive(Clone)]
pub struct OutboundHttp {
    allowed: Arc<AllowedHosts>,
    client: HttpClient,
    registry: RegistryHandle,
    own: OwnAddress,
    metrics: Arc<ComponentMetrics>,
    /// A place for each request that may be under way.
    places: Arc<Semaphore>,
}

impl OutboundHttp {
    /// A client that reaches the `allowed` hosts, the components of `registry`, and the
    /// application itself at its `own` address.
    #[must_use]
    pub fn new(
        allowed: Arc<AllowedHosts>,
        registry: RegistryHandle,
        own: OwnAddress,
        metrics: Arc<ComponentMetrics>,
        requests_max: usize,
    ) -> Self {
        let client = pooled(Connector { allowed: Arc::clone(&allowed), own: Arc::clone(&own) });
        Self { allowed, client, registry, own, metrics, places: Arc::new(Semaphore::new(requests_max)) }
    }

    async fn send(
        self,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
        current: Arc<CurrentCall>,
    ) -> Result<Response<WasiBody>, Error> {
        // Held until the head of the answer is there. Who hoards is told at once: waiting
        // would only hoard instances too.
        let Ok(_place) = self.places.try_acquire() else {
            self.metrics.limit_reached(LimitReached::OutboundRequests);
            tracing::warn!("an outbound request was refused: limits.outbound_requests are under way");
            return Err(Error::ConnectionLimitReached);
        };
        let mut span = current.span(Kind::Client, || request.method().to_string());
        if let Some(span) = &mut span {
            describe(span, &request);
        }
        current.look(|call| message::set_trace(request.headers_mut(), call, span.as_ref()));
        let outcome = self.send_uncounted(request, options, &current).await;
        match (&mut span, &outcome) {
            (Some(span), Ok(response)) => span.set("http.response.status_code", response.status().as_u16()),
            (Some(span), Err(error)) => span.fail(error.to_string()),
            (None, _) => {}
        }
        self.metrics.outbound(match &outcome {
            Ok(_) => Outbound::Answered,
            Err(Error::HttpRequestDenied | Error::DestinationIpProhibited) => Outbound::Denied,
            Err(Error::HttpResponseTimeout | Error::ConnectionTimeout | Error::DnsTimeout) => Outbound::Timeout,
            Err(_) => Outbound::Failed,
        });
        outcome
    }

    async fn send_uncounted(
        &self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        current: &CurrentCall,
    ) -> Result<Response<WasiBody>, Error> {
        let time_max = options
            .and_then(|options| options.first_byte_timeout)
            .map_or(RESPONSE_TIME_MAX, |asked| asked.min(RESPONSE_TIME_MAX));
        if is_to_own(request.uri()) {
            let sent = timeout(time_max, self.send_to_own(request)).await;
            return sent.map_err(|_| Error::HttpResponseTimeout)?;
        }
        let target = Target::of(request.uri()).ok_or(Error::HttpRequestUriInvalid)?;
        if self.allowed.permission(target.scheme, target.host, target.port) == Permission::Denied {
            tracing::warn!(
                host = target.host,
                port = target.port,
                "outbound request refused: not in allowed_outbound_hosts"
            );
            return Err(Error::HttpRequestDenied);
        }
        let response = match target.host.strip_suffix(INTERNAL_SUFFIX) {
            Some(service) => {
                let service = service.to_owned();
                timeout(time_max, self.send_inside(&service, request, current)).await
            }
            None => timeout(time_max, self.send_outside(request)).await,
        };
        response.map_err(|_| Error::HttpResponseTimeout)?
    }

    async fn send_to_own(&self, mut request: Request<WasiBody>) -> Result<Response<WasiBody>, Error> {
        if !self.allowed.permits_own() {
            tracing::warn!(
                "a request to the application itself was refused: no `http://self` in allowed_outbound_hosts"
            );
            return Err(Error::HttpRequestDenied);
        }
        let own = self.own.get().ok_or(Error::DestinationUnavailable)?;
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        *request.uri_mut() = format!("http://{own}{target}").parse().map_err(|_| Error::HttpRequestUriInvalid)?;
        request.headers_mut().remove(http::header::HOST);
        self.send_outside(request).await
    }

    async fn send_outside(&self, request: Request<WasiBody>) -> Result<Response<WasiBody>, Error> {
        let response = self.client.request(request).await.map_err(convert_error)?;
        Ok(response.map(|body| {
            Limited::new(body, RESPONSE_BYTES_MAX)
                .map_err(|_| Error::HttpResponseBodySize(Some(RESPONSE_BYTES_MAX as u64)))
                .boxed_unsync()
        }))
    }

    async fn send_inside(
        &self,
        service: &str,
        mut request: Request<WasiBody>,
        current: &CurrentCall,
    ) -> Result<Response<WasiBody>, Error> {
        let service = self.registry.service(service).ok_or(Error::DestinationNotFound)?;
        let mut call = current.get().nested().ok_or(Error::LoopDetected)?;
        message::set_call(request.headers_mut(), &call);
        let version = service.version(&mut call).map_err(|_| Error::DestinationNotFound)?;
        let deadline = call.deadline;
        let work = async move { message::dispatch(&service, call, request).await };
        let answered = guarded::call(&version.breaker, deadline, work).await;
        answered.map_err(|failure| match failure {
            Failure::Deadline => Error::HttpResponseTimeout,
            Failure::Overloaded { .. } | Failure::CircuitOpen { .. } => Error::DestinationUnavailable,
            Failure::NotServed => Error::DestinationNotFound,
            Failure::TooLarge => Error::HttpRequestBodySize(None),
            Failure::Trapped(_) => Error::ConnectionTerminated,
        })
    }
}

/// An HTTP client that keeps to a list of hosts.
pub(crate) type HttpClient = Client<Connector, WasiBody>;

/// A client that reaches the `allowed` hosts alone.
#[must_use]
pub(crate) fn client(allowed: &Arc<AllowedHosts>) -> HttpClient {
    pooled(Connector { allowed: Arc::clone(allowed), own: OwnAddress::default() })
}

fn pooled(connector: Connector) -> HttpClient {
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_TIME_MAX)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .pool_timer(TokioTimer::new())
        .build(connector)
}

/// Where a request goes, without its query: that may hold a person's data or a key.
fn describe(span: &mut Recording, request: &Request<WasiBody>) {
    span.set("http.request.method", request.method().as_str());
    span.set("server.address", request.uri().host().unwrap_or_default());
    span.set("url.path", request.uri().path());
}

/// The error that the connector stored, if there is one; otherwise the connection's.
fn convert_error(error: hyper_util::client::legacy::Error) -> Error {
    let connecting = error.is_connect();
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = source {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return refusal.to_error();
        }
        if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
            return if hyper.is_timeout() { Error::HttpResponseTimeout } else { Error::ConnectionTerminated };
        }
        source = cause.source();
    }
    if connecting { Error::ConnectionRefused } else { Error::ConnectionTerminated }
}

/// Whether a request is one to the application itself.
fn is_to_own(uri: &Uri) -> bool {
    uri.host().is_none_or(|host| host.is_empty() || host == OWN_HOST)
}

/// Where a request goes.
struct Target<'a> {
    scheme: &'a str,
    host: &'a str,
    port: u16,
}

impl<'a> Target<'a> {
    fn of(uri: &'a Uri) -> Option<Self> {
        let scheme = uri.scheme()?;
        let port = uri.port_u16().unwrap_or(if *scheme == Scheme::HTTPS { 443 } else { 80 });
        Some(Self { scheme: scheme.as_str(), host: uri.host()?, port })
    }
}

/// `wasi:http` client calls of one instance.
pub struct OutboundHooks {
    outbound: OutboundHttp,
    current: Arc<CurrentCall>,
}

impl OutboundHooks {
    /// The client as seen by an instance that works on `current`.
    #[must_use]
    pub fn new(outbound: OutboundHttp, current: Arc<CurrentCall>) -> Self {
        Self { outbound, current }
    }
}

/// A response and the future that drives what is left of its connection.
type Sent = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for OutboundHooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let (outbound, current) = (self.outbound.clone(), Arc::clone(&self.current));
        Box::new(async move {
            let response = outbound.send(request, options, current).await?;
            // The client drives its connections itself.
            let driven: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(std::future::ready(Ok(())));
            Ok((response, driven))
        })
    }
}

/// Makes connections to checked addresses.
#[derive(Clone)]
pub(crate) struct Connector {
    allowed: Arc<AllowedHosts>,
    own: OwnAddress,
}

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the address has no host")]
    NoHost,
    #[error("the name could not be resolved")]
    Unresolved,
    #[error("the name was not resolved in time")]
    ResolveTime,
    #[error("the host is not allowed, or resolves to addresses that are not")]
    Prohibited,
    #[error("the host did not accept a connection")]
    Refused(#[source] io::Error),
    #[error("no connection was made in time")]
    ConnectTime,
    #[error("the host's certificate or TLS was not accepted")]
    Tls(#[source] io::Error),
}

impl Refusal {
    fn to_error(&self) -> Error {
        match self {
            Self::NoHost => Error::HttpRequestUriInvalid,
            Self::Unresolved => Error::DnsError { rcode: None, info_code: None },
            Self::ResolveTime => Error::DnsTimeout,
            Self::Prohibited => Error::DestinationIpProhibited,
            Self::Refused(_) => Error::ConnectionRefused,
            Self::ConnectTime => Error::ConnectionTimeout,
            Self::Tls(_) => Error::TlsCertificateError,
        }
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Refusal>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let target = Target::of(&uri).ok_or(Refusal::NoHost)?;
            let tcp = connector.connect(&target).await.inspect_err(|refusal| {
                tracing::warn!(host = target.host, port = target.port, error = %refusal, "outbound connection failed");
            })?;
            if target.scheme == "https" {
                Ok(TokioIo::new(Stream::Tls(Box::new(secure(tcp, target.host).await?))))
            } else {
                Ok(TokioIo::new(Stream::Plain(tcp)))
            }
        })
    }
}

impl Connector {
    async fn connect(&self, target: &Target<'_>) -> Result<TcpStream, Refusal> {
        let permission = self.allowed.permission(target.scheme, target.host, target.port);
        // Requests that come here with it were allowed as ones to the application itself.
        let own = self.own.get();
        let allowed = |address: &SocketAddr| permission.allows(address.ip()) || own == Some(address);
        let mut last = Refusal::Prohibited;
        for address in resolve(target).await?.into_iter().filter(allowed).take(ADDRESSES_MAX) {
            match timeout(CONNECT_TIME_MAX, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).map_err(Refusal::Refused)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = Refusal::Refused(error),
                Err(_) => last = Refusal::ConnectTime,
            }
        }
        Err(last)
    }
}

async fn resolve(target: &Target<'_>) -> Result<Vec<SocketAddr>, Refusal> {
    let host = target.host.trim_start_matches('[').trim_end_matches(']');
    let addresses = timeout(RESOLVE_TIME_MAX, tokio::net::lookup_host((host, target.port)))
        .await
        .map_err(|_| Refusal::ResolveTime)?
        .map_err(|_| Refusal::Unresolved)?;
    Ok(addresses.collect())
}

async fn secure(tcp: TcpStream, host: &str) -> Result<TlsStream<TcpStream>, Refusal> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Refusal::NoHost)?;
    let connector = TlsConnector::from(tls_config()?);
    timeout(CONNECT_TIME_MAX, connector.connect(name, tcp))
        .await
        .map_err(|_| Refusal::ConnectTime)?
        .map_err(Refusal::Tls)
}

/// TLS as everybody trusts it: the roots of the web, TLS 1.2 and 1.3.
fn tls_config() -> Result<Arc<ClientConfig>, Refusal> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map(|builder| Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
            .map_err(|error| error.to_string())
    });
    config.clone().map_err(|message| Refusal::Tls(io::Error::other(message)))
}

/// A connection with or without TLS.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
