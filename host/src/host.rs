//! From a validated application to one that runs, and back down again.
//!
//! Everything that is wrong with an application is found before it gets traffic,
//! and told at once.

mod database_metrics;
mod files;
mod gate;
mod load;
mod record;
mod remote;
pub mod swap;
mod trial;
pub(crate) mod version_files;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures::future::{BoxFuture, join_all};
use tokio::net::TcpListener;
use wasmtime::component::Val;

use crate::{
    backup::{self, Backups},
    call::Call,
    capability::variables::Sources,
    compiler::Compiler,
    control::{
        self, Control, Door,
        access::{Access, TOKEN_VARIABLE, Token},
    },
    data_folder::DataFolder,
    database::{Location, moving},
    front::Front,
    links::answer::Answers,
    manifest::Application,
    platform::{Request, Response},
    registry::Registry,
    release::Release,
    router::Router,
    scheduler::{self, RUNS_MAX, Scheduler, system_clock},
    server::Server,
    service::{Failure, Service},
    signing::Policy,
    telemetry::{
        Kind, Logging, Tracer,
        metrics::Dropped,
        otlp::{self, Exporter},
    },
    version::{Version, function_key},
};
use load::{Loader, Sourcing};
use swap::Swapper;

/// Time that running requests get when the host stops.
const STOP_TIME_MAX: Duration = Duration::from_secs(30);
/// Time that the operator's requests get then.
const OPERATOR_STOP_TIME_MAX: Duration = Duration::from_secs(1);
/// Time a component may take to prepare itself; migrations run in it.
const PREPARE_TIME_MAX: Duration = Duration::from_secs(120);

/// Everything that is wrong with an application, or with where it is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartError(pub Vec<String>);

impl StartError {
    fn one(problem: impl fmt::Display) -> Self {
        Self(vec![problem.to_string()])
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the application cannot start:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n- {problem}"))
    }
}

impl std::error::Error for StartError {}

/// A way to run components.
pub struct Host;

impl Host {
    /// Prepares to run `application`, whose components `compiler` compiles.
    #[must_use]
    pub fn builder(application: Application, compiler: Compiler) -> Builder {
        Builder {
            application,
            compiler,
            signatures: Policy::any(),
            data_dir: PathBuf::from(".cairn"),
            compiled_dir: None,
            listen: "127.0.0.1:0".to_owned(),
            operator: "127.0.0.1:0".to_owned(),
            operator_token: None,
            socket: None,
            logging: None,
            sources: Sources::none(),
            database: None,
            answers: Answers::default(),
            telemetry: None,
        }
    }
}

/// What an application runs with.
pub struct Builder {
    application: Application,
    compiler: Compiler,
    signatures: Policy,
    data_dir: PathBuf,
    compiled_dir: Option<PathBuf>,
    listen: String,
    operator: String,
    operator_token: Option<Token>,
    socket: Option<PathBuf>,
    logging: Option<Logging>,
    sources: Sources,
    database: Option<Location>,
    answers: Answers,
    telemetry: Option<otlp::Settings>,
}

