//! Reading, compiling and linking the components of an application.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures::future::join_all;
use prometheus_client::collector::Collector;
use wasmtime::{Engine, component::Linker};

use super::{
    StartError,
    database_metrics::{DatabaseMetrics, PoolMetrics},
    files,
    record::{Change, Kept, Record},
    remote,
    swap::Swapped,
    version_files::VersionFiles,
};
use crate::{
    capability::{
        allowed_hosts::AllowedHosts,
        key_value::{self, Stores},
        outbound_http::{OutboundHttp, OwnAddress, relative},
        outbound_tcp::places::{self, Places},
        postgres,
        sqlite::{self, Databases, Grants},
        variables::{self, Resolver, Sources},
    },
    compiler::Compiler,
    component::{Compiled, Interfaces},
    database::{self, Database, Location},
    engine,
    links::{self, LinkProblem, Plan, Providers, absent, answer::Answers, wake::SchedulerHandle},
    manifest::{Application, Component, Remote, Source},
    precompiled::{COMPONENT_BYTES_MAX, CompiledCache, content_hash},
    registry::{Registry, RegistryHandle},
    release::{Release, Routing},
    scheduler::system_clock,
    service::Service,
    signing::Policy,
    state::{State, StateFactory},
    telemetry::Metrics,
    version::Version,
};

/// What all components of an application share.
pub(super) struct Shared {
    /// Where the application lives, unless that is in files of its own.
    pub database: Option<Arc<Database>>,
    pub databases: Arc<Databases>,
    pub postgres: Arc<postgres::Databases>,
    pub stores: Arc<Stores>,
    pub variables: Arc<Resolver>,
    pub metrics: Arc<Metrics>,
    pub registry: RegistryHandle,
    pub scheduler: SchedulerHandle,
    /// Where the public door is, once it is open.
    pub own_address: OwnAddress,
}

impl Shared {
    /// Opens what all components share. Must be called inside a tokio runtime.
    pub(super) async fn open(
        application: &Application,
        data_dir: &Path,
        sources: &Sources,
        location: Option<&Location>,
    ) -> Result<Self, StartError> {
        let variables = Resolver::new(application, sources);
        variables.validate().map_err(all)?;
        let databases =
            Databases::open(data_dir.join("sqlite"), sqlite::Settings::default()).map_err(StartError::one)?;
        let settings = key_value::Settings::default().with_memory_stores(application.memory_stores.clone());
        let (database, own, stores) = match location {
            Some(location) => {
                let database = Database::open(location).await.map_err(StartError::one)?;
                let own = database.pools(&database::statement_times(application)).await.map_err(StartError::one)?;
                let stores = Stores::on_postgres(database.host().clone(), settings);
                (Some(database), Some(own), stores)
            }
            None => {
                // On Postgres no file is declared: what a component wrote there would be
                // on one host and missing on the others.
                let labels = application.components.iter().flat_map(|component| component.sqlite_databases.clone());
                databases.declare(labels).map_err(StartError::one)?;
                (None, None, Stores::open(data_dir.join("key_value"), settings).map_err(StartError::one)?)
            }
        };
        stores.declare(application.components.iter().flat_map(|component| component.key_value_stores.clone()));
        let postgres = postgres::Databases::new(postgres::Settings::default(), own);
        let counters = DatabaseMetrics { databases: Arc::clone(&databases), stores: Arc::clone(&stores) };
        let pools = PoolMetrics { databases: Arc::clone(&postgres) };
        Ok(Self {
            database,
            databases,
            postgres,
            stores,
            variables,
            metrics: Metrics::with_collectors([Box::new(counters) as Box<dyn Collector>, Box::new(pools)]),
            registry: RegistryHandle::default(),
            scheduler: SchedulerHandle::default(),
            own_address: OwnAddress::default(),
        })
    }

    /// Closes databases and stores, after the last instance is gone.
    pub(super) async fn close(&self) {
        if let Err(error) = self.databases.close().await {
            tracing::error!(%error, "a database could not be closed");
        }
        if let Err(error) = self.stores.close().await {
            tracing::error!(%error, "the key-value stores could not be closed");
        }
        self.postgres.close().await;
        if let Some(database) = &self.database {
            database.close().await;
        }
    }

