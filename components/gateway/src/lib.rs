//! The gateway: the one public door.
//!
//! It decides what of a request comes in, who is calling, how often, and which
//! service answers. It knows paths, never what they mean, and no secret.

pub mod app;
pub mod domain;
pub mod http;
pub mod limits;
#[cfg(target_family = "wasm")]
mod rpc;
#[cfg(target_family = "wasm")]
mod shell;
