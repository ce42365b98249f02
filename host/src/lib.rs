//! A runtime for applications made of WebAssembly components.
//!
//! The host reads a Spin manifest, compiles its components, links what one
//! imports to what another exports, and serves HTTP. It knows nothing of what
//! an application is about.

pub mod manifest;