    /// Why a database or store does not work; empty if all do.
    pub(super) fn failures(&self) -> Vec<String> {
        let health = self.databases.health().into_iter().chain(self.stores.health());
        let files = health.filter_map(|health| Some(format!("{}: {}", health.label, health.failure?)));
        files.chain(self.database.as_ref().and_then(|database| database.failure())).collect()
    }
}

/// Makes services and versions out of the components of one application.
pub(super) struct Loader {
    pub application: Application,
    pub shared: Arc<Shared>,
    data_dir: PathBuf,
    answers: Answers,
    engine: Engine,
    cache: CompiledCache,
    signatures: Arc<Policy>,
    files: Arc<VersionFiles>,
    linker: Linker<State>,
}

/// How bytes become components that may run.
pub(super) struct Sourcing {
    pub compiled_dir: PathBuf,
    pub compiler: Compiler,
    pub signatures: Arc<Policy>,
}

impl Loader {
    pub(super) fn new(
        application: Application,
        data_dir: PathBuf,
        sourcing: Sourcing,
        answers: Answers,
        shared: Arc<Shared>,
    ) -> Result<Self, StartError> {
        let engine = engine::shared().map_err(|error| StartError::one(format!("{error:#}")))?;
        let Sourcing { compiled_dir, compiler, signatures } = sourcing;
        let cache = CompiledCache::open(&compiled_dir, compiler)
            .map_err(|error| StartError::one(format!("cannot use the folder {}: {error}", compiled_dir.display())))?;
        let versions_dir = data_dir.join("versions");
        let files = VersionFiles::open(versions_dir.clone())
            .map_err(|error| StartError::one(format!("cannot use the folder {}: {error}", versions_dir.display())))?;
        let linker = host_linker(engine).map_err(|error| StartError::one(format!("{error:#}")))?;
        let (engine, files) = (engine.clone(), Arc::new(files));
        Ok(Self { application, shared, data_dir, answers, engine, cache, signatures, files, linker })
    }

    /// All services of the application, with their versions ready to be prepared, and
    /// the record of these.
    pub(super) async fn load(&self) -> Result<(Arc<Registry>, Record), StartError> {
        let mut record = self.files.record().map_err(StartError::one)?;
        let found = self.compile_all(&record).await?;
        let changes: Vec<Change> = found.values().filter_map(|found| found.change(&record)).collect();
        record.retain(|component| found.contains_key(component));
        if !changes.is_empty() {
            record.replace(&changes, system_clock()());
        }
        let compiled = found.into_iter().map(|(id, found)| (id, found.compiled)).collect();
        let plan = self.plan(&compiled).map_err(all)?;
        let routing = Arc::new(Routing::default());
        let mut problems = Vec::new();
        let mut services = Vec::new();
        for (place, id) in compiled.keys().enumerate() {
            match self.service(id, &routing, place) {
                Ok(service) => services.push(Arc::new(service)),
                Err(found) => problems.extend(found.into_iter().map(|problem| format!("component {id:?}: {problem}"))),
            }
        }
        match self.release(&compiled, plan, &[]) {
            Ok(release) => routing.switch(Arc::new(release)),
            Err(found) => problems.extend(found),
        }
        if !problems.is_empty() {
            return Err(StartError(problems));
        }
        let registry = Arc::new(Registry::new(services, routing));
        self.shared.registry.connect(&registry);
        Ok((registry, record))
    }

    /// How these components are linked.
    pub(super) fn plan(&self, components: &BTreeMap<Arc<str>, Compiled>) -> Result<Plan, Vec<LinkProblem>> {
        let by_id = components.iter().map(|(id, compiled)| (Arc::clone(id), compiled)).collect();
        Plan::new(&by_id, &self.answers)
    }

    /// Looks at bytes that are to become a version, and gives their hash.
    pub(super) async fn admit(&self, bytes: Bytes) -> Result<String, String> {
        let signatures = Arc::clone(&self.signatures);
        blocking(move || {
            admissible(&bytes, &signatures)?;
            Ok(content_hash(&bytes))
        })
        .await
    }

    /// Keeps the bytes of a version.
    pub(super) async fn keep(&self, hash: String, bytes: Bytes) -> Result<(), String> {
        let files = Arc::clone(&self.files);
        blocking(move || files.keep(&hash, &bytes).map_err(|error| error.to_string())).await
    }

