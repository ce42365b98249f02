//! The same variables through `wasi:config/store@0.2.0-draft-2024-09-27`.

use wasmtime::component::Linker;

use self::bindings::wasi::config::store as wit;
use super::{Error, Variables, View, wit as current};

mod bindings {
    wasmtime::component::bindgen!({
        inline: "
            package host:wasi-config;
            world imports { import wasi:config/store@0.2.0-draft-2024-09-27; }
        ",
        path: "../wit/deps/wasi-config@0.2.0-draft-2024-09-27",
        world: "host:wasi-config/imports",
        imports: { default: trappable },
        trappable_error_type: { "wasi:config/store.error" => super::Error },
    });
}

impl wit::Host for View<'_> {
    fn get(&mut self, key: String) -> Result<Option<String>, Error> {
        match self.ctx.get(&key) {
            // A name that no variable can have is one that none has.
            Err(Error::Undefined(_) | Error::InvalidName(_)) => Ok(None),
            found => found.map(Some),
        }
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, Error> {
        self.ctx.variables.all()
    }

    fn convert_error(&mut self, error: Error) -> wasmtime::Result<wit::Error> {
        Ok(match error.into_wit() {
            current::Error::Provider(reason) => wit::Error::Upstream(reason),
            current::Error::InvalidName(reason) | current::Error::Undefined(reason) | current::Error::Other(reason) => {
                wit::Error::Io(reason)
            }
        })
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
    wit::add_to_linker::<_, Variables>(linker, view)
}