impl Builder {
    /// Folder of databases and whatever else is kept; `.cairn` unless set.
    #[must_use]
    pub fn data_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.data_dir = dir.as_ref().to_owned();
        self
    }

    /// Folder of compiled components; `compiled` in the data folder unless set. Hosts
    /// may share it.
    #[must_use]
    pub fn compiled_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.compiled_dir = Some(dir.as_ref().to_owned());
        self
    }

    /// Public address; a free port of this machine unless set.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = address.into();
        self
    }

    /// Operator's address; a free port of this machine unless set.
    #[must_use]
    pub fn operator(mut self, address: impl Into<String>) -> Self {
        self.operator = address.into();
        self
    }

    /// What the operator's address needs for commands; without it, it takes none, and
    /// must be one of this machine alone.
    #[must_use]
    pub fn operator_token(mut self, token: Token) -> Self {
        self.operator_token = Some(token);
        self
    }

    /// File of the operator's socket; there is none unless set.
    #[must_use]
    pub fn socket(mut self, path: impl AsRef<Path>) -> Self {
        self.socket = Some(path.as_ref().to_owned());
        self
    }

    /// Whose components may run; everybody's unless set.
    #[must_use]
    pub fn signatures(mut self, policy: Policy) -> Self {
        self.signatures = policy;
        self
    }

    /// The log that the operator may look at and set; none unless set.
    #[must_use]
    pub fn logging(mut self, logging: Logging) -> Self {
        self.logging = Some(logging);
        self
    }

    /// Where application variables get their values; their defaults unless set.
    #[must_use]
    pub fn variables(mut self, sources: Sources) -> Self {
        self.sources = sources;
        self
    }

    /// Lets the application live on a Postgres database; in files of its own unless set.
    #[must_use]
    pub fn database(mut self, database: Option<Location>) -> Self {
        self.database = database;
        self
    }

    /// Sends traces and metrics to an OpenTelemetry collector; nowhere unless set.
    #[must_use]
    pub fn telemetry(mut self, settings: Option<otlp::Settings>) -> Self {
        self.telemetry = settings;
        self
    }

    /// Answers a function that components import, in place of whoever exports it.
    /// For tests of one component alone.
    #[must_use]
    pub fn answer<F>(mut self, interface: &str, function: &str, answer: F) -> Self
    where
        F: Fn(Vec<Val>) -> BoxFuture<'static, wasmtime::Result<Vec<Val>>> + Send + Sync + 'static,
    {
        self.answers.insert(interface, function, Arc::new(answer));
        self
    }

    /// Lets all components prepare themselves, and serves nobody.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn prepare(self) -> Result<(), StartError> {
        let opening = load::Shared::open(&self.application, &self.data_dir, &self.sources, self.database.as_ref());
        let shared = Arc::new(opening.await?);
        let compiled_dir = self.compiled_dir.unwrap_or_else(|| self.data_dir.join("compiled"));
        let sourcing = Sourcing { compiled_dir, compiler: self.compiler, signatures: Arc::new(self.signatures) };
        let loader = Loader::new(self.application, self.data_dir, sourcing, self.answers, Arc::clone(&shared))?;
        let (registry, _) = loader.load().await?;
        let prepared = prepare_all(&registry).await;
        for version in registry.iter().filter_map(|service| service.current()) {
            version.retire(Dropped::Stop);
        }
        shared.close().await;
        prepared
    }

    /// Compiles, links and prepares all components, then opens the doors.
    ///
    /// # Errors
    /// Everything that is wrong, as far as one thing does not hide another.
    pub async fn start(self) -> Result<Running, StartError> {
        let began = Instant::now();
        let folder = DataFolder::take(&self.data_dir).map_err(StartError::one)?;
        moving::refuse_unfinished_folder(&self.data_dir).map_err(StartError::one)?;
        let router = Router::compile(&self.application.triggers).map_err(StartError::one)?;
        let socket = self.socket.as_deref().map(Socket::listen).transpose()?;
        let opening = load::Shared::open(&self.application, &self.data_dir, &self.sources, self.database.as_ref());
        let shared = Arc::new(opening.await?);
        let (name, components) = (self.application.name.clone(), self.application.components.len());
        let stored = backup::Source {
            application: name.clone(),
            data_dir: self.data_dir.clone(),
            databases: Arc::clone(&shared.databases),
            stores: Arc::clone(&shared.stores),
            on_postgres: shared.database.is_some(),
        };
        let compiled_dir = self.compiled_dir.unwrap_or_else(|| self.data_dir.join("compiled"));
        let sourcing = Sourcing { compiled_dir, compiler: self.compiler, signatures: Arc::new(self.signatures) };
        let loader = Loader::new(self.application, self.data_dir, sourcing, self.answers, Arc::clone(&shared))?;
        let (registry, record) = loader.load().await?;
        prepare_all(&registry).await?;
        loader.write_record(record.clone()).await.map_err(|problem| {
            StartError::one(format!("the versions in force cannot be written to the data folder: {problem}"))
        })?;
        tokio::spawn(Registry::trim_idle(Arc::downgrade(&registry)));

        let (exporter, tracer) = match self.telemetry {
            Some(settings) => {
                let started = Exporter::start(settings, &shared.metrics).map_err(StartError::one)?;
                (Some(started.0), started.1)
            }
            None => (None, Tracer::off()),
        };
        let scheduler = start_scheduler(&loader.application, &registry, &shared, &tracer)?;
        let swapper = Arc::new(Swapper::new(loader, Arc::clone(&registry), record));
        swapper.prune();
        let ready = Arc::new(AtomicBool::new(false));
        let control = Arc::new(Control {
            registry: Arc::clone(&registry),
            readiness: readiness(&ready, &shared),
            metrics: Arc::clone(&shared.metrics),
            scheduler: Arc::clone(&scheduler),
            swapper: Arc::clone(&swapper),
            backups: Backups::new(stored),
            logging: self.logging,
            started: began,
        });
        let operator = listen_for_operator(&self.operator, self.operator_token, &control).await?;
        let socket = socket.map(|socket| socket.serve(&control));
        let front = Server::start(&self.listen, Arc::new(Front::new(router, Arc::clone(&registry), tracer)))
            .await
            .map_err(|error| cannot_listen(&self.listen, &error))?;
        // Set once, since a host starts once.
        let _ = shared.own_address.set(reachable(*front.address()));
        ready.store(true, Relaxed);
        tracing::info!(
            application = name,
            components,
            address = %front.address(),
            operator_address = %operator.address(),
            start_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "ready"
        );
        Ok(Running { registry, scheduler, swapper, shared, ready, front, operator, socket, exporter, _folder: folder })
    }
}

