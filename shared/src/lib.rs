//! What every component needs, and no domain noun.
//!
//! A component is a [`Component`]: its configuration and database, its migrations,
//! its routes. [`component!`] makes a WebAssembly component out of it. Everything
//! here but that shell also compiles natively, which is how components are tested.
//!
//! This crate refuses to know what is sold, who may do what, and what a route is for.

pub mod audit;
pub mod component;
#[cfg(not(target_family = "wasm"))]
pub mod conduct;
pub mod config;
pub mod db;
pub mod error;
pub mod events;
pub mod http;
pub mod id;
pub mod idempotency;
pub mod identity;
pub mod log;
pub mod migrations;
pub mod money;
pub mod origin;
pub mod page;
pub mod time;
pub mod upstream;
pub mod validate;

pub use component::{Component, Env};
pub use db::{Db, DbError, Row, Sql, Tx};
pub use error::{Error, Result};
pub use id::Id;
pub use money::{BasisPoints, Paise};
pub use time::{Timestamp, Zone};

#[cfg(target_family = "wasm")]
pub use spin_sdk as sdk;

#[doc(hidden)]
pub use async_trait::async_trait;
