//! The booking service: who goes on which trek, at what price, and how far it is paid.
//!
//! It owns bookings, their participants, frozen prices, invoices, and the record of
//! bookings that failed. It refuses to know how seats are counted (batch), how money
//! moves (payment), and how mail is worded (notification): it asks them, and a job
//! brings them back in line whenever a request died half-way.

pub mod app;
pub mod domain;
pub mod export;
pub mod http;
pub mod invoice;
mod paper;
#[cfg(target_family = "wasm")]
mod rpc;
#[cfg(target_family = "wasm")]
mod shell;
pub mod store;
