//! The notification service: mail to people.
//!
//! Others say what happened; this service owns the wording, the queue and the way to
//! the mail server. It decides nothing of what happened, and it never logs what a
//! mail says or whom it is for, only its kind and the recipient's domain.

pub mod app;
pub mod domain;
pub mod http;
pub mod letter;
pub mod mime;
#[cfg(target_family = "wasm")]
mod rpc;
#[cfg(target_family = "wasm")]
mod shell;
pub mod smtp;
pub mod store;
pub mod wording;
