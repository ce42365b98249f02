//! Key-value stores for components: `spin:key-value/key-value@3.0.0`, and the older
//! interfaces to the same stores.
//!
//! A store is durable unless it is configured to live in memory. The durable
//! ones share one SQLite file, or one table where the application runs on Postgres,
//! told apart by their label, and keep the promise of the databases: what `set` and
//! `delete` acknowledge is on disk. Who does
//! not need that says so with a store in memory, which is bounded and forgets
//! what was written longest ago.

mod entries;
mod file;
mod granted;
mod memory;
mod postgres;
mod spin2;
mod stores;
mod wasi;

use std::sync::Arc;

use wasmtime::component::{Accessor, FutureReader, HasData, Linker, Resource, ResourceTable, StreamReader};

pub(crate) use self::file::{CREATE_ENTRIES, FILE};
use self::{bindings::spin::key_value::key_value as wit, granted::Granted};
pub use self::{
    granted::Grants,
    memory::MemoryLimits,
    stores::{Settings, Stores},
};
use super::handles::{Counted, Handles};
use crate::{call::CurrentCall, capability::sqlite};

mod bindings {
    wasmtime::component::bindgen!({
        inline: "
            package host:key-value;
            world imports { import spin:key-value/key-value@3.0.0; }
        ",
        path: "../wit/deps/spin-key-value@3.0.0",
        world: "host:key-value/imports",
        imports: { default: async | trappable },
        with: { "spin:key-value/key-value.store": super::Handle },
        trappable_error_type: { "spin:key-value/key-value.error" => super::Error },
    });
}

/// Why a call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("too many stores are open")]
    StoreTableFull,
    #[error("the application has no such store")]
    NoSuchStore,
    #[error("the component was not granted this store")]
    AccessDenied,
    #[error("the store handle is not valid")]
    InvalidStore,
    #[error("the key is longer than {0} bytes, its limits.key_bytes")]
    KeyTooLong(usize),
    #[error("the value is longer than {0} bytes, its limits.value_bytes")]
    ValueTooLong(usize),
    #[error("the query result exceeds limit: more than {0} bytes")]
    TooManyBytes(usize),
    #[error("the entry is larger than its store may be")]
    StoreTooSmall,
    #[error("all keys come at once; there is no cursor")]
    NoCursor,
    #[error("the entry holds no number of 8 bytes, or the sum would not fit into one")]
    NoNumber,
    #[error("too many others change the entry at the same time; try again")]
    Contended,
    #[error("the file of the stores holds an entry of a wrong type")]
    Corrupt,
    #[error("the store has more than {0} keys")]
    TooManyKeys(usize),
    /// The server of the stores does not do its part. It may name addresses, so guests
    /// are told only that it happened.
    #[error("{0}")]
    Unavailable(String),
    #[error(transparent)]
    Database(#[from] sqlite::Error),
}

impl Error {
    /// The one place where a guest's error is made.
    fn into_wit(self) -> wit::Error {
        match self {
            Self::StoreTableFull => wit::Error::StoreTableFull,
            Self::NoSuchStore => wit::Error::NoSuchStore,
            Self::AccessDenied => wit::Error::AccessDenied,
            Self::Database(sqlite::Error::Internal(reason)) | Self::Unavailable(reason) => {
                tracing::error!(reason, "a key-value call failed in the host");
                wit::Error::Other("the store is not available".to_owned())
            }
            Self::InvalidStore
            | Self::KeyTooLong(_)
            | Self::ValueTooLong(_)
            | Self::TooManyBytes(_)
            | Self::StoreTooSmall
            | Self::NoCursor
            | Self::NoNumber
            | Self::Contended
            | Self::Corrupt
            | Self::TooManyKeys(_)
            | Self::Database(_) => wit::Error::Other(self.to_string()),
        }
    }
}

/// What a guest's store handle stands for.
pub struct Handle {
    store: Granted,
    _counted: Counted,
}

/// The state of one instance.
pub struct Ctx {
    stores: Arc<Stores>,
    grants: Arc<Grants>,
    current: Arc<CurrentCall>,
    open: Handles,
}

