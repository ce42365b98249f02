//! What the host can do for components: one module a capability.
//!
//! Every capability has the same three stages. It is linked once
//! (`add_to_linker`), it is set up once for the host (a factory that is shared
//! by all components), and it is prepared for each instance (a context with the
//! grants of one component, seen through a short-lived view). A capability
//! knows the interface that it implements and nothing of routing, versions or
//! the application.

pub mod allowed_hosts;
mod counters;
pub mod handles;
pub mod key_value;
pub mod outbound_http;
pub mod outbound_tcp;
pub mod postgres;
pub mod sqlite;
pub mod stdio;
pub mod variables;
