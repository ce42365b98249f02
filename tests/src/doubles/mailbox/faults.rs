//! What can be made to go wrong.

use serde::{Deserialize, Serialize};

use crate::doubles::Budget;

/// The mail server's misbehaviours, all off by default. In JSON an absent field means off.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Closes SMTP connections without a greeting, and those that send by HTTP without an answer.
    pub refuse: bool,
    /// Mails that are answered with 451 after their content (by HTTP with 503) and not kept.
    pub reject_next: Budget,
    /// Waits before each SMTP reply.
    pub slow_ms: u64,
}
