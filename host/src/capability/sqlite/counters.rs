//! What the databases did, as counters that telemetry reads. Nothing here is
//! ever reset, so that rates can be made of them.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Counters of one database.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) statements: AtomicU64,
    pub(super) statements_failed: AtomicU64,
    pub(super) rows: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) rollbacks_on_drop: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) checkpoints: AtomicU64,
    pub(super) gate_wait_ns: AtomicU64,
    pub(super) writer_waits: AtomicU64,
    pub(super) writer_wait_ns: AtomicU64,
    pub(super) writer_timeouts: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Statements executed, whether they succeeded or not.
    pub statements: u64,
    pub statements_failed: u64,
    /// Rows returned to components.
    pub rows: u64,
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
            statements: self.statements.load(Relaxed),
            statements_failed: self.statements_failed.load(Relaxed),
            rows: self.rows.load(Relaxed),
            commits: self.commits.load(Relaxed),
            rollbacks_on_drop: self.rollbacks_on_drop.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            checkpoints: self.checkpoints.load(Relaxed),
            gate_wait: Duration::from_nanos(self.gate_wait_ns.load(Relaxed)),
            writer_waits: self.writer_waits.load(Relaxed),
            writer_wait: Duration::from_nanos(self.writer_wait_ns.load(Relaxed)),
            writer_timeouts: self.writer_timeouts.load(Relaxed),
        }
    }
}

pub(super) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Relaxed);
}

pub(super) fn add_time(counter: &AtomicU64, time: Duration) {
    add(counter, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}
