//! End-to-end tests of the whole system, and what they stand on.
//!
//! [`doubles`] are real network servers that take the place of the services outside of the
//! project: the payment provider and the mail server. [`client`] is the JSON client the
//! journeys speak HTTP with. Nothing here knows how the system under test is built: everything
//! goes over its public doors.

pub mod client;
pub mod doubles;
pub mod postgres;
pub mod system;
pub mod trekker;
