//! A runtime for applications made of WebAssembly components.
//!
//! The host reads a Spin manifest, compiles its components, links what one
//! imports to what another exports, and serves HTTP. It knows nothing of what
//! an application is about.

pub mod backup;
pub mod breaker;
pub mod call;
pub mod candidate;
pub mod capability;
pub mod cli;
pub mod compiler;
pub mod component;
pub mod continued;
pub mod control;
pub mod data_folder;
pub mod database;
pub mod engine;
pub mod front;
pub mod host;
pub mod lately;
pub mod links;
pub mod manifest;
pub mod memory;
pub mod message;
pub mod meter;
pub mod platform;
pub mod precompiled;
pub mod registry;
pub mod release;
pub mod router;
pub mod scheduler;
pub mod server;
pub mod service;
pub mod signature;
pub mod signing;
pub mod state;
pub mod tally;
pub mod telemetry;
pub mod version;
pub mod watch;
