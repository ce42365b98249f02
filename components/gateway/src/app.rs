//! From a request outside to the answer of a service.
//!
//! Nothing is kept between requests but counters, so any number of gateways may run
//! and one may die at any time. A request that was sent on and not answered is not
//! repeated here: whether it took effect only the client can find out.

use std::rc::Rc;

use cairn_shared::{
    Env, Error, async_trait,
    component::Service,
    config::Config,
    http::{CONTINUES_HEADER, Request, Response},
    identity::{CALLER_HEADER, Caller, Identity, SessionToken},
    origin::CLIENT_HEADER,
    time::MINUTE,
    upstream::UpstreamError,
};
use serde_json::{Map, Value, json};

use crate::{
    domain::{self, Bucket, Destination, Origins, SERVICES},
    http::{self, Kept},
    limits::{self, Decision, Limit},
};

/// Why a token tells of nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAuthenticated {
    InvalidToken,
    NoAccount,
    /// Not the caller's fault.
    Unavailable(String),
}

/// What the gateway needs of others besides the services it forwards to.
#[async_trait(?Send)]
pub trait Peers {
    /// Whose session a token is.
    async fn authenticate(&self, token: &str) -> Result<Caller, NotAuthenticated>;

    /// A stored counter.
    async fn counter(&self, key: &str) -> Result<Option<Vec<u8>>, String>;

    async fn counter_save(&self, key: &str, value: &[u8]) -> Result<(), String>;
}

/// What is configured.
#[derive(Debug)]
pub struct Policy {
    pub origins: Origins,
    pub production: bool,
    pub general: Limit,
    pub strict: Limit,
    /// Proxies in front of us that write down whom they speak for.
    pub trusted_proxies: usize,
}

pub struct App {
    pub policy: Policy,
    pub env: Env,
    peers: Box<dyn Peers>,
}

/// Pages that may call where nobody has configured any: those of front-end development.
const DEVELOPMENT_ORIGINS: &str = "http://localhost:3000,http://localhost:5001";
/// Largest answer that is put together here, in bytes.
const COLLECTED_BYTES_MAX: usize = 32 * 1024 * 1024;
const WINDOW_MS: i64 = 15 * MINUTE;
const GENERAL_REQUESTS_MAX: u64 = 1000;
const STRICT_REQUESTS_MAX: u64 = 10;

impl Policy {
    /// # Errors
    /// One message that names everything that is wrong with the configuration.
    pub fn read(mut config: Config) -> Result<Self, String> {
        let production = config.optional("node_env").as_deref() == Some("production");
        let listed = config.optional("cors_origins");
        let listed = listed.as_deref().unwrap_or(if production { "" } else { DEVELOPMENT_ORIGINS });
        let mut origins = Origins::parse(listed).unwrap_or_else(|problem| {
            config.problem(format!("variable `cors_origins`: {problem}"));
            Origins::default()
        });
        if let Some(Err(problem)) = config.optional("frontend_url").map(|url| origins.add(&url)) {
            config.problem(format!("variable `frontend_url`: {problem}"));
        }
        let window_ms = config.parsed("rate_limit_window_ms", WINDOW_MS);
        if window_ms < 1 {
            config.problem("variable `rate_limit_window_ms` has to be 1 or more");
        }
        let requests_max = config.parsed("rate_limit_max_requests", GENERAL_REQUESTS_MAX);
        let strict_max = config.parsed("rate_limit_strict_max", STRICT_REQUESTS_MAX);
        let trusted_proxies = config.parsed("trusted_proxies", usize::from(production));
        config.finish()?;
        Ok(Self {
            origins,
            production,
            general: Limit { requests_max, window_ms },
            strict: Limit { requests_max: strict_max, window_ms },
            trusted_proxies,
        })
    }
}

impl Service for App {
    const ID: &'static str = "gateway";
    const SETTINGS: &'static [&'static str] = &[
        "cors_origins",
        "frontend_url",
        "node_env",
        "rate_limit_window_ms",
        "rate_limit_max_requests",
        "rate_limit_strict_max",
        "trusted_proxies",
    ];

    type Routes = ();

    fn make(config: Config, env: Env) -> Result<Self, String> {
        #[cfg(target_family = "wasm")]
        let peers = Box::new(crate::rpc::Links::default());
        #[cfg(not(target_family = "wasm"))]
        let peers = Box::new(Nobody);
        Self::new(config, env, peers)
    }

    fn table() {}

    async fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn answer(self: Rc<Self>, (): &(), request: Request) -> Response {
        self.handle(request).await
    }
}

