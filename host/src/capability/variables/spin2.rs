//! The same variables as components made for Spin 2 and 3 see them:
//! `fermyon:spin/variables@2.0.0`.

use wasmtime::component::Linker;

use self::bindings::fermyon::spin::variables as wit;
use super::{Error, Variables, View, wit as current};

mod bindings {
    wasmtime::component::bindgen!({
        inline: "
            package host:variables-spin2;
            world imports { import fermyon:spin/variables@2.0.0; }
        ",
        path: "../wit/deps/fermyon-spin@2.0.0",
        world: "host:variables-spin2/imports",
        imports: { default: trappable },
        trappable_error_type: { "fermyon:spin/variables.error" => super::Error },
    });
}

impl wit::Host for View<'_> {
    fn get(&mut self, name: String) -> Result<String, Error> {
        self.ctx.get(&name)
    }

    fn convert_error(&mut self, error: Error) -> wasmtime::Result<wit::Error> {
        Ok(match error.into_wit() {
            current::Error::InvalidName(reason) => wit::Error::InvalidName(reason),
            current::Error::Undefined(reason) => wit::Error::Undefined(reason),
            current::Error::Provider(reason) => wit::Error::Provider(reason),
            current::Error::Other(reason) => wit::Error::Other(reason),
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
