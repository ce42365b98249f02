//! The same stores as components made for Spin 2 and 3 see them:
//! `fermyon:spin/key-value@2.0.0`.

use wasmtime::component::{Linker, Resource};

use self::bindings::fermyon::spin::key_value as wit;
use super::{Error, Handle, KeyValue, View, wit as current};

mod bindings {
    wasmtime::component::bindgen!({
        inline: "
            package host:key-value-spin2;
            world imports { import fermyon:spin/key-value@2.0.0; }
        ",
        path: "../wit/deps/fermyon-spin@2.0.0",
        world: "host:key-value-spin2/imports",
        imports: { default: async | trappable },
        with: { "fermyon:spin/key-value.store": super::super::Handle },
        trappable_error_type: { "fermyon:spin/key-value.error" => super::Error },
    });
}

impl wit::Host for View<'_> {
    fn convert_error(&mut self, error: Error) -> wasmtime::Result<wit::Error> {
        Ok(match error.into_wit() {
            current::Error::StoreTableFull => wit::Error::StoreTableFull,
            current::Error::NoSuchStore => wit::Error::NoSuchStore,
            current::Error::AccessDenied => wit::Error::AccessDenied,
            current::Error::Other(reason) => wit::Error::Other(reason),
        })
    }
}

impl wit::HostStore for View<'_> {
    async fn open(&mut self, label: String) -> Result<Resource<Handle>, Error> {
        self.open(&label)
    }

    async fn get(&mut self, handle: Resource<Handle>, key: String) -> Result<Option<Vec<u8>>, Error> {
        self.store(&handle)?.get(&key).await
    }

    async fn set(&mut self, handle: Resource<Handle>, key: String, value: Vec<u8>) -> Result<(), Error> {
        self.store(&handle)?.set(key, value).await
    }

    async fn delete(&mut self, handle: Resource<Handle>, key: String) -> Result<(), Error> {
        self.store(&handle)?.delete(&key).await
    }

    async fn exists(&mut self, handle: Resource<Handle>, key: String) -> Result<bool, Error> {
        self.store(&handle)?.exists(&key).await
    }

    async fn get_keys(&mut self, handle: Resource<Handle>) -> Result<Vec<String>, Error> {
        self.store(&handle)?.keys().await
    }

    async fn drop(&mut self, handle: Resource<Handle>) -> wasmtime::Result<()> {
        self.close(handle)
    }
}

/// Adds the interface to a linker.
///
/// # Errors
///
/// The linker has the interface already.
pub(super) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, KeyValue>(linker, view)
}