    /// Compiles a component, or takes what was compiled before, off the threads that
    /// serve requests. All bytes that are to run come through here.
    pub(super) async fn compile(&self, bytes: Bytes) -> Result<Compiled, String> {
        let (engine, cache, signatures) = (self.engine.clone(), self.cache.clone(), Arc::clone(&self.signatures));
        blocking(move || {
            admissible(&bytes, &signatures)?;
            Compiled::new(&engine, &cache, &bytes).map_err(|error| format!("{error:#}"))
        })
        .await
    }

    /// Compiles a version that is kept.
    pub(super) async fn compile_kept(&self, hash: String) -> Result<Compiled, String> {
        self.compile(self.kept_bytes(hash).await?).await
    }

    /// Compiles all components at once, each in the version that is in force.
    async fn compile_all(&self, record: &Record) -> Result<BTreeMap<Arc<str>, Found>, StartError> {
        let compiling = self.application.components.iter().map(|component| async {
            let id: Arc<str> = component.id.as_str().into();
            let found = self.find(component, record.get(&id)).await;
            found.map(|found| (Arc::clone(&id), found)).map_err(|problem| format!("component {id:?}: {problem}"))
        });
        let mut problems = Vec::new();
        let mut components = BTreeMap::new();
        for outcome in join_all(compiling).await {
            match outcome {
                Ok((id, compiled)) => {
                    components.insert(id, compiled);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(components) } else { Err(StartError(problems)) }
    }

    /// The version of a component that is in force: the one that was put in force last,
    /// unless what the manifest names was changed since.
    async fn find(&self, component: &Component, kept: Option<&Kept>) -> Result<Found, String> {
        let (bytes, deployed) = match &component.source {
            Source::File(path) => {
                let (bytes, deployed) = self.read(path).await?;
                let bytes = match self.swapped(kept, &deployed).await? {
                    Some(swapped) => swapped,
                    None => {
                        // A file that is overwritten must not take the way back with it.
                        let keeping = self.keep(deployed.clone(), bytes.clone()).await;
                        keeping.map_err(|problem| format!("cannot keep a copy of it: {problem}"))?;
                        bytes
                    }
                };
                (bytes, deployed)
            }
            Source::Remote(remote) => {
                let bytes = match self.swapped(kept, &remote.sha256).await? {
                    Some(swapped) => swapped,
                    None => self.fetch(&component.id, remote).await?,
                };
                (bytes, remote.sha256.clone())
            }
        };
        let compiled = self.compile(bytes).await?;
        Ok(Found { component: component.id.clone(), compiled, deployed })
    }

    /// A file that the manifest names, and its hash.
    async fn read(&self, path: &Path) -> Result<(Bytes, String), String> {
        let path = self.application.dir.join(path);
        blocking(move || {
            let bytes = std::fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            let hash = content_hash(&bytes);
            Ok((bytes.into(), hash))
        })
        .await
    }

    /// The version that was put in force since `deployed` was, if one was.
    async fn swapped(&self, kept: Option<&Kept>, deployed: &str) -> Result<Option<Bytes>, String> {
        let Some(kept) = kept.filter(|kept| kept.deployed == deployed && kept.current.hash != deployed) else {
            return Ok(None);
        };
        let current = &kept.current.hash;
        let bytes = self.kept_bytes(current.clone()).await;
        bytes.map(Some).map_err(|problem| {
            format!("{problem}; put the version {current} there, or change what the manifest names as the source")
        })
    }

    /// What the manifest names by its digest: a copy, if there is one.
    async fn fetch(&self, component: &str, remote: &Remote) -> Result<Bytes, String> {
        if let Ok(bytes) = self.kept_bytes(remote.sha256.clone()).await {
            return Ok(bytes);
        }
        let bytes = remote::fetch(component, remote).await?;
        let keeping = self.keep(remote.sha256.clone(), bytes.clone()).await;
        keeping.map_err(|problem| format!("cannot keep a copy of it: {problem}"))?;
        Ok(bytes)
    }

    async fn kept_bytes(&self, hash: String) -> Result<Bytes, String> {
        let files = Arc::clone(&self.files);
        blocking(move || files.bytes(&hash).map(Bytes::from)).await
    }

    /// What is to be written down of versions that come into force.
    pub(super) async fn changes(&self, swapped: &[Swapped]) -> Vec<Change> {
        let mut changes = Vec::new();
        for Swapped { component, to, .. } in swapped {
            let Some(settings) = self.application.component(component) else { continue };
            let deployed = match &settings.source {
                // A file that is not there now is a new one when it is.
                Source::File(path) => self.read(path).await.map(|(_, hash)| hash).unwrap_or_default(),
                Source::Remote(remote) => remote.sha256.clone(),
            };
            changes.push(Change { component: component.clone(), hash: to.clone(), deployed });
        }
        changes
    }

    /// Makes `record` the one that the next start finds.
    pub(super) async fn write_record(&self, record: Record) -> Result<(), String> {
        let files = Arc::clone(&self.files);
        blocking(move || files.write_record(&record).map_err(|error| error.to_string())).await
    }

    /// Removes versions that are not needed, in the background.
    pub(super) fn prune(&self, needed: impl FnOnce() -> BTreeSet<String> + Send + 'static) {
        let files = Arc::clone(&self.files);
        // Without a runtime the process ends, and the next start prunes.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn_blocking(move || {
            if let Err(error) = files.prune(needed) {
                tracing::warn!(%error, "versions that are not needed could not be removed");
            }
        });
    }

