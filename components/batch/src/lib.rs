//! The batch service: dates on which a trek runs, and the seats on them.
//!
//! It alone decides who gets a seat. It knows keys, not bookings, and treks only by
//! id and name.

pub mod app;
pub mod demo;
pub mod domain;
pub mod http;
#[cfg(target_family = "wasm")]
mod rpc;
#[cfg(target_family = "wasm")]
mod shell;
pub mod store;
