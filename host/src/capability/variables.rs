//! Variables for components: `spin:variables/variables@3.0.0`, and the older interfaces
//! to the same variables.
//!
//! Operators set the application's variables; a component sees its own, which
//! are templates over those. No value ever appears in a log, an error or a
//! `Debug` output, secret or not.

mod name;
mod resolver;
mod spin2;
mod wasi_config;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use wasmtime::component::{Accessor, HasData, Linker};

use self::bindings::spin::variables::variables as wit;
pub use self::resolver::{FileError, Problem, Resolver, Sources, environment_names};
use crate::manifest::TemplateError;

mod bindings {
    wasmtime::component::bindgen!({
        inline: "
            package host:variables;
            world imports { import spin:variables/variables@3.0.0; }
        ",
        path: "../wit/deps/spin-variables@3.0.0",
        world: "host:variables/imports",
        imports: { default: async | trappable },
        trappable_error_type: { "spin:variables/variables.error" => super::Error },
    });
}

/// Why a variable has no value for a component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("invalid variable name {0}")]
    InvalidName(String),
    #[error("{0}")]
    Undefined(String),
    #[error("no value was given for variable {0:?}")]
    NoValue(String),
    #[error("invalid template: {0}")]
    InvalidTemplate(TemplateError),
}

/// The state of one instance.
#[derive(Clone)]
pub struct Ctx {
    variables: Arc<resolver::ComponentVariables>,
}

impl Ctx {
    /// The value of one of the component's variables.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn get(&self, name: &str) -> Result<String, Error> {
        self.variables.get(name)
    }
}

/// A short-lived view of an instance's state.
pub struct View<'a> {
    ctx: &'a Ctx,
}

impl<'a> View<'a> {
    pub fn new(ctx: &'a Ctx) -> Self {
        Self { ctx }
    }
}

impl Error {
    /// The one place where a guest's error is made.
    fn into_wit(self) -> wit::Error {
        match self {
            Self::InvalidName(reason) => wit::Error::InvalidName(reason),
            Self::Undefined(reason) => wit::Error::Undefined(reason),
            Self::NoValue(_) => wit::Error::Provider(self.to_string()),
            Self::InvalidTemplate(_) => wit::Error::Other(self.to_string()),
        }
    }
}

impl wit::Host for View<'_> {
    fn convert_error(&mut self, error: Error) -> wasmtime::Result<wit::Error> {
        Ok(error.into_wit())
    }
}

impl<T: Send + 'static> wit::HostWithStore<T> for Variables {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<String, Error> {
        accessor.with(|mut access| access.get().ctx.get(&name))
    }
}

/// Adds the interfaces to a linker. `view` finds the state of an instance.
///
/// # Errors
///
/// The linker has one of them already.
pub fn add_to_linker<T: Send + 'static>(linker: &mut Linker<T>, view: fn(&mut T) -> View<'_>) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, Variables>(linker, view)?;
    spin2::add_to_linker(linker, view)?;
    wasi_config::add_to_linker(linker, view)
}

struct Variables;

impl HasData for Variables {
    type Data<'a> = View<'a>;
}
