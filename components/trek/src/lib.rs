//! The trek service: the catalogue of treks, regions and sections.
//!
//! It says what a trek is and on which terms it is sold. Dates and seats are the
//! batch service's; it refuses to know who has booked what.

pub mod app;
pub mod demo;
pub mod domain;
pub mod http;
#[cfg(target_family = "wasm")]
mod rpc;
#[cfg(target_family = "wasm")]
mod shell;
pub mod store;