    /// The service of a component, with what the manifest grants it.
    fn service(&self, id: &Arc<str>, routing: &Arc<Routing>, place: usize) -> Result<Service, Vec<String>> {
        let component = self.application.component(id).ok_or_else(|| vec!["it is not in the manifest".to_owned()])?;
        let (shared, id) = (&self.shared, Arc::clone(id));
        let labels = Arc::new(component.sqlite_databases.iter().cloned().collect());
        let own = shared.database.as_ref().and_then(|_| postgres::own_address(&id, &labels));
        let mut environment = component.environment.clone();
        environment.extend(own.map(|address| (postgres::OWN_VARIABLE.to_owned(), address)));
        let metrics = shared.metrics.component(&id);
        let allowed = Arc::new(AllowedHosts::parse(&outbound_hosts(component, &shared.variables)?)?);
        let files = files::folders(&self.application, component, &self.data_dir).map_err(|problem| vec![problem])?;
        let states = StateFactory {
            engine: self.engine.clone(),
            component: Arc::clone(&id),
            limits: component.limits.clone(),
            metrics: Arc::clone(&metrics),
            environment,
            files,
            allowed_hosts: Arc::clone(&allowed),
            postgres: Arc::clone(&shared.postgres),
            postgres_grants: postgres::Grants {
                component: Arc::clone(&id),
                labels,
                allowed_hosts: Arc::clone(&allowed),
                statement_time_max: component.limits.statement_time_max,
                result_max: (component.limits.query_rows_max, component.limits.query_bytes_max),
            },
            outbound_http: OutboundHttp::new(
                allowed,
                shared.registry.clone(),
                Arc::clone(&shared.own_address),
                Arc::clone(&metrics),
                component.limits.outbound_requests_max,
            ),
            outbound_tcp: Places::new(component.limits.outbound_connections_max, Arc::clone(&metrics)),
            databases: Arc::clone(&shared.databases),
            database_grants: Grants::new(component.sqlite_databases.clone(), component.limits.statement_time_max)
                .with_result_max(component.limits.query_rows_max, component.limits.query_bytes_max),
            stores: Arc::clone(&shared.stores),
            store_grants: Arc::new(key_value::Grants {
                labels: component.key_value_stores.iter().cloned().collect(),
                key_bytes_max: component.limits.key_bytes_max,
                value_bytes_max: component.limits.value_bytes_max,
            }),
            variables: shared.variables.ctx(&component.id),
            registry: shared.registry.clone(),
            scheduler: shared.scheduler.clone(),
        };
        Ok(Service::new(id, component.limits.clone(), states, metrics, Arc::clone(routing), place))
    }

    /// A release of these components, linked as planned. Versions that are known are
    /// taken if they are linked in the same way; the others are ready to be instantiated.
    pub(super) fn release(
        &self,
        compiled: &BTreeMap<Arc<str>, Compiled>,
        plan: Plan,
        known: &[Arc<Version>],
    ) -> Result<Release, Vec<String>> {
        let mut problems = Vec::new();
        let mut versions = Vec::new();
        for (id, compiled) in compiled {
            let links = plan.links(id).cloned().unwrap_or_default();
            let fits = |version: &&Arc<Version>| version.compiled.is_same(compiled) && version.links == links;
            if let Some(version) = known.iter().find(fits) {
                versions.push(Arc::clone(version));
                continue;
            }
            match self.version(id, compiled, &plan, links) {
                Ok(version) => versions.push(Arc::new(version)),
                Err(problem) => problems.push(format!("component {id:?}: {problem}")),
            }
        }
        if problems.is_empty() { Ok(Release::new(versions, plan)) } else { Err(problems) }
    }