/// Where this machine itself reaches a listener: one at every address is also at home.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Ready while the doors are open and every database works.
fn readiness(ready: &Arc<AtomicBool>, shared: &Arc<load::Shared>) -> control::Readiness {
    let (ready, shared) = (Arc::clone(ready), Arc::clone(shared));
    Box::new(move || match ready.load(Relaxed) {
        false => vec!["starting or stopping".to_owned()],
        true => shared.failures(),
    })
}

/// Opens the operator's address: to others only where a token is asked for.
async fn listen_for_operator(
    address: &str,
    token: Option<Token>,
    control: &Arc<Control>,
) -> Result<Server, StartError> {
    let listener = TcpListener::bind(address).await.map_err(|error| cannot_listen(address, &error))?;
    let bound = listener.local_addr().map_err(|error| cannot_listen(address, &error))?;
    let local = bound.ip().is_loopback();
    if !local && token.is_none() {
        return Err(StartError::one(format!(
            "the operator's address {address} can be reached by others and needs a token: set {TOKEN_VARIABLE} or \
             --operator-token-file, or take an address such as 127.0.0.1:3001"
        )));
    }
    let door = Door { control: Arc::clone(control), access: Access::Network { token, local } };
    Ok(Server::run(bound, listener, Arc::new(door)))
}

fn cannot_listen(address: &str, error: &std::io::Error) -> StartError {
    StartError::one(format!("cannot listen at {address}: {error}"))
}

/// The operator's socket, bound and not served yet.
struct Socket(control::socket::Socket, tokio::net::UnixListener);

impl Socket {
    fn listen(path: &Path) -> Result<Self, StartError> {
        control::socket::listen(path).map(|(socket, listener)| Self(socket, listener)).map_err(StartError::one)
    }

    fn serve(self, control: &Arc<Control>) -> Server<control::socket::Socket> {
        let door = Door { control: Arc::clone(control), access: Access::Socket };
        Server::run(self.0, self.1, Arc::new(door))
    }
}

/// Lets every component prepare itself, all at once.
async fn prepare_all(registry: &Registry) -> Result<(), StartError> {
    let Some(release) = registry.routing().current() else { return Ok(()) };
    let versions = registry.iter().zip(release.versions());
    let outcomes = join_all(versions.map(|(service, version)| prepare(service, version, &release))).await;
    let problems: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    if problems.is_empty() { Ok(()) } else { Err(StartError(problems)) }
}

async fn prepare(service: &Arc<Service>, version: &Arc<Version>, release: &Arc<Release>) -> Result<(), String> {
    let named = |problem| format!("component {:?}: {problem}", service.id);
    probe_version(service, version, release).await.map_err(named)?;
    prepare_version(service, version, release).await.map_err(named)
}

/// Makes an instance of a version, in a task of its own so that components do side by
/// side. What it calls meanwhile is of the same release.
async fn probe_version(service: &Arc<Service>, version: &Arc<Version>, release: &Arc<Release>) -> Result<(), String> {
    let (service, version) = (Arc::clone(service), Arc::clone(version));
    let call = Call::own(PREPARE_TIME_MAX).on(Arc::clone(release));
    let outcome = tokio::spawn(async move { service.probe(version, call).await }).await;
    outcome.unwrap_or_else(|error| Err(error.to_string())).map_err(|problem| format!("it does not start: {problem}"))
}

/// Lets a version prepare itself, in the same way.
async fn prepare_version(service: &Arc<Service>, version: &Arc<Version>, release: &Arc<Release>) -> Result<(), String> {
    let (service, version) = (Arc::clone(service), Arc::clone(version));
    let call = Call::own(PREPARE_TIME_MAX).on(Arc::clone(release));
    let outcome = tokio::spawn(async move { service.prepare(version, call).await }).await;
    outcome
        .unwrap_or_else(|error| Err(error.to_string()))
        .map_err(|problem| format!("it could not be prepared: {problem}"))
}

