//! The payment service: promo codes, what a booking owes, orders at the payment
//! provider, captured money and refunds.
//!
//! It alone talks to the provider and keeps the book of money. It knows of a booking
//! what the booking service tells it (a *payable*: who owes how much until when), and
//! refuses to know seats, dates, prices and what becomes of a booking.

pub mod app;
pub mod demo;
pub mod domain;
pub mod http;
pub mod provider;
#[cfg(target_family = "wasm")]
mod rpc;
#[cfg(target_family = "wasm")]
mod shell;
pub mod signature;
pub mod store;
#[cfg(test)]
mod tests;
