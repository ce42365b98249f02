//! The content service: the journal, and the files that pages show.
//!
//! It knows articles and their regions. Of treks, bookings and people it knows
//! nothing; an author is a snapshot of an id and a name.

pub mod app;
pub mod demo;
pub mod domain;
pub mod files;
pub mod http;
#[cfg(target_family = "wasm")]
mod shell;
pub mod store;