impl Ctx {
    fn new(stores: Arc<Stores>, grants: Arc<Grants>, current: Arc<CurrentCall>) -> Self {
        Self { stores, grants, current, open: Handles::default() }
    }

    fn open(&self, label: &str) -> Result<Handle, Error> {
        if !self.grants.labels.contains(label) {
            return Err(Error::AccessDenied);
        }
        let store = self.stores.store(label).ok_or(Error::NoSuchStore)?;
        let counted = self.open.take(self.stores.settings().stores_max).ok_or(Error::StoreTableFull)?;
        let (stores, grants, current) = (self.stores.clone(), self.grants.clone(), self.current.clone());
        Ok(Handle { store: Granted { stores, store, grants, current }, _counted: counted })
    }
}

/// A short-lived view of an instance's state.
pub struct View<'a> {
    ctx: &'a Ctx,
    table: &'a mut ResourceTable,
}

impl<'a> View<'a> {
    pub fn new(ctx: &'a Ctx, table: &'a mut ResourceTable) -> Self {
        Self { ctx, table }
    }

    fn open(&mut self, label: &str) -> Result<Resource<Handle>, Error> {
        let handle = self.ctx.open(label)?;
        self.push(handle)
    }

    fn push<R: Send + 'static>(&mut self, resource: R) -> Result<Resource<R>, Error> {
        self.table.push(resource).map_err(|_full| Error::StoreTableFull)
    }

    fn close(&mut self, handle: Resource<Handle>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }

    fn store(&self, handle: &Resource<Handle>) -> Result<Granted, Error> {
        let handle = self.table.get(handle).map_err(|_invalid| Error::InvalidStore)?;
        Ok(handle.store.clone())
    }
}

impl wit::Host for View<'_> {
    fn convert_error(&mut self, error: Error) -> wasmtime::Result<wit::Error> {
        Ok(error.into_wit())
    }
}

impl wit::HostStore for View<'_> {
    async fn drop(&mut self, handle: Resource<Handle>) -> wasmtime::Result<()> {
        self.close(handle)
    }
}

impl<T: Send + 'static> wit::HostStoreWithStore<T> for KeyValue {
    async fn open(accessor: &Accessor<T, Self>, label: String) -> Result<Resource<Handle>, Error> {
        accessor.with(|mut access| access.get().open(&label))
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        handle: Resource<Handle>,
        key: String,
    ) -> Result<Option<Vec<u8>>, Error> {
        store(accessor, &handle)?.get(&key).await
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        handle: Resource<Handle>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), Error> {
        store(accessor, &handle)?.set(key, value).await
    }

    async fn delete(accessor: &Accessor<T, Self>, handle: Resource<Handle>, key: String) -> Result<(), Error> {
        store(accessor, &handle)?.delete(&key).await
    }

    async fn exists(accessor: &Accessor<T, Self>, handle: Resource<Handle>, key: String) -> Result<bool, Error> {
        store(accessor, &handle)?.exists(&key).await
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        handle: Resource<Handle>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), wit::Error>>)> {
        let (keys, end) = match store(accessor, &handle)?.keys().await {
            Ok(keys) => (keys, Ok(())),
            Err(error) => (Vec::new(), Err(error.into_wit())),
        };
        accessor.with(|mut access| {
            Ok((
                StreamReader::new(&mut access, keys)?,
                FutureReader::new(&mut access, async { wasmtime::error::Ok(end) })?,
            ))
        })
    }
}

fn store<T: Send + 'static>(accessor: &Accessor<T, KeyValue>, handle: &Resource<Handle>) -> Result<Granted, Error> {
    accessor.with(|mut access| access.get().store(handle))
}

/// Adds the interfaces to a linker. `view` finds the state of an instance.
///
/// # Errors
///
/// The linker has one of them already.
pub fn add_to_linker<T: Send + 'static>(linker: &mut Linker<T>, view: fn(&mut T) -> View<'_>) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, KeyValue>(linker, view)?;
    spin2::add_to_linker(linker, view)?;
    wasi::add_to_linker(linker, view)
}

struct KeyValue;

impl HasData for KeyValue {
    type Data<'a> = View<'a>;
}
