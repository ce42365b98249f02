//! What an instance holds besides its memory: every capability it was granted, by name.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder, UpdateDeadline, component::ResourceTable};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::{
    call::{Call, CurrentCall},
    capability::{
        allowed_hosts::AllowedHosts,
        key_value,
        outbound_http::{OutboundHooks, OutboundHttp},
        outbound_tcp::{
            self,
            places::{Connections, ConnectionsView, Places},
        },
        postgres, sqlite,
        stdio::LogStream,
        variables,
    },
    links::wake::SchedulerHandle,
    manifest::Limits,
    memory::MemoryLimiter,
    meter::Meter,
    registry::RegistryHandle,
    telemetry::{guest::Stream, metrics::ComponentMetrics},
};

/// Ticks of the epoch between two looks at the processor time of a running guest.
const INTERRUPT_TICKS: u64 = 1;
/// Core instances, memories and tables in one component instance, each.
const STORE_ITEMS_MAX: usize = 64;
/// Resources that an instance holds of the host, such as streams and connections.
const RESOURCES_MAX: usize = 10_000;
/// Handles that an instance holds, its own resources included.
const HANDLES_MAX: usize = 20_000;
/// Set for every component, so that it can tell this host from one that does not
/// call its lifecycle.
const PREPARED_VARIABLE: (&str, &str) = ("CAIRN_PREPARED", "1");

/// The data of an instance's store.
pub struct State {
    /// Id of the component.
    pub component: Arc<str>,
    /// The call the instance works on.
    pub current: Arc<CurrentCall>,
    /// The other components, for calls between them.
    pub registry: RegistryHandle,
    /// Work in the background.
    pub scheduler: SchedulerHandle,
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound_http: OutboundHooks,
    outbound_tcp: Connections,
    sqlite: sqlite::Ctx,
    postgres: postgres::Ctx,
    key_value: key_value::Ctx,
    variables: variables::Ctx,
    memory: MemoryLimiter,
}

impl State {
    pub(crate) fn sqlite(&mut self) -> sqlite::View<'_> {
        sqlite::View::new(&self.sqlite, &mut self.table)
    }

    pub(crate) fn postgres(&mut self) -> postgres::View<'_> {
        postgres::View::new(&self.postgres, &mut self.table)
    }

    pub(crate) fn key_value(&mut self) -> key_value::View<'_> {
        key_value::View::new(&self.key_value, &mut self.table)
    }

    pub(crate) fn variables(&mut self) -> variables::View<'_> {
        variables::View::new(&self.variables)
    }

    /// Whether the instance ends a call inside of a transaction, and so keeps others
    /// from writing.
    pub(crate) fn has_open_transaction(&self) -> bool {
        self.sqlite.has_open_transaction() || self.postgres.has_open_transaction()
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outbound_http }
    }
}

impl ConnectionsView for State {
    fn connections(&mut self) -> &mut Connections {
        &mut self.outbound_tcp
    }
}

/// Makes the state of a component's instances: what the manifest grants it.
pub struct StateFactory {
    pub engine: Engine,
    pub component: Arc<str>,
    pub limits: Limits,
    pub metrics: Arc<ComponentMetrics>,
    pub environment: BTreeMap<String, String>,
    /// Folders of the host and where the component sees them, read-only.
    pub files: Vec<(PathBuf, String)>,
    pub allowed_hosts: Arc<AllowedHosts>,
    pub outbound_http: OutboundHttp,
    pub outbound_tcp: Places,
    pub databases: Arc<sqlite::Databases>,
    pub database_grants: sqlite::Grants,
    pub postgres: Arc<postgres::Databases>,
    pub postgres_grants: postgres::Grants,
    pub stores: Arc<key_value::Stores>,
    pub store_grants: Arc<key_value::Grants>,
    pub variables: variables::Ctx,
    pub registry: RegistryHandle,
    pub scheduler: SchedulerHandle,
}

impl StateFactory {
    /// A store for an instance that starts with `call`, and the meter of its processor time.
    ///
    /// # Errors
    /// When a folder that is granted cannot be opened.
    pub fn store(&self, call: &Call) -> wasmtime::Result<(Store<State>, Arc<Meter>)> {
        let meter = Arc::new(Meter::default());
        let mut store = Store::new(&self.engine, self.state(call)?);
        store.set_max_component_handles(HANDLES_MAX);
        store.limiter(|state| &mut state.memory);
        let watched = Arc::clone(&meter);
        store.set_epoch_deadline(INTERRUPT_TICKS);
        store.epoch_deadline_callback(move |_| {
            watched.check()?;
            let give_way = Box::pin(tokio::task::yield_now());
            Ok(UpdateDeadline::YieldCustom(INTERRUPT_TICKS, give_way))
        });
        Ok((store, meter))
    }

    fn state(&self, call: &Call) -> wasmtime::Result<State> {
        let current = Arc::new(CurrentCall::new(call.clone()).counted_for(Arc::clone(&self.metrics)));
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Ok(State {
            component: Arc::clone(&self.component),
            registry: self.registry.clone(),
            scheduler: self.scheduler.clone(),
            table,
            wasi: self.wasi(&current)?,
            http: WasiHttpCtx::new(),
            outbound_http: OutboundHooks::new(self.outbound_http.clone(), Arc::clone(&current)),
            outbound_tcp: Connections::new(self.outbound_tcp.clone()),
            sqlite: self.databases.ctx(&self.database_grants, &current),
            postgres: postgres::Ctx::new(
                Arc::clone(&self.postgres),
                self.postgres_grants.clone(),
                Arc::clone(&current),
            ),
            key_value: self.stores.ctx(&self.store_grants, &current),
            variables: self.variables.clone(),
            memory: MemoryLimiter::new(self.store_limits(), Arc::clone(&self.metrics)),
            current,
        })
    }

    fn wasi(&self, current: &Arc<CurrentCall>) -> wasmtime::Result<WasiCtx> {
        let log = |stream| LogStream::new(Arc::clone(&self.component), Arc::clone(current), stream);
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(log(Stream::Out)).stderr(log(Stream::Err));
        for (name, value) in &self.environment {
            wasi.env(name, value);
        }
        wasi.env(PREPARED_VARIABLE.0, PREPARED_VARIABLE.1);
        for (source, destination) in &self.files {
            wasi.preopened_dir(source, destination, FsPerms::ReadOnly)?;
        }
        outbound_tcp::configure(&mut wasi, &self.allowed_hosts);
        Ok(wasi.build())
    }

    fn store_limits(&self) -> StoreLimits {
        StoreLimitsBuilder::new()
            .memory_size(self.limits.memory_bytes_max)
            .instances(STORE_ITEMS_MAX)
            .memories(STORE_ITEMS_MAX)
            .tables(STORE_ITEMS_MAX)
            // A guest that gets no memory mostly aborts anyway; so the reason is told.
            .trap_on_grow_failure(true)
            .build()
    }
}
