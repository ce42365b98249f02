//! The two interfaces that our host has and Spin has not, made out of what Spin has.
//!
//! `cairn:http/upstream` and `cairn:jobs/wake` become requests to
//! `http://<service>.spin.internal`, Spin's address for another component of the
//! application. `cargo xtask spin` composes this component into every service.
//!
//! It knows neither the services nor what they say to each other.

pub mod coalesce;
pub mod forward;

#[cfg(target_family = "wasm")]
mod guest;