/// Starts what the manifest schedules, and background work that components ask for.
fn start_scheduler(
    application: &Application,
    registry: &Arc<Registry>,
    shared: &load::Shared,
    tracer: &Tracer,
) -> Result<Arc<Scheduler>, StartError> {
    let jobs = application
        .components
        .iter()
        .flat_map(|component| component.schedule.iter().map(|job| (component.id.clone(), job.clone())));
    let claims = shared.database.as_ref().map(|database| database.claims()).transpose().map_err(StartError::one)?;
    let settings = scheduler::Settings {
        runs_max: RUNS_MAX,
        clock: system_clock(),
        metrics: Arc::clone(&shared.metrics),
        claims: claims.map(|claims| Arc::new(claims) as Arc<dyn scheduler::Claims>),
    };
    let (registry, tracer) = (Arc::downgrade(registry), tracer.clone());
    let invoke: scheduler::Invoke = Arc::new(move |component, path| {
        let (registry, tracer) = (registry.clone(), tracer.clone());
        Box::pin(async move {
            let registry = registry.upgrade().context("the host is stopping")?;
            let service = registry.get(&component).context("there is no such component")?;
            let mut call = Call::own(service.limits.request_time_max).traced_by(tracer.clone());
            call.trace = tracer.decide(call.trace, false);
            let _span = tracer.start(call.trace, Kind::Internal, || format!("job {component} {path}"));
            Ok(control::post(service, &path, call).await?.status)
        })
    });
    let scheduler = Scheduler::start(jobs, settings, invoke).map(Arc::new).map_err(StartError::one)?;
    shared.scheduler.connect(Arc::clone(&scheduler));
    Ok(scheduler)
}

/// An application that runs.
pub struct Running {
    registry: Arc<Registry>,
    scheduler: Arc<Scheduler>,
    swapper: Arc<Swapper>,
    shared: Arc<load::Shared>,
    ready: Arc<AtomicBool>,
    front: Server,
    operator: Server,
    socket: Option<Server<control::socket::Socket>>,
    exporter: Option<Exporter>,
    _folder: DataFolder,
}

impl Running {
    /// Where clients reach it.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        *self.front.address()
    }

    /// Where the operator reaches it.
    #[must_use]
    pub fn operator_addr(&self) -> SocketAddr {
        *self.operator.address()
    }

    /// Its services.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Sends a request to a component's handler, past all routes.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn request(&self, component: &str, request: Request) -> Result<Response, Failure> {
        let (service, call) = self.service(component)?;
        service.handle(call, request).await
    }

    /// POSTs to a private route of a component, as the scheduler does.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn post(&self, component: &str, target: &str) -> Result<Response, Failure> {
        let (service, call) = self.service(component)?;
        control::post(&service, target, call).await
    }

    /// Calls a function that a component exports, with plain values.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn call(
        &self,
        component: &str,
        interface: &str,
        function: &str,
        params: Vec<Val>,
        results_count: usize,
    ) -> Result<Vec<Val>, Failure> {
        let (service, call) = self.service(component)?;
        service.call_export(call, &function_key(interface, function), params, results_count).await
    }

    /// Replaces components while requests run.
    #[must_use]
    pub fn swapper(&self) -> &Arc<Swapper> {
        &self.swapper
    }

    fn service(&self, component: &str) -> Result<(Arc<Service>, Call), Failure> {
        let service = self.registry.get(component).cloned().ok_or(Failure::NotServed)?;
        let call = Call::own(service.limits.request_time_max);
        Ok((service, call))
    }

    /// Accepts nothing more, lets what runs end within 30 s, and closes everything.
    /// Gives whether all of it ended by itself.
    pub async fn stop(self) -> bool {
        let began = Instant::now();
        self.ready.store(false, Relaxed);
        let (answered, jobs_aborted) =
            futures::join!(self.front.stop(STOP_TIME_MAX), self.scheduler.stop(STOP_TIME_MAX));
        let idle = async {
            for service in self.registry.iter() {
                service.idle().await;
            }
        };
        let left = STOP_TIME_MAX.saturating_sub(began.elapsed());
        let settled = tokio::time::timeout(left, idle).await.is_ok();
        self.operator.stop(OPERATOR_STOP_TIME_MAX).await;
        if let Some(socket) = self.socket {
            socket.stop(OPERATOR_STOP_TIME_MAX).await;
        }
        for version in self.registry.routing().versions() {
            version.retire(Dropped::Stop);
        }
        self.shared.close().await;
        if let Some(exporter) = self.exporter {
            exporter.stop().await;
        }
        let clean = answered && settled && jobs_aborted == 0;
        tracing::info!(clean, "stopped");
        clean
    }
}