    fn version(&self, id: &str, compiled: &Compiled, plan: &Plan, links: Providers) -> Result<Version, String> {
        let (shared, mut linker) = (&self.shared, self.linker.clone());
        let settings = self.application.component(id).ok_or("the manifest has no such component")?;
        if shared.database.is_some() && knows_files_only(settings, &compiled.imports) {
            return Err("it keeps its data in SQLite alone, and the application lives on Postgres; \
                        build it with an import of spin:postgres, or start without a database URL"
                .to_owned());
        }
        let (imports, answers) = (&compiled.imports, &self.answers);
        let absent = absent::absent(settings, imports).map_err(|problems| problems.join("; "))?;
        absent::define(&mut linker, &self.engine, &compiled.component, &absent)
            .and_then(|()| plan.define(&mut linker, id, imports, &shared.registry, answers, &shared.metrics))
            .and_then(|()| linker.instantiate_pre(&compiled.component))
            .and_then(|pre| Version::new(compiled.clone(), pre, links, settings.limits.instance_requests_max))
            .map_err(|error| format!("{error:#}"))
    }
}

/// A component as a start finds it.
struct Found {
    component: String,
    compiled: Compiled,
    /// SHA-256 of the file that the manifest names.
    deployed: String,
}

impl Found {
    /// What it changes in the record.
    fn change(&self, record: &Record) -> Option<Change> {
        let kept = record.get(&self.component);
        let known = kept.is_some_and(|kept| kept.current.hash == self.compiled.hash && kept.deployed == self.deployed);
        (!known).then(|| Change {
            component: self.component.clone(),
            hash: self.compiled.hash.clone(),
            deployed: self.deployed.clone(),
        })
    }
}

/// Does what takes a while off the threads that serve requests.
async fn blocking<R: Send + 'static>(work: impl FnOnce() -> Result<R, String> + Send + 'static) -> Result<R, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}

/// What can be said against bytes before they are compiled.
fn admissible(bytes: &[u8], signatures: &Policy) -> Result<(), String> {
    /// How a core module begins; a component has another version and layer.
    const MODULE: &[u8] = b"\0asm\x01\0\0\0";
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(format!("it has {} bytes; at most {COMPONENT_BYTES_MAX} are accepted", bytes.len()));
    }
    if bytes.starts_with(MODULE) {
        return Err("it is a core module and not a component: build it for the target wasm32-wasip2".to_owned());
    }
    if !bytes.starts_with(b"\0asm") {
        return Err("it is not WebAssembly".to_owned());
    }
    signatures.check(bytes).map_err(|refusal| refusal.to_string())
}

fn all<P: ToString>(problems: Vec<P>) -> StartError {
    StartError(problems.iter().map(ToString::to_string).collect())
}

/// Whether a component would write to files of one host what the others could not see.
fn knows_files_only(component: &Component, imports: &Interfaces) -> bool {
    let imports_of = |package: &str| imports.keys().any(|name| name.starts_with(package));
    let files = imports_of("spin:sqlite/") || imports_of("fermyon:spin/sqlite");
    files && !component.sqlite_databases.is_empty() && !imports_of("spin:postgres/")
}

/// What the host itself provides, to every component alike; grants decide what it does.
fn host_linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    places::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    relative::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    sqlite::add_to_linker(&mut linker, State::sqlite)?;
    postgres::add_to_linker(&mut linker, State::postgres)?;
    key_value::add_to_linker(&mut linker, State::key_value)?;
    variables::add_to_linker(&mut linker, State::variables)?;
    links::upstream::add_to_linker(&mut linker)?;
    links::wake::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// The entries of its list, with variables filled in.
fn outbound_hosts(component: &Component, variables: &Resolver) -> Result<Vec<String>, Vec<String>> {
    let mut hosts = Vec::new();
    let mut problems = Vec::new();
    for entry in &component.allowed_outbound_hosts {
        match variables.expand(entry) {
            Ok(host) => hosts.push(host),
            Err(error) => problems.push(format!("allowed_outbound_hosts: {entry:?}: {error}")),
        }
    }
    if problems.is_empty() { Ok(hosts) } else { Err(problems) }
}
