//! The same stores through `wasi:keyvalue@0.2.0-draft2`: one key at a time, several
//! keys, and changes that depend on what is there.

use wasmtime::component::{Linker, Resource};

use self::bindings::wasi::keyvalue::batch as several;
use self::bindings::wasi::keyvalue::{atomics, store as wit};
use super::{Error, Handle, KeyValue, View, wit as current};

mod bindings {
    wasmtime::component::bindgen!({
        inline: "
            package host:key-value-wasi;
            world imports {
                import wasi:keyvalue/store@0.2.0-draft2;
                import wasi:keyvalue/batch@0.2.0-draft2;
                import wasi:keyvalue/atomics@0.2.0-draft2;
            }
        ",
        path: "../wit/deps/wasi-keyvalue@0.2.0-draft2",
        world: "host:key-value-wasi/imports",
        imports: { default: async | trappable },
        with: {
            "wasi:keyvalue/store.bucket": super::super::Handle,
            "wasi:keyvalue/atomics.cas": super::Cas,
        },
        trappable_error_type: {
            "wasi:keyvalue/store.error" => super::Error,
            "wasi:keyvalue/atomics.cas-error" => super::CasError,
        },
    });
}

/// What a guest's compare-and-swap handle stands for: a key and the value that it had.
pub struct Cas {
    store: super::Granted,
    key: String,
    seen: Option<Vec<u8>>,
}

/// Why a value was not swapped.
#[derive(Debug)]
pub enum CasError {
    Store(Error),
    /// Somebody else changed it; the handle has the value that is there now.
    Changed(Resource<Cas>),
}

impl From<Error> for CasError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

fn into_wit(error: Error) -> wit::Error {
    match error.into_wit() {
        current::Error::NoSuchStore => wit::Error::NoSuchStore,
        current::Error::AccessDenied => wit::Error::AccessDenied,
        current::Error::StoreTableFull => wit::Error::Other("too many stores are open".to_owned()),
        current::Error::Other(reason) => wit::Error::Other(reason),
    }
}

impl wit::Host for View<'_> {
    async fn open(&mut self, label: String) -> Result<Resource<Handle>, Error> {
        self.open(&label)
    }

    fn convert_error(&mut self, error: Error) -> wasmtime::Result<wit::Error> {
        Ok(into_wit(error))
    }
}

impl wit::HostBucket for View<'_> {
    async fn get(&mut self, bucket: Resource<Handle>, key: String) -> Result<Option<Vec<u8>>, Error> {
        self.store(&bucket)?.get(&key).await
    }

    async fn set(&mut self, bucket: Resource<Handle>, key: String, value: Vec<u8>) -> Result<(), Error> {
        self.store(&bucket)?.set(key, value).await
    }

    async fn delete(&mut self, bucket: Resource<Handle>, key: String) -> Result<(), Error> {
        self.store(&bucket)?.delete(&key).await
    }

    async fn exists(&mut self, bucket: Resource<Handle>, key: String) -> Result<bool, Error> {
        self.store(&bucket)?.exists(&key).await
    }

    /// All keys come at once, so there is never a cursor to go on from.
    async fn list_keys(&mut self, bucket: Resource<Handle>, cursor: Option<String>) -> Result<wit::KeyResponse, Error> {
        if cursor.is_some() {
            return Err(Error::NoCursor);
        }
        Ok(wit::KeyResponse { keys: self.store(&bucket)?.keys().await?, cursor: None })
    }

    async fn drop(&mut self, bucket: Resource<Handle>) -> wasmtime::Result<()> {
        self.close(bucket)
    }
}

impl several::Host for View<'_> {
    async fn get_many(
        &mut self,
        bucket: Resource<Handle>,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, Error> {
        self.store(&bucket)?.get_many(keys).await
    }

    async fn set_many(&mut self, bucket: Resource<Handle>, entries: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
        let store = self.store(&bucket)?;
        for (key, value) in entries {
            store.set(key, value).await?;
        }
        Ok(())
    }

    async fn delete_many(&mut self, bucket: Resource<Handle>, keys: Vec<String>) -> Result<(), Error> {
        let store = self.store(&bucket)?;
        for key in keys {
            store.delete(&key).await?;
        }
        Ok(())
    }
}

impl atomics::Host for View<'_> {
    async fn increment(&mut self, bucket: Resource<Handle>, key: String, delta: i64) -> Result<i64, Error> {
        self.store(&bucket)?.increment(&key, delta).await
    }

    async fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> Result<(), CasError> {
        let cas = self.table.delete(cas).map_err(|_invalid| Error::InvalidStore)?;
        if cas.store.swap(&cas.key, cas.seen.as_deref(), value).await? {
            return Ok(());
        }
        let seen = cas.store.get(&cas.key).await?;
        Err(CasError::Changed(self.push(Cas { seen, ..cas })?))
    }

    fn convert_cas_error(&mut self, error: CasError) -> wasmtime::Result<atomics::CasError> {
        Ok(match error {
            CasError::Store(error) => atomics::CasError::StoreError(into_wit(error)),
            CasError::Changed(cas) => atomics::CasError::CasFailed(cas),
        })
    }
}

impl atomics::HostCas for View<'_> {
    async fn new(&mut self, bucket: Resource<Handle>, key: String) -> Result<Resource<Cas>, Error> {
        let store = self.store(&bucket)?;
        let seen = store.get(&key).await?;
        self.push(Cas { store, key, seen })
    }

    async fn current(&mut self, cas: Resource<Cas>) -> Result<Option<Vec<u8>>, Error> {
        let cas = self.table.get(&cas).map_err(|_invalid| Error::InvalidStore)?;
        Ok(cas.seen.clone())
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}

/// Adds the interfaces to a linker.
///
/// # Errors
///
/// The linker has one of them already.
pub(super) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, KeyValue>(linker, view)?;
    several::add_to_linker::<_, KeyValue>(linker, view)?;
    atomics::add_to_linker::<_, KeyValue>(linker, view)
}