impl App {
    /// # Errors
    /// One message that names everything that is wrong with the configuration.
    pub fn new(config: Config, env: Env, peers: Box<dyn Peers>) -> Result<Self, String> {
        Ok(Self { policy: Policy::read(config)?, env, peers })
    }

    /// Answers a request from outside.
    pub async fn handle(&self, mut request: Request) -> Response {
        let address = limits::address(http::client_address(&request, self.policy.trusted_proxies));
        let client = limits::client(address);
        let correlation_id = http::take_in(&mut request);
        let origin = request.header("origin").filter(|origin| self.policy.origins.allow(origin)).map(str::to_owned);
        let mut kept = Kept { correlation_id, origin, decision: None };
        if let Some(address) = address {
            request.headers.push((CLIENT_HEADER.to_owned(), address.to_string()));
        }
        let answer = match self.admit_and_send(request, &client, &mut kept).await {
            Ok(response) => response,
            Err(error) => error.into_response(Self::ID, self.env.now()),
        };
        http::finish(answer, kept, &self.policy)
    }

    async fn admit_and_send(&self, mut request: Request, client: &str, kept: &mut Kept) -> Result<Response, Error> {
        if request.method == "OPTIONS" {
            return Ok(http::preflight());
        }
        let destination = domain::destination(request.path());
        let service = match destination {
            Destination::Service(service) | Destination::UnderApi(service) => service,
            Destination::Banner => {
                return Ok(Response::text(200, "text/plain; charset=utf-8", "The API is running.\n"));
            }
            Destination::Nowhere => return Err(Error::not_found("There is nothing at this address.")),
            Destination::Health => "",
        };
        if request.body.len() > domain::body_bytes_max(request.path()) {
            return Err(Error::new(413, "PAYLOAD_TOO_LARGE", "This is too large to be sent here."));
        }
        let bucket = domain::bucket(&request.method, request.path());
        if !matches!(bucket, Bucket::StrictIfAnonymous(_))
            && let Some(refusal) = self.limit(bucket, client, kept).await
        {
            return Ok(refusal);
        }
        if destination == Destination::Health {
            return Ok(self.health().await);
        }
        let identity = self.identify(&request).await?;
        if let Bucket::StrictIfAnonymous(name) = bucket {
            let known = matches!(identity, Some(Identity::Caller(_)));
            let bucket = if known { Bucket::General } else { Bucket::Strict(name) };
            if let Some(refusal) = self.limit(bucket, client, kept).await {
                return Ok(refusal);
            }
        }
        if let Some(identity) = identity {
            request.headers.push((CALLER_HEADER.to_owned(), identity.encode()));
        }
        if matches!(destination, Destination::UnderApi(_)) {
            request.target.insert_str(0, "/api");
        }
        let answer = self.env.upstream.send(service, request).await.map_err(|error| upstream_error(service, error))?;
        self.go_on(service, answer).await
    }

    /// A long answer comes in pieces. Its further ones are the host's to ask for, as the
    /// client takes them; under another host they are put together here.
    async fn go_on(&self, service: &str, answer: Response) -> Result<Response, Error> {
        let mut next = answer.header_value(CONTINUES_HEADER).map(str::to_owned);
        let mut answer = http::let_out(answer);
        while let Some(target) = next {
            if self.env.upstream.follows_pieces() {
                return Ok(answer.header(CONTINUES_HEADER, format!("{service} {target}")));
            }
            let piece = self.env.upstream.send(service, Request::new("GET", &target)).await;
            let piece = piece.map_err(|error| upstream_error(service, error))?;
            if piece.status != 200 || answer.body.len() + piece.body.len() > COLLECTED_BYTES_MAX {
                let cause = format!("{service}: a piece of an answer has status {}", piece.status);
                return Err(Error::new(
                    502,
                    "BAD_GATEWAY",
                    "This could not be put together. Please ask for less of it.",
                )
                .cause(cause));
            }
            next = piece.header_value(CONTINUES_HEADER).map(str::to_owned);
            answer.body.extend(piece.body);
        }
        Ok(answer)
    }

