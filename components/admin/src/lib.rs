//! The admin service: statistics.
//!
//! It keeps read models of what the other services tell by events and changes nothing
//! of theirs. What it shows may lag behind by as long as an event takes.

pub mod app;
pub mod domain;
pub mod http;
#[cfg(target_family = "wasm")]
mod shell;
pub mod store;
