//! The application measured against itself.
//!
//! [`twin`] serves the same services compiled natively, without WebAssembly and
//! without the host: the same routers, use cases and statements, with SQLite behind
//! sqlx and a sync to disk for each commit. [`load`] asks both in turn, in one run on
//! one machine, and [`report`] says how they compare.
//!
//! [`bookings`] counts how many bookings a second are on disk, on SQLite and on Postgres.
//!
//! [`storm`] replaces services while they are under load.
//!
//! This crate knows the journey it measures and nothing of how the host works.

pub mod bookings;
pub mod calls;
pub mod load;
pub mod plot;
pub mod report;
pub mod run;
pub mod scenario;
pub mod seed;
pub mod storm;
pub mod systems;
pub mod twin;