    /// Counts a request. Where counters cannot be read or written it is let through:
    /// a lost counter must not close the shop.
    async fn limit(&self, bucket: Bucket, client: &str, kept: &mut Kept) -> Option<Response> {
        let (limit, name) = match bucket {
            Bucket::Exempt => return None,
            Bucket::General => (self.policy.general, "general"),
            Bucket::Strict(name) | Bucket::StrictIfAnonymous(name) => (self.policy.strict, name),
        };
        let decision = self.count(limit, &limits::key(name, client), client).await.unwrap_or_else(|cause| {
            cairn_shared::log::error("a request could not be counted", &[("cause", &cause)]);
            None
        })?;
        kept.decision = Some(decision);
        (!decision.allowed).then(|| http::too_many(decision, self.env.now()))
    }

    async fn count(&self, limit: Limit, key: &str, client: &str) -> Result<Option<Decision>, String> {
        let stored = self.peers.counter(key).await?;
        let (decision, store) = limits::count(limit, client, stored.as_deref(), self.env.now());
        if let Some(value) = store {
            self.peers.counter_save(key, &value).await?;
        }
        Ok(Some(decision))
    }

    /// Who is calling; none without a token.
    async fn identify(&self, request: &Request) -> Result<Option<Identity>, Error> {
        let Some(token) = SessionToken::of(&request.headers) else { return Ok(None) };
        let caller = match self.peers.authenticate(token.text()).await {
            Ok(caller) => caller,
            Err(NotAuthenticated::InvalidToken) => return Ok(Some(Identity::InvalidToken)),
            Err(NotAuthenticated::NoAccount) => return Ok(Some(Identity::NoAccount)),
            Err(NotAuthenticated::Unavailable(cause)) => {
                let message = "We cannot check your login right now. Please try again in a minute.";
                return Err(Error::unavailable(cause).message(message));
            }
        };
        // A browser adds the cookie to whatever any page sends; only the page's origin tells whose idea it was.
        if matches!(token, SessionToken::Cookie(_))
            && domain::changes_state(&request.method)
            && !http::comes_from_allowed_page(request, &self.policy.origins)
        {
            return Err(Error::new(
                403,
                "ORIGIN_NOT_ALLOWED",
                "This page may not make changes in your name. Please use our own site.",
            ));
        }
        Ok(Some(Identity::Caller(Box::new(caller))))
    }

    async fn health(&self) -> Response {
        let asked = SERVICES.map(|service| async move {
            let answer = self.env.upstream.send(service, Request::new("GET", "/health")).await;
            (service, matches!(&answer, Ok(response) if response.status == 200))
        });
        let states = futures::future::join_all(asked).await;
        let healthy = states.iter().all(|(_, healthy)| *healthy);
        let word = |healthy| if healthy { "healthy" } else { "unhealthy" };
        let services: Map<String, Value> = states
            .iter()
            .map(|(service, healthy)| ((*service).to_owned(), json!({ "status": word(*healthy) })))
            .collect();
        Response::json(
            if healthy { 200 } else { 503 },
            &json!({
                "success": healthy,
                "service": "gateway-service",
                "status": word(healthy),
                "timestamp": self.env.now(),
                "services": services,
            }),
        )
    }
}

/// What a client is told when a service did not answer.
fn upstream_error(service: &str, error: UpstreamError) -> Error {
    let cause = format!("{service}: {error}");
    match error {
        UpstreamError::UnknownService(_) => Error::unavailable(cause),
        UpstreamError::Unavailable(seconds) => Error::unavailable(cause)
            .message("We are very busy right now. Please try again in a moment.")
            .retry_after(seconds.max(1)),
        UpstreamError::Timeout => {
            let message = "This took too long. Please check whether it went through before you try again.";
            Error::new(504, "GATEWAY_TIMEOUT", message).cause(cause).retry_after(RETRY_SECONDS)
        }
        UpstreamError::Failed(_) => {
            let message =
                "Something went wrong on our side. Please check whether it went through before you try again.";
            Error::new(502, "BAD_GATEWAY", message).cause(cause).retry_after(RETRY_SECONDS)
        }
    }
}

/// After which another try makes sense where nobody knows better.
const RETRY_SECONDS: u32 = 5;

/// For a gateway that runs outside a host.
#[cfg(not(target_family = "wasm"))]
struct Nobody;

#[cfg(not(target_family = "wasm"))]
#[async_trait(?Send)]
impl Peers for Nobody {
    async fn authenticate(&self, _: &str) -> Result<Caller, NotAuthenticated> {
        Err(NotAuthenticated::Unavailable("there is no user service here".into()))
    }

    async fn counter(&self, _: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }

    async fn counter_save(&self, _: &str, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
}
