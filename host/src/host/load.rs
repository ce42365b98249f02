//! Reading, compiling and linking the components of an application.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::future::join_all;
use prometheus_client::collector::Collector;
use wasmtime::{Engine, component::Linker};

use super::{StartError, database_metrics::DatabaseMetrics, files};
use crate::{
    capability::{
        allowed_hosts::AllowedHosts,
        key_value::{self, Stores},
        outbound_http::OutboundHttp,
        sqlite::{self, Databases, Grants},
        variables::{self, Resolver, Sources},
    },
    component::Compiled,
    engine,
    links::{self, LinkProblem, Plan, answer::Answers, wake::SchedulerHandle},
    manifest::{Application, Component},
    precompiled::CompiledCache,
    registry::{Registry, RegistryHandle},
    service::Service,
    state::{State, StateFactory},
    telemetry::Metrics,
    version::Version,
};

/// What all components of an application share.
pub(super) struct Shared {
    pub databases: Arc<Databases>,
    pub stores: Arc<Stores>,
    pub variables: Arc<Resolver>,
    pub metrics: Arc<Metrics>,
    pub registry: RegistryHandle,
    pub scheduler: SchedulerHandle,
}

impl Shared {
    /// Opens what all components share. Must be called inside a tokio runtime.
    pub(super) fn open(application: &Application, data_dir: &Path, sources: &Sources) -> Result<Self, StartError> {
        let variables = Resolver::new(application, sources);
        variables.validate().map_err(all)?;
        let databases =
            Databases::open(data_dir.join("sqlite"), sqlite::Settings::default()).map_err(StartError::one)?;
        let labels = application.components.iter().flat_map(|component| component.sqlite_databases.clone());
        databases.declare(labels).map_err(StartError::one)?;
        let settings = key_value::Settings::default().with_memory_stores(application.memory_stores.clone());
        let stores = Stores::open(data_dir.join("key_value"), settings).map_err(StartError::one)?;
        stores.declare(application.components.iter().flat_map(|component| component.key_value_stores.clone()));
        let counters = DatabaseMetrics { databases: Arc::clone(&databases), stores: Arc::clone(&stores) };
        Ok(Self {
            databases,
            stores,
            variables,
            metrics: Metrics::with_collectors([Box::new(counters) as Box<dyn Collector>]),
            registry: RegistryHandle::default(),
            scheduler: SchedulerHandle::default(),
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
    }

    /// Why a database or store does not work; empty if all do.
    pub(super) fn failures(&self) -> Vec<String> {
        let health = self.databases.health().into_iter().chain(self.stores.health());
        health.filter_map(|health| Some(format!("{}: {}", health.label, health.failure?))).collect()
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
    linker: Linker<State>,
}

impl Loader {
    pub(super) fn new(
        application: Application,
        data_dir: PathBuf,
        compiled_dir: &Path,
        answers: Answers,
        shared: Arc<Shared>,
    ) -> Result<Self, StartError> {
        let engine = engine::shared().map_err(|error| StartError::one(format!("{error:#}")))?;
        let cache = CompiledCache::open(compiled_dir)
            .map_err(|error| StartError::one(format!("cannot use the folder {}: {error}", compiled_dir.display())))?;
        let linker = host_linker(engine).map_err(|error| StartError::one(format!("{error:#}")))?;
        Ok(Self { application, shared, data_dir, answers, engine: engine.clone(), cache, linker })
    }

    /// All services of the application, each with its version, ready to be prepared,
    /// and how they are linked.
    pub(super) async fn load(&self) -> Result<(Arc<Registry>, Plan), StartError> {
        let compiled = self.compile_all().await?;
        let plan = self.plan(&compiled).map_err(all)?;
        let mut problems = Vec::new();
        let mut services = Vec::new();
        for component in &self.application.components {
            match self.service_with_version(component, &compiled, &plan) {
                Ok(service) => services.push(Arc::new(service)),
                Err(found) => {
                    problems
                        .extend(found.into_iter().map(|problem| format!("component {:?}: {problem}", component.id)));
                }
            }
        }
        if !problems.is_empty() {
            return Err(StartError(problems));
        }
        let registry = Arc::new(Registry::new(services));
        self.shared.registry.connect(&registry);
        Ok((registry, plan))
    }

    /// How these components are linked.
    pub(super) fn plan(&self, components: &BTreeMap<Arc<str>, Compiled>) -> Result<Plan, Vec<LinkProblem>> {
        let by_id = components.iter().map(|(id, compiled)| (Arc::clone(id), compiled)).collect();
        Plan::new(&by_id, &self.answers)
    }

    /// Compiles a component, or takes what was compiled before, off the threads that
    /// serve requests.
    pub(super) async fn compile(
        &self,
        read: impl FnOnce() -> Result<Vec<u8>, String> + Send + 'static,
    ) -> Result<Compiled, String> {
        let (engine, cache) = (self.engine.clone(), self.cache.clone());
        let compiling = tokio::task::spawn_blocking(move || {
            Compiled::new(&engine, &cache, &read()?).map_err(|error| format!("it is no valid component: {error:#}"))
        });
        compiling.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Compiles all components at once.
    async fn compile_all(&self) -> Result<BTreeMap<Arc<str>, Compiled>, StartError> {
        let compiling = self.application.components.iter().map(|component| async {
            let path = self.application.dir.join(&component.source);
            let read = move || std::fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()));
            let compiled = self.compile(read).await;
            let id: Arc<str> = component.id.as_str().into();
            compiled
                .map(|compiled| (Arc::clone(&id), compiled))
                .map_err(|problem| format!("component {id:?}: {problem}"))
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

    fn service_with_version(
        &self,
        component: &Component,
        compiled: &BTreeMap<Arc<str>, Compiled>,
        plan: &Plan,
    ) -> Result<Service, Vec<String>> {
        let compiled = compiled.get(component.id.as_str()).ok_or_else(|| vec!["it was not compiled".to_owned()])?;
        let service = self.service(component)?;
        let version = self.version(component, compiled, plan).map_err(|problem| vec![problem])?;
        service.switch_to(Arc::new(version));
        Ok(service)
    }

    /// The service of a component, with what the manifest grants it.
    fn service(&self, component: &Component) -> Result<Service, Vec<String>> {
        let shared = &self.shared;
        let id: Arc<str> = component.id.as_str().into();
        let metrics = shared.metrics.component(&id);
        let allowed = Arc::new(AllowedHosts::parse(&outbound_hosts(component, &shared.variables)?)?);
        let files = files::folders(&self.application, component, &self.data_dir).map_err(|problem| vec![problem])?;
        let states = StateFactory {
            engine: self.engine.clone(),
            component: Arc::clone(&id),
            limits: component.limits.clone(),
            environment: component.environment.clone(),
            files,
            allowed_hosts: Arc::clone(&allowed),
            outbound_http: OutboundHttp::new(allowed, shared.registry.clone(), Arc::clone(&metrics)),
            databases: Arc::clone(&shared.databases),
            database_grants: Grants::new(component.sqlite_databases.clone(), component.limits.statement_time_max),
            stores: Arc::clone(&shared.stores),
            store_grants: Arc::new(component.key_value_stores.iter().cloned().collect()),
            variables: shared.variables.ctx(&component.id),
            registry: shared.registry.clone(),
            scheduler: shared.scheduler.clone(),
        };
        Ok(Service::new(id, component.limits.clone(), states, metrics))
    }

    /// A version of a component, linked and ready to be instantiated.
    pub(super) fn version(&self, component: &Component, compiled: &Compiled, plan: &Plan) -> Result<Version, String> {
        let (shared, mut linker) = (&self.shared, self.linker.clone());
        plan.define(&mut linker, &component.id, &compiled.imports, &shared.registry, &self.answers, &shared.metrics)
            .and_then(|()| linker.instantiate_pre(&compiled.component))
            .and_then(|pre| Version::new(compiled.clone(), pre, component.limits.instance_requests_max))
            .map_err(|error| format!("{error:#}"))
    }
}

fn all<P: ToString>(problems: Vec<P>) -> StartError {
    StartError(problems.iter().map(ToString::to_string).collect())
}

/// What the host itself provides, to every component alike; grants decide what it does.
fn host_linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    sqlite::add_to_linker(&mut linker, State::sqlite)?;
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
