//! What can be made to go wrong.

use serde::{Deserialize, Serialize};

use super::ledger::RefundCourse;
use crate::doubles::Budget;

/// The provider's misbehaviours, all off by default. In JSON an absent field means off.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// What happens to webhooks.
    pub webhooks: WebhookFaults,
    /// Payments stay authorised instead of being captured automatically.
    pub capture_late: bool,
    /// What becomes of new refunds.
    pub refunds: RefundCourse,
    /// Waits before each API answer, after having acted.
    pub slow_ms: u64,
    /// Answers API calls with an error instead of acting.
    pub fail_with: FailWith,
    /// Acts on API calls, then closes the connection without an answer.
    pub drop_connection_after_acting: Budget,
    /// Closes the connection of each API call without acting.
    pub down: bool,
}

/// Misbehaviours of the webhooks, applied in this order: lose, hold, reorder, duplicate, delay.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookFaults {
    /// Webhooks that are never sent.
    pub lose: Budget,
    /// Webhooks that wait for `POST /_ctl/webhooks/flush`.
    pub hold: Budget,
    /// Each webhook is overtaken by the next one; the last waits for a flush.
    pub reorder: bool,
    /// Webhooks that are sent twice under the same event id.
    pub duplicate: Budget,
    /// Wait before the first attempt.
    pub delay_ms: u64,
}

/// Error answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FailWith {
    /// The status, 400 to 599.
    pub status: u16,
    /// The calls that get it.
    pub calls: Budget,
}

impl Default for FailWith {
    fn default() -> Self {
        Self { status: 500, calls: Budget::Never }
    }
}
