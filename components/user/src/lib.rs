//! The user service: accounts, their groups and permissions, and who is calling.
//!
//! It alone knows passwords, codes and the secret that signs sessions. It knows
//! nothing of what people book, and does not say what a permission allows.

pub mod app;
pub mod domain;
pub mod http;
#[cfg(target_family = "wasm")]
mod rpc;
#[cfg(target_family = "wasm")]
mod shell;
pub mod store;
