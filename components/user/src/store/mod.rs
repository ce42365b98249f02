//! All SQL of the user service.

mod accounts;
mod codes;
mod groups;

pub use accounts::*;
pub use codes::*;
pub use groups::*;
