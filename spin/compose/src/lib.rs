//! Puts components that call each other into one.
//!
//! Our host links the import of one component to the export of another while both
//! run. Spin does not, so for Spin each service is composed with those it calls,
//! and those they call. Who exports what is read from the components; this crate
//! knows none of them, and no application.

#[cfg(feature = "encode")]
mod encode;
mod plan;

#[cfg(feature = "encode")]
pub use encode::{Part, read};
pub use plan::{Interfaces, Plan, Wire, plan};
