//! What the databases did.

use std::time::Duration;

use crate::capability::counters::{Counter, StatementCounts, Statements};

/// Counters of one database.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) statements: Statements,
    pub(super) commits: Counter,
    pub(super) rollbacks_on_drop: Counter,
    pub(super) syncs: Counter,
    pub(super) checkpoints: Counter,
    pub(super) gate_wait_ns: Counter,
    pub(super) writer_waits: Counter,
    pub(super) writer_wait_ns: Counter,
    pub(super) writer_timeouts: Counter,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub statements: StatementCounts,
    /// Commits that changed the database.
    pub commits: u64,
    /// Transactions that were rolled back because their connection was dropped.
    pub rollbacks_on_drop: u64,
    /// Syncs of the write-ahead log. Commits by syncs is the size of a group.
    pub syncs: u64,
    pub checkpoints: u64,
    /// Time that answers were held back for a sync, summed over commits.
    pub gate_wait: Duration,
    /// How often the writer was not free at once, and the time waited for it.
    pub writer_waits: u64,
    pub writer_wait: Duration,
    /// Waits that ended with "database is locked".
    pub writer_timeouts: u64,
}

impl Counters {
    /// The counters now. They are read one by one, not at one instant.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            statements: self.statements.counts(),
            commits: self.commits.get(),
            rollbacks_on_drop: self.rollbacks_on_drop.get(),
            syncs: self.syncs.get(),
            checkpoints: self.checkpoints.get(),
            gate_wait: self.gate_wait_ns.time(),
            writer_waits: self.writer_waits.get(),
            writer_wait: self.writer_wait_ns.time(),
            writer_timeouts: self.writer_timeouts.get(),
        }
    }
}
