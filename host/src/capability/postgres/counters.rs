//! What a pool did.

use std::time::Duration;

use crate::capability::counters::{Counter, StatementCounts, Statements};

/// Counters of one pool.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) statements: Statements,
    pub(super) rollbacks_on_drop: Counter,
    pub(super) waits_in_vain: Counter,
    pub(super) connections_lost: Counter,
    pub(super) wait_ns: Counter,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub statements: StatementCounts,
    /// Transactions that were rolled back because their connection was dropped.
    pub rollbacks_on_drop: u64,
    /// Waits for a connection that ended without one.
    pub waits_in_vain: u64,
    /// Connections closed because they were no longer in step with the server.
    pub connections_lost: u64,
    /// Time waited for a connection, summed over all that were handed out.
    pub wait: Duration,
    /// Connections that are open now.
    pub connections: u64,
    /// Those of them that nobody uses.
    pub connections_idle: u64,
}

impl Counters {
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            statements: self.statements.counts(),
            rollbacks_on_drop: self.rollbacks_on_drop.get(),
            waits_in_vain: self.waits_in_vain.get(),
            connections_lost: self.connections_lost.get(),
            wait: self.wait_ns.time(),
            connections: 0,
            connections_idle: 0,
        }
    }
}
